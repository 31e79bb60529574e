#!/usr/bin/env python3
"""Lets ninja begin with what takes longest: puts the compilations of a build.ninja in the order of their cost.

    schedule.py BUILD_NINJA RECORD

Of the edges that are ready, ninja starts the one with the longest chain of edges behind it, and of equals the one that
stands first in the file (1.12: `EdgePriorityLess` in its graph.h; before that the file's order alone). Every compilation
of a library has the same chain behind it, so the order in the file decides. With many cores it decides the whole: who
begins the longest file last waits for it alone.

RECORD is the record of an earlier build (launcher.py). What it does not name stays where it is. The file is replaced
by another only where the order changes, and means the same: statements have no order in ninja, and variables, which
have one, are not passed.
"""

import re
import sys
from pathlib import Path

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


def main(file: Path, record: Path) -> int:
    text = file.read_text()
    new = ordered(text, read_costs(record.read_text()))
    if new != text:
        temporary = file.with_suffix(".ninja.new")
        temporary.write_text(new)
        temporary.replace(file)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
