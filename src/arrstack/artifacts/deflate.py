"""A deflated member of a zip archive as bytes at an offset, and what looks at it while it is inflated."""

import bisect
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from arrstack.artifacts.blob import CHUNK, Blob, BlobError, SliceBlob, find_by_reading

CHECKPOINT_BYTES = 8 << 20
MAX_CHECKPOINTS = 512
MAX_AGAIN = 512 << 20
"""Bytes of a deflated member that are inflated again, besides twice its size, before that is given up."""


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
