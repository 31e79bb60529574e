"""Where an image may go, what that is called, and how it gets there."""

from pathlib import Path

import pytest

from arrstack.errors import ConfigError, MachineError, RegistryError
from arrstack.launch.export import Copy, Destination, Exported, export
from arrstack.model import Image
from tests.fakes.registry import MemoryRegistry
from tests.fakes.skopeo import Skopeo


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


# -- on its way

IMAGE = Image("app", "sha256:app", "sha256:config", "content", {}, "", 100)


def test_exactly_the_published_digest_is_copied_and_how_to_run_it_is_said(tmp_path: Path) -> None:
    skopeo, copies = Skopeo(reads=130), list[Copy]()
    made = export(IMAGE, MemoryRegistry(), Destination.parse("podman", "app", "cpu"), skopeo, tmp_path, copies.append)
    assert made == Exported("containers-storage:localhost/app:cpu", "sha256:written", "podman run --rm localhost/app:cpu")
    assert [argv[-2:] for argv in skopeo.asked] == [["memory:app@sha256:app", "containers-storage:localhost/app:cpu"]]
    assert copies == [Copy("containers-storage:localhost/app:cpu", 100, 100)], "some bytes are read twice"


def test_a_docker_daemon_is_asked_first_and_loads_an_archive(tmp_path: Path) -> None:
    skopeo = Skopeo()
    made = export(IMAGE, MemoryRegistry(), Destination.parse("docker", "app", "cpu"), skopeo, tmp_path, lambda _: None)
    version, copy, load = skopeo.asked
    archive = load[-1]
    assert version[:2] == ["docker", "version"] and load[:-1] == ["docker", "load", "--quiet", "--input"]
    assert Path(archive).parent == tmp_path and copy[-1] == f"docker-archive:{archive}:app:cpu"
    assert (made.destination, made.use) == ("docker-daemon:app:cpu", "docker run --rm app:cpu")


def test_where_no_daemon_answers_nothing_is_copied(tmp_path: Path) -> None:
    skopeo = Skopeo(fails="version")
    with pytest.raises(MachineError, match="no Docker daemon answers: no space") as error:
        export(IMAGE, MemoryRegistry(), Destination.parse("docker", "app", "cpu"), skopeo, tmp_path, lambda _: None)
    assert "podman" in error.value.hint and len(skopeo.asked) == 1


@pytest.mark.parametrize(("to", "hint"), [("podman", False), ("quay.io/team/app", True)])
def test_a_copy_that_fails_says_how_to_log_in_where_that_may_be_why(tmp_path: Path, to: str, hint: bool) -> None:
    with pytest.raises(RegistryError, match=r"app could not be copied to \S+: .*no space") as error:
        export(IMAGE, MemoryRegistry(), Destination.parse(to, "app", "cpu"), Skopeo(fails="copy"), tmp_path, lambda _: None)
    assert ("log in" in error.value.hint) is hint
