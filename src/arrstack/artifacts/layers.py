"""The layers of an image: each is read once, as a stream, the uppermost first.

Source: OCI image specification 1.1, "Image Layer Filesystem Changeset".
"""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, cast

import zstandard

from arrstack.artifacts.blob import Blob, BlobError
from arrstack.artifacts.files import (
    HEAD_BYTES,
    MAX_MEMBERS,
    MAX_RATIO,
    RATIO_COUNTS_FROM,
    File,
    Item,
    Level,
    Link,
    Problem,
    escapes,
    most_opened,
    normal_path,
)
from arrstack.artifacts.layer_view import LayerView
from arrstack.artifacts.spool import STREAM_ERRORS, read_through, spool

MAX_EXTENDED_HEADER = 1 << 20
MAX_FILE = 16 << 30
MAX_SPARSE = 64 << 20
FREE_ENTRIES = 50_000
ENTRY_BYTES = 128
"""A layer may hold FREE_ENTRIES, and one more for each ENTRY_BYTES of its bytes as they are stored."""
_BUFFER = 1 << 18
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True)
class Layer:
    """What opens a layer's stream (tar, plain or compressed by gzip or zstd), and the digest to check it by, if any."""

    open: Callable[[], IO[bytes]]
    digest: str = ""


def merge_layers(layers: list[Layer], note: Callable[[int, int], None] = lambda layer, size: None) -> Iterator[Item]:
    """The files that are left when the layers, lowest first, lie on each other. What cannot be read is a Problem.

    A `File` must be opened before the next item is asked for: its layer is a stream. `note` is told of each regular file of a
    layer, seen in the end or not, before the item that comes of it: the layer's number, the lowest is 0, and the bytes.

        for item in merge_layers([Layer(lambda: Path("base.tar.gz").open("rb"))]): ...
    """
    view = LayerView()
    for number in range(len(layers) - 1, -1, -1):
        try:
            for entry in entries(layers[number]):
                if len(view) >= MAX_MEMBERS:
                    raise BlobError(f"the image has more than {MAX_MEMBERS} files: the others were not looked at")
                if entry.info.isreg():
                    note(number, entry.info.size)
                yield from _items_of(entry, view)
            if owed := view.owed_here():
                yield from _read_linked(layers[number], owed)
        except (BlobError, *STREAM_ERRORS) as error:
            yield Problem(Level.ERROR, f"layer {number + 1}", f"cannot be read: {error}")
        view.next_layer()
    for target, links in view.owed.items():
        yield from (Problem(Level.ERROR, path, f"a hard link to {target}, which no layer holds") for path in links)


class _Stream(io.RawIOBase):
    """A layer as it comes from its holder. With a digest, it knows in the end whether it was what the digest names."""

    def __init__(self, source: IO[bytes], digest: str = "") -> None:
        self._source = source
        self._digest = digest
        algorithm, _, self._wanted = digest.partition(":")
        self._hash = hashlib.new(algorithm) if digest else None
        self.count = 0
        self.opened = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        if self._hash:
            self._hash.update(data)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()

    def check(self) -> None:
        if self._hash and self._hash.hexdigest() != self._wanted:
            raise BlobError(f"layer {self._digest} is corrupt: its content has another digest")


class Entry(NamedTuple):
    """An entry of a layer, while it is the stream's current one."""

    info: tarfile.TarInfo
    tar: tarfile.TarFile
    raw: _Stream

    @property
    def path(self) -> str:
        return normal_path(self.info.name)

    def open(self, head: bytes, stream: IO[bytes]) -> Blob:
        """Its bytes, of which `head` was read from `stream` already. Raises BlobError."""
        self._refuse_sparse()
        self.raw.opened += 1
        if self.raw.opened > most_opened(self.raw.count):
            raise BlobError(f"{self.raw.opened} binaries in {self.raw.count} bytes: a decompression bomb")
        return spool(head, stream, self.info.size)

    def chunks(self, head: bytes, stream: IO[bytes]) -> Iterator[bytes]:
        """The same bytes in their order. Raises BlobError."""
        self._refuse_sparse()
        yield from read_through(head, stream, self.info.size)

    def _refuse_sparse(self) -> None:
        if self.info.issparse() and self.info.size > MAX_SPARSE:
            raise BlobError(f"a sparse file of {self.info.size} bytes: most of it is not there")


