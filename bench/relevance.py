"""Does the model spend its tokens well, and does each point of view matter?

In an environment with the packages of ARR_COC: `python bench/relevance.py FOLDER JOBS`. Five seeds, each as it is, without one of the three
points of view, and with uniform allocations alone; what each answers rightly by the budget, and how long it took.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TRAIN = Path(__file__).resolve().parents[1] / "ARR_COC/Training/train.py"
SEEDS = range(1, 6)
KINDS = {
    "model": [],
    "without information": ["model.without=[information]"],
    "without salience": ["model.without=[salience]"],
    "without coupling": ["model.without=[coupling]"],
    "trained uniformly": ["explore=1.0"],
}


def trained(folder: Path, kind: str, seed: int) -> dict[str, object]:
    """The result of a run, with its seconds."""
    output = folder / f"{kind.replace(' ', '-')}-{seed}"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(TRAIN), f"output={output}", f"seed={seed}", "held_out=1024", "wandb=off", *KINDS[kind]],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return json.loads(done.stdout.rpartition("ARR_RESULT ")[2]) | {"seconds": time.monotonic() - began}


def main(folder: Path, jobs: int) -> None:
    asked = [(kind, seed) for kind in KINDS for seed in SEEDS]
    with ThreadPoolExecutor(jobs) as pool:
        results = dict(zip(asked, pool.map(lambda pair: trained(folder, *pair), asked), strict=True))
    for average in ("1.125", "1.25", "1.5", "2.0", "3.0", "5.0"):
        print(f"{average} tokens a patch")
        for kind in KINDS:
            ways = (
                ["uniform"]
                if kind == "trained uniformly"
                else ["model", *(["uniform", "random", "oracle"] if kind == "model" else [])]
            )
            for way in ways:
                found = [results[kind, seed]["curves"][way][average] for seed in SEEDS]
                print(f"  {kind:20} {way:8} {statistics.mean(found):.3f} (" + " ".join(f"{share:.3f}" for share in found) + ")")
    print("seconds a run:", " ".join(f"{results['model', seed]['seconds']:.0f}" for seed in SEEDS))
    (folder / "results.json").write_text(json.dumps({f"{kind}/{seed}": result for (kind, seed), result in results.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
