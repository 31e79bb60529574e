"""Layers on their way to a server: by gzip, or by zstd where that is asked for."""

import json
import subprocess
import uuid
from pathlib import Path

import pytest

from arrstack.artifacts.layout import OciLayout
from arrstack.contents.collect import take_inventory
from arrstack.engines.compression import require_layers
from arrstack.errors import ConfigError
from arrstack.machine import skopeo
from arrstack.machine.process import Processes
from arrstack.registry import connect
from tests.contract.conftest import Workshop


@pytest.mark.parametrize("layers", ["gzip", "zstd"])
def test_layers_are_compressed_as_asked_and_read_again(
    workshop: Workshop, registry_server: str, tmp_path: Path, layers: str
) -> None:
    if layers == "zstd" and workshop.engine.name == "docker":
        pytest.skip("refused: it could not pull them again")
    built = workshop.build(workshop.step("ARG BASE\nFROM ${BASE}\nCOPY text /text\n", {"text": f"{uuid.uuid4()}\n" * 500}))
    registry = connect(f"{registry_server}/{uuid.uuid4().hex}", {"HOME": str(tmp_path)})
    registry.publish("image", "t", lambda to, compress: workshop.engine.push(built.reference, to, compress, layers))
    reference = registry.reference("image", "t")
    told = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", reference], check=True, capture_output=True).stdout
    assert json.loads(told)["layers"][-1]["mediaType"] == f"application/vnd.oci.image.layer.v1.tar+{layers}"
    skopeo.copy(Processes(), reference, f"oci:{tmp_path}/copy:t")
    found = take_inventory(OciLayout(tmp_path / "copy", "t"))
    assert found.problems == ()
    assert any(cell.bytes == 500 * 37 for cell in found.cells)
    workshop.engine.pull(reference, "localhost/arrstack/layers:read")
    assert workshop.run("localhost/arrstack/layers:read", "cat", "/text")[0] == 0


def test_another_compression_and_one_that_the_engine_cannot_pull_are_refused() -> None:
    with pytest.raises(ConfigError, match="gzip or zstd"):
        require_layers("brotli", "buildah")
    with pytest.raises(ConfigError, match="could not pull"):
        require_layers("zstd", "docker")
