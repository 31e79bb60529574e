#!/usr/bin/env python3
"""Makes build/torch/groups/VERSION-ORIGIN-COMPILER.tsv: which files of PyTorch are compiled together on top of their precompiled header.

Inside a container of the bottom recipe's `torch-builder` stage, with the tree of a finished compile at /opt/pytorch:

    python3 groups.py RECORD >FILE

RECORD is the record of a whole compile that was made without groups (edges.tsv): it gives each file's cost. Files with
the same flags are put together in the order of their paths until a group would cost more than `CAPACITY` or have more
than `MEMBERS` files. The compiler parses each group with its PCH; the files that it names in an error leave the group and
are tried again in later rounds, among themselves; what fits nowhere stays alone. A file that is dear by itself stays alone
too, so that no group becomes what a build with many cores waits for.

Files that register operators or classes when the library is loaded are grouped only with their neighbours among such files:
initialisers run in the order of the link, an operator's schema may name a class that another file registers, and so they
register in the order in which they always did (groups.cmake puts a group where its first file stood).

A line: target, group, source relative to the tree, separated by tabs. The group is a number; or `/STUB`, for a kernel file
that is compiled in two halves; or `!AVX512`, for one that registers nothing for AVX-512; or compiler options, for cold code that is
compiled with them. To standard error goes a line for each round, with the share of the cost that is grouped.
"""

import concurrent.futures
import itertools
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
import edges
import launcher  # the same split of a command, the same choice of a header
import schedule  # the same reading of build.ninja

