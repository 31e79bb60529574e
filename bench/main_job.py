"""The main job's own speed: `python bench/main_job.py [--stack FILE] [--trainer]` prints one row a figure.

Whole processes, the median of several runs, warm file cache. `--trainer` also changes one line of ARR_COC, launches the
trainer and puts the line back: it needs the published tiers below. The 100 MB log is made by a build of a small recipe.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from arrstack.launch import plan as planning
from arrstack.machine.folders import Folders
from arrstack.recipes.config import load
from arrstack.recipes.tiers import read
from arrstack.registry import connect

ROOT = Path(__file__).parent.parent
ENTRY = [sys.executable, str(ROOT / "CLI/cli.py")]
LOG_BYTES = 100_000_000


def seconds(action: Callable[[], object], runs: int) -> list[float]:
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        found.append(time.perf_counter() - began)
    return found


def process(*arguments: str) -> None:
    subprocess.run([*ENTRY, *arguments], check=True, stdout=subprocess.DEVNULL)


def show(what: str, found: list[float], at_most: str) -> None:
    print(
        f"{what:55} median {statistics.median(found):7.3f} s  ({min(found):.3f} to {max(found):.3f}, {len(found)} runs)  at most {at_most}"
    )


def decision(stack_file: Path) -> list[float]:
    """The decision alone: inputs of all tiers and their keys, without imports."""
    registry = connect(f"oci:{Folders.of(os.environ).registry}", os.environ)

    def decide() -> None:
        stack = load(stack_file)
        tiers = [recipe.planned for recipe in read(stack, {"COMPILE_PLAN": "auto"})]
        planning.plan(tiers, planning.Facts(registry.lookup), stack.profile_name, "auto", registry.name)

    decide()
    return seconds(decide, 9)


def trainer() -> float:
    """Seconds from a changed line of ARR_COC to a published trainer image."""
    file = ROOT / "ARR_COC/Training/train.py"
    text = file.read_text()
    try:
        file.write_text(text + f"# {time.time()}\n")
        return seconds(lambda: process("launch", "arr-trainer"), 1)[0]
    finally:
        file.write_text(text)


STACK = """default-profile = "p"
[[tiers]]
name = "loud"
recipe = "loud"
context = "loud"
[profiles.p]
description = "a log of 100 MB"
[profiles.p.bases]
BASE = { method = "mmdebstrap", suite = "trixie" }
[profiles.p.archive]
suite = "trixie"
date = "2026-01-01"
"""


def loud(folder: Path) -> tuple[float, int, int]:
    """A build with a log of 100 MB: seconds, the peak memory of arrstack itself in bytes, and the log's size."""
    (folder / "loud").mkdir()
    (folder / "stack.toml").write_text(STACK)
    line = "x" * 99
    (folder / "loud/Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nRUN yes {line} | head -c {LOG_BYTES}\n")
    environment = os.environ | {"XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data")}
    began = time.perf_counter()
    child = subprocess.Popen(
        [*ENTRY, "launch", "--stack", str(folder / "stack.toml")], env=environment, stdout=subprocess.DEVNULL
    )
    peak = 0
    while child.poll() is None:
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
            peak = max(peak, int(status.partition("VmHWM:")[2].split()[0]) * 1024)
        except (OSError, IndexError, ValueError):
            pass
        time.sleep(0.05)
    log = next((folder / "state/arrstack/logs").glob("*.log"))
    return time.perf_counter() - began, peak, log.stat().st_size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", type=Path, default=ROOT / "stack.toml")
    parser.add_argument("--trainer", action="store_true")
    given = parser.parse_args()
    stack = ["--stack", str(given.stack)]
    show("plan, nothing changed, whole process", seconds(lambda: process("plan", *stack), 9), "0.3 s")
    show("the decision alone", decision(given.stack), "0.05 s")
    show("launch, nothing changed, whole process", seconds(lambda: process("launch", *stack), 9), "1 s")
    if given.trainer:
        show("one line of ARR_COC to a new trainer image", [trainer() for _ in range(3)], "60 s")
    with tempfile.TemporaryDirectory() as folder:
        took, peak, size = loud(Path(folder))
        print(
            f"{'a build with a log of ' + str(size // 1_000_000) + ' MB':55} {took:.1f} s, peak memory of arrstack {peak / (1 << 20):.0f} MiB  at most 200 MB"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
