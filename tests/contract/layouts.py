"""Images as files, written by hand, and what sends them to a registry."""

import hashlib
import json
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from arrstack.machine import skopeo
from arrstack.machine.process import Processes

LABELS = {"io.arrstack.inputs": '{"image/file a": "1"}', "io.arrstack.key": "k"}


def layout(folder: Path, content: str, labels: dict[str, str] | None = None) -> Path:
    """An OCI layout with one image of one small layer, written by hand (image-spec 1.1)."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    tar = BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        archive.addfile(member, BytesIO(content.encode()))
    layer = blob(tar.getvalue(), "layer.v1.tar")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2025-01-01T00:00:00Z",
        "config": {"Labels": labels or LABELS, "Env": ["A=1"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    described = blob(json.dumps(config).encode(), "config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    entry = blob(json.dumps({**manifest, "config": described, "layers": [layer]}).encode(), "manifest.v1+json")
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def sender(source: Path) -> Callable[[str, bool], str]:
    """An engine's push in its simplest form: skopeo from a layout."""

    def send(destination: str, compress: bool) -> str:
        options = [] if compress else ["--dest-oci-accept-uncompressed-layers"]
        return skopeo.copy(Processes(), f"oci:{source}", destination, options)

    return send
