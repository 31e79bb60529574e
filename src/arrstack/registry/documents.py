"""Pure: the JSON of registries, read with care, as anybody may have put it there (image-spec 1.1: descriptor.md, manifest.md,
image-index.md, config.md). What is not of the form raises ValueError, whatever its depth or shape; unknown fields are passed over."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from arrstack.model import Image, content_id
from arrstack.reference import DIGEST

T = TypeVar("T")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST))
PLATFORM = ("linux", "amd64")
BASELINE = (None, "", "v1")
"""The variants of amd64 that run on every such machine; v2 and later need newer ones."""
LARGEST_JSON = 4 << 20
"""Bytes: the size up to which servers must accept a manifest (distribution-spec 1.1), and no config is larger."""


LARGEST_SIZE = (1 << 63) - 1
"""Bytes: a descriptor's size is an int64 (descriptor.md)."""


class Platform(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    variant: str | None = None


class Descriptor(msgspec.Struct, omit_defaults=True):
    digest: str
    size: int
    mediaType: str = ""  # noqa: N815
    platform: Platform | None = None
    annotations: dict[str, str] | None = None
    artifactType: str | None = None  # noqa: N815

    def __post_init__(self) -> None:
        encoded(self.digest)
        if not 0 <= self.size <= LARGEST_SIZE:
            raise ValueError("a descriptor's size is none")


class Document(msgspec.Struct):
    """A manifest or an index: which of them it is, its fields say, as `mediaType` may be missing."""

    config: Descriptor | None = None
    layers: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None


class Manifest(msgspec.Struct):
    config: Descriptor
    layers: list[Descriptor]


class RootFs(msgspec.Struct):
    diff_ids: list[str]


class Run(msgspec.Struct):
    """What an image's config says of running it, as far as it makes the image's content id, and the labels."""

    Env: list[str] | None = None
    Entrypoint: list[str] | None = None
    Cmd: list[str] | None = None
    User: str | None = None
    WorkingDir: str | None = None
    ExposedPorts: dict[str, dict[str, str]] | None = None
    Volumes: dict[str, dict[str, str]] | None = None
    Labels: dict[str, str] | None = None


class Config(msgspec.Struct):
    os: str
    architecture: str
    rootfs: RootFs
    variant: str | None = None
    created: str | None = None
    config: Run | None = None


NOUNS = {"Document": "an image manifest", "Config": "an image's config", "Index": "an index", "TagList": "a list of tags"}


def decoded(data: bytes, kind: type[T]) -> T:
    """A JSON document of a kind. Raises ValueError with one sentence for any other bytes."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise ValueError(f"it is not {NOUNS.get(kind.__name__, 'of its form')}: {str(error)[:200]}") from None
    except ValueError:
        raise ValueError("it is not JSON") from None


def encoded(digest: object) -> str:
    """The hexadecimal digits of a digest (descriptor.md). Raises ValueError for anything else."""
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise ValueError(f"'{str(digest)[:100]}' is not a digest")
    return digest.partition(":")[2]


def digest_of(data: bytes, like: str = "sha256:") -> str:
    """The digest of bytes, by the algorithm of another digest."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def described(descriptor: Descriptor, data: bytes) -> bytes:
    """The bytes, where they are what the descriptor says. Raises ValueError."""
    if len(data) != descriptor.size or digest_of(data, descriptor.digest) != descriptor.digest:
        raise ValueError(f"{descriptor.digest} does not have that digest, or not its size of {descriptor.size} bytes")
    return data


def manifest_of(document: Document) -> Manifest:
    """Raises ValueError where a document is no image's manifest."""
    if document.config is None or document.layers is None:
        raise ValueError("it is not an image manifest")
    return Manifest(document.config, document.layers)


def chosen(entries: Sequence[Descriptor]) -> Descriptor:
    """The entry of an index for this product's platform; the only one, where that says none (image-index.md: optional).

    Raises ValueError where there is none.
    """
    images = [entry for entry in entries if not entry.artifactType and not is_attestation(entry)]
    for entry in images:
        held = entry.platform
        if held and (held.os, held.architecture) == PLATFORM and held.variant in BASELINE:
            return entry
    if len(images) == 1 and images[0].platform is None:
        return images[0]
    raise ValueError(f"it has no {'/'.join(PLATFORM)} image")


def is_attestation(entry: Descriptor) -> bool:
    """BuildKit lists what it attests beside the images (buildkit, docs/attestations/attestation-storage.md)."""
    return (entry.annotations or {}).get("vnd.docker.reference.type") == "attestation-manifest"


def image_of(repository: str, digest: str, manifest: Manifest, config: bytes) -> Image:
    """The image that a manifest and its config blob describe. Raises ValueError where they describe none."""
    held = decoded(described(manifest.config, config), Config)
    if len(held.rootfs.diff_ids) != len(manifest.layers):
        raise ValueError(f"it has {len(manifest.layers)} layers, its config {len(held.rootfs.diff_ids)}")
    labels = (held.config.Labels if held.config else None) or {}
    size = sum(layer.size for layer in manifest.layers)
    return Image(
        repository, digest, manifest.config.digest, content_id(msgspec.to_builtins(held)), labels, held.created or "", size
    )
