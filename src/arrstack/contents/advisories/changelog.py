"""Pure: a package file -> its changelog -> the CVEs that some of its entries name.

Sources: deb(5); Debian policy 12.7 (where a package keeps its changelog); deb-changelog(5).
"""

import gzip
import io
import lzma
import re
import tarfile
import zlib
from typing import IO, cast

import zstandard

from arrstack.artifacts.blob import BlobError, BytesBlob
from arrstack.artifacts.spool import STREAM_ERRORS
from arrstack.contents.advisories.debian_version import DebianVersion
from arrstack.verify.ar import MAGIC, ArchiveError, members

LARGEST_CHANGELOG = 32 << 20
LARGEST_DATA = 4 << 30
MOST_MEMBERS = 200_000
_ENTRY = re.compile(r"^(\S+) \(([^)\s]+)\)", re.MULTILINE)
_CVE = re.compile(r"CVE-\d{4}-\d{4,7}")


class _Bounded:
    """A stream that ends where it has become longer than any package is."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, LARGEST_DATA

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise BlobError("a package that unpacks to more than any has")
        return data


def changelog_in(package: bytes, name: str) -> str | None:
    """The Debian changelog in a `.deb`; None where it has none of its own (its folder is a link to another's), or cannot be read."""
    blob = BytesBlob(package)
    if not package.startswith(MAGIC):
        return None
    try:
        for member in members(blob):
            if member.name.startswith("data.tar"):
                return _in_data(blob.read(member.offset, member.size), member.name, name)
    except (*STREAM_ERRORS, lzma.LZMAError, ArchiveError, BlobError):
        return None
    return None


def _in_data(data: bytes, member: str, name: str) -> str | None:
    raw = _unpacking(io.BytesIO(data), member)
    wanted = [f"usr/share/doc/{name}/changelog.Debian.gz", f"usr/share/doc/{name}/changelog.gz"]
    found: dict[str, str] = {}
    with tarfile.open(fileobj=cast(IO[bytes], _Bounded(raw)), mode="r|") as tar:
        for number, info in enumerate(tar):
            if number > MOST_MEMBERS:
                return None
            path = info.name.removeprefix("./")
            if path in wanted and info.isreg() and info.size <= LARGEST_CHANGELOG and (file := tar.extractfile(info)):
                found[path] = _unpacked(file.read())
    return next((found[path] for path in wanted if path in found), None)


def _unpacking(data: IO[bytes], member: str) -> IO[bytes]:
    """The standard library's own stream modes count nothing, so a member is opened here, and counted."""
    if member.endswith(".zst"):
        reader: IO[bytes] = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data, read_across_frames=True)
        return reader
    if member.endswith(".xz"):
        return cast(IO[bytes], lzma.open(data))
    return cast(IO[bytes], gzip.open(data)) if member.endswith(".gz") else data


def _unpacked(data: bytes) -> str:
    return zlib.decompressobj(31).decompress(data, LARGEST_CHANGELOG).decode("utf-8", "replace")


def cves_between(changelog: str, installed: str, available: str) -> list[str]:
    """The CVEs that the entries after `installed`, up to `available`, name.

    cves_between("x (2-1) ...\\n  * CVE-2026-1234\\n ...", "1-1", "2-1")   # ["CVE-2026-1234"]
    """
    heads = list(_ENTRY.finditer(changelog))
    ends = [*(head.start() for head in heads[1:]), len(changelog)][: len(heads)]
    low, high = DebianVersion(installed), DebianVersion(available)
    found: set[str] = set()
    for head, end in zip(heads, ends, strict=True):
        if low < DebianVersion(head[2]) <= high:
            found.update(_CVE.findall(changelog[head.end() : end]))
    return sorted(found)
