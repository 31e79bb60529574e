#!/usr/bin/env python3
"""Lets ninja begin with what takes longest, and not run more large edges at once than there is memory for.

    schedule.py BUILD_NINJA RECORD JOBS        then: ninja -j JOBS all arrstack-order
                                               (ARRSTACK_PCH: the launcher's rules; ARRSTACK_WORK: its folder)

Of the edges that are ready, ninja starts the one with the longest chain of edges behind it, and of equals the one that
stands first in the file (1.12: `EdgePriorityLess` in its graph.h; before that the file's order alone). Every edge weighs 1,
whatever it costs. So this puts the compilations in the file in the order in which they are to begin, and builds a ladder: rungs
that each wait for the rung above and for the next part of that order. What begins early has the whole ladder behind it,
also where its own library is linked late. With many cores that decides the whole: who begins the longest file last waits
for it alone (bench/makespan.py replays it).

The dearest begins first, but an edge whose precompiled header is not made yet holds its job and waits. So one edge of each
header comes before all, to make it, and then as many as there are jobs of those whose header is soon made.

An edge whose recorded peak is more than an even share of the memory goes into one pool, the links of libraries and programs
into another where there is not enough for all of them at once. A pool is ninja's own: at most so many of its edges run.

With many processors an object with GPU code may take longer than all others beside each other, as its architectures are made one after
the other. Edges above DEAR of an even share of the whole are named in a file for the launcher (slots.py): the others give way to them, and
the dearest with GPU code make their architectures at once, as many as a quarter of the memory has room for.

RECORD is the record of an earlier build (edges.py). What it does not name stays where it is, but for GPU code: nearly all of
that costs more than any other file, so it begins first. The file is replaced by
another only where something changes, and makes the same: statements have no order in ninja, variables, which have one, are not
passed, and a rung makes nothing but an empty file.
"""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import edges
import launcher  # the same choice of a header
import slots

