"""Whether the unit tests of `verify` and `artifacts` bite: a sample of mutants (mutmut), of every module its share.

    python3 -m venv .mutants && .mutants/bin/pip install -r requirements-dev.lock && .mutants/bin/pip install mutmut==3.8.1
    nice -n 10 .mutants/bin/python tests/tools/mutants.py [--count 200] [--seed 1]

Makes the mutants below `mutants/` (thousands; minutes), runs the tests against the drawn ones, one at a time, and prints each that
no test notices with its change. Some of those change nothing that can be seen: a person has to tell.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

MUTMUT = [sys.executable, "-W", "ignore", "-m", "mutmut"]
FIRST = "arrstack.verify.ar.x__number__mutmut_1"
SURVIVED, NO_TEST = 0, 33


def results() -> dict[str, int | None]:
    """By mutant its exit code: None where it was not run."""
    found: dict[str, int | None] = {}
    for path in sorted(Path("mutants/src").rglob("*.meta")):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def drawn(names: list[str], count: int, seed: int) -> list[str]:
    """At least three of each module, the rest by its share."""
    shuffled = sorted(names)
    random.Random(seed).shuffle(shuffled)
    modules: dict[str, list[str]] = {}
    for name in shuffled:
        modules.setdefault(name.rpartition(".")[0], []).append(name)
    return [name for of in modules.values() for name in of[: max(3, round(len(of) * count / len(names)))]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not Path("mutants/src").is_dir():
        subprocess.run([*MUTMUT, "run", "--max-children", "1", FIRST], check=True)
    sample = drawn(list(results()), options.count, options.seed)
    subprocess.run([*MUTMUT, "run", "--max-children", "1", *sample], check=True)
    codes = results()
    unnoticed = [name for name in sample if codes[name] in (SURVIVED, NO_TEST)]
    for name in unnoticed:
        shown = subprocess.run([*MUTMUT, "show", name], capture_output=True, text=True).stdout.splitlines()
        print(name, *(line for line in shown if line[:1] in "+-" and line[:3] not in ("+++", "---")), sep="\n")
    print(f"{len(sample)} mutants of {len(codes)}, {len(sample) - len(unnoticed)} noticed")


if __name__ == "__main__":
    main()
