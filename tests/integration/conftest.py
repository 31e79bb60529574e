"""What the tests of the whole share: the engines' store, so that base images are made once."""

from pathlib import Path

import pytest

from tests.contract.conftest import downloads, registry_server, rootfs  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XDG_CACHE_HOME that outlives a test: stores, cache mounts, the compiler's cache."""
    return tmp_path_factory.mktemp("cache")
