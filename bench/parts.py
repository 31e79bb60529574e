"""What CUDA files cost, by part and kind: from the record that nvcc.py wrote.

    python bench/parts.py parts.tsv [parts.tsv ...] [--dearest N]

`parts.tsv` lies in the build's cache mount (`/opt/pytorch/.arrstack`). Prints CPU-seconds of preprocessing, cudafe++, cicc, ptxas and the host
compiler for each architecture and kind of file, the largest process, what came from the cache, and the N dearest objects. Of a part that
was made more than once, in one record or in several of the same source, the last one counts; kept ones count as nothing.

Of the objects with all their parts it prints too what one architecture more costs by them, against that architecture alone, and what all
costs against the same parts where no architecture takes another's PTX, as nvcc does it.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tools/compile-plan"))
sys.path.insert(0, str(Path(__file__).parents[1] / "Stack/arr-pytorch-base/build/common"))
import parts
import ptx

KINDS = {
    "flash attention": re.compile(r"/flash_attn/"),
    "memory-efficient attention": re.compile(r"/mem_eff_attention/"),
    "CUTLASS": re.compile(r"(RowwiseScaledMM|AsyncMM|SparseSemiStructured|MixedDtypesLinear|NestedTensorMatmul)"),
}
ORDER = ("preprocess", "cudafe", "cicc", "ptxas", "fatbinary", "host")


def kind(name: str) -> str:
    return next((label for label, pattern in KINDS.items() if pattern.search(name)), "the others")


def last(rows: Iterable[parts.Row]) -> dict[tuple[str, str, str], parts.Row]:
    """(object, part, architecture) -> the last time that it was really made."""
    return {(row.name, row.what, row.arch): row for row in rows if row.status == 0 and not row.what.startswith("kept")}


def table(rows: Iterable[parts.Row]) -> list[str]:
    """A line for each kind, part and architecture: objects, CPU-seconds, the largest process in MiB."""
    held: dict[tuple[str, str, str], list[parts.Row]] = defaultdict(list)
    for (name, what, arch), row in last(rows).items():
        if what in ORDER:
            held[kind(name), what, arch.replace("compute_", "sm_")].append(row)
    keys = sorted(held, key=lambda key: (key[0], ORDER.index(key[1]), key[2]))
    return [
        f"{label:28}{what:12}{arch:8}{len(held[label, what, arch]):6}{sum(row.seconds for row in held[label, what, arch]):10.1f} s"
        f"{max(row.peak for row in held[label, what, arch]) / 1024:8.0f} MiB"
        for label, what, arch in keys
    ]


def whole(rows: Iterable[parts.Row]) -> dict[str, dict[tuple[str, str], float]]:
    """Object -> (part, architecture) -> CPU-seconds, of nvcc's objects of which each part was made, or taken from another architecture: that
    is `share`, and costs what the object's dearest cicc does, which nvcc would have run once more. The architecture is its number."""
    rows = list(rows)
    taken = {(row.name, row.arch) for row in rows if row.what == "share"}
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for (name, what, arch), row in last(rows).items():
        if what != "share":
            found[name][what, arch.rpartition("_")[2]] = row.seconds
    for name, arch in taken:
        number = arch.rpartition("_")[2]
        if ("cicc", number) not in found[name]:  # else another of the records made it
            found[name]["share", number] = max((s for (w, _), s in found[name].items() if w == "cicc"), default=0.0)
    return {name: made for name, made in found.items() if _complete(made)}


def _complete(made: dict[tuple[str, str], float]) -> bool:
    archs = {arch for what, arch in made if what == "ptxas"}
    needs = {("cudafe", ""), ("fatbinary", ""), ("host", "")} | {("preprocess", arch) for arch in archs}
    return bool(archs) and needs <= made.keys() and all(("cicc", arch) in made or ("share", arch) in made for arch in archs)


def added(made: dict[tuple[str, str], float], arch: str) -> float:
    """One object: what an architecture more costs, where all else is kept, against that architecture alone. Packing and the host's code, which
    holds the packed code, are made again; they are counted as those of all architectures in both."""
    own = sum(seconds for (what, of), seconds in made.items() if of == arch)
    again = made["fatbinary", ""] + made["host", ""]
    alone = own + again + made["cudafe", ""] + made.get(("preprocess", ""), 0.0)
    return (own + again) / alone if alone else 1.0


def shared(made: dict[str, dict[tuple[str, str], float]], digests: ptx.Digests | None = None) -> float:
    """All objects: what they cost against the same parts with a cicc for each architecture. With digests, what they would cost where each PTX
    that is another's to the letter was made once too, as a list of all of them has it."""
    every = sum(sum(each.values()) for each in made.values())
    spared = sum(seconds for each in made.values() for (what, _), seconds in each.items() if what == "share")
    for name, of_object in (digests or {}).items():
        for _, *others in ptx.same(of_object):
            spared += sum(made.get(name, {}).get(("cicc", arch.rpartition("_")[2]), 0.0) for arch in others)
    return (every - spared) / every if every else 1.0


def dearest(rows: Iterable[parts.Row], count: int) -> list[tuple[float, str]]:
    """CPU-seconds and name of the objects that cost most."""
    costs: dict[str, float] = defaultdict(float)
    for (name, _, _), row in last(rows).items():
        costs[name] += row.seconds
    return sorted(((cost, name) for name, cost in costs.items()), reverse=True)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, nargs="+", metavar="parts.tsv")
    parser.add_argument("--dearest", type=int, default=10, metavar="N")
    options = parser.parse_args()
    rows = [row for record in options.records for row in parts.read(record.read_text())]
    print("\n".join(table(rows)))
    made = last(rows).values()
    every = sum(row.seconds for row in made if row.what in ORDER)
    for what in ORDER:
        seconds = sum(row.seconds for row in made if row.what == what)
        print(f"{what:12}{seconds:10.1f} s  {seconds / every if every else 0:5.1%}")
    kept = sum(row.what.startswith("kept") for row in rows)
    print(f"{len({row.name for row in rows})} objects, {every:.0f} CPU-seconds, {kept} parts came from the cache")
    complete = whole(rows)
    ratios = [
        added(each, arch) for each in complete.values() for arch in sorted({arch for what, arch in each if what == "ptxas"})
    ]
    if ratios:
        print(
            f"one architecture more / that one alone: {median(ratios):.2f}, {max(ratios):.2f} at most ({len(complete)} objects)"
        )
        print(
            f"with shared PTX / each architecture's own: {shared(complete):.2f}; were all that is the same made once: {shared(complete, ptx.digests(rows)):.2f}"
        )
    for cost, name in dearest(rows, options.dearest):
        print(f"{cost:10.1f} s  {name}")


if __name__ == "__main__":
    main()
