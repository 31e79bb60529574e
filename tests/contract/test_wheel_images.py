"""Wheels out of published images, however their layers are packed; and what is none, in one sentence."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
import zstandard

from arrstack.errors import ConfigError, RegistryError
from arrstack.machine.process import Processes
from arrstack.registry.documents import digest_of
from arrstack.wheels import gather

NAME = "torch-2.6.0-cp311-cp311-linux_x86_64.whl"


def image(folder: Path, packing: str, name: str = NAME, layer: bytes | None = None) -> str:
    """The reference of a layout with one layer, which holds a file of that name."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for member, data in ((name, b"wheel" * 100), ("etc/other", b"x")):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    plain = made.getvalue()
    packed = {"": plain, "+gzip": gzip.compress(plain), "+zstd": zstandard.compress(plain)}[packing] if layer is None else layer
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, object]:
        (blobs / digest_of(data).partition(":")[2]).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest_of(data), "size": len(data)}

    layers = [blob(packed, f"layer.v1.tar{packing}")]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(plain)]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    manifest |= {"config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": layers}
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{folder}"


@pytest.mark.parametrize("packing", ["", "+gzip", "+zstd"])
def test_a_wheel_comes_out_of_an_image(tmp_path: Path, packing: str) -> None:
    into = tmp_path / "into"
    into.mkdir()
    gather([image(tmp_path / "image", packing)], into, Processes())
    assert [(path.name, path.read_bytes()) for path in into.iterdir()] == [(NAME, b"wheel" * 100)]


def test_an_image_without_a_wheel_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no wheel"):
        gather([image(tmp_path / "image", "", "README")], tmp_path, Processes())


@pytest.mark.parametrize("layer", [b"", b"nonsense" * 100, zstandard.compress(b"nonsense")])
def test_an_image_that_cannot_be_read_is_said(tmp_path: Path, layer: bytes) -> None:
    with pytest.raises((RegistryError, ConfigError)):
        gather([image(tmp_path / "image", "+zstd", layer=layer)], tmp_path, Processes())
    with pytest.raises(RegistryError, match="could not be fetched"):
        gather([f"oci:{tmp_path}/nowhere"], tmp_path, Processes())


def test_of_an_index_the_image_of_this_platform_is_taken(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    reference = image(tmp_path / "image", "+gzip")
    top = tmp_path / "image/index.json"
    (entry,) = json.loads(top.read_text())["manifests"]
    other = {**entry, "platform": {"os": "linux", "architecture": "arm64"}, "digest": f"sha256:{'0' * 64}"}
    nested = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [other, {**entry, "platform": {"os": "linux", "architecture": "amd64"}}],
    }
    data = json.dumps(nested).encode()
    (tmp_path / "image/blobs/sha256" / digest_of(data).partition(":")[2]).write_bytes(data)
    kept = {"mediaType": nested["mediaType"], "digest": digest_of(data), "size": len(data)}
    top.write_text(json.dumps({"schemaVersion": 2, "manifests": [kept]}))
    gather([reference], into, Processes())
    assert [path.name for path in into.iterdir()] == [NAME]
