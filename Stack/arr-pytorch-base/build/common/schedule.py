#!/usr/bin/env python3
"""Lets ninja begin with what takes longest.

    schedule.py BUILD_NINJA RECORD        then: ninja all arrstack-order

Of the edges that are ready, ninja starts the one with the longest chain of edges behind it, and of equals the one that
stands first in the file (1.12: `EdgePriorityLess` in its graph.h; before that the file's order alone). Every edge weighs 1,
whatever it costs. So this puts the compilations in the file in the order of their cost, and builds a ladder: rungs that each
wait for the rung above and for the compilations of one class of cost. A dear compilation has the whole ladder behind it,
also where its own library is linked late. With many cores that decides the whole: who begins the longest file last waits
for it alone (bench/makespan.py replays it).

RECORD is the record of an earlier build (launcher.py). What it does not name stays where it is. The file is replaced by
another only where something changes, and means the same: statements have no order in ninja, variables, which have one, are not
passed, and a rung makes nothing but an empty file.
"""

import re
import sys
from pathlib import Path

RUNGS = 16
ORDER = "arrstack-order"
LADDER = "\n# The ladder: see schedule.py.\n"
STATEMENT = re.compile(r"^build ((?:[^ :|$]|\$.)+)[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE)
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


def main(file: Path, record: Path) -> int:
    text, costs = file.read_text(), read_costs(record.read_text())
    plain = text.split(LADDER)[0]
    new = ordered(plain, costs) + ladder(plain, costs)
    if new != text:
        temporary = file.with_suffix(".ninja.new")
        temporary.write_text(new)
        temporary.replace(file)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
