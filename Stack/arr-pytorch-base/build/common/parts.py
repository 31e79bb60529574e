"""The record of CUDA compilations, parts.tsv: what each part of an edge cost. nvcc.py writes it, a line a part as it ends:

    user and system CPU-seconds, peak KiB, wall seconds, exit status, what was done, the object, the architecture, a digest

What was done: `preprocess`, `cudafe` (cudafe++), `cicc`, `ptxas`, `fatbinary`, `host` (the host compiler); of clang's objects `device`,
`clang` (the host's pass) and `make-pch` (clang_cuda.py); `kept` and one of these where
it came from the cache; `share` where an architecture took another's PTX. The digest is of cicc's PTX without the line that names
its architecture, and of the host's stubs: two architectures with the same digest have the same device code.

    rows = parts.read(Path("parts.tsv").read_text())

    parts.py parts.tsv       prints the objects in which an architecture took another's PTX
"""

import sys
from pathlib import Path
from typing import NamedTuple


class RecordError(ValueError):
    """A text that is no record of parts. Its message names the line."""


class Row(NamedTuple):
    """One line: seconds, and `peak` in KiB."""

    user: float
    system: float
    peak: int
    wall: float
    status: int
    what: str
    name: str
    arch: str
    digest: str = ""

    @property
    def seconds(self) -> float:
        """CPU-seconds."""
        return self.user + self.system

    @property
    def line(self) -> str:
        told = [f"{self.user:.2f}", f"{self.system:.2f}", str(self.peak), f"{self.wall:.2f}", str(self.status), *self[5:]]
        return "\t".join(told) + "\n"


def read(text: str) -> "list[Row]":
    """The record's lines in their order. Raises RecordError."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            user, system, peak, wall, status, *told = line.split("\t")
            rows.append(Row(float(user), float(system), int(peak), float(wall), int(status), *told))
        except (ValueError, TypeError):
            raise RecordError(f"line {number} is none of a record of parts: {line[:80]}") from None
    return rows


def sharing(rows: "list[Row]") -> "list[str]":
    """The objects in which an architecture took another's PTX."""
    return sorted({row.name for row in rows if row.what == "share"})


if __name__ == "__main__":
    for name in sharing(read(Path(sys.argv[1]).read_text())):
        print(name)
