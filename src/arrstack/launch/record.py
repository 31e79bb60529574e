"""Records of compiles: what each edge cost. They order the next compile and weigh its progress.

A stack ships one of each wheel (stack.toml); a machine keeps its own beside it, made of what its compiles said while they ran. Where it has
an object, it is stronger. The recipe's launcher writes the lines and says their format (Stack/arr-pytorch-base/build/common/edges.py, which
reads them in the image).

    rows = known(read_rows(Path("records/torch.tsv")), rows_of(memory.edges("arr-pytorch-base/torch")), archs=5)
    costs(rows)["caffe2/CMakeFiles/torch_cpu.dir/a.cpp.o"]
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from arrstack.errors import ConfigError

PIECE = re.compile(r"(?<=\.o)\.\d+\.o$")
"""What the launcher adds to a group's object for one of its files, where it compiles them one by one."""
QUESTION = "CMakeFiles/cmTC_"
NO_EDGES = ("/", QUESTION)
"""How names in a record begin that are no edges of ninja's: precompiled headers, and what CMake asks of the compiler."""
ADDED = ("refused", "parted")
"""What follows another compile of the same object in the same build, and is paid besides."""
GPU_CODE = ".cu.o"
"""How the names of objects end that hold GPU code."""
FOR_GPUS = re.compile(r"\.cu\.o$|_cuda\.dir/")
"""Objects of a build with GPU code alone: that code, and the rest of its libraries, as CMake names them."""
EACH_ARCH = 0.3
"""Of the cost of an object with GPU code for one architecture, the share that each architecture more costs too: all 341 objects take for five
2.2 times what they take for sm_90 alone (docs/measured.md)."""
SHIPPED_ARCHS = 5
"""For so many architectures a record has its objects with GPU code, each PTX made once where the recipe has a list of the same PTX: their
order hangs on it."""
DEAR = 0.75
"""Of sum / jobs: from there on an object makes its architectures at once (schedule.py beside the recipe's launcher)."""
ENOUGH = 0.1
"""The share of the stack's record, by cost, that a machine must have compiled itself to tell its speed."""
OBJECT = re.compile(r"\.(?:o|pch)$")
LARGEST = 64 << 20
"""Bytes of a record."""
MOST_SECONDS, MOST_KIB, LONGEST = 1e6, 1 << 40, 1000
"""Of one row, and characters of its name: a build's log is foreign text."""
MOST_ROWS = 20_000
MOST_TEXT = 400_000
"""Bytes of a record that goes into a build: BuildKit takes secrets of up to 500 KB."""


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
    if not all(0 <= seconds <= MOST_SECONDS for seconds in (row.user, row.system, row.wall)):
        raise ValueError("no duration")
    if not 0 <= row.peak <= MOST_KIB or len(line) > LONGEST:
        raise ValueError("no edge")
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


def pieces(record: Mapping[str, float], archs: int) -> dict[str, float]:
    """What may run beside each other of a record for so many architectures, by name: an object with GPU code is compiled for one, and for each
    of the others where processors are idle or it is dear (Stack/arr-pytorch-base/build/common/slots.py)."""
    found = {}
    for name, cost in record.items():
        count = max(archs, 1) if name.endswith(GPU_CODE) else 1
        found[name] = cost / times_one(count)
        found |= {f"{name} (architecture {number} of {count})": EACH_ARCH * found[name] for number in range(2, count + 1)}
    return found


def read_record(path: Path | None) -> dict[str, float]:
    """The costs of a file. Raises ConfigError."""
    return costs(read_rows(path))


def known(shipped: Iterable[Row], own: Iterable[Row], archs: int, stated: float = 0.0) -> list[Row]:
    """What is known of a compile for so many architectures: the stack's record, and where this machine's own has an object, that. In both
    objects with GPU code stand as for SHIPPED_ARCHS architectures. The stack's is told in this machine's seconds, by the objects that both have; where those are
    few, so that all without GPU code takes the CPU-seconds that stack.toml states (0: as it is)."""
    rows = for_archs((row for row in shipped if archs or not FOR_GPUS.search(row.name)), archs)
    own = for_archs(later([], list(own)), archs)
    here, there = costs(own), costs(rows)
    both = sum(there[name] for name in here if name in there)
    host = sum(cost for name, cost in there.items() if not name.endswith(GPU_CODE))
    speed = stated / host if stated and host else 1.0
    if both >= ENOUGH * sum(there.values()) and both:
        speed = sum(cost for name, cost in here.items() if name in there) / both
    return later([_times(row, speed) for row in rows], own)


def for_archs(rows: Iterable[Row], archs: int, of: int = SHIPPED_ARCHS) -> list[Row]:
    """The rows where objects with GPU code are compiled for `archs` architectures, not for `of`."""
    factor = times_one(archs) / times_one(of)
    return [_times(row, factor) if row.name.endswith(GPU_CODE) else row for row in rows]


def times_one(archs: int) -> float:
    """What an object with GPU code costs for so many architectures, of what it costs for one."""
    return 1 + EACH_ARCH * (archs - 1)


def _times(row: Row, factor: float) -> Row:
    return row._replace(user=row.user * factor, system=row.system * factor)


def later(before: Iterable[Row], after: Sequence[Row], whole: bool = False) -> list[Row]:
    """The rows of both, of each object those of the later compile; of one that made all there is (`whole`) no others."""
    named = {PIECE.sub("", row.name) for row in after}
    found = {name: rows for name, rows in _made(before).items() if not whole or name in named}
    for name, rows in _made(after).items():
        if rows[-1].status == 0 and OBJECT.search(name) and not name.startswith(QUESTION):
            found.pop(name, None)
            found[name] = rows
    return [row for rows in found.values() for row in rows][-MOST_ROWS:]


def text_of(rows: Iterable[Row]) -> str:
    """A record as a build takes it: the dearest objects first, as far as there is room."""
    texts = ((sum(row.seconds for row in each), "".join(row.line for row in each)) for each in _made(rows).values())
    found, room = [], MOST_TEXT
    for _, text in sorted(texts, reverse=True):
        room -= len(text.encode())
        if room < 0:
            break
        found.append(text)
    return "".join(found)


def _made(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Object -> the rows of the last time that it was made."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = PIECE.sub("", row.name)
        found[name] = [*(found.get(name, []) if row.what in ADDED else []), row]
    return found
