#!/usr/bin/env python3
"""Records what the compiler runs, for build/common/faster_compiler.sh: one file for each of its libraries, named by the build id.

Inside a container of the bottom recipe's `toolchain` stage that also has valgrind, with the tree of a finished compile at /opt/pytorch:

    python3 compiler_profile.py WORK FOLDER [OBJECT ...]

Compiles the objects, SAMPLE by default, under callgrind, which counts every instruction and every jump (some 70 times as slow: 25
minutes on two cores), and writes FOLDER/BUILD_ID.fdata.xz, BOLT's profile. Sampling by the clock is no substitute: what ran and
was not sampled would be moved away with what never runs, and the compiler becomes a sixth slower. What WORK holds already is not
recorded again.

callgrind's format: https://valgrind.org/docs/manual/cl-format.html; perf2bolt's pre-aggregated one: LLVM, bolt/include/bolt/Profile/DataAggregator.h.
"""

import collections
import concurrent.futures
import itertools
import json
import lzma
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, "/build/common")
import launcher  # the same split of a command, the same choice of a header

TREE = Path("/opt/pytorch")
CPU = "caffe2/CMakeFiles/torch_cpu.dir/__/"
PYTHON = "caffe2/torch/CMakeFiles/torch_python.dir/"
SAMPLE = (
    f"{CPU}aten/src/ATen/native/cpu/PowKernel.cpp.DEFAULT.cpp.o",
    f"{CPU}aten/src/ATen/native/cpu/UnfoldBackwardKernel.cpp.AVX2.cpp.o",
    f"{CPU}aten/src/ATen/native/cpu/SoftMaxKernel.cpp.AVX512.cpp.o",
    f"{CPU}torch/csrc/autograd/VariableTypeManual.cpp.o",
    f"{CPU}torch/csrc/jit/passes/batch_mm.cpp.o",
    f"{PYTHON}csrc/distributed/rpc/unpickled_python_call.cpp.o",
    "caffe2/CMakeFiles/torch_cpu.dir/Unity/unity_086_cxx.cxx.o",
)
"""Of PyTorch 2.6.0 and its plan, files of each kind that costs much, small ones: a kernel for each CPU capability, an operator's autograd, a compiler's pass, a
binding to Python, a group."""
LONGEST = 15
"""Bytes of the longest instruction: what begins further away is not the next."""
KEPT_BITS = 3
"""Of a count: the layout asks which is larger, and not by how much exactly."""


@dataclass
class Counts:
    """What one library ran: how often each instruction, each jump and each call, by address in the library."""

    ran: "collections.Counter[int]" = field(default_factory=collections.Counter)
    left: "collections.Counter[int]" = field(default_factory=collections.Counter)
    """How often the instruction jumped away."""
    branches: "collections.Counter[tuple[int, int]]" = field(default_factory=collections.Counter)

    def lines(self) -> Iterator[str]:
        """perf2bolt's: a branch from, to, how often, mispredicted; a stretch without a branch from, to, how often."""
        for (start, end), times in self.branches.items():
            yield f"B {start:x} {end:x} {rounded(times)} 0\n"
        addresses = sorted(self.ran)
        for start, end in itertools.pairwise(addresses):
            times = self.ran[start] - self.left[start]
            if times > 0 and end - start <= LONGEST:
                yield f"F {start:x} {end:x} {rounded(times)}\n"


def rounded(count: int) -> int:
    shift = max(count.bit_length() - KEPT_BITS, 0)
    return count >> shift << shift