RUNGS = 16
"""Parts of the order; as many more rungs stand below it, so that the last part too has more behind it than links are in a chain."""
GPU_CODE = ".cu.o"
GPU_SECONDS = 100.0
"""What an edge of GPU code counts as until a record has it: more than the dearest C++ file."""
ARCHITECTURE = re.compile(r"\bcode=\[?(?:sm|compute|lto)_")
DEAR = 0.75
"""Of sum / jobs: what takes so long would end last, or nearly, even if it begins first (bench/makespan.py)."""
ORDER = "arrstack-order"
LADDER = "\n# The ladder: see schedule.py.\n"
STATEMENT = re.compile(r"^build ((?:[^ :|$]|\$.)+)[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE)
LINK = re.compile(r": \w+_(?:SHARED_LIBRARY|MODULE_LIBRARY|EXECUTABLE)_LINKER_")
LINK_KIB = 4 << 20
"""What the link of a library of hundreds of MiB, with every symbol of its objects in memory, is allowed for."""
OURS = re.compile(r"^pool arrstack_\w+\n  depth = \d+\n|^  pool = arrstack_\w+\n", re.MULTILINE)
VARIABLE = re.compile(r"^[ \t]+(DEFINES|INCLUDES|FLAGS) = (.*)$", re.MULTILINE)
ASSIGNMENT = re.compile(r"^\w+ *=", re.MULTILINE)


def header_costs(entries: "list[edges.Entry]") -> "dict[str, float]":
    """CPU-seconds of each header's precompilation, by the header's name; of several with other flags the dearest."""
    dearest_last = sorted((seconds, path) for path, seconds in edges.headers(entries).items())
    return {Path(path).name.rsplit("-", 1)[0]: seconds for seconds, path in dearest_last}


def read_headers(text: str, rules: dict) -> "dict[str, str]":
    """The name of the header that the launcher takes for each output, where there is one."""
    every = (command_of(match) for match in STATEMENT.finditer(text))
    chosen = ((command.output, launcher.take_rule(command, rules)) for command in every)
    return {output: Path(rule["header"]).stem for output, rule in chosen if rule}


def command_of(statement: "re.Match[str]", compiler: str = "") -> launcher.Command:
    """What a statement compiles, as the launcher will see it; a command without a source where it compiles nothing."""
    inputs = statement[0].split("\n", 1)[0].split(": ", 1)[1].split()
    told = dict(VARIABLE.findall(statement[0]))
    words = (told.get(name, "") for name in ("DEFINES", "INCLUDES", "FLAGS"))  # the order of CMake's rules
    flags = shlex.split(" ".join(words))
    return launcher.Command(compiler, statement[1], inputs[1] if inputs[1:] else "", flags)


def order(costs: "dict[str, float]", headers: "dict[str, str]", making: "dict[str, float]", jobs: int) -> "list[str]":
    """The names as they are to begin."""
    dearest = sorted(costs, key=lambda name: (-costs[name], name))
    waits = {name: making.get(headers.get(name, ""), 0.0) for name in dearest}
    makers: dict[str, str] = {}
    for name in dearest:
        if waits[name]:
            makers.setdefault(headers[name], name)
    longest = max(waits.values(), default=0.0)
    first = sorted(makers.values(), key=lambda name: -waits[name])
    soon = [name for name in dearest if waits[name] < longest / 2 and name not in first]
    return list(dict.fromkeys([*first, *soon[:jobs], *dearest]))


def ordered(text: str, names: "list[str]") -> str:
    """The same statements, those of the names among themselves in the names' order."""
    places = {name: place for place, name in enumerate(names)}
    found = [match for match in STATEMENT.finditer(text) if match[1] in places]
    if not found or ASSIGNMENT.search(text, found[0].start(), found[-1].end()):
        return text
    out, at = [], 0
    for place, taken in zip(found, sorted(found, key=lambda match: places[match[1]]), strict=True):
        out += [text[at : place.start()], taken[0]]
        at = place.end()
    return "".join([*out, text[at:]])


def rungs(names: "list[str]") -> "list[list[str]]":
    """The names in their order, in at most RUNGS parts of one size, and RUNGS empty parts."""
    size = -(-len(names) // RUNGS) or 1
    return [names[at : at + size] for at in range(0, len(names), size)] + [[]] * RUNGS


def ladder(names: "list[str]") -> str:
    """The statements of the ladder over those compilations."""
    lines = ["rule arrstack_rung", "  command = touch $out"]
    above = ""
    for number, part in enumerate(rungs(names)):
        lines.append(f"build arrstack-rung-{number}: arrstack_rung | {' '.join([*part, above])}".rstrip(" |"))
        above = f"arrstack-rung-{number}"
    return LADDER + "\n".join([*lines, f"build {ORDER}: phony {above}", ""])


def ahead(
    costs: "dict[str, float]", peaks: "dict[str, int]", parts: "dict[str, int]", jobs: int, memory: int
) -> "dict[str, bool]":
    """Edge -> whether its architectures are made at once, of those that the others are to give way to; the dearest first.

    `parts` has the number of architectures of each edge that makes code for them, if it can do so at once. Empty where there is none that has to be made at once.
    """
    even = sum(costs.values()) / jobs
    found, room = {}, memory // 4
    for name in sorted(costs, key=lambda name: (-costs[name], name)):
        if costs[name] <= DEAR * even:
            break
        besides = (parts.get(name, 1) - 1) * peaks.get(name, slots.PART_KIB)
        found[name] = 0 < besides <= room
        room -= besides if found[name] else 0
    return found if any(found.values()) else {}


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


def main(file: Path, record: Path, jobs: int, memory: int, rules: dict, work: str = "") -> int:
    text, entries = file.read_text(), edges.read(record.read_text())
    plain = OURS.sub("", text.split(LADDER)[0])
    made = {match[1]: match[0] for match in STATEMENT.finditer(plain)}
    guessed = {name: GPU_SECONDS for name in made if name.endswith(GPU_CODE)}
    costs = guessed | {name: cost for name, cost in edges.costs(entries).items() if name in made}
    if work:
        parts = {name: len(ARCHITECTURE.findall(made[name])) for name in guessed if not launcher.by_clang(name)}
        slots.write_ahead(work, ahead(costs, edges.peaks(entries), parts, jobs, memory))
    names = order(costs, read_headers(plain, rules), header_costs(entries), jobs)
    new = ordered(pooled(plain, edges.peaks(entries), jobs, memory), names) + ladder(names)
    if new != text:
        temporary = file.with_suffix(".ninja.new")
        temporary.write_text(new)
        temporary.replace(file)
    return 0


if __name__ == "__main__":
    RULES = json.loads(Path(os.environ["ARRSTACK_PCH"]).read_text()) if "ARRSTACK_PCH" in os.environ else launcher.NO_RULES
    try:
        sys.exit(
            main(
                Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), free_memory(), RULES, os.environ.get("ARRSTACK_WORK", "")
            )
        )
    except edges.RecordError as error:
        sys.exit(f"error: {sys.argv[2]}: {error}")
