#!/usr/bin/env python3
"""Makes build/torch/groups/VERSION-ORIGIN-COMPILER.tsv: which files of PyTorch are compiled together on top of their precompiled header.

Inside a container of the bottom recipe's `torch-builder` stage, with the tree of a finished compile at /opt/pytorch:

    python3 groups.py RECORD >FILE

RECORD is the record of a whole compile that was made without groups (edges.tsv): it gives each file's cost. Files with
the same flags are put together in the order of their paths until a group would cost more than `CAPACITY` or have more
than `MEMBERS` files. The compiler parses each group with its PCH; the files that it names in an error leave the group and
are tried again in later rounds, among themselves; what fits nowhere stays alone. A file that is dear by itself stays alone
too, so that no group becomes what a build with many cores waits for. So does a file that registers operators or classes
when the library is loaded: initialisers run in the order of the link, where groups stand apart from files, and an operator's
schema may name a class that another file registers.

A line: target, group, source relative to the tree, separated by tabs. To standard error: a line a round, with the share of
the cost that is grouped.
"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TREE = Path("/opt/pytorch")
sys.path.insert(0, "/build/common")
import launcher  # the same split of a command, the same choice of a header

TARGETS = ("torch_cpu", "torch_python", "c10")
CAPACITY = 28.0  # CPU-seconds of the record; about half of that when compiled together
MEMBERS = 16
ALONE = 12.0  # a file that costs more is not grouped
ROUNDS = 5
CONSTANT = {"torch/csrc/jit/tensorexpr/types.cpp", "torch/csrc/api/src/enum.cpp", "torch/csrc/Device.cpp", "torch/csrc/Dtype.cpp"}
CONSTANT |= {"torch/csrc/TypeInfo.cpp"}
"""What same.py named: in a group clang fills their constants when the library is loaded."""
UNITY_AFTER = "#undef TORCH_ASSERT_ONLY_METHOD_OPERATORS\n#undef TORCH_ASSERT_NO_OPERATORS\n"
"""What groups.cmake puts after each file: what it defines to guard its own includes ends with it."""
REGISTERS = re.compile(r"\bTORCH_LIBRARY|\bRegisterOperators\b|\bclass_<|\bC10_REGISTER_|\bstatic \w+ \w*regist|\bRegisterNNC")


@dataclass(frozen=True)
class File:
    target: str
    source: str
    command: launcher.Command
    header: str
    cost: float
    position: int
    """Where the build names it: CMake includes a group's files in this order, and the order decides what a name means."""

    @property
    def kind(self) -> "tuple[str, ...]":
        """Files of one kind may share a group: same target, header and flags."""
        return (self.target, self.header, *self.command.flags)


def read_costs(record: Path) -> "dict[str, float]":
    costs: dict[str, float] = {}
    for line in record.read_text().splitlines():
        user, system, _, _, status, what, name = line.split("\t")
        if what == "pch" and status == "0":
            costs[name] = float(user) + float(system)
        elif what == "refused":
            costs.pop(name, None)  # it does not accept its header: no group will
    return costs


def read_files(costs: "dict[str, float]", rules: dict) -> "list[File]":
    told = subprocess.run(["ninja", "-C", str(TREE / "build"), "-t", "compdb"], check=True, capture_output=True, text=True)
    files = []
    for position, entry in enumerate(json.loads(told.stdout)):
        words = shlex.split(entry["command"])
        at = next((i for i, word in enumerate(words) if word.endswith("launcher.py")), None)
        if at is None or entry["output"] not in costs or costs[entry["output"]] > ALONE:
            continue
        command = launcher.parse(words[at + 1 :])
        source = Path(os.path.normpath(Path(entry["directory"]) / command.source))
        target = re.search(r"CMakeFiles/(\w+)\.dir/", command.output)
        if not source.is_relative_to(TREE) or source.is_relative_to(TREE / "build") or "/generated/" in str(source):
            continue
        if not target or target[1] not in TARGETS or any("CPU_CAPABILITY=" in flag for flag in command.flags):
            continue
        if rule := launcher.take_rule(command, rules):
            name = str(source.relative_to(TREE))
            if name in CONSTANT or REGISTERS.search(source.read_text(errors="replace")):
                continue
            files.append(File(target[1], name, command, rule["header"], costs[entry["output"]], position))
    return sorted(files, key=lambda file: (file.kind, file.source))


