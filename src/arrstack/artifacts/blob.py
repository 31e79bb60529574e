"""Bytes at an offset, wherever they are: in memory, in a file, in a part of either, in a compressed zip member.

Everything above reads through `Blob.read`, so a library of 4 GB costs no more memory than one of 4 MB.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK = 1 << 20


class BlobError(Exception):
    """Bytes that should be there cannot be had: unreadable, truncated, corrupt. The message is one line for a person."""


class Blob(Protocol):
    """Random access to `size` bytes."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset`, `length` of them or as many as there are. Raises BlobError."""

    def find(self, pattern: bytes, start: int, end: int) -> Iterator[int]:
        """Every offset in [start, end) at which `pattern` stands. Raises BlobError."""


def find_by_reading(blob: Blob, pattern: bytes, start: int, end: int) -> Iterator[int]:
    """`Blob.find` for a blob without an index: one pass over the range, a megabyte at a time."""
    overlap = len(pattern) - 1
    end = min(end, blob.size)
    while start < end:
        data = blob.read(start, min(CHUNK + overlap, end - start))
        if len(data) <= overlap:
            return
        at = data.find(pattern)
        while at >= 0:
            yield start + at
            at = data.find(pattern, at + 1)
        start += len(data) - overlap


@dataclass(frozen=True)
class BytesBlob:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def find(self, pattern: bytes, start: int, end: int) -> Iterator[int]:
        return find_by_reading(self, pattern, start, end)


class FileBlob:
    """A regular file, read by `pread`: no mapping, so a file that shrinks meanwhile is an error and not a signal."""

    _fd = -1

    def __init__(self, path: Path) -> None:
        """Raises BlobError where it cannot be opened, or is no regular file: a pipe is not waited for."""
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise BlobError(f"cannot be read: {error.strerror}") from error
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            raise BlobError("cannot be read: not a regular file")
        self.size = status.st_size

    @classmethod
    def of_descriptor(cls, descriptor: int) -> "FileBlob":
        """Takes a duplicate of `descriptor`, so that its owner may close it."""
        blob = cls.__new__(cls)
        blob._fd = os.dup(descriptor)
        blob.size = os.fstat(blob._fd).st_size
        return blob

    def read(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, length, offset)
        except (OSError, OverflowError) as error:
            raise BlobError(f"cannot be read at {offset}: {error}") from error

    def find(self, pattern: bytes, start: int, end: int) -> Iterator[int]:
        """`Blob.find`; the holes of a sparse file cost nothing, so a terabyte of them is not read."""
        if not pattern.strip(b"\0"):
            yield from find_by_reading(self, pattern, start, end)
            return
        reach = len(pattern) - 1
        behind = start
        for first, last in self._extents(start, min(end, self.size)):
            # Zeros of a hole may belong to the pattern, on either side of what is stored.
            for at in find_by_reading(self, pattern, max(behind, first - reach), min(end, last + reach)):
                yield at
                behind = at + 1

    def _extents(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """What is stored of [start, end): lseek(2), SEEK_DATA and SEEK_HOLE."""
        while start < end:
            try:
                start = os.lseek(self._fd, start, os.SEEK_DATA)
                behind = os.lseek(self._fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                behind = end
            if start < end:
                yield start, min(behind, end)
            start = behind

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True)
class SliceBlob:
    """`size` bytes of another blob, from `start`: a stored zip member, a member of a static archive or of a plain tar."""

    whole: Blob
    start: int
    size: int

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or offset >= self.size:
            return b""
        return self.whole.read(self.start + offset, min(length, self.size - offset))

    def find(self, pattern: bytes, start: int, end: int) -> Iterator[int]:
        for at in self.whole.find(pattern, self.start + start, self.start + min(end, self.size)):
            yield at - self.start
