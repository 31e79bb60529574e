"""What is handed to `docker buildx` for a builder of each driver, and what of a builder is refused. The answers of `inspect` are real ones of buildx 0.13.1."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from arrstack.engines.buildkit import BuildKit
from arrstack.errors import BuildError, MachineError
from arrstack.machine.process import Processes
from arrstack.model import BuildStep

INSPECTED = """Name:          {name}
Driver:        {driver}
Last Activity: 2026-11-27 07:54:47 +0000 UTC

Nodes:
Name:           {name}0
Endpoint:       unix:///var/run/docker.sock
Status:         {status}
BuildKit:       v0.13.1
Platforms:      {platforms}
"""
BUILDX = """#!/bin/sh
case "$1" in
  inspect) cat {folder}/inspected ;;
  *) printf '%s\\n' "$@" > {folder}/argv; env > {folder}/environment
     echo '#5 0.123 [1/1] a.o'; exit {status} ;;
esac
"""


@dataclass
class Store:
    """This machine's store: what went there, and what came from there as an OCI layout."""

    pulled: list[tuple[str, str]] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)

    def pull(self, source: str, reference: str) -> None:
        self.pulled.append((source, reference))

    def push(self, image: str, destination: str, compress: bool) -> None:
        self.pushed.append(image)


def builder(
    folder: Path, driver: str, network: str = "default", platforms: str = "linux/amd64, linux/386", **more: object
) -> BuildKit:
    told = {"name": "farm", "driver": driver, "status": "running", "platforms": platforms} | more
    (folder / "inspected").write_text(INSPECTED.format(**told))
    (folder / "buildx").write_text(BUILDX.format(folder=folder, status=more.get("exits", 0)))
    info = json.dumps({"Plugins": [{"Name": "buildx", "Path": f"{folder}/buildx"}]})
    (folder / "docker").write_text(f"#!/bin/sh\necho '{info}'\n")
    for program in ("docker", "buildx"):
        (folder / program).chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "DOCKER_HOST": "unix:///here", "https_proxy": "http://here"}
    return BuildKit(Processes(environment), folder / "cache", "farm", network, Store())  # type: ignore[arg-type]


def built(made: BuildKit, folder: Path) -> list[str]:
    (folder / "context").mkdir()
    base = "localhost/arrstack/base:1"
    step = BuildStep("tier", folder / "context", folder / "Dockerfile", {"BASE": base}, "wheel", {}, {"a": "b"})
    log = io.BytesIO()
    assert list(made.build(step, "localhost/arrstack/tier:1", log)) == ["[1/1] a.o"]
    return (folder / "argv").read_text().splitlines()


@pytest.mark.parametrize("driver", ["docker-container", "kubernetes", "remote", "docker"])
def test_a_builder_of_every_driver_gets_the_step_its_images_as_layouts_and_gives_back_an_archive(
    tmp_path: Path, driver: str
) -> None:
    made = builder(tmp_path, driver)
    argv = built(made, tmp_path)
    assert argv[:5] == ["--builder", "farm", "build", "--network", "default"]
    (context,) = (word for word in argv if "oci-layout://" in word)
    assert context.startswith("localhost/arrstack/base:1=oci-layout://")
    (output,) = (word for word in argv if word.startswith("type="))
    assert output.startswith("type=oci,dest=") and "rewrite-timestamp=true" in output
    assert made.store.pushed == ["localhost/arrstack/base:1"]  # type: ignore[attr-defined]
    (pulled,) = made.store.pulled  # type: ignore[attr-defined]
    assert pulled[0].startswith("oci-archive:") and pulled[1] == "localhost/arrstack/tier:1"
    assert not {"--load", "--push", "--pull"} & set(argv) and not any("proxy" in word for word in argv)


def test_only_a_contexts_own_builder_is_asked_for_by_that_context(tmp_path: Path) -> None:
    for driver, told in (("kubernetes", "DOCKER_HOST=unix:///here"), ("docker", "DOCKER_CONTEXT=farm")):
        folder = tmp_path / driver
        folder.mkdir()
        built(builder(folder, driver), folder)
        environment = (folder / "environment").read_text().splitlines()
        assert told in environment and sum(line.startswith(("DOCKER_HOST=", "DOCKER_CONTEXT=")) for line in environment) == 1


def test_the_network_of_the_stack_file_is_passed_on(tmp_path: Path) -> None:
    assert built(builder(tmp_path, "docker-container", "host"), tmp_path)[3:5] == ["--network", "host"]


def test_a_platform_that_was_asked_for_at_the_builders_making_counts(tmp_path: Path) -> None:
    made = builder(tmp_path, "kubernetes", platforms="linux/arm64, linux/amd64*, linux/amd64/v2")
    assert made.version() == "buildx farm (kubernetes)"


def test_a_builder_for_other_machines_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="farm makes no linux/amd64 images"):
        builder(tmp_path, "kubernetes", platforms="linux/arm64*, linux/amd64/v2").version()


def test_a_builder_of_several_nodes_is_taken_by_the_one_that_fits(tmp_path: Path) -> None:
    made = builder(tmp_path, "docker-container", platforms="linux/amd64")
    with (tmp_path / "inspected").open("a") as file:
        file.write("\nName: farm1\nStatus: inactive\nPlatforms: linux/arm64\n")
    assert made.version() == "buildx farm (docker-container)"


def test_a_builder_that_does_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="builder farm does not answer: inactive"):
        builder(tmp_path, "docker-container", status="inactive").version()


def test_a_build_that_fails_there_brings_nothing_here(tmp_path: Path) -> None:
    made = builder(tmp_path, "kubernetes", exits=1)
    with pytest.raises(BuildError, match="tier: the build failed"):
        built(made, tmp_path)
    assert made.store.pulled == []  # type: ignore[attr-defined]
