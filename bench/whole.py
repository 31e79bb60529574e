"""CPU-seconds of our whole compile against those of the ordinary one, each from a record of its own.

Inside a container as bench/sample.py's, after it:

    python3 whole.py RECORD GCC_RECORD TIMES

GCC_RECORD is to be whole. RECORD is ours (edges.tsv), GCC_RECORD that of bench/baseline.py, TIMES what bench/sample.py kept of the
same RECORD. The records are of different machines and hours; the edges of TIMES were compiled by both, one after the other. What
they cost then against what they cost in each record is what that record is multiplied by, for each time that all of them were compiled.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "Stack/arr-pytorch-base/build/common"))
sys.path.append("/build/common")  # in the container

import baseline
import edges
import sample as compared


def main(record: Path, gcc_record: Path, kept: Path) -> int:
    pairs = compared.Pairs(record)
    ordinary = {name: cost / yard for name, (cost, _, yard) in baseline.read(gcc_record).items()}
    if left := sum(name not in ordinary for objects in pairs.plain.values() for name in objects):
        print(f"{left} objects are not in {gcc_record} yet: bench/baseline.py goes on with it", file=sys.stderr)
        return 1
    times = compared.read_times(kept)
    if not times or times.keys() - pairs.files.keys():
        print(f"{kept} is none of this record: bench/sample.py makes it", file=sys.stderr)
        return 1
    everything = sum(entry.seconds for entry in edges.read(record.read_text()))
    ours_then = sum(pairs.edges[name] for name in times)
    gcc_then = sum(ordinary[obj] for name in times for obj in pairs.objects(name))
    ratios = []
    for number in range(min(map(len, times.values()))):
        ours, gcc = (sum(pair[number][side] for pair in times.values()) for side in (0, 1))
        whole = everything * ours / ours_then, sum(ordinary.values()) * gcc / gcc_then
        ratios.append(whole[0] / whole[1])
        print(
            f"pair {number + 1}: {len(times)} edges {ours:.0f} s / {gcc:.0f} s; RECORD is multiplied by {ours / ours_then:.2f}, "
            f"a yardstick is {gcc / gcc_then:.2f} s; whole {whole[0]:.0f} s / {whole[1]:.0f} s = {ratios[-1]:.3f}, at most 0.33"
        )
    compared.conclude(ratios)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*map(Path, sys.argv[1:])))
