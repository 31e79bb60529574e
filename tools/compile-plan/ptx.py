#!/usr/bin/env python3
"""Which architectures have the same device code in which object: from the record of a build that made it for each.

    python3 tools/compile-plan/ptx.py parts.tsv [parts.tsv ...] >Stack/arr-pytorch-base/build/torch/same-ptx/VERSION-ORIGIN-COMPILER.tsv

`parts.tsv` lies in the build's cache mount (`/opt/pytorch/.arrstack`); build once without a list, so that cicc runs for each. Two
architectures are the same in an object where cicc's PTX differs in nothing but the line that names the architecture, and the host's
stubs in nothing: the record holds a digest of both. A build makes of each group the first, or one that it has kept.

A line: the object, then each group, `ARCH=ARCH...` from the lowest, separated by tabs. To standard error go the CPU-seconds
of cicc that the list saves of those in the record.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "Stack/arr-pytorch-base/build/common"))
import parts

Digests = dict[str, dict[str, str]]
"""Object -> architecture -> digest."""


def digests(rows: Iterable[parts.Row]) -> Digests:
    """The last that each object had for an architecture; also of what came from the cache where the record has it."""
    found: Digests = {}
    for row in rows:
        if row.what in ("cicc", "kept cicc") and row.status == 0 and row.digest:
            found.setdefault(row.name, {})[row.arch] = row.digest
    return found


def number(arch: str) -> tuple[int, str]:
    """`compute_90a` -> (90, "a"): the order of architectures."""
    parted = re.fullmatch(r"compute_(\d+)(\w*)", arch)
    return (int(parted[1]), parted[2]) if parted else (0, arch)


def same(of_object: dict[str, str]) -> list[list[str]]:
    """The groups of architectures with the same device code, each from the lowest; none of one."""
    groups: dict[str, list[str]] = {}
    for arch in sorted(of_object, key=number):
        groups.setdefault(of_object[arch], []).append(arch)
    return [group for group in groups.values() if len(group) > 1]


def main(records: list[Path]) -> int:
    rows = [row for path in records for row in parts.read(path.read_text())]
    cost = {(row.name, row.arch): row.seconds for row in rows if row.what == "cicc"}
    saved = 0.0
    for name, of_object in sorted(digests(rows).items()):
        groups = same(of_object)
        if groups:
            print(name, *("=".join(group) for group in groups), sep="\t")
            saved += sum(cost.get((name, arch), 0.0) for group in groups for arch in group[1:])
    print(f"saves {saved:.0f} of {sum(cost.values()):.0f} CPU-seconds of cicc", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
