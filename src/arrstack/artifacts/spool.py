"""A member of a tar stream as bytes that can be read in any order: the stream itself goes one way only."""

import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from typing import IO

import zstandard

from arrstack.artifacts.blob import CHUNK, Blob, BlobError, BytesBlob, FileBlob
from arrstack.artifacts.files import IN_MEMORY_BYTES

KEPT_FREE = 1 << 30
STREAM_ERRORS = (
    *(tarfile.TarError, zlib.error, zstandard.ZstdError, EOFError, OSError),
    # tarfile answers some malformed extended headers with the error of the conversion that failed.
    *(ValueError, OverflowError, IndexError, KeyError),
)


def spool(head: bytes, stream: IO[bytes], size: int) -> Blob:
    """The `size` bytes that begin with `head` and go on in `stream`: in memory, or in an unnamed temporary file if large.

    The stream is read on here, so what is wrong with it comes out here. Raises BlobError.
    """
    try:
        return _read_rest(head, stream, size)
    except STREAM_ERRORS as error:
        raise BlobError(f"cannot be read from its layer: {error}") from error


def read_through(head: bytes, stream: IO[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in their order, none of them kept. Raises BlobError."""
    yield head
    count = len(head)
    try:
        while chunk := stream.read(CHUNK):
            count += len(chunk)
            yield chunk
    except STREAM_ERRORS as error:
        raise BlobError(f"cannot be read from its layer: {error}") from error
    if count != size:
        raise BlobError(f"truncated: {count} of {size} bytes")


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
