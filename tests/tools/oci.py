"""An OCI layout with one image, written by hand (image-spec 1.1)."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path


def write_layout(folder: Path, layers: Sequence[bytes], **config: object) -> Path:
    """The folder, with an image of these layers (tar archives, lowest first). `config` are more fields of its configuration."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    stored = [blob(layer, "layer.v1.tar") for layer in layers]
    fields = {"architecture": "amd64", "os": "linux", "created": "2025-01-01T00:00:00Z", **config}
    fields["rootfs"] = {"type": "layers", "diff_ids": [layer["digest"] for layer in stored]}
    described = blob(json.dumps(fields).encode(), "config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    entry = blob(json.dumps({**manifest, "config": described, "layers": stored}).encode(), "manifest.v1+json")
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder
