"""What leaving a part of PyTorch out would save: CPU-seconds of the record, MB of machine code and data in its objects.

    python bench/options.py BUILD RECORD GROUPS

BUILD is a finished build directory, RECORD its edges.tsv, GROUPS the groups.tsv that it was compiled with. A group's cost and size
are shared out over its files by the number of files. Prints the figures of docs/guide/options.md; `size` of binutils reads the objects.
"""

import collections
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Stack/arr-pytorch-base/build/common"))
import edges

OPTIONS = (
    ("USE_DISTRIBUTED=0", r"csrc/distributed/"),
    ("BUILD_LAZY_TS_BACKEND=0", r"csrc/lazy/"),
    ("USE_PYTORCH_QNNPACK=0", r"pytorch_qnnpack|quantized/cpu/qnnpack"),
    ("USE_XNNPACK=0", r"native/xnnpack/"),
    ("USE_MKLDNN=0", r"native/mkldnn/|/mkldnn/|ideep"),
    ("BUILD_FUNCTORCH=0", r"^functorch/"),
    ("without AVX-512 kernels (CXX_AVX512_FOUND=0)", r"\.AVX512\.cpp"),
    ("without AVX2 and AVX-512 kernels (and CXX_AVX2_FOUND=0)", r"\.AVX512\.cpp|\.AVX2\.cpp"),
)


def sizes(build: Path, objects: list[str]) -> dict[str, int]:
    """Bytes of text and data of each object."""
    told = subprocess.run(["size", *objects], cwd=build, capture_output=True, text=True).stdout.splitlines()[1:]
    return {row.split(maxsplit=5)[5]: int(row.split()[0]) + int(row.split()[1]) for row in told}


def files(groups: Path) -> dict[str, list[str]]:
    """Target and group -> the files in it."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for line in groups.read_text().splitlines():
        target, group, source = line.split("\t")
        found[f"{target} {group}"].append(source)
    return found


def main(build: Path, record: Path, groups: Path) -> int:
    recorded = edges.costs(edges.read(record.read_text()))
    costs = {name: seconds for name, seconds in recorded.items() if name.endswith(".o") and (build / name).exists()}
    bytes_of, members = sizes(build, list(costs)), files(groups)
    parts: list[tuple[str, float, float]] = []
    for name, seconds in costs.items():
        group = re.search(r"CMakeFiles/(\w+)\.dir/Unity/unity_(\d+)_", name)
        inside = members[f"{group[1]} {group[2]}"] if group else [name]
        parts += [(each, seconds / len(inside), bytes_of.get(name, 0) / len(inside)) for each in inside]
    seconds, size = sum(part[1] for part in parts), sum(part[2] for part in parts)
    print(f"| all of it | {seconds:.0f} | {size / 1e6:.0f} |")
    for option, pattern in OPTIONS:
        held = [part for part in parts if re.search(pattern, part[0])]
        saved, smaller = sum(part[1] for part in held), sum(part[2] for part in held)
        print(f"| {option} | {saved:.0f} ({saved / seconds:.1%}) | {smaller / 1e6:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
