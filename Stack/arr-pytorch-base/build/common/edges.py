"""The record of a compile, edges.tsv: what each edge of the build cost. launcher.py writes it, a line an edge as it ends:

    user and system CPU-seconds, peak KiB of its largest process, wall seconds, exit status, what was done, the object

What was done: `pch` and `plain` compile an object with a precompiled header and without; `refused` compiles it anew without
the header that it did not accept, `killed` alone what the kernel ended for memory; `parted` compiles one file of a group that does
not compile together, and joins them; `apart` compiles a CUDA file part by part (nvcc.py, with a record of the parts); `make-pch` makes
a header, whose file stands for the object.

    entries = edges.read(Path("edges.tsv").read_text())
    edges.costs(entries)["caffe2/CMakeFiles/torch_cpu.dir/a.cpp.o"]     # CPU-seconds

The product has a reader of its own (arrstack.launch.record): it must not need the recipe that it reads a record of.
"""

import re
from typing import Iterable, NamedTuple

PIECE = re.compile(r"(?<=\.o)\.\d+\.o$")
"""What the launcher adds to a group's object for one of its files."""
ADDED = ("refused", "parted")
"""What follows another compile of the same object in the same build, and is paid besides."""


class RecordError(ValueError):
    """A text that is no record of edges. Its message names the line."""


class Entry(NamedTuple):
    """One line: seconds, and `peak` in KiB. `name` is the object, from the build directory on; of a header its whole path."""

    user: float
    system: float
    peak: int
    wall: float
    status: int
    what: str
    name: str

    @property
    def seconds(self) -> float:
        """CPU-seconds."""
        return self.user + self.system


def read(text: str) -> "list[Entry]":
    """The record's lines in their order. Raises RecordError."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            user, system, peak, wall, status, what, name = line.split("\t")
            entries.append(Entry(float(user), float(system), int(peak), float(wall), int(status), what, name))
        except ValueError:
            raise RecordError(f"line {number} is none of a record of edges: {line[:80]}") from None
    return entries


def costs(entries: "Iterable[Entry]") -> "dict[str, float]":
    """CPU-seconds of each object, the last time that it was made: with what a refused header or a group that no longer fits
    together cost before."""
    found: "dict[str, float]" = {}
    for entry in entries:
        name = PIECE.sub("", entry.name)
        found[name] = (found.get(name, 0.0) if entry.what in ADDED else 0.0) + entry.seconds
    return found


def headers(entries: "Iterable[Entry]") -> "dict[str, float]":
    """CPU-seconds of each header's precompilation, by the path of what it made."""
    return {entry.name: entry.seconds for entry in entries if entry.what == "make-pch"}


def peaks(entries: "Iterable[Entry]") -> "dict[str, int]":
    """KiB of the largest process of each object, the last time that it was made."""
    return {entry.name: entry.peak for entry in entries}
