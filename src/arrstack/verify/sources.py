"""Where files come from: a single one, a directory, a wheel that is read where it lies, an image through whoever holds it."""

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from arrstack.artifacts.blob import Blob, BlobError, BytesBlob, DeflateBlob, FileBlob, SliceBlob
from arrstack.artifacts.files import HEAD_BYTES, IN_MEMORY_BYTES, MAX_MEMBERS, File, Item, Level, Link, Problem, Source, escapes
from arrstack.artifacts.layers import OciLayout, is_layout
from arrstack.errors import ConfigError
from arrstack.verify.header_index import HeaderIndex

MAX_ZIP_DIRECTORY = 256 << 20
MAX_RATIO = 400
RATIO_COUNTS_FROM = 256 << 20
_LOCAL_HEADER_BYTES = 30
_EOCD_BYTES = 22


@dataclass(frozen=True)
class SingleFile:
    """One library, static archive or other file."""

    path: Path
    kind: str = "library"
    is_system: bool = False

    @property
    def name(self) -> str:
        return str(self.path)

    def items(self) -> Iterator[Item]:
        yield _file_on_disk(self.path, self.path.name)


@dataclass(frozen=True)
class Directory:
    """A directory tree; links inside are not followed, so a loop of them is harmless."""

    path: Path
    kind: str = "directory"

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def is_system(self) -> bool:
        return (self.path / "etc/os-release").exists() or (self.path / "usr/lib/os-release").exists()

    def items(self) -> Iterator[Item]:
        failures: list[OSError] = []
        for directory, subdirectories, files in os.walk(self.path, onerror=failures.append):
            subdirectories.sort()
            for name in [*subdirectories, *sorted(files)]:
                path = Path(directory, name)
                yield from self._item(path, path.relative_to(self.path).as_posix())
            yield from (Problem(Level.ERROR, str(e.filename), f"cannot be read: {e.strerror}") for e in failures)
            failures.clear()
        yield from (Problem(Level.ERROR, str(e.filename), f"cannot be read: {e.strerror}") for e in failures)

    def _item(self, path: Path, inside: str) -> Iterator[Item]:
        try:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                yield Link(inside, os.readlink(path))
            elif stat.S_ISREG(mode):
                yield _file_on_disk(path, inside)
        except OSError as error:
            yield Problem(Level.ERROR, inside, f"cannot be read: {error.strerror}")


def _file_on_disk(path: Path, inside: str) -> Item:
    try:
        blob = FileBlob(path)
        head = blob.read(0, HEAD_BYTES)
    except BlobError as error:
        return Problem(Level.ERROR, inside, str(error))
    size = blob.size
    blob.close()
    return File(inside, size, head, lambda: FileBlob(path))


@dataclass(frozen=True)
class Wheel:
    """A wheel, or any zip file, read where it lies: nothing is unpacked to disk, and no member is held in memory whole."""

    path: Path
    kind: str = "wheel"
    is_system: bool = False

    @property
    def name(self) -> str:
        return str(self.path)

    def items(self) -> Iterator[Item]:
        try:
            whole = FileBlob(self.path)
            entries = _zip_directory(whole, self.path)
        except (BlobError, zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, struct.error) as error:
            yield Problem(Level.ERROR, self.path.name, f"not a wheel that can be read: {error}")
            return
        if len(entries) > MAX_MEMBERS:
            yield Problem(Level.ERROR, self.path.name, f"{len(entries)} members, more than {MAX_MEMBERS}")
            return
        for entry in entries:
            if not entry.filename.endswith("/"):
                yield _zip_item(whole, entry)


def _zip_directory(whole: Blob, path: Path) -> list[zipfile.ZipInfo]:
    """The members by the order of their data. `zipfile` reads the whole directory into memory, so its size is checked before."""
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
    with zipfile.ZipFile(path) as archive:
        return sorted(archive.infolist(), key=lambda entry: entry.header_offset)


def _zip_item(whole: Blob, entry: zipfile.ZipInfo) -> Item:
    path = entry.filename
    if not path or escapes(path):
        return Problem(Level.ERROR, path, "its path leads out of the archive" if path else "a member without a name")
    if entry.flag_bits & 1:
        return Problem(Level.ERROR, path, "it is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return Problem(Level.ERROR, path, f"its compression (zip method {entry.compress_type}) is none that wheels use")
    try:
        start = _data_offset(whole, entry)
        head = _zip_head(whole, entry, start)
    except (BlobError, zlib.error) as error:
        return Problem(Level.ERROR, path, f"corrupt: {error}")
    if stat.S_ISLNK(entry.external_attr >> 16):
        return Link(path, head.decode("utf-8", "replace"))
    return File(path, entry.file_size, head, lambda: _open_zip_member(whole, entry, start))


def _data_offset(whole: Blob, entry: zipfile.ZipInfo) -> int:
    local = whole.read(entry.header_offset, _LOCAL_HEADER_BYTES)
    if len(local) < _LOCAL_HEADER_BYTES or local[:4] != b"PK\3\4":
        raise BlobError("no member stands where the archive's directory says")
    names = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    start = entry.header_offset + _LOCAL_HEADER_BYTES + names
    if start + entry.compress_size > whole.size:
        raise BlobError("truncated: the archive ends before the member does")
    return start


def _zip_head(whole: Blob, entry: zipfile.ZipInfo, start: int) -> bytes:
    data = whole.read(start, min(entry.compress_size, HEAD_BYTES))
    if entry.compress_type == zipfile.ZIP_STORED:
        return data
    return zlib.decompressobj(-15).decompress(data, HEAD_BYTES)


def _open_zip_member(whole: Blob, entry: zipfile.ZipInfo, start: int) -> Blob:
    if entry.compress_type == zipfile.ZIP_STORED:
        if entry.compress_size != entry.file_size:
            raise BlobError("corrupt: stored, with two sizes")
        return SliceBlob(whole, start, entry.file_size)
    if entry.file_size > RATIO_COUNTS_FROM and entry.file_size > MAX_RATIO * entry.compress_size:
        raise BlobError(f"{entry.compress_size} bytes that inflate to {entry.file_size}: a decompression bomb, not a library")
    blob = DeflateBlob(whole, start, entry.compress_size, entry.file_size, entry.CRC, HeaderIndex())
    if entry.file_size <= IN_MEMORY_BYTES:
        return BytesBlob(blob.read(0, entry.file_size))
    return blob


def open_target(target: str | Path) -> Source:
    """The source that a path names: a wheel, a directory, a library, an OCI layout. Raises ConfigError where there is none."""
    text = str(target)
    if text.startswith("oci:"):
        return OciLayout.parse(text.removeprefix("oci:"))
    path = Path(target)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise ConfigError(f"{text}: {_reason(error)}", "name a wheel, a directory, a library, oci:DIR:TAG or an image") from error
    if stat.S_ISDIR(mode):
        return OciLayout(path, "") if is_layout(path) else Directory(path)
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{text}: neither a file nor a directory", "name a wheel, a directory, a library or an image")
    return Wheel(path) if _is_zip(path) else SingleFile(path)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _is_zip(path: Path) -> bool:
    try:
        return path.suffix in (".whl", ".zip") or FileBlob(path).read(0, 4) == b"PK\3\4"
    except BlobError:
        return False
