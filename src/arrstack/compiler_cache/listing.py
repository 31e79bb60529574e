"""What a pushed cache holds: a list of its chunks, in a layer of its own. A label says which layer.

Older caches have the list itself in the label. A registry refuses such a label from about 84,000 entries on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from arrstack.compiler_cache.chunks import Chunk, read_tar, write_tar
from arrstack.errors import RegistryError
from arrstack.model import Image
from arrstack.registry import Registry, find
from arrstack.registry.documents import MANIFEST, decoded, digest_of, encoded

REPOSITORY = "compiler-cache"
LABEL = "io.arrstack.cache"
LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
CONFIG = "application/vnd.oci.image.config.v1+json"
NAME = "chunks.json"
LARGEST_LIST = 512 << 20
"""Bytes of the list, some five million entries."""


class ListAt(msgspec.Struct):
    """The label's content: the digest and size of the layer that holds the list."""

    list: str
    size: int

    def __post_init__(self) -> None:
        encoded(self.list)
        if not 0 <= self.size <= LARGEST_LIST:
            raise ValueError("a list of a size that none has")


@dataclass(frozen=True)
class Published:
    """What a registry holds: the image, and its chunks, oldest first. Nothing was pushed where `image` is None."""

    image: Image | None = None
    chunks: tuple[Chunk, ...] = ()

    @property
    def entries(self) -> dict[str, int]:
        """Name -> bytes; of a name that comes twice the later."""
        return held(self.chunks)


def held(chunks: Iterable[Chunk]) -> dict[str, int]:
    """What a list of chunks holds; of a name that comes twice the later."""
    return {name: size for chunk in chunks for name, size in chunk.entries.items()}


def published(registry: Registry, tag: str, scratch: Path) -> Published:
    """What the registry holds. The list is fetched into `scratch`. Raises RegistryError."""
    image = find(registry, REPOSITORY, tag)
    if image is None:
        return Published()
    label = image.labels.get(LABEL, "").encode()
    try:
        if label.startswith(b"["):
            return Published(image, tuple(decoded(label, list[Chunk])))
        at = decoded(label, ListAt)
        return Published(image, read_list(registry.blob(REPOSITORY, at.list, at.size, scratch)))
    except ValueError:
        raise RegistryError(f"{registry.name}: {REPOSITORY}:{tag} is no compiler cache of ours") from None


def read_list(blob: Path) -> tuple[Chunk, ...]:
    """The chunks of a list's layer. Raises RegistryError and ValueError."""
    with read_tar(blob, "the list of the chunks") as members:
        name, size, blocks = next(members, ("", 0, iter(())))
        if name != NAME or size > LARGEST_LIST:
            raise ValueError("its layer is no list")
        return tuple(decoded(b"".join(blocks), list[Chunk]))


def write_layout(root: Path, chunks: Sequence[Chunk]) -> None:
    """An OCI layout of one image with these layers and their list; blobs of old chunks are where it goes, and not here."""
    text = msgspec.json.encode(chunks)
    digest, diff_id, size, _ = write_tar(root / "blobs" / "sha256", [(NAME, len(text), [text])])
    label = msgspec.json.encode(ListAt(digest, size)).decode()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {LABEL: label}},
        "rootfs": {"type": "layers", "diff_ids": [*(chunk.diff_id for chunk in chunks), diff_id]},
    }
    layers = [*((chunk.digest, chunk.size) for chunk in chunks), (digest, size)]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob(root, config, CONFIG),
        "layers": [{"mediaType": LAYER, "digest": digest, "size": size} for digest, size in layers],
    }
    index = {"schemaVersion": 2, "manifests": [blob(root, manifest, MANIFEST)]}
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (root / "index.json").write_bytes(msgspec.json.encode(index))


def blob(root: Path, value: object, kind: str) -> dict[str, str | int]:
    """A JSON blob of a layout, and its descriptor."""
    data = msgspec.json.encode(value, order="deterministic")
    digest = digest_of(data)
    (root / "blobs" / "sha256" / encoded(digest)).write_bytes(data)
    return {"mediaType": kind, "digest": digest, "size": len(data)}
