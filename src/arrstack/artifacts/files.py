"""The files of a target, wherever they lie: what a source yields, one item a file, link or finding."""

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from arrstack.artifacts.blob import Blob
from arrstack.artifacts.deflate import in_order

HEAD_BYTES = 4096
IN_MEMORY_BYTES = 16 << 20
MAX_MEMBERS = 1 << 20
MAX_RATIO = 100
RATIO_COUNTS_FROM = 256 << 20
"""Bytes from which on something that inflates to more than MAX_RATIO of its size is a bomb: a library's ratio is 2 to 10."""


FREE_OPENED = 4096
OPENED_BYTES = 4096
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""What begins a file that Git LFS has not fetched yet."""


class Level(enum.Enum):
    """ERROR fails a verification, WARNING is worth a person's look, NOTE only tells."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Problem:
    """One finding: where, what, and what to do about it."""

    level: Level
    path: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class File:
    """A regular file of a target: its path inside, its first bytes, and how to get at the rest (which may raise BlobError)."""

    path: str
    size: int
    head: bytes
    open: Callable[[], Blob]
    stream: Callable[[], Iterator[bytes]] | None = None
    """Where its bytes come one way only: all of them, in their order, without keeping any. It takes the place of `open`."""

    def chunks(self) -> Iterator[bytes]:
        """All bytes in their order, at most a megabyte at once. Raises BlobError."""
        if self.stream:
            yield from self.stream()
            return
        yield from in_order(self.open())


@dataclass(frozen=True)
class Link:
    """A symbolic link, or a hard link to a file that is there too; a name that a library may be looked up by."""

    path: str
    target: str


Item = File | Link | Problem


class Source(Protocol):
    """Something that holds files. An image in a registry or an engine is handed in as one of these.

    `kind` is one word ("wheel", "directory", "library", "image"), `name` what to call it; `is_system` says that the files
    are a whole system, in which every needed library must be found.
    """

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def is_system(self) -> bool: ...

    def items(self) -> Iterator[Item]:
        """Each file and link once, in any order; what cannot be read is an item of its own. Raises ArrstackError."""


def escapes(path: str) -> bool:
    """Whether a path inside an archive would leave the directory that it is unpacked into."""
    return path.startswith(("/", "\\")) or ".." in PurePosixPath(path.replace("\\", "/")).parts


def normal_path(path: str) -> str:
    """A path inside an archive as every spelling of it means: `./lib//x.so` and `lib/./x.so` are `lib/x.so`."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def most_opened(size: int) -> int:
    """How many members of an archive of `size` bytes are opened: more binaries than bytes for them are a bomb."""
    return FREE_OPENED + size // OPENED_BYTES
