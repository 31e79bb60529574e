"""Bytes at an offset, wherever they are: in memory, in a file, in a part of either, in a compressed zip member.

Everything above reads through `Blob.read`, so a library of 4 GB costs no more memory than one of 4 MB.
"""

import bisect
import errno
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK = 1 << 20
CHECKPOINT_BYTES = 8 << 20
MAX_CHECKPOINTS = 512
MAX_AGAIN = 512 << 20
"""Bytes of a deflated member that are inflated again, besides twice its size, before that is given up."""


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


class StreamIndex(Protocol):
    """What looks at a stream while it passes, and keeps the little that will be asked for again."""

    pattern: bytes

    def feed(self, chunk: bytes) -> None: ...

    def finish(self) -> None: ...

    def window(self, offset: int, length: int) -> bytes | None: ...

    def positions(self) -> list[int]: ...


class NoIndex:
    """Keeps nothing: every look is a read."""

    pattern = b""

    def feed(self, chunk: bytes) -> None:
        """Nothing is kept of it."""

    def finish(self) -> None:
        """There is nothing to finish."""

    def window(self, offset: int, length: int) -> bytes | None:
        return None

    def positions(self) -> list[int]:
        return []


@dataclass(frozen=True)
class _Checkpoint:
    inflated: int
    compressed: int
    state: "zlib._Decompress"


class DeflateBlob:
    """A deflated zip member, inflated once in full (which checks its CRC) and never held as a whole.

    A second look at some offset starts at a copy of the decompressor's state, taken every few megabytes in the first pass
    (zlib's `inflateCopy`; the idea is that of `zran.c` in zlib's examples). The headers that the census needs are caught by
    `index` while they pass, so that most files are inflated exactly once.
    """

    def __init__(self, whole: Blob, start: int, compressed: int, size: int, crc: int, index: StreamIndex) -> None:
        """Raises BlobError where the data is corrupt, truncated, or longer than `size`."""
        self.size = size
        self._source = SliceBlob(whole, start, compressed)
        self._index = index
        self._checkpoints: list[_Checkpoint] = []
        self._block: tuple[int, bytes] = (0, b"")
        self._again = MAX_AGAIN + 2 * size
        self._first_pass(crc)
        self._positions = index.positions()

    def _first_pass(self, crc: int) -> None:
        interval = max(CHECKPOINT_BYTES, self.size // MAX_CHECKPOINTS)
        seen_crc = 0
        due = 0

        def take(inflated: int, compressed: int, state: "zlib._Decompress") -> None:
            nonlocal due
            if inflated >= due:
                self._checkpoints.append(_Checkpoint(inflated, compressed, state.copy()))
                due = inflated + interval

        total = 0
        for chunk in self._inflate(_Checkpoint(0, 0, zlib.decompressobj(-15)), take):
            total += len(chunk)
            if total > self.size:
                raise BlobError(f"inflates to more than the {self.size} bytes that the archive declares")
            seen_crc = zlib.crc32(chunk, seen_crc)
            self._index.feed(chunk)
        if total < self.size:
            raise BlobError(f"truncated: {total} of {self.size} bytes")
        if seen_crc != crc:
            raise BlobError("corrupt: its checksum (CRC-32) is not the one that the archive declares")
        self._index.finish()

    def _inflate(
        self, start: _Checkpoint, at_boundary: Callable[[int, int, "zlib._Decompress"], None] | None = None
    ) -> Iterator[bytes]:
        state = start.state.copy()
        inflated, compressed = start.inflated, start.compressed
        while not state.eof:
            if at_boundary:
                at_boundary(inflated, compressed, state)
            data = self._source.read(compressed, CHUNK // 8)
            if not data:
                return
            compressed += len(data)
            while data and not state.eof:
                try:
                    chunk = state.decompress(data, CHUNK)
                except zlib.error as error:
                    raise BlobError(f"corrupt: {error}") from error
                data = state.unconsumed_tail
                inflated += len(chunk)
                yield chunk

    def inflated(self) -> Iterator[bytes]:
        """All bytes in their order, inflated once more."""
        yield from self._inflate(self._checkpoints[0])

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        if length and (window := self._index.window(offset, length)) is not None:
            return window
        block_start, block = self._block
        if block_start <= offset and offset + length <= block_start + len(block):
            return block[offset - block_start : offset - block_start + length]
        return self._read_again(offset, length)

    def _read_again(self, offset: int, length: int) -> bytes:
        # What was read jumps back a little more often than not: keep some of what lies before.
        first = max(0, offset - CHUNK // 2)
        nearest = bisect.bisect_right(self._checkpoints, first, key=lambda checkpoint: checkpoint.inflated) - 1
        checkpoint = self._checkpoints[nearest]
        position = checkpoint.inflated
        kept = bytearray()
        for chunk in self._inflate(checkpoint):
            if position + len(chunk) > first:
                kept += chunk[max(0, first - position) :]
            position += len(chunk)
            # What follows is asked for next more often than not: keep some of it.
            if len(kept) >= offset - first + max(length, CHUNK):
                break
        self._again -= position - checkpoint.inflated
        if self._again < 0:
            raise BlobError("its headers lie so that it would have to be inflated many times over")
        self._block = (first, bytes(kept))
        return self._block[1][offset - first : offset - first + length]

    def find(self, pattern: bytes, start: int, end: int) -> Iterator[int]:
        if pattern != self._index.pattern:
            yield from find_by_reading(self, pattern, start, end)
            return
        first = bisect.bisect_left(self._positions, start)
        last = bisect.bisect_right(self._positions, end - len(pattern))
        yield from self._positions[first:last]


def in_order(blob: Blob) -> Iterator[bytes]:
    """All bytes of a blob, at most a megabyte at once. Raises BlobError."""
    if isinstance(blob, DeflateBlob):
        yield from blob.inflated()
    else:
        yield from (blob.read(start, CHUNK) for start in range(0, blob.size, CHUNK))
