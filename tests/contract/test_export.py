"""A published image on its way to where people use it."""

from pathlib import Path

import pytest

from arrstack.engines import Docker
from arrstack.errors import MachineError
from arrstack.launch.export import Copy, Destination, export
from arrstack.model import Image
from arrstack.registry import OciDirectory
from tests.contract.conftest import Workshop


@pytest.fixture
def published(workshop: Workshop, tmp_path: Path) -> tuple[OciDirectory, Image]:
    built = workshop.build(workshop.step("ARG BASE\nFROM ${BASE}\nCOPY told /told\n", {"told": "as published\n"}))
    registry = OciDirectory(tmp_path / "registry")
    return registry, registry.publish("app", "latest", lambda to, compress: workshop.engine.push(built.reference, to, compress))


def test_an_image_reaches_a_docker_daemon_under_the_name_that_is_asked_for(
    workshop: Workshop, published: tuple[OciDirectory, Image], tmp_path: Path
) -> None:
    registry, image = published
    to = Destination.parse("docker-daemon:given/app:1", "app", "latest")
    seen: list[Copy] = []
    if not isinstance(workshop.engine, Docker):
        with pytest.raises(MachineError, match="no Docker daemon answers"):
            export(image, registry, to, workshop.engine.processes, tmp_path, seen.append)  # type: ignore[attr-defined]
        return
    export(image, registry, to, workshop.engine.processes, tmp_path, seen.append)
    assert workshop.run("given/app:1", "cat", "/told") == (0, ["as published"])
