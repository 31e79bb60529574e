"""An OCI layout with one image, written by hand (image-spec 1.1)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Described = Mapping[str, object]
"""A descriptor: media type, digest, bytes."""


class Layout:
    """A folder that becomes one; `blobs` is where its blobs lie, each named by its SHA-256."""

    def __init__(self, folder: Path):
        self.folder, self.blobs = folder, folder / "blobs/sha256"
        self.blobs.mkdir(parents=True)

    def blob(self, data: bytes, kind: str) -> Described:
        """Writes one, and describes it."""
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return described(digest, len(data), kind)

    def finish(self, layers: Sequence[Described], **config: object) -> Path:
        """Makes the image of layers that are there (tar archives, lowest first). `config` are more fields of its configuration."""
        fields = {"architecture": "amd64", "os": "linux", "created": "2025-01-01T00:00:00Z", **config}
        fields["rootfs"] = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
        configured = self.blob(json.dumps(fields).encode(), "config.v1+json")
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
        entry = self.blob(json.dumps({**manifest, "config": configured, "layers": list(layers)}).encode(), "manifest.v1+json")
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return self.folder


def described(digest: str, size: int, kind: str) -> Described:
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": size}


def write_layout(folder: Path, layers: Sequence[bytes], **config: object) -> Path:
    """The folder, with an image of these layers."""
    made = Layout(folder)
    return made.finish([made.blob(layer, "layer.v1.tar") for layer in layers], **config)
