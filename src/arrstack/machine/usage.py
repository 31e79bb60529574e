"""What of a machine's memory and disk is in use, at its highest while something runs."""

import contextlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 2.0
"""Between two looks: what is in use for less time may not be seen."""


@dataclass(frozen=True)
class InUse:
    """Bytes: of memory that no program could have, of the file system that holds a folder. All that the machine runs counts."""

    memory: int
    disk: int


@dataclass
class Peaks:
    """Bytes in use at their highest, and when the watch began."""

    memory: int
    disk: int
    disk_before: int

    def see(self, now: InUse) -> None:
        self.memory, self.disk = max(self.memory, now.memory), max(self.disk, now.disk)


def in_use(folder: Path, root: Path = Path("/")) -> InUse:
    """What is in use now; `folder` is on the file system that counts, and exists."""
    told = dict(re.findall(r"^(\w+):\s+(\d+) kB$", (root / "proc/meminfo").read_text(), re.MULTILINE))
    return InUse((int(told["MemTotal"]) - int(told["MemAvailable"])) * 1024, shutil.disk_usage(folder).used)


@contextlib.contextmanager
def watched(look: Callable[[], InUse], seconds: float = SECONDS) -> Iterator[Peaks]:
    """The peaks of what runs inside, complete when it has ended.

    with watched(lambda: in_use(Path("/var"))) as peaks:
        compile()
    print(peaks.memory)
    """
    first, ended = look(), threading.Event()
    peaks = Peaks(first.memory, first.disk, first.disk)

    def keep_looking() -> None:
        while not ended.wait(seconds):
            peaks.see(look())

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()
        peaks.see(look())
