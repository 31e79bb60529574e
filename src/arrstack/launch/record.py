"""Records of compiles: what each edge cost. They order the next compile and weigh its progress.

A stack ships one of each wheel (stack.toml); a machine keeps its own beside it, made of what its compiles said while they ran. Where it has
an object, it is stronger. The recipe's launcher writes the lines and says their format (Stack/arr-pytorch-base/build/common/edges.py, which
reads them in the image).

    rows = known(read_rows(Path("records/torch.tsv")), memory.record("arr-pytorch-base/torch"), archs=5)
    costs(rows)["caffe2/CMakeFiles/torch_cpu.dir/a.cpp.o"]
"""

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from arrstack.errors import ConfigError

PIECE = re.compile(r"(?<=\.o)\.\d+\.o$")
"""What the launcher adds to a group's object for one of its files, where it compiles them one by one."""
NO_EDGES = ("/", "CMakeFiles/cmTC_")
"""How names in a record begin that are no edges of ninja's: precompiled headers, and what CMake asks of the compiler."""
ADDED = ("refused", "parted")
"""What follows another compile of the same object in the same build, and is paid besides."""
GPU_CODE = ".cu.o"
"""How the names of objects end that hold GPU code."""
EACH_ARCH = 0.6
"""Of the cost of an object with GPU code for one architecture, the share that each architecture more costs too: what is left is the host's
(bench/results/cuda.json; with six files of all kinds for five architectures it was 0.45 to 0.7)."""
HIT = 0.25
"""An object that costs less than this share of what is known came from a cache."""
LARGEST = 64 << 20
"""Bytes of a record."""


class Row(NamedTuple):
    """One line: CPU-seconds, `peak` in KiB, `wall` seconds."""

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

    @property
    def line(self) -> str:
        return f"{self.user:.2f}\t{self.system:.2f}\t{self.peak}\t{self.wall:.2f}\t{self.status}\t{self.what}\t{self.name}\n"


def parse(line: str) -> Row:
    """Raises ValueError."""
    user, system, peak, wall, status, what, name = line.split("\t")
    row = Row(float(user), float(system), int(peak), float(wall), int(status), what, name)
    if not 0 <= row.seconds < math.inf:
        raise ValueError
    return row


def read_rows(path: Path | None) -> list[Row]:
    """The lines of a record; none where there is no file (None). Raises ConfigError for a file that is no record."""
    if path is None or not path.is_file():
        return []
    if path.stat().st_size > LARGEST:
        raise ConfigError(f"{path} is larger than {LARGEST} bytes: that is no record of edges")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            rows.append(parse(line))
        except ValueError:
            raise ConfigError(
                f"{path}:{number}: no line of a record of edges", "take the build's own edges.tsv, or none"
            ) from None
    return rows


def rows_of(text: str) -> list[Row]:
    """The lines of a machine's own record; what is damaged counts as forgotten."""
    rows = []
    for line in text.splitlines():
        with suppress(ValueError):
            rows.append(parse(line))
    return rows


def costs(rows: Iterable[Row]) -> dict[str, float]:
    """Object name -> CPU-seconds, of what ninja builds. An object counts as it was made last, with what a refused header or a group that
    no longer fits together cost before."""
    made = _made(rows)
    return {name: sum(row.seconds for row in each) for name, each in made.items() if not name.startswith(NO_EDGES)}


def read_record(path: Path | None) -> dict[str, float]:
    """The costs of a file. Raises ConfigError."""
    return costs(read_rows(path))


def known(shipped: Iterable[Row], own: Iterable[Row], archs: int) -> list[Row]:
    """What is known of a compile for so many architectures: the stack's record, whose objects with GPU code are for one of them, and
    where this machine's own has an object, that."""
    factor = 1 + EACH_ARCH * (archs - 1)
    rows = (
        row._replace(user=row.user * factor, system=row.system * factor) if row.name.endswith(GPU_CODE) else row
        for row in shipped
        if archs or not row.name.endswith(GPU_CODE)
    )
    return later(rows, own)


def later(before: Iterable[Row], after: Iterable[Row]) -> list[Row]:
    """The rows of both, of each object those of the later compile that was not answered by a cache."""
    found = _made(before)
    for name, rows in _made(after).items():
        least = HIT * sum(row.seconds for row in found.get(name, ()))
        if rows[-1].status == 0 and sum(row.seconds for row in rows) >= least:
            found[name] = rows
    return [row for rows in found.values() for row in rows]


def _made(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Object -> the rows of the last time that it was made."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = PIECE.sub("", row.name)
        found[name] = [*(found.get(name, []) if row.what in ADDED else []), row]
    return found
