#!/usr/bin/env python3
"""Which CUDA objects clang may compile in nvcc's place: each is compiled by clang too, and its kernels are held against nvcc's.

    python3 tools/compile-plan/clang.py BUILD WORK TABLE [--only TEXT] [--seconds N]

In the toolchain's container. BUILD is a build directory with objects by nvcc (`/opt/pytorch/build`; nothing is written there), and
`../.arrstack/parts.tsv` the record of what they cost. WORK, a folder for clang's objects. TABLE gets a line for each object that it does
not have yet: the object, `clang` or `nvcc`, why. So it may be ended, and goes on. Then TABLE is the recipe's
`build/torch/clang/VERSION-ORIGIN-COMPILER.tsv`. `--only` takes the objects with that text in their name, `--seconds` ends after so long.

An object is clang's where clang compiles it, every kernel is there and no other, none takes more stack or local memory or other shared
memory than nvcc's (resources.py), and clang takes less CPU time. Numbers and time on a GPU come after that.

Environment as nvcc.py's, which compiles: PLAN_CXX, CUDA_TOOLKIT, ARRSTACK_CLANG_HEADER, ARRSTACK_CUDA_NAMESPACE.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COMMON = Path(os.environ.get("ARRSTACK_COMMON", ROOT / "Stack/arr-pytorch-base/build/common"))
sys.path.insert(0, str(COMMON))
import launcher
import parts
import resources
import schedule

GIVEN_UP = re.compile(r"nvcc compiles it, not clang: (.*)")
LEAST_GAIN = 0.9
"""Of nvcc's CPU time; dearer objects stay nvcc's."""


def edges(ninja: str) -> "list[launcher.Command]":
    """The compilations of GPU code in a build file of CMake's."""
    found = (schedule.command_of(match) for match in schedule.STATEMENT.finditer(ninja) if match[1].endswith(schedule.GPU_CODE))
    return list(found)


def costs(rows: Iterable[parts.Row]) -> dict[str, float]:
    """CPU-seconds by object, of each part and architecture the last that was run; PCHs are for all. An object with a part that came from
    the cache whenever it was asked for is left out: the record does not say what it costs."""
    last = {(row.name, row.what, row.arch): row.seconds for row in rows if row.status == 0}
    found: dict[str, float] = {}
    untold = set()
    for (name, what, arch), seconds in last.items():
        if what.startswith("kept "):
            if (name, what.removeprefix("kept "), arch) not in last:
                untold.add(name)
        elif what != "make-pch":
            found[name] = found.get(name, 0.0) + seconds
    return {name: seconds for name, seconds in found.items() if name not in untold}


def verdict(
    gave_up: str,
    by_nvcc: Mapping[str, resources.Usage],
    by_clang: Mapping[str, resources.Usage],
    seconds: tuple[float, float],
) -> tuple[str, str]:
    """`clang` or `nvcc`, and why; `seconds` are nvcc's and clang's."""
    if gave_up:
        return "nvcc", gave_up
    against = resources.reasons(by_nvcc, by_clang)
    if against:
        return "nvcc", f"{len(against)} against, the first: {against[0]}"
    told = f"{len(by_nvcc)} kernels, {seconds[1]:.1f} of {seconds[0]:.1f} CPU-seconds"
    return ("nvcc" if seconds[1] > LEAST_GAIN * seconds[0] else "clang"), told


def by_clang(edge: launcher.Command, work: Path, nvcc: str) -> str:
    """Compiles below the folder; why clang did not, or ''. No part is kept or was: what it costs is asked."""
    folder = work / "plan"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "objects.tsv").write_text(f"{edge.output}\tclang\n")
    output = work / edge.output
    output.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-I", "-S", str(COMMON / "nvcc.py"), nvcc, *edge.flags, "-c", edge.source, "-o", edge.output]
    environment = {**os.environ, "ARRSTACK_WORK": str(work), "ARRSTACK_CLANG_CUDA": str(folder), "ARRSTACK_NVCC_ID": ""}
    done = subprocess.run(argv, cwd=work, env=environment, stderr=subprocess.PIPE, text=True)
    gave_up = GIVEN_UP.search(done.stderr)
    return gave_up[1] if gave_up else "" if done.returncode == 0 else f"status {done.returncode}"


def record(path: Path) -> list[parts.Row]:
    return parts.read(path.read_text()) if path.is_file() else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    began = time.monotonic()
    known = {line.split("\t")[0] for line in options.table.read_text().splitlines()} if options.table.exists() else set()
    nvcc = os.environ.get("CUDACXX", "nvcc")
    for edge in edges((options.build / "build.ninja").read_text()):
        made = options.build / edge.output
        if edge.output in known or options.only not in edge.output or not made.exists():
            continue
        theirs = costs(record(options.build.parent / ".arrstack/parts.tsv")).get(edge.output)  # the build may go on meanwhile
        if theirs is None:
            print(edge.output, "is left out: the record does not say what it costs by nvcc", file=sys.stderr)
            continue
        if time.monotonic() - began > options.seconds:
            break
        gave_up = by_clang(edge, options.work, nvcc)
        ours = costs(record(options.work / "parts.tsv")).get(edge.output, 0.0)
        usages = ({}, {}) if gave_up else (resources.usage(made), resources.usage(options.work / edge.output))
        who, why = verdict(gave_up, *usages, (theirs, ours))
        with options.table.open("a") as table:
            table.write(f"{edge.output}\t{who}\t{why}\n")
        print(edge.output, who, why, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
