"""The jobs of a compile as lock files: an edge holds one while it runs, so one that nobody holds is a processor that has nothing to do.

    held = slots.take(work)            # an edge, at its beginning; None where there are no jobs to count
    spare = slots.take_idle(work)      # a part of an edge that could run beside the others; None where nothing is idle
    slots.give_back(spare)
    slots.read_ahead(work)             # the edges that the others give way to, by schedule.py

ninja begins no more edges than there are jobs. Where fewer are left, and the dearest of them make code for one architecture after the
other, nvcc.py makes several at once. Only so many jobs may be taken besides as half of the memory has room for. A lock ends with its process.
With many processors that comes too late: the dearest object alone takes longer than all others beside each other. So some objects make
their architectures at once from the beginning, though every job is taken, and what is not dear gives way to them (`ahead.tsv`). For these there
is a quarter of the memory.

Environment: ARRSTACK_JOBS, how many edges run at once (unset: nothing is counted, and nothing idle).
Standard library, any Python from 3.9.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

AHEAD_FILE = "ahead.tsv"
"""The file in the work folder: a line an edge, its name, a tab, whether its parts run at once ("at once" or "in turn")."""
LESS = 5
"""What is added to the niceness of the others: the kernel gives them a third of the time of a processor that both want (sched(7))."""
PART_KIB = 6 << 20
"""What one more part is allowed for: the largest of PyTorch 2.6 takes 5.1 GiB (flash attention, backward)."""


def jobs() -> int:
    told = os.environ.get("ARRSTACK_JOBS", "")
    return int(told) if told.isdigit() else 0


def memory() -> int:
    """KiB of this machine, or of this group of processes where that has a limit."""
    here = int(Path("/proc/meminfo").read_text().split("MemTotal:", 1)[1].split()[0])
    try:
        return min(here, int(Path("/sys/fs/cgroup/memory.max").read_text()) >> 10)
    except (OSError, ValueError):  # no such group, or no limit
        return here


def take(work: str) -> "int | None":
    """The first that is free."""
    return first_free(work, range(jobs()))


def take_idle(work: str) -> "int | None":
    """The last that is free, among those that there is memory for."""
    every = jobs()
    room = min(every - 1, memory() // 2 // PART_KIB)
    return first_free(work, range(every - 1, every - 1 - room, -1)) if room > 0 else None


def first_free(work: str, numbers: "Iterable[int]") -> "int | None":
    folder = Path(work, "slots")
    for number in numbers:
        try:
            file = os.open(folder / str(number), os.O_CREAT | os.O_RDWR)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            file = os.open(folder / str(number), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            os.close(file)
    return None


def read_ahead(work: str) -> "dict[str, bool]":
    """Edge -> whether its parts run at once, of those that the others give way to."""
    try:
        lines = Path(work, AHEAD_FILE).read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {name: how == "at once" for name, _, how in (line.partition("\t") for line in lines)}


def write_ahead(work: str, edges: "dict[str, bool]") -> None:
    lines = [f"{name}\t{'at once' if at_once else 'in turn'}\n" for name, at_once in edges.items()]
    new = Path(work, f"{AHEAD_FILE}.new")
    new.write_text("".join(lines))
    new.replace(Path(work, AHEAD_FILE))


def give_way(work: str, name: str) -> None:
    """Lets the edges that are ahead have the processor first, if this edge is none of them."""
    first = read_ahead(work)
    if first and name not in first:
        os.nice(LESS)


def give_back(held: int) -> None:
    os.close(held)