def pack(files: "list[File]") -> "list[list[File]]":
    """Neighbours together, as many as one group may hold."""
    groups: list[list[File]] = []
    for file in files:
        group = groups[-1] if groups else []
        fits = group and group[0].kind == file.kind and len(group) < MEMBERS
        if fits and sum(member.cost for member in group) + file.cost <= CAPACITY:
            group.append(file)
        else:
            groups.append([file])
    return groups


def refused(group: "list[File]", rules: dict, headers: Path, work: Path) -> "set[int] | None":
    """The members that the compiler names in an error; None where it fails without naming one, empty where all is well."""
    edge = launcher.Edge(str(work), "")
    pch = edge.pch(group[0].command, headers / group[0].header, rules.get("indifferent", []))
    with tempfile.TemporaryDirectory() as folder:
        unity = Path(folder) / "unity.cxx"
        unity.write_text("".join(f'#include "{TREE / member.source}"\n{UNITY_AFTER}' for member in group))
        lines = unity.read_text().splitlines()
        member_of = {n: [i for i, m in enumerate(group) if f'"{TREE / m.source}"' in line] for n, line in enumerate(lines, 1)}
        command = group[0].command
        argv = [
            command.compiler,
            *command.flags,
            "-include-pch",
            pch,
            *launcher.PCH_USE,
            "-w",
            "-fsyntax-only",
            "-ferror-limit=0",
        ]
        done = subprocess.run([*argv, str(unity)], cwd=TREE / "build", capture_output=True, text=True)
    if done.returncode == 0:
        return set()
    named, inside = set(), None
    for line in done.stderr.splitlines():
        if found := re.match(r"In file included from .*unity\.cxx:(\d+):", line):
            inside = member_of.get(int(found[1]))
        elif re.search(r": (fatal )?error: ", line) and inside:
            named |= set(inside)
    return named or None


def settle(group: "list[File]", rules: dict, headers: Path, work: Path) -> "tuple[list[File], list[File]]":
    """Takes files out until the rest compiles: (the rest, those taken out)."""
    out: list[File] = []
    group = sorted(group, key=lambda member: member.position)
    while len(group) > 1:
        named = refused(group, rules, headers, work)
        if named is not None and not named:
            return group, out
        if named is None or len(named) == len(group):
            named = set(range(len(group) // 2, len(group)))
        out += [member for i, member in enumerate(group) if i in named]
        group = [member for i, member in enumerate(group) if i not in named]
    return [], group + out


def main(record: Path) -> int:
    rules_file = Path("/build/torch/pch.json")
    rules = json.loads(rules_file.read_text())
    work = Path("/tmp/unity")
    work.mkdir(exist_ok=True)
    left = read_files(read_costs(record), rules)
    whole, groups = sum(file.cost for file in left), []
    for turn in range(1, ROUNDS + 1):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            tried = list(pool.map(lambda group: settle(group, rules, rules_file.parent / "headers", work), pack(left)))
        groups += [kept for kept, _ in tried if kept]
        left = sorted((file for _, out in tried for file in out), key=lambda file: (file.kind, file.source))
        grouped = sum(file.cost for group in groups for file in group)
        print(
            f"round {turn}: {len(groups)} groups, {grouped:.0f} of {whole:.0f} s, {len(left)} files left",
            file=sys.stderr,
            flush=True,
        )
    for number, group in enumerate(sorted(groups, key=lambda group: group[0].source)):
        for member in group:
            print(member.target, f"{number:03}", member.source, sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
