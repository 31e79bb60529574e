"""How far off the estimate was while a real build ran, replayed through `arrstack.launch.progress`.

    python bench/estimate.py RECORD NINJA_LOG JOBS
    python bench/estimate.py RECORD GRAPH JOBS [JOBS ...]

RECORD is the record that weighs the edges (edges.tsv). NINJA_LOG is the `.ninja_log` of a whole build, not a resumed one; GRAPH one of
bench/makespan.py's, of a build on another machine, for what that would have taken with other numbers of jobs. Prints
at 10, 25, 50 and 75 % of the time what was estimated to be left, and by how much of the whole that was wrong.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import makespan

from arrstack.launch.progress import Progress
from arrstack.launch.record import read_record


def finished(log: Path) -> list[tuple[float, str]]:
    """(seconds, output) of each edge, in the order in which they were finished."""
    rows = (line.split("\t") for line in log.read_text().splitlines() if not line.startswith("#"))
    edges = {(row[0], row[1], row[4]): row[3] for row in rows}  # an edge has a line for each of its outputs
    return sorted((int(end) / 1000, name) for (_, end, _), name in edges.items())


def replayed(graph: Path, jobs: int) -> list[tuple[float, str]]:
    """The same of what a build would have been with so many jobs."""
    edges, names = makespan.scheduled(makespan.read(graph), jobs)
    return makespan.replay(edges, jobs, names)


def main(record: Path, build: Path, jobs: int) -> None:
    edges = replayed(build, jobs) if build.suffix == ".tsv" else finished(build)
    whole = max(seconds for seconds, name in edges if name.endswith(".o"))
    progress = Progress("replayed", costs=read_record(record), jobs=jobs)
    left = [0.10, 0.25, 0.50, 0.75]
    for number, (seconds, name) in enumerate(edges, 1):
        event = progress.feed(f"[{number}/{len(edges)}] Building CXX object {name}", seconds)
        if left and seconds >= whole * left[0]:
            at, told = left.pop(0), event.remaining
            said = "nothing" if told is None else f"{seconds + told:6.0f} s, off by {abs(seconds + told - whole) / whole:.1%}"
            print(f"{jobs} jobs, {whole:.0f} s: at {at:.0%} it said {said}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    for each in sys.argv[3:]:
        main(Path(sys.argv[1]), Path(sys.argv[2]), int(each))
