"""The files of a build context: what of each counts, and how they are copied."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from arrstack.errors import ConfigError


@dataclass(frozen=True)
class Entry:
    """One file, symbolic link or childless folder of a context. `value` is what of it can reach an image:
    `-` or `x` (executable) and the content's SHA-256; `-> TARGET`; `dir`."""

    path: str
    value: str


def listing(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error.strerror}") from None


def copy_file(source: str, target: Path) -> None:
    """Copies a file's content; what is a hole in it stays one."""
    with open(source, "rb") as old, target.open("wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        at = 0
        while at < size:
            try:
                start = os.lseek(old.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left (lseek(2), ENXIO)
                return
            at = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            os.lseek(new.fileno(), start, os.SEEK_SET)
            while start < at and (sent := os.sendfile(new.fileno(), old.fileno(), start, at - start)):
                start += sent


def read(file: Path, path: str) -> Entry:
    """The entry of a file or link. Raises ConfigError where it is something else, or cannot be read."""
    if file.is_symlink():
        return Entry(path, f"-> {os.readlink(file)}")
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{file} is no file, folder or link: it cannot be in an image", "leave it out in .dockerignore")
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    return Entry(path, f"{'x' if mode & 0o111 else '-'} {digest}")


def changed(file: str) -> ConfigError:
    return ConfigError(f"{file} was changed while the launch ran", "launch again: what is finished stays, and goes on")


def descending(root: Path) -> Iterator[Path]:
    """Everything below and including a folder, contents first, so that dates set on folders stay."""
    for folder, _, files in os.walk(root, topdown=False):
        yield from (Path(folder, name) for name in files)
        yield from (Path(folder, name) for name in os.listdir(folder) if Path(folder, name).is_symlink())
        yield Path(folder)
