#!/usr/bin/env python3
"""report_cache.py: says every half minute how many objects came from ccache. The console shows it beside the progress.

It ends with the build that started it: what is left over would hold the build's output, which the engine reads to the end.
"""

import os
import re
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


def main(ccache: str = "ccache", seconds: float = SECONDS, sleep: Callable[[float], None] = time.sleep) -> int:
    build = os.getppid()
    while True:
        sleep(seconds)
        if os.getppid() != build:
            return 0
        statistics = subprocess.run([ccache, "--print-stats"], stdout=subprocess.PIPE, text=True)
        if statistics.returncode:
            return statistics.returncode
        line = report(statistics.stdout)
        if line:
            print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
