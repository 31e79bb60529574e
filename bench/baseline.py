"""The ordinary compile, whole: gcc and ninja, no cache, no PCHs, no groups; what every edge cost.

Inside a container of the bottom recipe's `torch-builder` stage, with the tree of a finished compile at /opt/pytorch:

    python3 baseline.py WORK JOBS      compiles, goes on where it was stopped, and prints the sums
    python3 baseline.py WORK           prints the sums of what is there

WORK keeps the tree and edges.tsv, the launcher's record (build/common/launcher.py): CPU-seconds and peak KiB of each edge. A machine's speed
changes, so the same CALIBRATING files, drawn with a fixed seed, are compiled again after each stretch; each time is printed.
"""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import compile as pairs

CALIBRATING = 20
SEED = 2600
OBJECT = re.compile(r"\.(c|cc|cpp|cxx|S)\.o$")


def edges(work: Path) -> "dict[str, tuple[float, int]]":
    """(CPU-seconds, peak KiB) by object; what was compiled again counts once, as it was the last time."""
    rows = (line.split("\t") for line in (work / "edges.tsv").read_text().splitlines())
    return {row[6]: (float(row[0]) + float(row[1]), int(row[2])) for row in rows if row[4] == "0" and OBJECT.search(row[6])}


def build(work: Path, jobs: str) -> int:
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("CCACHE", "ARRSTACK"))}
    environment["ARRSTACK_WORK"] = str(work)
    return subprocess.run(["ninja", "-C", str(pairs.GCC / "build"), "-j", jobs], env=environment).returncode


def calibrate() -> "list[tuple[str, float]]":
    """CPU-seconds of the files that are compiled again."""
    named = sorted(name for name in pairs.sources(pairs.GCC) if name.endswith(".cpp.o"))
    chosen = random.Random(SEED).sample(named, CALIBRATING)
    return [(name, pairs.cpu(pairs.command(pairs.GCC, name, plain=True), pairs.GCC, dict(os.environ))) for name in chosen]


def tell(work: Path) -> None:
    made = edges(work)
    every = {name for name in pairs.sources(pairs.GCC) if OBJECT.search(name)}
    total = sum(seconds for name, (seconds, _) in made.items() if name in every)
    print(f"{len(made.keys() & every)} of {len(every)} objects, {total:.0f} CPU-seconds")
    for name, (seconds, peak) in sorted(made.items(), key=lambda item: -item[1][0])[:5]:
        print(f"  {seconds:6.1f} s {peak / 1024:6.0f} MiB  {name}")
    print(f"largest: {max(peak for _, peak in made.values()) / 1024:.0f} MiB")


def main(argv: "list[str]") -> int:
    work = Path(argv[0]).absolute()
    pairs.GCC = work / "tree"
    status = 0
    if len(argv) > 1:
        pairs.configure_gcc()
        status = build(work, argv[1])
        made = edges(work)
        again = calibrate()
        known = [(seconds, made[name][0]) for name, seconds in again if name in made]
        now, then = (sum(pair[which] for pair in known) for which in (0, 1))
        print(f"calibration: {len(known)} of {len(again)} files in the record: {now:.1f} s now, {then:.1f} s then")
    tell(work)
    return status


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
