"""The ordinary compile, whole: gcc and ninja, no cache, no PCHs, no groups; what every edge cost.

Inside a container of the bottom recipe's `torch-builder` stage, with the tree of a finished compile at /opt/pytorch:

    python3 baseline.py RECORD WORK JOBS      compiles in WORK what RECORD lacks, JOBS at once, and adds it there
    python3 baseline.py RECORD                prints the sums

It can be stopped at any time, and goes on with another machine: what is in RECORD is not compiled again. A machine's speed
changes within an hour, so the same file, the YARDSTICK, is compiled before each BATCH of objects, by as many compilers at once,
and stands beside what the batch cost. A line of RECORD: CPU-seconds, peak KiB, CPU-seconds of the yardstick, object.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "Stack/arr-pytorch-base/build/common"))
sys.path.append("/build/common")  # in the container

import edges
import sample as pairs

BATCH = 12
YARDSTICK = "caffe2/CMakeFiles/torch_cpu.dir/__/aten/src/ATen/core/interned_strings.cpp.o"
OBJECT = re.compile(r"\.(c|cc|cpp|cxx|S)\.o$")


def read(record: Path) -> "dict[str, tuple[float, int, float]]":
    """(CPU-seconds, peak KiB, the yardstick's CPU-seconds) by object."""
    lines = record.read_text().splitlines() if record.exists() else []
    rows = (line.split("\t") for line in lines)
    return {row[3]: (float(row[0]), int(row[1]), float(row[2])) for row in rows}


def build(tree: Path, work: Path, jobs: int, objects: "list[str]") -> "dict[str, tuple[float, int]]":
    """(CPU-seconds, peak KiB) of each of the objects, compiled now, whether or not they were there."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("CCACHE", "ARRSTACK"))}
    environment["ARRSTACK_WORK"] = str(work)
    for name in objects:
        (tree / "build" / name).unlink(missing_ok=True)
    (work / "edges.tsv").unlink(missing_ok=True)
    command = ["ninja", "-C", str(tree / "build"), "-j", str(jobs), *objects]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(done.stdout[-3000:])
    entries = edges.read((work / "edges.tsv").read_text())
    return {entry.name: (entry.seconds, entry.peak) for entry in entries if entry.status == 0 and entry.name in objects}


def yardstick(tree: Path, jobs: int) -> float:
    """CPU-seconds of one, where `jobs` run at once: processors that share a core slow each other."""
    words = pairs.command(tree, YARDSTICK, plain=True, scratch=pairs.SCRATCH)
    words[words.index("-o") + 1] = "/dev/null"
    began = sum(os.times()[2:4])
    running = [subprocess.Popen(words, cwd=tree / "build", stderr=subprocess.DEVNULL) for _ in range(jobs)]
    statuses = [process.wait() for process in running]
    if any(statuses):
        raise RuntimeError(f"the yardstick does not compile: {' '.join(words)}")
    return (sum(os.times()[2:4]) - began) / jobs


def compile_rest(record: Path, work: Path, jobs: int) -> None:
    tree = work / "tree"
    pairs.configure_gcc(tree)
    left = sorted(name for name in pairs.sources(tree).keys() - read(record).keys() if OBJECT.search(name))
    for at in range(0, len(left), BATCH):
        seconds = yardstick(tree, jobs)
        made = build(tree, work, jobs, left[at : at + BATCH])
        with record.open("a") as out:
            out.writelines(f"{cost:.2f}\t{peak}\t{seconds:.2f}\t{name}\n" for name, (cost, peak) in sorted(made.items()))
        print(f"{time.strftime('%H:%M')} {at + len(made)} of {len(left)}, yardstick {seconds:.2f} s", flush=True)


def scaled(made: "dict[str, tuple[float, int, float]]") -> "dict[str, float]":
    """CPU-seconds of each object where the yardstick takes what it took at the median object."""
    usual = median(yard for _, _, yard in made.values())
    return {name: cost * usual / yard for name, (cost, _, yard) in made.items()}


def tell(record: Path) -> None:
    made = read(record)
    if not made:
        sys.exit(f"{record}: no objects yet")
    usual, costs = median(yard for _, _, yard in made.values()), scaled(made)
    print(f"{len(made)} objects, {sum(row[0] for row in made.values()):.0f} CPU-seconds as they were measured")
    total = sum(costs.values())
    print(f"{total:.0f} CPU-seconds where the yardstick takes {usual:.2f} s: {total / usual:.0f} of it")
    for name in sorted(costs, key=lambda name: -costs[name])[:5]:
        print(f"  {costs[name]:6.1f} s {made[name][1] / 1024:6.0f} MiB  {name}")
    print(f"largest: {max(peak for _, peak, _ in made.values()) / 1024:.0f} MiB")


def main(argv: "list[str]") -> int:
    record = Path(argv[0])
    if len(argv) > 1:
        compile_rest(record, Path(argv[1]).absolute(), int(argv[2]))
    tell(record)
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 4):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