TARGETS = ("torch_cpu", "torch_python", "c10")
CAPACITY = 48.0  # CPU-seconds of the record; about half of that when compiled together
MEMBERS = 24
ALONE = 18.0  # a file that costs more is not grouped
ROUNDS = (MEMBERS,) * 5 + (MEMBERS // 4,) * 3
"""The most files of a group in each round: what was refused in large groups may fit into small ones."""
CONSTANT = {"torch/csrc/jit/tensorexpr/types.cpp", "torch/csrc/api/src/enum.cpp", "torch/csrc/Device.cpp", "torch/csrc/Dtype.cpp"}
CONSTANT |= {"torch/csrc/TypeInfo.cpp"}
"""What same.py named: in a group clang fills their constants when the library is loaded."""
HALVED = {"aten/src/ATen/native/cpu/FlashAttentionKernel.cpp": "flash_attention_backward_kernel"}
"""The dearest kernel file, and the dispatch stub for which it is compiled apart: a build with many cores would wait for it."""
COLD = re.compile(
    r"/TraceType_\d+\.cpp|/RegisterFunctionalization_\d+\.cpp|/lazy/generated/(LazyNativeFunctions|RegisterLazy)\.cpp"
    r"|/jit/python/(script_init|init|python_ir)\.cpp|/tensorexpr_init\.cpp|/csrc/export/pybind\.cpp"
    r"|/csrc/distributed/(c10d|rpc/testing)/init\.cpp"
)
"""Kernels that record a call or rewrite it before it is compiled, and the bindings to Python of compilers and of what waits
for a network: their speed decides nothing. None of these files registers a schema, so they may move to the end of the link."""
COLD_OPTIONS = "-O1 -mllvm=-inline-threshold=25"
"""About what -Os does. But with -Os clang refuses a header that was precompiled without; with these options it takes it."""
REGISTRATION = re.compile(r"^REGISTER_DISPATCH\(\w+, ", re.MULTILINE)
"""A kernel's registration in the form that groups.cmake reads."""
NULL = re.compile(r"\S+ B at::native::DispatchStub<.*>::AVX512")
"""nm's line for what such a registration leaves where the kernel is not registered for AVX-512."""
UNITY_AFTER = "#undef TORCH_ASSERT_ONLY_METHOD_OPERATORS\n#undef TORCH_ASSERT_NO_OPERATORS\n"
"""What groups.cmake puts after each file: what it defines to guard its own includes ends with it."""
REGISTERS = re.compile(
    r"\bTORCH_LIBRARY|\bRegisterOperators\b|(?<!py::)\bclass_<|\bC10_REGISTER_|\bstatic \w+ \w*regist|\bRegisterNNC"
)


@dataclass(frozen=True)
class File:
    target: str
    source: str
    command: launcher.Command
    header: str
    cost: float
    position: int
    """Where the link names it: a group includes its files in this order, and the order decides what a name means."""
    rank: "int | None"
    """Its number in that order among the files that register something when the library is loaded; None for the others."""

    @property
    def kind(self) -> "tuple[str, ...]":
        """Files of one kind may share a group: same target, header and flags, and both register or neither does."""
        return (self.target, "plain" if self.rank is None else "registers", self.header, *self.command.flags)

    def follows(self, other: "File") -> bool:
        """Whether it may stand behind the other in a group."""
        return self.kind == other.kind and (self.rank is None or other.rank is None or self.rank == other.rank + 1)


def order(file: File) -> "tuple[tuple[str, ...], int, str]":
    """Neighbours first by what may be together, then by rank or path."""
    return (file.kind, -1 if file.rank is None else file.rank, file.source)


def link_order(build: Path) -> "dict[str, int]":
    """The place of every object in the build's links, one link after the other."""
    text = (build / "build.ninja").read_text()
    links = (match[0].split("\n", 1)[0] for match in schedule.STATEMENT.finditer(text) if schedule.LINK.search(match[0]))
    objects = (word for link in links for word in link.split() if word.endswith(".o"))
    return {name: place for place, name in enumerate(dict.fromkeys(objects))}


def read_costs(entries: "list[edges.Entry]") -> "dict[str, float]":
    """CPU-seconds of each object that was compiled with its header."""
    costs: dict[str, float] = {}
    for entry in entries:
        if entry.what == "pch" and entry.status == 0:
            costs[entry.name] = entry.seconds
        elif entry.what == "refused":
            costs.pop(entry.name, None)  # it does not accept its header: no group will
    return costs


def read_entries() -> "list[dict[str, str]]":
    """The build's edges: directory, command, file, output."""
    told = subprocess.run(["ninja", "-C", str(TREE / "build"), "-t", "compdb"], check=True, capture_output=True, text=True)
    return json.loads(told.stdout)


def read_files(entries: "list[dict[str, str]]", costs: "dict[str, float]", rules: dict) -> "list[File]":
    places = link_order(TREE / "build")
    linked = (entry for entry in entries if entry["output"] in places)
    files, ranks = [], itertools.count()
    for entry in sorted(linked, key=lambda entry: places[entry["output"]]):
        words = shlex.split(entry["command"])
        at = next((i for i, word in enumerate(words) if word.endswith("launcher.py")), None)
        if at is None:
            continue
        command = launcher.parse(words[at + 1 :])
        source = Path(os.path.normpath(Path(entry["directory"]) / command.source))
        if not source.is_relative_to(TREE):
            continue
        name = str(source.relative_to(TREE))
        rank = next(ranks) if REGISTERS.search(source.read_text(errors="replace")) else None
        cost = costs.get(entry["output"], ALONE + 1)
        target = re.search(r"CMakeFiles/(\w+)\.dir/", command.output)
        if cost > ALONE or source.is_relative_to(TREE / "build") or "/generated/" in name or name in CONSTANT:
            continue
        if not target or target[1] not in TARGETS or any("CPU_CAPABILITY=" in flag for flag in command.flags):
            continue
        if rule := launcher.take_rule(command, rules):
            files.append(File(target[1], name, command, rule["header"], cost, places[entry["output"]], rank))
    return sorted(files, key=order)


def read_cold(entries: "list[dict[str, str]]") -> "list[tuple[str, str]]":
    """Target and source of each file that COLD names."""
    found = (
        (COLD.search(entry["file"]), re.search(r"CMakeFiles/(\w+)\.dir/", entry["output"]), entry["file"]) for entry in entries
    )
    return sorted(
        (target[1], str(Path(file).relative_to(TREE))) for cold, target, file in found if cold and target and target[1] in TARGETS
    )


def read_null(entries: "list[dict[str, str]]") -> "list[tuple[str, str]]":
    """Group and source of each kernel file whose object for AVX-512 has null pointers, and nothing else."""
    found = []
    for entry in entries:
        kernel = re.search(r"/(aten/\S+\.cpp)\.AVX512\.cpp$", entry["file"])
        if not kernel or not (TREE / kernel[1]).exists():
            continue
        source = kernel[1]
        nm = ["nm", "-C", "--defined-only", str(TREE / "build" / entry["output"])]
        symbols = subprocess.run(nm, check=True, capture_output=True, text=True).stdout.splitlines()
        text = (TREE / source).read_text()
        if text.count("REGISTER_") == len(REGISTRATION.findall(text)) == len(symbols) and all(map(NULL.fullmatch, symbols)):
            found.append(("!AVX512", source))
    return sorted(found)


def pack(files: "list[File]", members: int) -> "list[list[File]]":
    """Neighbours together, as many as one group may hold."""
    groups: list[list[File]] = []
    for file in files:
        group = groups[-1] if groups else []
        fits = group and file.follows(group[-1]) and len(group) < members
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
    entries = read_entries()
    left = read_files(entries, read_costs(edges.read(record.read_text())), rules)
    whole, groups = sum(file.cost for file in left), []
    for turn, members in enumerate(ROUNDS, 1):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            tries = pool.map(lambda group: settle(group, rules, rules_file.parent / "headers", work), pack(left, members))
            tried = list(tries)
        parts = [part for kept, _ in tried for part in pack(sorted(kept, key=order), members)]  # a gap in the ranks parts a group
        groups += [part for part in parts if len(part) > 1]
        left = [file for part in parts if len(part) == 1 for file in part]
        left = sorted([*left, *(file for _, out in tried for file in out)], key=order)
        grouped = sum(file.cost for group in groups for file in group)
        told = f"round {turn}: {len(groups)} groups, {grouped:.0f} of {whole:.0f} s, {len(left)} files left"
        print(told, file=sys.stderr, flush=True)
    for number, group in enumerate(sorted(groups, key=lambda group: group[0].source)):
        for member in group:
            print(member.target, f"{number:03}", member.source, sep="\t")
    for target, source in read_cold(entries):
        print(target, COLD_OPTIONS, source, sep="\t")
    for group, source in read_null(entries):
        print("torch_cpu", group, source, sep="\t")
    for source, stub in HALVED.items():
        if (TREE / source).exists():
            print("torch_cpu", f"/{stub}", source, sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