def read(callgrind: Path, counts: "dict[str, Counts]") -> None:
    """Adds a file of callgrind's, positions not compressed, to the libraries' counts, which are named by what their paths hold."""
    names: dict[str, str] = {}

    def library(text: str) -> "Counts | None":
        number, _, path = text.strip().partition(" ")
        if path:
            names[number] = path
        return next((found for name, found in counts.items() if name in names[number]), None)

    here = there = None
    pending = None  # a jump's or a call's line says how often and where to; where from stands on the next
    for line in callgrind.open():
        if line.startswith("0x"):
            address, *cost = line.split()
            at = int(address, 16)
            if pending:
                kind, times, to = pending
                if kind == "calls" and there:
                    there.branches[(at if here is there else 0, to)] += times
                elif kind != "calls" and here:
                    here.left[at] += times
                    here.branches[(at, to)] += times
                pending, there = None, here
            elif here:
                here.ran[at] += int(cost[0])
        elif line.startswith("ob="):
            here = there = library(line[3:])
        elif line.startswith("cob="):
            there = library(line[4:])
        elif match := re.match(r"(calls|jump|jcnd)=(\d+)\S* (0x[0-9a-f]+)", line):
            pending = (match[1], int(match[2]), int(match[3], 16))


def commands(objects: "list[str]", work: Path) -> "Iterator[tuple[Path, list[str]]]":
    """Where the recording of each object goes, and the compiler proper's command; makes their precompiled headers."""
    rules = json.loads(Path("/build/torch/pch.json").read_text())
    edge = launcher.Edge(str(work), "")
    for name in objects:
        told = subprocess.run(
            ["ninja", "-C", str(TREE / "build"), "-t", "commands", "-s", name], check=True, capture_output=True, text=True
        )
        words = shlex.split([line for line in told.stdout.splitlines() if " -c " in line][-1])
        command = launcher.parse(words[next(i for i, word in enumerate(words) if word.endswith("launcher.py")) + 1 :])
        rule = launcher.take_rule(command, rules)
        header = edge.pch(command, Path("/build/torch/headers") / rule["header"], rules["indifferent"])
        plain = launcher.Command(command.compiler, "/dev/null", command.source, command.flags)
        asked = [*plain.line(["-include-pch", header, *launcher.PCH_USE, *launcher.OPENMP_OPT_OFF]), "-###"]
        driver = subprocess.run(asked, cwd=TREE / "build", check=True, capture_output=True, text=True).stderr
        proper = next(line for line in driver.splitlines() if '"-cc1"' in line)
        yield work / f"{Path(name).name}.callgrind", shlex.split(proper)


def record(output: Path, command: "list[str]") -> None:
    if not output.exists():
        options = ["--dump-instr=yes", "--collect-jumps=yes", "--compress-pos=no", "--dump-line=no"]
        new = output.with_suffix(".new")
        counted = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={new}", *options, *command]
        subprocess.run(counted, cwd=TREE / "build", check=True, stderr=subprocess.DEVNULL)
        new.rename(output)


def main(work: Path, folder: Path, objects: "list[str]") -> int:
    work.mkdir(parents=True, exist_ok=True)
    recordings = dict(commands(objects, work))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(record, recordings.keys(), recordings.values()))
    compiler = next(iter(recordings.values()))[0]
    linked = subprocess.run(["ldd", compiler], check=True, capture_output=True, text=True).stdout
    libraries = dict(re.findall(r"(\S*(?:clang|LLVM)\S*) => (\S+)", linked))
    counts = {name: Counts() for name in libraries}
    for recording in recordings:
        read(recording, counts)
    for name, path in libraries.items():
        aggregated, profile = work / f"{name}.branches", work / f"{name}.fdata"
        aggregated.write_text("".join(counts[name].lines()))
        tool = Path(compiler).resolve().parent / "perf2bolt"
        subprocess.run([tool, "--allow-stripped", "-pa", "-p", aggregated, "-o", profile, Path(path).resolve()], check=True)
        notes = subprocess.run(["readelf", "-n", path], check=True, capture_output=True, text=True).stdout
        build_id = re.search(r"Build ID: (\w+)", notes)[1]
        (folder / f"{build_id}.fdata.xz").write_bytes(lzma.compress(profile.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or list(SAMPLE)))
