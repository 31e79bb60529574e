import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from arrstack.verify.gpus import load_gpus
from arrstack.verify.policy import load_policy

MakeWheel = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def _read_anew() -> None:
    """The tables are read by what is tested, also where a tester of mutants forks from a process that has read them."""
    load_gpus.cache_clear()
    load_policy.cache_clear()


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Writes a wheel of these files, deflated."""

    def make(files: dict[str, bytes], name: str = "thing-1.0-py3-none-any.whl", compression: int = zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            for member, data in files.items():
                archive.writestr(member, data)
        return path

    return make
