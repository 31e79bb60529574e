#!/usr/bin/env python3
"""Whether another compiler's device code may stand in place of nvcc's: kernels by name, and what each takes of the GPU.

    python3 tools/compile-plan/resources.py NVCC.cubin OTHER.cubin

Both are objects or cubins of one source for one architecture; `cuobjdump` (CUDA) reads them. Prints the registers a kernel takes on
average, and each reason against the other: a kernel that is missing or extra, one with more stack or more local memory, one whose
shared memory differs. Exit status 1 where there is a reason. It is the first gate of three: numbers and time on a GPU come after it.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import NamedTuple

USAGE = re.compile(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
"""What `cuobjdump -res-usage` says of a kernel, on two lines (CUDA Binary Utilities, "cuobjdump")."""


ARCH = re.compile(r"^arch = (\w+)$", re.MULTILINE)
"""How it says whose the kernels below are."""
NO_CODE = "does not contain device code"
SAYS = "Resource usage"
"""What it says of any code that it can read, also where no kernel is in it."""


class Usage(NamedTuple):
    """Registers of a thread; bytes of stack and of local memory of a thread, of shared memory of a block."""

    registers: int
    stack: int
    shared: int
    local: int


ANONYMOUS = re.compile(r"(\d+)(_GLOBAL__N__)")
"""How nvcc mangles an anonymous namespace: with the file's name and digests. Other compilers call it `_GLOBAL__N_1` (Itanium C++ ABI)."""


def common_name(name: str) -> str:
    """A kernel's name as every compiler would have it."""
    found = ANONYMOUS.search(name)
    while found:
        name = f"{name[: found.start()]}12_GLOBAL__N_1{name[found.end(1) + int(found[1]) :]}"
        found = ANONYMOUS.search(name)
    return name


def read(told: str) -> dict[str, Usage]:
    """Kernel -> what it takes; of several architectures `sm_80 kernel`."""
    begin, *rest = ARCH.split(told)
    texts = [("", begin), *zip(rest[::2], rest[1::2], strict=True)]
    several = len(set(rest[::2])) > 1
    return {
        f"{arch} {common_name(found[1])}" if several else common_name(found[1]): Usage(*map(int, found.groups()[1:]))
        for arch, text in texts
        for found in USAGE.finditer(text)
    }


def reasons(nvcc: Mapping[str, Usage], other: Mapping[str, Usage]) -> list[str]:
    """A sentence for each thing that speaks against the other; none where it may stand."""
    found = [f"{name}: missing" for name in sorted(nvcc.keys() - other.keys())]
    found += [f"{name}: nvcc has none such" for name in sorted(other.keys() - nvcc.keys())]
    for name in sorted(nvcc.keys() & other.keys()):
        was, becomes = nvcc[name], other[name]
        for what in ("stack", "local"):
            if getattr(becomes, what) > getattr(was, what):
                found.append(f"{name}: {getattr(becomes, what)} bytes of {what}, nvcc {getattr(was, what)}")
        if becomes.shared != was.shared:
            found.append(f"{name}: {becomes.shared} bytes of shared memory, nvcc {was.shared}")
    return found


def usage(path: Path) -> dict[str, Usage]:
    """What cuobjdump says of a file; nothing of one without device code. Ends the program where it cannot read the code: one of CUDA 12.4
    knows no zstd."""
    done = subprocess.run(["cuobjdump", "-res-usage", str(path)], capture_output=True, text=True)
    told = done.stdout + done.stderr
    if NO_CODE not in told and (done.returncode or SAYS not in told):
        sys.exit(f"error: cuobjdump does not read {path}: {told.strip()[-300:] or 'it says nothing'}")
    return read(told)


def main(nvcc: Path, other: Path) -> int:
    by_nvcc, by_other = usage(nvcc), usage(other)
    if not by_nvcc:
        sys.exit(f"error: cuobjdump names no kernel in {nvcc}: it takes cubins, and objects with device code")
    for path, held in ((nvcc, by_nvcc), (other, by_other)):
        average = mean(each.registers for each in held.values()) if held else 0.0
        print(f"{path.name}: {len(held)} kernels, {average:.1f} registers on average")
    found = reasons(by_nvcc, by_other)
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
