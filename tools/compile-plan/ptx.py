#!/usr/bin/env python3
"""Which architectures have the same device code in which object: from the record of a build that made it for each.

    python3 tools/compile-plan/ptx.py LIST parts.tsv [parts.tsv ...]

LIST is the recipe's `build/torch/same-ptx/VERSION-ORIGIN-COMPILER.tsv`, and is brought up to date. `parts.tsv` lies in the build's cache mount
(`/opt/pytorch/.arrstack`). Two architectures are the same in an object where cicc's PTX differs in nothing but the line that names the
architecture, and the host's stubs in nothing: the record holds a digest of both. What a build with a LIST did not make anew (`share`) is
as LIST says, as long as the record does not say otherwise; so is an object that the record has for one architecture alone.

A line of LIST: the object, then each group, `ARCH=ARCH...` from the lowest, separated by tabs. To standard error go the groups that no
longer hold, what is left out, and the CPU-seconds of cicc that the list saves of those in the record. Where the record has nothing to compare, LIST stays
as it is, and the exit status is 1.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "Stack/arr-pytorch-base/build/common"))
import launcher
import parts

Digests = dict[str, dict[str, str]]
"""Object -> architecture -> digest."""
Groups = dict[str, list[list[str]]]
"""Object -> groups of architectures with the same device code."""


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


def updated(known: Groups, made: Digests) -> tuple[Groups, list[str]]:
    """The list as the record has it, and a sentence for each group of `known` that no longer holds. What the record does not have of a
    group that holds stays in it."""
    found, broken = dict(known), []
    for name, of_object in made.items():
        every = dict(of_object)
        for group in known.get(name, []):
            had = {of_object[arch] for arch in group if arch in of_object}
            if len(had) > 1:
                broken.append(f"{name}: {'='.join(group)} no longer holds")
            else:
                told = "".join(had) or "=".join(group)
                every |= dict.fromkeys(group, told)
        found[name] = same(every)
    return {name: groups for name, groups in sorted(found.items()) if groups}, broken


def nothing(made: Digests) -> str:
    """Why there is nothing to compare; '' where there is something."""
    if any(len(of_object) > 1 for of_object in made.values()):
        return ""
    archs = ", ".join(sorted({arch for of_object in made.values() for arch in of_object}, key=number))
    had = f"{len(made)} objects, each for one architecture alone ({archs})" if made else "no device code of cicc's"
    return f"the record has {had}: nothing to compare. Build for several architectures first (`archs` in stack.toml)"


def unsaid(groups: Groups, rows: Iterable[parts.Row]) -> list[str]:
    """A sentence where architectures took the PTX of another, and no list says whose."""
    took = {(row.name, row.arch) for row in rows if row.what == "share"}
    left = sorted((name, arch) for name, arch in took if not any(arch in group for group in groups.get(name, [])))
    if not left:
        return []
    told = f"{len(left)} times an architecture took another's PTX, and the list does not say whose, first {' '.join(left[0])}"
    return [f"{told}: begin with the list that the build had, or build without one"]


def saved(groups: Groups, rows: Iterable[parts.Row]) -> str:
    """What the list saves, in words."""
    cost = {(row.name, row.arch): row.seconds for row in rows if row.what == "cicc" and row.status == 0}
    every = (
        [cost[name, arch] for arch in group if (name, arch) in cost] for name, of_object in groups.items() for group in of_object
    )
    less = sum(sum(each[1:]) for each in every)
    return f"saves {less:.0f} of {sum(cost.values()):.0f} CPU-seconds of cicc"


def main(list_file: Path, records: list[Path]) -> int:
    rows = []
    for path in records:
        try:
            rows += parts.read(path.read_text(errors="replace"))
        except (OSError, parts.RecordError) as error:
            sys.exit(f"error: {path}: {error}")
    made = digests(rows)
    if why := nothing(made):
        sys.exit(f"error: {why}")
    known = launcher.read_same(list_file.read_text()) if list_file.exists() else {}
    groups, broken = updated(known, made)
    list_file.write_text("".join("\t".join([name, *map("=".join, each)]) + "\n" for name, each in groups.items()))
    print(*broken, *unsaid(groups, rows), saved(groups, rows), sep="\n", file=sys.stderr)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path)
    parser.add_argument("records", type=Path, nargs="+", metavar="parts.tsv")
    options = parser.parse_args()
    sys.exit(main(options.list, options.records))
