"""ccache's folder, by descriptors: builds write to it as root, so no link in it is followed, and nothing but a regular file is
read. Sizes and times are those of the file system."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

ENTRY = re.compile(r"([0-9a-f]/){1,4}[0-9a-v]{20,40}[A-Z]")
"""A file of ccache 4 below its folder: one to four hex digits of the hash, the rest in base 32, the kind (R, M ...)."""
LEVEL = re.compile(r"[0-9a-f]")
DEEPEST = 4
LARGEST_ENTRY = 512 << 20
"""Bytes of one file; a larger one does not travel."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class CacheFolder:
    """Names are those below the folder, as `a/b/0123...R`. Every method raises OSError."""

    def __init__(self, path: Path):
        self.path = path

    def found(self) -> Iterator[tuple[str, os.stat_result]]:
        """The cache's entries; none where there is no cache yet."""
        try:
            root = os.open(self.path, FOLDER)
        except FileNotFoundError:
            return
        try:
            yield from below(root, "", DEEPEST)
        finally:
            os.close(root)

    def entries(self) -> dict[str, int]:
        """Name -> bytes."""
        return {name: found.st_size for name, found in self.found()}

    def open(self, name: str) -> BinaryIO | None:
        """An entry to read; None where it is gone, or is no regular file any more."""
        try:
            with self._parent(name) as (folder, leaf):
                descriptor = os.open(leaf, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError as error:
            if error.errno in (*NO_FOLDER, errno.ENXIO):
                return None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return os.fdopen(descriptor, "rb")

    def put(self, name: str, blocks: Iterable[bytes]) -> None:
        """Writes an entry, by rename."""
        with self._parent(name, make=True) as (folder, leaf):
            temporary = f".{os.getpid()}-{os.urandom(8).hex()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o644, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    for block in blocks:
                        file.write(block)
                os.rename(temporary, leaf, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(temporary, dir_fd=folder)
                raise

    def remove(self, name: str) -> None:
        """Removes an entry, if it is still there."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._parent(name) as (folder, leaf):
            os.unlink(leaf, dir_fd=folder)

    @contextlib.contextmanager
    def _parent(self, name: str, make: bool = False) -> Iterator[tuple[int, str]]:
        """The descriptor of the folder that an entry is in, and the entry's own name there."""
        *parts, leaf = name.split("/")
        if make:
            self.path.mkdir(parents=True, exist_ok=True)
        here = os.open(self.path, FOLDER)
        try:
            for part in parts:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=here)
                inner = os.open(part, FOLDER, dir_fd=here)
                os.close(here)
                here = inner
            yield here, leaf
        finally:
            os.close(here)


def below(folder: int, prefix: str, levels: int) -> Iterator[tuple[str, os.stat_result]]:
    """The entries below an open folder, `levels` deep at most."""
    with os.scandir(folder) as listed:
        names = sorted(each.name for each in listed)
    for name in names:
        try:
            if LEVEL.fullmatch(name) and levels:
                inner = os.open(name, FOLDER, dir_fd=folder)
                try:
                    yield from below(inner, f"{prefix}{name}/", levels - 1)
                finally:
                    os.close(inner)
            elif ENTRY.fullmatch(prefix + name):
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield prefix + name, found
        except OSError as error:
            if error.errno not in NO_FOLDER:  # ccache itself removed it, or it is a link
                raise
