"""CPU-seconds of our whole compile against those of the ordinary one, each from a record of its own.

Inside a container as bench/compile.py's:

    python3 whole.py RECORD GCC_RECORD WORK [FILES]

GCC_RECORD is to be whole. RECORD is ours (edges.tsv), GCC_RECORD that of bench/baseline.py, WORK its folder. The records are of different machines and
hours, so edges that hold FILES files, 20 by default, are drawn as bench/compile.py draws them, and each is compiled again by
both, one after the other. What they cost now against what they cost in each record is what that record is multiplied by.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import baseline
import compile as compared


def main(record: Path, gcc_record: Path, work: Path, count: int) -> int:
    pairs = compared.Pairs(record, work / "tree")
    held = baseline.read(gcc_record)
    ordinary = {name: cost / yard for name, (cost, _, yard) in held.items()}
    if left := sum(name not in ordinary for objects in pairs.plain.values() for name in objects):
        print(f"{left} objects are not in {gcc_record} yet: bench/baseline.py goes on with it", file=sys.stderr)
        return 1
    now, then = [0.0, 0.0], [0.0, 0.0]
    for label, names in compared.draw(pairs.edges, pairs.files, count).items():
        for name in names:
            ours, gcc = pairs.time(name)
            before = pairs.edges[name], sum(ordinary[obj] for obj in pairs.objects(name))
            now, then = [now[0] + ours, now[1] + gcc], [then[0] + before[0], then[1] + before[1]]
            print(
                f"{label:10} {ours:6.1f} s / {gcc:6.1f} s, {before[0]:6.1f} s of RECORD, {before[1]:6.1f} yardsticks  {name}",
                flush=True,
            )
    everything = sum(float(row[0]) + float(row[1]) for row in map(str.split, record.read_text().splitlines()))
    whole = everything * now[0] / then[0], sum(ordinary.values()) * now[1] / then[1]
    print(f"RECORD is multiplied by {now[0] / then[0]:.2f}, a yardstick is {now[1] / then[1]:.2f} s")
    print(f"whole {whole[0]:.0f} s / {whole[1]:.0f} s = {whole[0] / whole[1]:.3f}, at most 0.33")
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    sys.exit(main(*map(Path, sys.argv[1:4]), int(sys.argv[4]) if len(sys.argv) > 4 else 20))
