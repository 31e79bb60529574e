"""OCI image layouts and the layers of images: each layer is read once, as a stream, the uppermost first.

Sources: OCI image specification 1.1, "Image Layout", "Image Manifest" and "Filesystem Changeset" (whiteouts).
"""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

import zstandard

from arrstack.artifacts.blob import Blob, BlobError, BytesBlob, FileBlob
from arrstack.artifacts.files import HEAD_BYTES, IN_MEMORY_BYTES, MAX_MEMBERS, File, Item, Level, Link, Problem, escapes
from arrstack.errors import ConfigError

MAX_DOCUMENT = 4 << 20
MAX_EXTENDED_HEADER = 1 << 20
MAX_FILE = 16 << 30
KEPT_FREE = 1 << 30
_LAYER_ERRORS = (tarfile.TarError, zlib.error, zstandard.ZstdError, EOFError, OSError)
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")


class ImageLayers(Protocol):
    """An image that somebody else holds, a registry or an engine: its layers, lowest first, as streams of tar."""

    @property
    def name(self) -> str: ...

    def layers(self) -> "list[Layer]":
        """The layers, lowest first. Raises ArrstackError."""


def is_layout(path: Path) -> bool:
    return (path / "oci-layout").is_file() and (path / "index.json").is_file()


@dataclass(frozen=True)
class LayeredImage:
    """The files of an image, as its layers leave them."""

    image: ImageLayers
    kind: str = "image"
    is_system: bool = True

    @property
    def name(self) -> str:
        return self.image.name

    def items(self) -> Iterator[Item]:
        yield from merge_layers(self.image.layers())


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
            manifest = self._manifest()
            layers = [self._layer(layer["digest"]) for layer in manifest["layers"]]
        except (BlobError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            yield Problem(Level.ERROR, self.name, f"not an image that can be read: {error}")
            return
        yield from merge_layers(layers)

    def _manifest(self) -> dict[str, Any]:
        descriptor = self._choose(_document(FileBlob(self.path / "index.json"))["manifests"])
        for _ in range(4):
            document = _document(self._blob(descriptor["digest"]))
            if "layers" in document:
                return document
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

    def _blob(self, digest: str) -> Blob:
        return FileBlob(self._blob_path(digest))

    def _layer(self, digest: str) -> "Layer":
        path = self._blob_path(digest)
        return Layer(lambda: path.open("rb"), digest)


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


class _Stream(io.RawIOBase):
    """A layer as it comes from its holder. With a digest, it knows in the end whether it was what the digest names."""

    def __init__(self, source: IO[bytes], digest: str = "") -> None:
        self._source = source
        self._digest = digest
        algorithm, _, self._wanted = digest.partition(":")
        self._hash = hashlib.new(algorithm) if digest else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        if self._hash:
            self._hash.update(data)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()

    def check(self) -> None:
        if self._hash and self._hash.hexdigest() != self._wanted:
            raise BlobError(f"layer {self._digest} is corrupt: its content has another digest")


@dataclass(frozen=True)
class Layer:
    """What opens a layer's stream (tar, plain or compressed by gzip or zstd), and the digest to check it by, if any."""

    open: Callable[[], IO[bytes]]
    digest: str = ""


def merge_layers(layers: list[Layer]) -> Iterator[Item]:
    """The files that are left when the layers lie on each other; read from the top, so that what is hidden is skipped."""
    view = _View()
    for number in range(len(layers) - 1, -1, -1):
        try:
            yield from _read_layer(layers[number], view)
        except (BlobError, *_LAYER_ERRORS) as error:
            yield Problem(Level.ERROR, f"layer {number + 1}", f"cannot be read: {error}")
        view.next_layer()


class _View:
    """Which paths the layers above have already decided."""

    def __init__(self) -> None:
        self._decided: set[str] = set()
        self._hidden: set[str] = set()
        self._coming: set[str] = set()

    def hide(self, path: str) -> None:
        """A whiteout hides what lies below it, not what its own layer adds."""
        self._coming.add(path)

    def next_layer(self) -> None:
        self._hidden |= self._coming
        self._coming = set()

    def take(self, path: str) -> bool:
        """Whether this file is the one that is seen; it is decided with this."""
        if path in self._decided or len(self._decided) > MAX_MEMBERS:
            return False
        parts = path.split("/")
        if any("/".join(parts[:depth]) in self._hidden for depth in range(len(parts) + 1)):
            return False
        self._decided.add(path)
        return True


class _BoundedTarInfo(tarfile.TarInfo):
    """Refuses extended headers of a size that nobody needs: `tarfile` reads them into memory whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_BoundedTarInfo":
        info = super().frombuf(buf, encoding, errors)
        extended = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if info.type in extended and info.size > MAX_EXTENDED_HEADER:
            raise tarfile.ReadError(f"a tar header of {info.size} bytes")
        return info


def _read_layer(layer: Layer, view: _View) -> Iterator[Item]:
    raw = _Stream(layer.open(), layer.digest)
    with (
        io.BufferedReader(raw, 1 << 18) as stream,
        tarfile.open(fileobj=_decompressed(stream), mode="r|", tarinfo=_BoundedTarInfo) as tar,
    ):
        for info in tar:
            # tarfile keeps every header that it has seen.
            tar.members = []  # type: ignore[attr-defined]
            yield from _layer_item(tar, info, view)
        while stream.read(1 << 20):
            pass
        raw.check()


def _decompressed(stream: "io.BufferedReader[_Stream]") -> IO[bytes]:
    head = stream.peek(4)
    if head[:2] == b"\x1f\x8b":
        return cast(IO[bytes], gzip.open(stream, "rb"))
    if head[:4] == b"\x28\xb5\x2f\xfd":
        reader: IO[bytes] = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(stream, read_across_frames=True)
        return reader
    return stream


def _layer_item(tar: tarfile.TarFile, info: tarfile.TarInfo, view: _View) -> Iterator[Item]:
    path = info.name.removeprefix("./").strip("/")
    directory, _, name = path.rpartition("/")
    if escapes(info.name.removeprefix("/")):
        yield Problem(Level.ERROR, info.name, "its path leads out of the archive")
    elif name == _OPAQUE:
        view.hide(directory)
    elif name.startswith(_WHITEOUT):
        view.hide(f"{directory}/{name.removeprefix(_WHITEOUT)}" if directory else name.removeprefix(_WHITEOUT))
    elif info.issym() and view.take(path):
        yield Link(path, info.linkname)
    elif info.islnk() and view.take(path):
        yield Link(path, f"/{info.linkname.removeprefix('./').strip('/')}")
    elif info.isreg() and view.take(path):
        yield from _layer_file(tar, info, path)


def _layer_file(tar: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> Iterator[Item]:
    if info.size > MAX_FILE:
        yield Problem(Level.ERROR, path, f"a file of {info.size} bytes")
        return
    stream = tar.extractfile(info)
    if stream is None:
        return
    head = stream.read(HEAD_BYTES)
    # The stream is gone when the next member is asked for, so `open` must be called before that.
    yield File(path, info.size, head, lambda: _spool(head, stream, info.size))


def _spool(head: bytes, stream: IO[bytes], size: int) -> Blob:
    """A member's bytes where they can be read in any order: memory for small ones, an unnamed temporary file for large ones.

    The layer is read on here, outside of `merge_layers`, so what is wrong with it must come out as a BlobError here too.
    """
    try:
        return _read_rest(head, stream, size)
    except _LAYER_ERRORS as error:
        raise BlobError(f"cannot be read from its layer: {error}") from error


def _read_rest(head: bytes, stream: IO[bytes], size: int) -> Blob:
    if size <= IN_MEMORY_BYTES:
        data = head + stream.read()
        if len(data) != size:
            raise BlobError(f"truncated: {len(data)} of {size} bytes")
        return BytesBlob(data)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if size > free - KEPT_FREE:
        raise BlobError(f"needs {size} bytes of temporary disk, {free} are free in {tempfile.gettempdir()} (set TMPDIR)")
    with tempfile.TemporaryFile(prefix="arrstack-verify-") as file:
        file.write(head)
        written = len(head)
        while chunk := stream.read(1 << 20):
            written += len(chunk)
            file.write(chunk)
        file.flush()
        if written != size:
            raise BlobError(f"truncated: {written} of {size} bytes")
        return FileBlob.of_descriptor(file.fileno())
