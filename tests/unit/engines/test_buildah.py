"""What buildah says, read."""

from pathlib import Path

import pytest

from arrstack.engines.buildah import STORE, Buildah
from arrstack.engines.mounts import removed_with
from arrstack.errors import BuildError
from arrstack.machine.process import Processes
from arrstack.model import BuildStep


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("/home", "/"),
        ("/home/me/.cache", "/"),
        ("/home/me/.cache/arrstack/storage/overlay", "/"),
        ("/home/me/bin", "/bin"),
        ("/home/usr/lib", "/usr/lib"),
        ("/home/me/.cache/pip", ""),
        ("/root/.cache", ""),
        ("/var/cache/apt", ""),
        ("/", ""),
        ("relative", ""),
    ],
)
def test_of_a_mount_that_begins_as_the_store_s_path_does_it_is_told_what_buildah_would_remove(target: str, what: str) -> None:
    assert removed_with([target], Path("/home/me/.cache/arrstack/storage")).get(target, "") == what


def test_the_store_of_root_lies_where_no_recipe_mounts_anything() -> None:
    assert not removed_with(["/root", "/root/.cache", "/opt/x", "/var/cache/apt", "/tmp", "/usr/lib", "/run/secrets/ca"], STORE)


def test_an_ordinary_user_s_build_with_such_a_mount_is_refused_before_it_begins(tmp_path: Path) -> None:
    engine = Buildah(Processes({"PATH": "/nonexistent"}), tmp_path, False)
    step = BuildStep("tier", tmp_path, tmp_path / "Dockerfile", {}, mount_targets=(str(tmp_path),))
    with (
        (tmp_path / "log").open("wb") as log,
        pytest.raises(BuildError, match=f"a mount at {tmp_path} buildah would remove / from"),
    ):
        list(engine.build(step, "localhost/arrstack/tier:x", log))
