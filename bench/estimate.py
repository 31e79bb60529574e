"""How far off the estimate was while a real build ran: its ninja log, replayed through `arrstack.progress`.

    python bench/estimate.py RECORD NINJA_LOG

RECORD is the record that weighs the edges (edges.tsv), NINJA_LOG the `.ninja_log` of a whole build, not a resumed one. Prints
at 10, 25, 50 and 75 % of the time what was estimated to be left, and by how much of the whole that was wrong.
"""

import sys
from pathlib import Path

from arrstack.launch import read_record
from arrstack.progress import Progress


def finished(log: Path) -> list[tuple[float, str]]:
    """(seconds, object) of each edge that made one, in the order in which they were finished."""
    rows = (line.split("\t") for line in log.read_text().splitlines() if not line.startswith("#"))
    return sorted((int(row[1]) / 1000, row[3]) for row in rows if row[3].endswith(".o"))


def main(record: Path, log: Path) -> int:
    edges = finished(log)
    whole = edges[-1][0]
    progress = Progress("replayed", costs=read_record(record))
    left = [0.10, 0.25, 0.50, 0.75]
    for number, (seconds, name) in enumerate(edges, 1):
        event = progress.feed(f"[{number}/{len(edges)}] Building CXX object {name}", seconds)
        if left and seconds >= whole * left[0] and event.remaining is not None:
            told = seconds + event.remaining
            print(f"at {left.pop(0):.0%}: {told:6.0f} s of {whole:.0f} s estimated, off by {abs(told - whole) / whole:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
