"""An image in an OCI layout directory. Source: OCI image specification 1.1, "Image Layout" and "Image Manifest"."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from arrstack.artifacts.blob import Blob, BlobError, FileBlob
from arrstack.artifacts.files import Item, Level, Problem
from arrstack.artifacts.layers import Layer, merge_layers
from arrstack.errors import ConfigError

MAX_DOCUMENT = 4 << 20
_MALFORMED = (BlobError, KeyError, TypeError, AttributeError, ValueError, RecursionError)


def is_layout(path: Path) -> bool:
    return (path / "oci-layout").is_file() and (path / "index.json").is_file()


@dataclass(frozen=True)
class StoredLayer:
    """A layer as it lies in a registry: its digest, its bytes there, how it is compressed, and what opens it."""

    digest: str
    size: int
    media_type: str
    layer: Layer


@dataclass(frozen=True)
class StoredImage:
    """An image's documents: the digest of its manifest, its config (image-spec 1.1, config.md), its layers, lowest first."""

    digest: str
    config: dict[str, Any]
    layers: tuple[StoredLayer, ...]


@dataclass(frozen=True)
class OciLayout:
    """An image in an OCI layout directory; without a tag it must be the only one there."""

    path: Path
    tag: str
    kind: str = "image"
    is_system: bool = True

    @classmethod
    def parse(cls, text: str) -> "OciLayout":
        """From DIR, DIR:TAG or DIR@DIGEST. Raises ConfigError."""
        # The first colon ends the directory (containers/image, oci transport): a tag may be NAME:TAG.
        for directory, found, tag in (text.partition("@"), text.partition(":"), text.rpartition(":")):
            if found and is_layout(Path(directory)):
                return cls(Path(directory), tag)
        if is_layout(Path(text)):
            return cls(Path(text), "")
        raise ConfigError(f"oci:{text}: no OCI layout (a directory with oci-layout and index.json) is there")

    @property
    def name(self) -> str:
        return f"oci:{self.path}" + (f":{self.tag}" if self.tag else "")

    def items(self) -> Iterator[Item]:
        try:
            _, manifest = self._manifest()
            layers = [self._layer(layer["digest"]) for layer in manifest["layers"]]
        except _MALFORMED as error:
            yield Problem(Level.ERROR, self.name, f"not an image that can be read: {error}")
            return
        yield from merge_layers(layers)

    def image(self) -> StoredImage:
        """The image's documents, each checked by its digest. Raises BlobError where it is none, ConfigError for no such tag."""
        try:
            digest, manifest = self._manifest()
            layers = tuple(
                StoredLayer(entry["digest"], int(entry["size"]), str(entry.get("mediaType", "")), self._layer(entry["digest"]))
                for entry in manifest["layers"]
            )
            return StoredImage(digest, self._described(manifest["config"]["digest"]), layers)
        except _MALFORMED as error:
            raise BlobError(f"not an image that can be read: {error}") from None

    def _manifest(self) -> tuple[str, dict[str, Any]]:
        descriptor = self._choose(_document(FileBlob(self.path / "index.json"))["manifests"])
        for _ in range(4):
            document = self._described(descriptor["digest"])
            if "layers" in document:
                return str(descriptor["digest"]), document
            descriptor = self._choose_platform(document["manifests"])
        raise BlobError("its indexes are nested too deeply")

    def _choose(self, manifests: list[dict[str, Any]]) -> dict[str, Any]:
        def is_wanted(entry: dict[str, Any]) -> bool:
            name = (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name", "")
            return not self.tag or self.tag in (name, name.rsplit(":", 1)[-1], entry.get("digest"))

        found = [entry for entry in manifests if is_wanted(entry)]
        if not found:
            raise ConfigError(f"{self.name}: no such tag in this OCI layout", f"it holds {_names(manifests)}")
        if len(found) > 1:
            raise ConfigError(f"{self.name}: {len(found)} images are there", f"name one of {_names(manifests)}")
        return found[0]

    def _choose_platform(self, manifests: list[dict[str, Any]]) -> dict[str, Any]:
        for entry in manifests:
            platform = entry.get("platform") or {}
            if platform.get("os", "linux") == "linux" and platform.get("architecture", "amd64") == "amd64":
                return entry
        raise BlobError("it has no image for linux/amd64")

    def _blob_path(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        if algorithm not in ("sha256", "sha512") or not value.isalnum():
            raise BlobError(f"{digest!r} is not a digest")
        return self.path / "blobs" / algorithm / value

    def _described(self, digest: str) -> dict[str, Any]:
        """The document of this digest. Raises BlobError."""
        blob = FileBlob(self._blob_path(digest))
        document = _document(blob)
        if hashlib.new(digest.partition(":")[0], blob.read(0, blob.size)).hexdigest() != digest.partition(":")[2]:
            raise BlobError(f"{digest} is corrupt: its content has another digest")
        return document

    def _layer(self, digest: str) -> Layer:
        path = self._blob_path(digest)
        return Layer(lambda: _open(path), digest)


def _open(path: Path) -> IO[bytes]:
    FileBlob(path)
    return path.open("rb")


def _names(manifests: list[dict[str, Any]]) -> str:
    names = [
        (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name", entry.get("digest")) for entry in manifests
    ]
    return ", ".join(str(name) for name in names) or "none"


def _document(blob: Blob) -> dict[str, Any]:
    if blob.size > MAX_DOCUMENT:
        raise BlobError(f"a JSON document of {blob.size} bytes")
    document = json.loads(blob.read(0, blob.size))
    if not isinstance(document, dict):
        raise BlobError("a JSON document that is no object")
    return document
