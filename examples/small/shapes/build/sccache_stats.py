"""sccache_stats.py SCCACHE: what sccache answered, once its last object is in the bucket: it writes behind the compiler's back, and its end would cut that off."""

import json
import subprocess
import sys
import time

PATIENCE = 10.0
"""Seconds that the last object is waited for."""


def main(sccache: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        stats = json.loads(subprocess.check_output([sccache, "--show-stats", "--stats-format=json"]))["stats"]
        hits, misses = (sum(stats[kind]["counts"].values()) for kind in ("cache_hits", "cache_misses"))
        asked, written = stats["requests_executed"], stats["cache_writes"] + stats["cache_write_errors"]
        if (hits + misses >= asked and written >= misses) or time.monotonic() > end:
            break
        time.sleep(0.1)
    print(f"ARRSTACK cache: {hits} hits of {asked}")


if __name__ == "__main__":
    main(sys.argv[1])
