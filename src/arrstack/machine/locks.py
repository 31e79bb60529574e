"""Locks between processes, as open file descriptions (fcntl(2), F_OFD_SETLK): the kernel frees them with their process, and
whoever only asks who holds one disturbs nobody.

    with held(Path("launch.lock"), "launch of stack.toml"):
        ...
"""

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from arrstack.errors import MachineError

FLOCK = "hhqqi4x"
"""struct flock of 64-bit Linux: type, whence, start, length, process."""
READ_BYTES = 4096
SCRATCH = "step-"
"""How the names of folders for one step begin."""
UNMARKED, UNMARKED_SECONDS = "new-step-", 600
"""How they begin before they are marked as used, and how long after that nobody is about to mark them."""


class Held(Exception):
    """Somebody else holds the lock."""


def open_file(path: Path, flags: int = 0) -> int:
    """A descriptor of a file of this user alone; a link in its place is refused. Raises MachineError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    except OSError as error:
        why = "a link stands in its place" if error.errno == errno.ELOOP else error.strerror
        raise MachineError(f"{path} cannot be opened: {why}", "remove it, or name another folder (XDG_CACHE_HOME)") from None


@contextlib.contextmanager
def held(path: Path, text: str) -> Iterator[None]:
    """Holds the lock, and says in the file who does. Raises Held at once where somebody else does, MachineError where the
    file cannot be had."""
    descriptor = open_file(path)
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise Held from None
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(errors="replace"), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(path: Path) -> str:
    """What the holder says of itself; '' where nobody holds the lock, or there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        asked = struct.pack(FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        kind = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0]
        if kind == fcntl.F_UNLCK:
            return ""
        return os.pread(descriptor, READ_BYTES, 0).decode(errors="replace").strip() or "it just began"
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def in_use(folder: Path) -> Iterator[Path]:
    """Marks a folder as used for as long as this process lives, for `unused`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield folder
    finally:
        os.close(descriptor)


def unused(folder: Path) -> bool:
    """Whether nobody uses a folder now: its process has ended, however it did."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder for one step, for this user alone. Where this process is killed, a later `sweep` removes it."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=UNMARKED, dir=parent))
    folder = made.with_name(made.name.replace(UNMARKED, SCRATCH, 1))
    with in_use(made):
        made.rename(folder)  # marked before it has the name that a sweep looks for
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def changed(folder: Path) -> float:
    """When a folder was changed last, in seconds of the epoch; now, where it has its other name by now."""
    try:
        return folder.lstat().st_mtime
    except FileNotFoundError:
        return time.time()


def sweep(parent: Path) -> None:
    """Removes the folders of steps whose processes were killed."""
    long_ago = time.time() - UNMARKED_SECONDS
    unmarked = [folder for folder in parent.glob(f"{UNMARKED}*") if changed(folder) < long_ago]
    for folder in [*parent.glob(f"{SCRATCH}*"), *unmarked]:
        if unused(folder):
            shutil.rmtree(folder, ignore_errors=True)
