#!/usr/bin/env python3
"""Lets ninja begin with what takes longest, and not run more large edges at once than there is memory for.

    schedule.py BUILD_NINJA RECORD JOBS        then: ninja -j JOBS all arrstack-order

Of the edges that are ready, ninja starts the one with the longest chain of edges behind it, and of equals the one that
stands first in the file (1.12: `EdgePriorityLess` in its graph.h; before that the file's order alone). Every edge weighs 1,
whatever it costs. So this puts the compilations in the file in the order of their cost, and builds a ladder: rungs that each
wait for the rung above and for the compilations of one class of cost. A dear compilation has the whole ladder behind it,
also where its own library is linked late. With many cores that decides the whole: who begins the longest file last waits
for it alone (bench/makespan.py replays it).

An edge whose recorded peak is more than an even share of the memory goes into one pool, the links of libraries and programs
into another where there is not enough for all of them at once. A pool is ninja's own: at most so many of its edges run.

RECORD is the record of an earlier build (launcher.py). What it does not name stays where it is. The file is replaced by
another only where something changes, and makes the same: statements have no order in ninja, variables, which have one, are not
passed, and a rung makes nothing but an empty file.
"""

import re
import sys
from pathlib import Path

RUNGS = 16
ORDER = "arrstack-order"
LADDER = "\n# The ladder: see schedule.py.\n"
STATEMENT = re.compile(r"^build ((?:[^ :|$]|\$.)+)[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE)
LINK = re.compile(r": \w+_(?:SHARED_LIBRARY|MODULE_LIBRARY|EXECUTABLE)_LINKER_")
LINK_KIB = 4 << 20
"""What the link of a library of hundreds of MiB, with every symbol of its objects in memory, is allowed for."""
OURS = re.compile(r"^pool arrstack_\w+\n  depth = \d+\n|^  pool = arrstack_\w+\n", re.MULTILINE)
ASSIGNMENT = re.compile(r"^\w+ *=", re.MULTILINE)


def read_costs(record: str) -> "dict[str, float]":
    """CPU-seconds of each output that the record names."""
    rows = (line.split("\t") for line in record.splitlines())
    return {row[-1]: float(row[0]) + float(row[1]) for row in rows}


def ordered(text: str, costs: "dict[str, float]") -> str:
    """The same statements, those with a cost among themselves from the dearest to the cheapest."""
    found = [match for match in STATEMENT.finditer(text) if match[1] in costs]
    if not found or ASSIGNMENT.search(text, found[0].start(), found[-1].end()):
        return text
    out, at = [], 0
    for place, taken in zip(found, sorted(found, key=lambda match: -costs[match[1]]), strict=True):
        out += [text[at : place.start()], taken[0]]
        at = place.end()
    return "".join([*out, text[at:]])


def rungs(costs: "dict[str, float]") -> "list[list[str]]":
    """The outputs of each rung, the cheapest class first."""
    dearest = max(costs.values(), default=0.0) or 1.0
    found: list[list[str]] = [[] for _ in range(RUNGS)]
    for name in sorted(costs):
        found[int((RUNGS - 1) * costs[name] / dearest)].append(name)
    return found


def ladder(text: str, costs: "dict[str, float]") -> str:
    """The statements of the ladder over those compilations that the file has."""
    made = {match[1] for match in STATEMENT.finditer(text)}
    lines = ["rule arrstack_rung", "  command = touch $out"]
    above = ""
    for number, names in reversed(list(enumerate(rungs({name: costs[name] for name in costs if name in made})))):
        lines.append(f"build arrstack-rung-{number}: arrstack_rung | {' '.join([*names, above])}".rstrip())
        above = f"arrstack-rung-{number}"
    return LADDER + "\n".join([*lines, f"build {ORDER}: phony {above}", ""])


def read_peaks(record: str) -> "dict[str, int]":
    """KiB of the largest process of each output that the record names."""
    rows = (line.split("\t") for line in record.splitlines())
    return {row[-1]: int(row[2]) for row in rows}


def free_memory() -> int:
    """KiB that the kernel counts as available, or what is left of the control group's limit where that is less. Cached files
    that nobody uses count as left (cgroup-v2.rst, memory.stat)."""
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free, group = int(meminfo["MemAvailable"].split()[0]), Path("/sys/fs/cgroup")
    try:
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(stat["inactive_file"])
        return min(free, (int((group / "memory.max").read_text()) - used) >> 10)
    except (OSError, ValueError):  # no such limit, or "max"
        return free


def pooled(text: str, peaks: "dict[str, int]", jobs: int, memory: int) -> str:
    """The same statements, the large ones in pools that are as deep as `memory` KiB allow beside jobs - depth others."""
    here = {match[1] for match in STATEMENT.finditer(text)}
    share = memory / jobs
    large = {name: peak for name, peak in peaks.items() if name in here and peak > share}
    depths = {}
    if large:
        other = max((peak for name, peak in peaks.items() if name in here and name not in large), default=0)
        depths["arrstack_large"] = max(1, int((memory - jobs * other) / (max(large.values()) - other)))
    if share < LINK_KIB:
        depths["arrstack_links"] = max(1, memory // LINK_KIB)

    def placed(match: "re.Match[str]") -> str:
        pool = "arrstack_large" if match[1] in large else "arrstack_links" if LINK.search(match[0].split("\n", 1)[0]) else ""
        return f"{match[0]}  pool = {pool}\n" if pool in depths and "\n  pool = " not in match[0] else match[0]

    return "".join(f"pool {name}\n  depth = {depth}\n" for name, depth in depths.items()) + STATEMENT.sub(placed, text)


def main(file: Path, record: Path, jobs: int, memory: int) -> int:
    text, held = file.read_text(), record.read_text()
    plain, costs = OURS.sub("", text.split(LADDER)[0]), read_costs(held)
    new = ordered(pooled(plain, read_peaks(held), jobs, memory), costs) + ladder(plain, costs)
    if new != text:
        temporary = file.with_suffix(".ninja.new")
        temporary.write_text(new)
        temporary.replace(file)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), free_memory()))
