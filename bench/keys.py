"""Keys against the truth: random recipes, each changed at random, built by a real engine before and after.

    bench/keys.py [--engine buildah|docker] [--cases 2000] [--seed 1] [--busybox /bin/busybox]

Prints how many changes of an image the inputs showed, how many they missed (with the recipe), and how often they changed
though the image did not. 2,000 cases take about an hour and a half on two cores. On docker the recipes also hold what buildah 1.28
does not know; the daemon is one of its own, as in tests/contract.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.tools.dockerd import dockerd, quick_folder
from tests.tools.truth import Generator, Untrue, verdicts

from arrstack.engines import Buildah, Docker, Engine
from arrstack.machine.process import Processes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("buildah", "docker"), default="buildah")
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--busybox", type=Path, default=shutil.which("busybox"), help="a static one, for RUN (busybox-static)")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    newer = given.engine == "docker"
    with contextlib.ExitStack() as stack:
        folder = quick_folder("keys-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        engine: Engine = Buildah(Processes(environment), folder / "cache", os.geteuid() == 0)
        if newer:
            cache = Path(os.environ.get("ARRSTACK_TEST_CACHE") or tempfile.gettempdir())
            engine = Docker(Processes(environment | stack.enter_context(dockerd(cache))), folder / "cache")
        engine.version()
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            for verdict in verdicts(Generator(given.seed, newer, given.busybox), engine, work, given.cases):
                counts[verdict.kind] += 1
                done = counts["right"] + counts["over"]
                if done % 50 == 0 and verdict.kind in ("right", "over"):
                    print(done, dict(counts), flush=True)
        except Untrue as error:
            print(error)
            return 1
    share = counts["over"] / given.cases
    print(f"{given.engine}: {given.cases} changes, 0 missed, {share:.1%} counted though the image stayed; {dict(counts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
