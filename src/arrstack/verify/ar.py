"""Static archives (`.a`): System V and GNU long names, and BSD's. Source: ar(5) and the GNU binutils' `ar` format."""

from collections.abc import Iterator
from dataclasses import dataclass

from arrstack.artifacts.blob import Blob

MAGIC = b"!<arch>\n"
THIN_MAGIC = b"!<thin>\n"
_HEADER_BYTES = 60
_MAX_NAMES = 64 << 20
MAX_NAME = 4096


class ArchiveError(Exception):
    """A static archive that is truncated or malformed; the message is one line for a person."""


@dataclass(frozen=True)
class ArchiveMember:
    name: str
    offset: int
    size: int


def members(blob: Blob) -> Iterator[ArchiveMember]:
    """The members with content, symbol tables left out. Raises ArchiveError."""
    position = len(MAGIC)
    long_names = b""
    while position < blob.size:
        header = blob.read(position, _HEADER_BYTES)
        if len(header) < _HEADER_BYTES or header[58:] != b"`\n":
            raise ArchiveError(f"truncated or malformed: no member's header at {position}")
        size = _number(header[48:58], position)
        start = position + _HEADER_BYTES
        if start + size > blob.size:
            raise ArchiveError(f"truncated: the member at {position} has {size} bytes, {blob.size - start} are there")
        name = header[:16].rstrip()
        if name == b"//":
            if size > _MAX_NAMES:
                raise ArchiveError(f"{size} bytes of member names")
            long_names = blob.read(start, size)
        elif name not in (b"/", b"/SYM64/"):
            yield _member(blob, name, start, size, long_names)
        position = start + size + size % 2


def _member(blob: Blob, name: bytes, start: int, size: int, long_names: bytes) -> ArchiveMember:
    if name.startswith(b"#1/"):
        length = min(_number(name[3:], start), size)
        text = blob.read(start, min(length, MAX_NAME)).rstrip(b"\0")
        return ArchiveMember(text.decode("utf-8", "replace"), start + length, size - length)
    if name.startswith(b"/"):
        at = _number(name[1:], start)
        text = long_names[at : at + MAX_NAME].split(b"\n", 1)[0] or name
        return ArchiveMember(text.rstrip(b"/").decode("utf-8", "replace"), start, size)
    return ArchiveMember(name.rstrip(b"/").decode("utf-8", "replace"), start, size)


def _number(text: bytes, position: int) -> int:
    digits = text.strip()
    if not digits.isdigit():
        raise ArchiveError(f"malformed: {text!r} at {position} is not a number")
    return int(digits)
