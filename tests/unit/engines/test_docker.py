"""What the docker engine asks of its client, and what it refuses before that."""

import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from arrstack.engines import Docker, RunOptions
from arrstack.errors import MachineError
from arrstack.machine.process import Filter, Finished, Processes, asked_to_end

IMAGE = [{"Architecture": "amd64", "Os": "linux", "Config": {"Entrypoint": ["arr-train"], "Cmd": []}}]
BUILDX = {"Plugins": [{"Name": "buildx", "Path": "/usr/libexec/docker/cli-plugins/docker-buildx"}]}


class Client(Processes):
    """A docker whose daemon is on the machine `host`; `attached_to` is what a person's container was started by."""

    def __init__(self, host: str) -> None:
        super().__init__({})
        info = {"Name": host, "ServerVersion": "26.1.5", "ClientInfo": BUILDX}
        self.answers = {"info": info, "image": IMAGE, "network": [{}], "rm": ""}
        self.attached_to: list[str] = []

    def run(self, argv: Sequence[str], check: bool = True, *_: object, **more: object) -> Finished:
        return Finished(0, json.dumps(self.answers[argv[1]]), "")

    def attached(self, argv: Sequence[str], errors: "Filter | None" = None, end: Callable[[int], None] = asked_to_end) -> int:
        self.attached_to = list(argv)
        return 0


def docker(folder: Path, host: str = "") -> tuple[Docker, Client]:
    client = Client(host or socket.gethostname())
    (folder / "dev").mkdir()
    return Docker(client, folder, folder / "dev"), client


def options(argv: Sequence[str]) -> list[str]:
    """The words of `docker run` before the image."""
    return list(argv[argv.index("run") : argv.index("image")])


@pytest.mark.parametrize("device", ["nvidia0", "dxg"])
def test_gpus_are_asked_of_docker_in_its_own_words(tmp_path: Path, device: str) -> None:
    engine, client = docker(tmp_path)
    (tmp_path / "dev" / device).touch()
    assert engine.attach("image", [], RunOptions(gpus="all")) == 0
    given = options(client.attached_to)
    assert given[given.index("--gpus") : given.index("--gpus") + 2] == ["--gpus", "all"]
    assert given[-2:] == ["--entrypoint", "arr-train"]


def test_gpus_that_the_machine_has_not_are_refused_and_nothing_is_started(tmp_path: Path) -> None:
    engine, client = docker(tmp_path)
    (tmp_path / "dev/nvidiactl").touch()  # of a driver without a GPU
    with pytest.raises(MachineError, match="shows no NVIDIA GPU"):
        engine.attach("image", [], RunOptions(gpus="all"))
    assert client.attached_to == []


def test_a_daemon_on_another_machine_knows_itself_what_gpus_it_has(tmp_path: Path) -> None:
    engine, client = docker(tmp_path, host="docker-desktop")
    assert engine.attach("image", [], RunOptions(gpus="2")) == 0
    assert "--gpus" in client.attached_to


def test_who_asks_for_no_gpu_gets_none(tmp_path: Path) -> None:
    engine, client = docker(tmp_path)
    engine.attach("image", ["true"], RunOptions())
    assert "--gpus" not in client.attached_to
