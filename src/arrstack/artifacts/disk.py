"""Files on a disk: a single one, or a directory tree."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from arrstack.artifacts.blob import BlobError, FileBlob
from arrstack.artifacts.files import HEAD_BYTES, File, Item, Level, Link, Problem


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
            yield from map(_unreadable, failures)
            failures.clear()
        yield from map(_unreadable, failures)

    def _item(self, path: Path, inside: str) -> Iterator[Item]:
        try:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                yield Link(inside, os.readlink(path))
            elif stat.S_ISREG(mode):
                yield _file_on_disk(path, inside)
        except OSError as error:
            yield Problem(Level.ERROR, inside, f"cannot be read: {error.strerror}")


def _unreadable(error: OSError) -> Problem:
    return Problem(Level.ERROR, str(error.filename), f"cannot be read: {error.strerror}")


def _file_on_disk(path: Path, inside: str) -> Item:
    try:
        blob = FileBlob(path)
        head = blob.read(0, HEAD_BYTES)
    except BlobError as error:
        return Problem(Level.ERROR, inside, str(error))
    size = blob.size
    blob.close()
    return File(inside, size, head, lambda: FileBlob(path))