class _Inflated:
    """A layer's tar stream, which ends where it has become a bomb."""

    def __init__(self, raw: _Stream, stream: "io.BufferedReader[_Stream]") -> None:
        self._raw = raw
        self._tar = _decompressed(stream)
        self._count = 0

    def read(self, size: int) -> bytes:
        data = self._tar.read(size)
        self._count += len(data)
        if self._count > max(RATIO_COUNTS_FROM, MAX_RATIO * self._raw.count):
            raise BlobError(f"{self._raw.count} bytes inflate to more than {self._count}: a decompression bomb")
        return data


class _BoundedTarInfo(tarfile.TarInfo):
    """Refuses extended headers of a size that nobody needs: `tarfile` reads them into memory whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_BoundedTarInfo":
        info = super().frombuf(buf, encoding, errors)
        extended = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if info.type in extended and info.size > MAX_EXTENDED_HEADER:
            raise tarfile.ReadError(f"a tar header of {info.size} bytes")
        return info


def entries(layer: Layer) -> Iterator[Entry]:
    """The entries of a layer, and in the end whether its digest was right. Raises BlobError, and STREAM_ERRORS."""
    raw = _Stream(layer.open(), layer.digest)
    with io.BufferedReader(raw, _BUFFER) as stream:
        tar_stream = cast(IO[bytes], _Inflated(raw, stream))
        with tarfile.open(
            fileobj=tar_stream, mode="r|", tarinfo=_BoundedTarInfo, encoding="utf-8", errors="surrogateescape", bufsize=_BUFFER
        ) as tar:
            for number, info in enumerate(tar):
                # tarfile keeps every header that it has seen.
                tar.members = []  # type: ignore[attr-defined]
                if number > FREE_ENTRIES + raw.count // ENTRY_BYTES:
                    raise BlobError(f"{number} entries in {raw.count} bytes: a decompression bomb")
                yield Entry(info, tar, raw)
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


def _read_linked(layer: Layer, owed: Mapping[str, list[str]]) -> Iterator[Item]:
    """A second time through a layer, for what is seen of it under the name of a hard link alone."""
    for entry in entries(layer):
        if entry.info.isreg() and entry.path in owed:
            yield from _linked(entry, owed[entry.path])


def _linked(entry: Entry, links: list[str]) -> Iterator[Item]:
    yield from _file(entry, links[0])
    yield from (Link(path, f"/{links[0]}") for path in links[1:])


def _items_of(entry: Entry, view: LayerView) -> Iterator[Item]:
    info, path = entry.info, entry.path
    directory, _, name = path.rpartition("/")
    if escapes(info.name.removeprefix("/")):
        yield Problem(Level.ERROR, info.name, "its path leads out of the archive")
    elif name == _OPAQUE:
        view.hide(directory)
    elif name.startswith(_WHITEOUT):
        view.hide(normal_path(f"{directory}/{name.removeprefix(_WHITEOUT)}"))
    elif info.isdir():
        view.folder(path)
    elif view.is_here(path):
        yield Problem(Level.ERROR, path, "two entries of one layer have this path: which one counts depends on who unpacks it")
    elif info.islnk():
        target = normal_path(info.linkname)
        if view.take_link(path, target):
            yield Link(path, f"/{target}")
    else:
        yield from _leaf(entry, view)


def _leaf(entry: Entry, view: LayerView) -> Iterator[Item]:
    """A file, a symbolic link, or what is neither: a device, too, hides what a lower layer has at its path."""
    links = view.owed.pop(entry.path, []) if entry.info.isreg() else []
    seen = view.take(entry.path)
    if entry.info.issym() and seen:
        yield Link(entry.path, entry.info.linkname)
    elif entry.info.isreg() and seen:
        yield from _file(entry, entry.path)
    elif links:
        yield from _linked(entry, links)


def _file(entry: Entry, path: str) -> Iterator[Item]:
    if entry.info.size > MAX_FILE:
        yield Problem(Level.ERROR, path, f"a file of {entry.info.size} bytes")
        return
    stream = entry.tar.extractfile(entry.info)
    if stream is None:
        return
    head = stream.read(HEAD_BYTES)
    # The stream is gone when the next member is asked for, so `open` must be called before that.
    size = entry.info.size
    yield File(path, size, head, lambda: entry.open(head, stream), lambda: entry.chunks(head, stream))
