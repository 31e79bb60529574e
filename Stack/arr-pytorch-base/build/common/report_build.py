#!/usr/bin/env python3
"""report_build.py: what a compile says now and then, for who follows its log: how many objects came from ccache, and what each edge
that no cache answered cost (`ARRSTACK edge: ` and its line of the record, edges.py), so that the next compile is ordered by it wherever that runs.

It ends with the build that started it: what is left over would hold the build's output, which the engine reads to the end. Stopped
by SIGTERM it says first what it has not said yet.

Environment: ARRSTACK_WORK, the launcher's folder.
"""

import os
import re
import signal
import subprocess
import sys
import time
from typing import Callable

SECONDS = 30.0
COUNTER = re.compile(r"^(direct_cache_hit|preprocessed_cache_hit|cache_miss)\t(\d+)$", re.MULTILINE)


def report(statistics: str) -> str:
    """One line about what `ccache --print-stats` says; nothing as long as nothing was asked of the cache."""
    counters = {name: int(count) for name, count in COUNTER.findall(statistics)}
    misses = counters.pop("cache_miss", 0)
    hits = sum(counters.values())
    return f"ARRSTACK cache: {hits} hits of {hits + misses}" if hits + misses else ""


class Edges:
    """The record of edges that no cache answered (launcher.py), from its end on as it was when this began."""

    def __init__(self, path: str):
        self.path = path
        self.at = os.path.getsize(path) if os.path.exists(path) else 0

    def new(self) -> "list[str]":
        """The whole lines that came since."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, "rb") as record:
            record.seek(self.at)
            lines = record.read().rpartition(b"\n")[0]
        self.at += len(lines) + 1 if lines else 0
        return [f"ARRSTACK edge: {line}" for line in lines.decode(errors="replace").splitlines()]


def say(lines: "list[str]") -> None:
    """Each in one write: what ninja says at the same time does not stand within it."""
    for line in filter(None, lines):
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def stop(signum: int, frame: object) -> None:
    raise SystemExit(0)


def main(record: str, ccache: str = "ccache", seconds: float = SECONDS, sleep: Callable[[float], None] = time.sleep) -> int:
    build, edges = os.getppid(), Edges(record)
    signal.signal(signal.SIGTERM, stop)
    try:
        while True:
            sleep(seconds)
            if os.getppid() != build:
                return 0
            statistics = subprocess.run([ccache, "--print-stats"], stdout=subprocess.PIPE, text=True)
            if statistics.returncode:
                return statistics.returncode
            say([report(statistics.stdout), *edges.new()])
    finally:
        if os.getppid() == build:
            say(edges.new())


if __name__ == "__main__":
    sys.exit(main(os.environ["ARRSTACK_WORK"] + "/fresh.tsv"))
