"""How fast the compiler cache travels, against `zstd -T0` and a copy of the same bytes.

    python bench/cache.py FOLDER [HOST:PORT]

FOLDER is a ccache directory (`arrstack cache stats` names it). Three rounds, each with an empty registry directory on FOLDER's file
system, or an empty repository of the server HOST:PORT: everything pushed, everything pulled into an empty folder; beside them what a
person would type: `tar | zstd -1 -T0` into a file, that file copied, and back. Prints medians and their ratios; zstd must be installed.
"""

import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from arrstack import compiler_cache as cache
from arrstack.cli import cache as command
from arrstack.machine.process import Processes
from arrstack.registry import OciDirectory, Registry, connect

ROUNDS = 3
copy = partial(command.copy, Processes())


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def packed(folder: Path, archive: Path) -> None:
    names = "\n".join(sorted(cache.CacheFolder(folder).entries()))
    command = 'tar -C "$1" -cf - -T - | zstd -q -1 -T0 -o "$2" && cp "$2" "$2.copy"'
    subprocess.run(["sh", "-c", command, "sh", folder, archive], input=names, text=True, check=True)


def unpacked(archive: Path, folder: Path) -> None:
    folder.mkdir()
    command = 'cp "$1.copy" "$1" && zstd -q -d -T0 -c "$1" | tar -C "$2" -xf -'
    subprocess.run(["sh", "-c", command, "sh", archive, folder], check=True)


def a_round(folder: Path, root: Path, server: str) -> dict[str, float]:
    home = {"HOME": str(root)}
    registry: Registry = connect(f"{server}/{uuid.uuid4().hex}", home) if server else OciDirectory(root / "registry")
    for name in ("out", "in"):
        (root / name).mkdir()
    return {
        "push": timed(lambda: cache.push(folder, registry, "t", copy, root / "out")),
        "zstd and copy": timed(lambda: packed(folder, root / "archive")),
        "pull": timed(lambda: cache.pull(root / "here", registry, "t", root / "in")),
        "copy and unzstd": timed(lambda: unpacked(root / "archive", root / "there")),
    }


def main(folder: Path, server: str) -> int:
    size = sum(cache.CacheFolder(folder).entries().values())
    times: dict[str, list[float]] = {name: [] for name in ("push", "zstd and copy", "pull", "copy and unzstd")}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            for name, seconds in a_round(folder, Path(made), server).items():
                times[name].append(seconds)
    median = {name: statistics.median(values) for name, values in times.items()}
    for ours, theirs in (("push", "zstd and copy"), ("pull", "copy and unzstd")):
        rate = size / median[ours] / 1e6
        print(
            f"{ours}: {median[ours]:.2f} s, {rate:.0f} MB/s; {theirs}: {median[theirs]:.2f} s; throughput {median[theirs] / median[ours]:.2f} of it, at least 0.8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
