"""What CUDA files cost, by part and kind: from the record that nvcc.py wrote.

    python bench/parts.py parts.tsv [--dearest N]

`parts.tsv` lies in the build's cache mount (`/opt/pytorch/.arrstack`). Prints CPU-seconds of preprocessing, cudafe++, cicc, ptxas and the host
compiler for each architecture and kind of file, the largest process, what came from the cache, and the N dearest objects. Of a part that
was made more than once, the last one counts; kept ones count as nothing.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Stack/arr-pytorch-base/build/common"))
import parts

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


def dearest(rows: Iterable[parts.Row], count: int) -> list[tuple[float, str]]:
    """CPU-seconds and name of the objects that cost most."""
    costs: dict[str, float] = defaultdict(float)
    for (name, _, _), row in last(rows).items():
        costs[name] += row.seconds
    return sorted(((cost, name) for name, cost in costs.items()), reverse=True)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path)
    parser.add_argument("--dearest", type=int, default=10, metavar="N")
    options = parser.parse_args()
    rows = parts.read(options.record.read_text())
    print("\n".join(table(rows)))
    made = last(rows).values()
    whole = sum(row.seconds for row in made if row.what in ORDER)
    for what in ORDER:
        seconds = sum(row.seconds for row in made if row.what == what)
        print(f"{what:12}{seconds:10.1f} s  {seconds / whole if whole else 0:5.1%}")
    kept = sum(row.what.startswith("kept") for row in rows)
    print(f"{len({row.name for row in rows})} objects, {whole:.0f} CPU-seconds, {kept} parts came from the cache")
    for cost, name in dearest(rows, options.dearest):
        print(f"{cost:10.1f} s  {name}")


if __name__ == "__main__":
    main()
