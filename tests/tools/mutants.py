"""Whether the unit tests of some rooms bite: a sample of mutants (mutmut), of every module its share.

    python3 -m venv .mutants && .mutants/bin/pip install --no-deps -r requirements-dev.lock && .mutants/bin/pip install mutmut==3.8.1
    nice -n 10 .mutants/bin/python tests/tools/mutants.py recipes launch [--count 200] [--least 3] [--seed 1] [--list]

Makes the mutants below `mutants/ROOMS` (thousands; minutes), runs the tests of these rooms against the drawn ones, one at a time, and
prints each that no test notices with its change. Some of those change nothing that can be seen: a person has to tell.
A folder that is there is used again: its code and its tests are those of the time when it was made.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MUTMUT = [sys.executable, "-W", "ignore", "-m", "mutmut"]
SURVIVED, NO_TEST = 0, 33
READ = ("ARR_COC", "CLI", "README.md", "Stack", "bench", "docs", "examples", "stack.toml", "tools")
"""What tests read besides the code and themselves."""


def prepared(rooms: Sequence[str]) -> Path:
    """The folder that mutmut runs in: it takes its settings from the `pyproject.toml` of that folder alone."""
    folder = ROOT / "mutants" / "-".join(rooms)
    if folder.is_dir():
        return folder
    folder.mkdir(parents=True)
    for name in ("src", "tests", *READ):
        (folder / name).symlink_to(ROOT / name)
    settings = {
        "source_paths": [f"src/arrstack/{room}/" for room in rooms],
        "also_copy": ["src/arrstack", *READ],
        "pytest_add_cli_args_test_selection": [f"tests/unit/{room}/" for room in rooms],
        "pytest_add_cli_args": [
            *("-p", "no:cacheprovider", "--ignore=tests/unit/verify/test_verify_real_compilers.py"),
            *("-k", "not edit and not number_in and not no_name and not no_bytes and not long"),
        ],
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text("\n".join([text, "[tool.mutmut]", *lines, ""]), encoding="utf-8")
    return folder


def results(folder: Path) -> dict[str, int | None]:
    """By mutant its exit code: None where it was not run."""
    found: dict[str, int | None] = {}
    for path in sorted((folder / "mutants/src").rglob("*.meta")):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def drawn(names: Sequence[str], count: int, least: int, seed: int) -> list[str]:
    """At least so many of each module, the rest by its share."""
    shuffled = sorted(names)
    random.Random(seed).shuffle(shuffled)
    modules: dict[str, list[str]] = {}
    for name in shuffled:
        modules.setdefault(name.rpartition(".")[0], []).append(name)
    return [name for of in modules.values() for name in of[: max(least, round(len(of) * count / len(names)))]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="+")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--least", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="draw, run nothing")
    options = parser.parse_args()
    folder = prepared(options.rooms)
    run = [*MUTMUT, "run", "--max-children", "1"]
    if not (folder / "mutants/src").is_dir():
        # It makes all mutants before it finds that none has this name.
        subprocess.run([*run, "none"], cwd=folder)
    sample = drawn(list(results(folder)), options.count, options.least, options.seed)
    if options.list:
        print(*sample, sep="\n")
        return
    subprocess.run([*run, *sample], check=True, cwd=folder)
    codes = results(folder)
    unnoticed = [name for name in sample if codes[name] in (SURVIVED, NO_TEST)]
    for name in unnoticed:
        shown = subprocess.run([*MUTMUT, "show", name], capture_output=True, text=True, cwd=folder).stdout.splitlines()
        print(name, *(line for line in shown if line[:1] in "+-" and line[:3] not in ("+++", "---")), sep="\n")
    print(f"{len(sample)} mutants of {len(codes)}, {len(sample) - len(unnoticed)} noticed")


if __name__ == "__main__":
    main()
