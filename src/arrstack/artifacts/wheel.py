"""A wheel, or any zip file, read where it lies: nothing is unpacked to disk, and no member is held in memory whole."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from arrstack.artifacts.blob import Blob, BlobError, BytesBlob, SliceBlob
from arrstack.artifacts.blob_reader import BlobReader
from arrstack.artifacts.deflate import DeflateBlob, NoIndex, StreamIndex
from arrstack.artifacts.files import (
    HEAD_BYTES,
    IN_MEMORY_BYTES,
    LFS_POINTER,
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

MAX_ZIP_DIRECTORY = 256 << 20
_LOCAL_HEADER_BYTES = 30
_EOCD_BYTES = 22
_ZIP_ERRORS = (BlobError, zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, struct.error, OverflowError)


@dataclass(frozen=True)
class WheelFile:
    """A wheel wherever it lies: `open` gives its bytes, `index` makes what looks at each member while it is inflated."""

    name: str
    open: Callable[[], Blob]
    index: Callable[[], StreamIndex] = NoIndex
    kind: str = "wheel"
    is_system: bool = False

    def items(self) -> Iterator[Item]:
        try:
            whole = self.open()
            entries = _zip_directory(whole)
        except _ZIP_ERRORS as error:
            yield Problem(Level.ERROR, self.name, f"not a wheel that can be read: {error}")
            return
        if len(entries) > MAX_MEMBERS:
            yield Problem(Level.ERROR, self.name, f"{len(entries)} members, more than {MAX_MEMBERS}")
            return
        archive = _Archive(whole, self.index)
        for entry in entries:
            if not entry.filename.endswith("/"):
                yield archive.item(entry)


def _zip_directory(whole: Blob) -> list[zipfile.ZipInfo]:
    """The members by the order of their data. `zipfile` reads the whole directory into memory, so its size is checked before."""
    if whole.read(0, len(LFS_POINTER)) == LFS_POINTER:
        raise zipfile.BadZipFile("it is a Git LFS pointer, and the wheel was not fetched (git lfs pull)")
    tail = whole.read(max(0, whole.size - (1 << 16) - _EOCD_BYTES), (1 << 16) + _EOCD_BYTES)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _EOCD_BYTES > len(tail):
        raise zipfile.BadZipFile("it has no zip directory at its end")
    declared = int.from_bytes(tail[at + 12 : at + 16], "little")
    if declared != 0xFFFFFFFF and declared > MAX_ZIP_DIRECTORY:
        raise zipfile.BadZipFile(f"its directory says that it has {declared} bytes")
    zip64 = tail.rfind(b"PK\6\6", 0, at)
    if declared == 0xFFFFFFFF and int.from_bytes(tail[zip64 + 40 : zip64 + 48], "little") > MAX_ZIP_DIRECTORY:
        raise zipfile.BadZipFile("its directory is too large")
    with zipfile.ZipFile(io.BufferedReader(BlobReader(whole), 1 << 16)) as archive:
        return sorted(archive.infolist(), key=lambda entry: entry.header_offset)


@dataclass
class _Archive:
    """The members of one zip file, in the order of their data."""

    whole: Blob
    index: Callable[[], StreamIndex]
    _names: set[str] = field(default_factory=set)
    _behind: int = 0
    _inflated: int = 0
    _opened: int = 0

    def item(self, entry: zipfile.ZipInfo) -> Item:
        path = normal_path(entry.filename)
        if not path or escapes(entry.filename):
            message = "its path leads out of the archive" if path else "a member without a name"
            return Problem(Level.ERROR, entry.filename, message)
        if path in self._names:
            return Problem(Level.ERROR, path, "two members have this path: which one counts depends on who unpacks it")
        self._names.add(path)
        if entry.flag_bits & 1:
            return Problem(Level.ERROR, path, "it is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return Problem(Level.ERROR, path, f"its compression (zip method {entry.compress_type}) is none that wheels use")
        try:
            start = self._data_offset(entry)
            head = self._head(entry, start)
        except (BlobError, zlib.error) as error:
            return Problem(Level.ERROR, path, f"corrupt: {error}")
        if stat.S_ISLNK(entry.external_attr >> 16):
            return Link(path, head.decode("utf-8", "replace"))
        return File(path, entry.file_size, head, lambda: self._open(entry, start))

    def _data_offset(self, entry: zipfile.ZipInfo) -> int:
        local = self.whole.read(entry.header_offset, _LOCAL_HEADER_BYTES)
        if len(local) < _LOCAL_HEADER_BYTES or local[:4] != b"PK\3\4":
            raise BlobError("no member stands where the archive's directory says")
        if entry.header_offset < self._behind:
            raise BlobError("it lies over the member before it")
        names = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
        start = entry.header_offset + _LOCAL_HEADER_BYTES + names
        if start + entry.compress_size > self.whole.size:
            raise BlobError("truncated: the archive ends before the member does")
        self._behind = start + entry.compress_size
        return start

    def _head(self, entry: zipfile.ZipInfo, start: int) -> bytes:
        data = self.whole.read(start, min(entry.compress_size, HEAD_BYTES))
        if entry.compress_type == zipfile.ZIP_STORED:
            return data
        return zlib.decompressobj(-15).decompress(data, HEAD_BYTES)

    def _open(self, entry: zipfile.ZipInfo, start: int) -> Blob:
        self._opened += 1
        if self._opened > most_opened(self.whole.size):
            raise BlobError(f"{self._opened} binaries in {self.whole.size} bytes: a bomb, not a wheel")
        if entry.compress_type == zipfile.ZIP_STORED:
            if entry.compress_size != entry.file_size:
                raise BlobError("corrupt: stored, with two sizes")
            return SliceBlob(self.whole, start, entry.file_size)
        self._count(entry.file_size, entry.compress_size)
        blob = DeflateBlob(self.whole, start, entry.compress_size, entry.file_size, entry.CRC, self.index())
        if entry.file_size <= IN_MEMORY_BYTES:
            return BytesBlob(blob.read(0, entry.file_size))
        return blob

    def _count(self, size: int, compressed: int) -> None:
        """Refuses a member that inflates out of all proportion, and the one with which the whole archive does."""
        if size > RATIO_COUNTS_FROM and size > MAX_RATIO * compressed:
            raise BlobError(f"{compressed} bytes that inflate to {size}: a decompression bomb, not a library")
        if self._inflated + size > max(RATIO_COUNTS_FROM, MAX_RATIO * self.whole.size):
            raise BlobError(f"with it {self.whole.size} bytes inflate to {self._inflated + size}: a decompression bomb")
        self._inflated += size
