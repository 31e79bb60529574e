"""A chunk: a tar of entries, zstd-compressed. It holds plain files of the names and sizes that its list says, in headers of 512
bytes and no others; whatever else stands in a tar is refused before a byte of it is taken in."""

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec
import zstandard

from arrstack.compiler_cache.folder import ENTRY, LARGEST_ENTRY, CacheFolder
from arrstack.errors import MachineError, RegistryError
from arrstack.registry.documents import LARGEST_SIZE, encoded

CHUNK = 64 << 20
"""Bytes of cache files after which a chunk is full."""
BLOCK = 1 << 20
"""Bytes that are read at once."""
WINDOW = 128 << 20
"""Bytes of memory that a decompressor may take."""
HEADER = tarfile.BLOCKSIZE
PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


class Chunk(msgspec.Struct, frozen=True):
    """A layer: the digests of the blob and of the tar in it, the blob's bytes, and what is in it: name -> bytes."""

    digest: str
    diff_id: str
    size: int
    entries: dict[str, int]

    def __post_init__(self) -> None:
        encoded(self.digest)
        encoded(self.diff_id)
        if not 0 <= self.size <= LARGEST_SIZE or sum(self.entries.values()) > CHUNK + LARGEST_ENTRY:
            raise ValueError("a chunk of a size that none has")
        if any(not ENTRY.fullmatch(name) or not 0 <= size <= LARGEST_ENTRY for name, size in self.entries.items()):
            raise ValueError("a chunk lists what is no entry")


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Hashing:
    """Writes on, and knows the SHA-256 of what went through."""

    def __init__(self, to: BinaryIO):
        self.to, self.sha256, self.size = to, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        self.to.write(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self.sha256.hexdigest()}"


def write_tar(blobs: Path, members: Iterable[tuple[str, int, Iterable[bytes]]]) -> tuple[str, str, int, dict[str, int]]:
    """A compressed tar in the folder of blobs, under its digest: that, the tar's own, the blob's bytes, and what is in it.
    A member is its name, its bytes' number, and they."""
    entries: dict[str, int] = {}
    temporary = blobs / f".{os.getpid()}-{os.urandom(8).hex()}"
    with temporary.open("wb") as file:
        outer = Hashing(file)
        # Most entries are compressed by ccache: a fast level takes what is left.
        with zstandard.ZstdCompressor(level=1).stream_writer(outer, closefd=False) as packer:  # type: ignore[arg-type]
            inner = Hashing(packer)
            for name, size, blocks in members:
                entry = tarfile.TarInfo(name)
                entry.size = entries[name] = size
                inner.write(entry.tobuf(tarfile.GNU_FORMAT))
                for block in blocks:
                    inner.write(block)
                inner.write(bytes(-size % HEADER))
            inner.write(bytes(2 * HEADER))
    temporary.rename(blobs / encoded(outer.digest))
    return outer.digest, inner.digest, outer.size, entries


def pack(folder: CacheFolder, names: Iterable[str], blobs: Path) -> Chunk:
    """One chunk, in the folder of blobs under its digest. An entry that is gone meanwhile is left out.

    Raises MachineError where one changes while it is read.
    """

    def found() -> Iterator[tuple[str, int, Iterable[bytes]]]:
        for name in names:
            file = folder.open(name)
            if file is not None:
                with file:
                    size = os.fstat(file.fileno()).st_size
                    yield name, size, exactly(file, size)

    try:
        digest, diff_id, size, entries = write_tar(blobs, found())
    except EOFError:
        raise MachineError("the compiler cache changed while it was read", "do it again when nothing compiles") from None
    return Chunk(digest, diff_id, size, entries)


def exactly(stream: Readable, size: int) -> Iterator[bytes]:
    """The next bytes of a stream, that many. Raises EOFError where it ends before."""
    while size:
        block = stream.read(min(BLOCK, size))
        if not block:
            raise EOFError("it ends too early")
        size -= len(block)
        yield block


@contextlib.contextmanager
def read_tar(blob: Path, what: str) -> Iterator[Iterator[tuple[str, int, Iterator[bytes]]]]:
    """The members of a compressed tar, as `write_tar` takes them. Raises RegistryError for what is none of ours."""
    try:
        with (
            blob.open("rb") as file,
            zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(file) as reader,
        ):
            yield members(reader)
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise RegistryError(f"{what} cannot be read: {error}") from None


def members(stream: Readable) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Plain files alone: no links, no sparse files, no headers that go on behind the 512 bytes."""
    while any(header := b"".join(exactly(stream, HEADER))):
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        if info.type not in PLAIN or info.size < 0:
            raise tarfile.ReadError(f"{info.name[:200]!r} is not a plain file")
        blocks = exactly(stream, info.size)
        yield info.name, info.size, blocks
        for _ in blocks:  # what was not wanted
            pass
        for _ in exactly(stream, -info.size % HEADER):
            pass


def unpack(blob: Path, chunk: Chunk, folder: CacheFolder, newest: Mapping[str, str]) -> dict[str, int]:
    """The chunk's files into the cache, each by rename, as far as `newest` names this chunk for them; returns those.

    Raises RegistryError where the chunk is not what its list says.
    """
    new: dict[str, int] = {}
    with read_tar(blob, f"chunk {chunk.digest}") as held:
        left = dict(chunk.entries)
        for name, size, blocks in held:
            if left.pop(name, None) != size:
                raise RegistryError(f"chunk {chunk.digest} holds '{name[:200]}', which its list does not name")
            if newest.get(name) == chunk.digest:
                folder.put(name, blocks)
                new[name] = size
    return new
