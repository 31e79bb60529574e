"""Where an image may go, and what that is called."""

from pathlib import Path

import pytest

from arrstack.errors import ConfigError
from arrstack.launch.export import Destination


@pytest.mark.parametrize(
    ("said", "reference", "use"),
    [
        ("docker", "docker-daemon:app:cpu", "docker run --rm app:cpu"),
        ("docker-daemon:mine:1", "docker-daemon:mine:1", "docker run --rm mine:1"),
        ("podman", "containers-storage:localhost/app:cpu", "podman run --rm localhost/app:cpu"),
        ("quay.io/team/app", "docker://quay.io/team/app:cpu", ""),
        ("localhost:5000/app:1.0", "docker://localhost:5000/app:1.0", ""),
        ("docker://quay.io/team/app:2", "docker://quay.io/team/app:2", ""),
        ("oci-archive:a.tar", "oci-archive:a.tar:app:cpu", "podman load --input a.tar"),
        ("docker-archive:a.tar:b:c", "docker-archive:a.tar:b:c", "docker load --input a.tar"),
    ],
)
def test_a_destination_is_understood(said: str, reference: str, use: str) -> None:
    to = Destination.parse(said, "app", "cpu")
    assert (to.reference, to.use) == (reference, use)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("nope", "no destination"),
        ("oci-archive:", "names no file"),
        ("oci-archive:/nowhere/at/all/a.tar", "there is no folder /nowhere/at/all"),
        ("quay.io/Team/app", "is not an image's name"),
        (f"quay.io/team/app@sha256:{'0' * 64}", "a digest is what comes out"),
    ],
)
def test_what_is_no_destination_is_told_with_what_is_one(said: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        Destination.parse(said, "app", "cpu")
    assert caught.value.hint


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("mine")
    with pytest.raises(ConfigError, match=r"a\.tar is there already"):
        Destination.parse(f"oci-archive:{tmp_path}/a.tar", "app", "cpu")
