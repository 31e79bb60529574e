"""CPU-seconds of our compile against the ordinary gcc compile, by a stratified sample of files in one run.

Inside a container of the bottom recipe's `torch-builder` stage, with the tree of a finished compile at /opt/pytorch:

    python3 sample.py RECORD TIMES [FILES [JOBS]]

RECORD is the record of a whole compile (edges.tsv). Its edges, a file or a group of files compiled together, are drawn with a
fixed seed from strata (groups, csrc, jit, native, kernels, generated, others) in proportion to their cost, until they hold
FILES files, 100 by default, at least two edges of each; not the halves of a kernel file, which gcc compiles whole, nor one that
registers nothing, which it compiles in full. A second tree is configured with COMPILE_PLAN=none at /opt/pytorch-gcc. Each edge
is compiled by both, one after the other: ours by the launcher with an empty ccache, gcc by the plain command of each of its files;
three times over, every edge once before any a second time; JOBS edges at once, 1 by default. TIMES keeps what each took, and a
run that was ended goes on from it; another tree or other JOBS want another one. A stratum's ratio is scaled to its cost in the record; all PCHs of the record are added.
"""

import collections
import json
import os
import random
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "Stack/arr-pytorch-base/build/common"))
sys.path.append("/build/common")  # in the container
import edges

OBJECT = re.compile(r"\.(cpp|cc|cxx)\.o$")
OURS, GCC, SCRATCH = Path("/opt/pytorch"), Path("/opt/pytorch-gcc"), Path("/tmp/bench")
ROUNDS = 3
STRATA = (
    ("groups", re.compile(r"/Unity/unity_")),
    ("kernels", re.compile(r"native/cpu/.*\.(DEFAULT|AVX2|AVX512)\.cpp|/Halves/|/Null/")),
    ("generated", re.compile(r"/generated/|Register\w+\.cpp|Operators_\d|/ATen/(Functions|ops)|UfuncCPU")),
    ("jit", re.compile(r"csrc/jit/")),
    ("csrc", re.compile(r"csrc/")),
    ("native", re.compile(r"aten/src/ATen/")),
    ("others", re.compile(r"")),
)


def stratum(name: str) -> str:
    return next(label for label, pattern in STRATA if pattern.search(name))


def read_record(path: Path) -> "tuple[dict[str, float], float]":
    """CPU-seconds by C++ object, and of all PCHs together. What a file cost when it refused the header is part of it."""
    entries = edges.read(path.read_text())
    objects = {name: cost for name, cost in edges.costs(entries).items() if OBJECT.search(name) and "CMakeScratch" not in name}
    return objects, sum(edges.headers(entries).values())


def draw(costs: "dict[str, float]", files: "dict[str, list[str]]", count: int) -> "dict[str, list[str]]":
    strata: dict[str, list[str]] = collections.defaultdict(list)
    for name in sorted(files):
        strata[stratum(name)].append(name)
    chosen: dict[str, list[str]] = {}
    generator = random.Random(2600)
    for label, names in strata.items():
        share = count * sum(costs[n] for n in names) / sum(costs.values())
        generator.shuffle(names)
        chosen[label] = []
        for name in names:
            if len(chosen[label]) >= 2 and sum(len(files[n]) for n in chosen[label]) >= share:
                break
            chosen[label].append(name)
    return chosen


def sources(tree: Path) -> "dict[str, str]":
    """Object -> its source, relative to the tree, as the build of that tree compiles it."""
    told = subprocess.run(["ninja", "-C", str(tree / "build"), "-t", "compdb"], check=True, capture_output=True, text=True)
    entries = (entry for entry in json.loads(told.stdout) if entry["output"].endswith(".o"))
    return {entry["output"]: os.path.relpath(os.path.join(entry["directory"], entry["file"]), tree) for entry in entries}


def members(tree: Path, source: str) -> "list[str]":
    """The files that an edge compiles: those of a group, or the source itself."""
    if "/Unity/unity_" not in source:
        return [source]
    included = re.findall(r'#include "(.*)"', (tree / source).read_text())
    return [os.path.relpath(path, tree) for path in included]


def configure_gcc(tree: Path) -> None:
    """The ordinary build's tree: the same sources, configured for gcc, its generated sources made."""
    if not (tree / "build/build.ninja").exists():
        shutil.copytree(
            OURS,
            tree,
            symlinks=True,
            ignore=lambda folder, _: {"build", ".arrstack"} if folder == str(OURS) else set(),
            dirs_exist_ok=True,
        )
        script = (
            f". /build/common/component.sh; COMPILE_PLAN=none; use_compilers /build/torch {tree} {SCRATCH}/gcc-work; cd {tree}; "
            "export PYTORCH_BUILD_VERSION=$TORCH_VERSION PYTORCH_BUILD_NUMBER=0; rm -rf build; python3 setup.py build --cmake-only"
        )
        subprocess.run(["bash", "-c", script], check=True)
        subprocess.run(["ninja", "-C", str(tree / "build"), "ATEN_CPU_FILES_GEN_TARGET", "generate-torch-sources"], check=True)


def command(tree: Path, name: str, plain: bool, scratch: Path) -> "list[str]":
    """The compile command of an object, its outputs moved to the folder `scratch`; plain: without the launcher."""
    told = subprocess.run(
        ["ninja", "-C", str(tree / "build"), "-t", "commands", "-s", name], check=True, capture_output=True, text=True
    ).stdout
    words = shlex.split([line for line in told.splitlines() if " -c " in line][-1])
    if plain:
        words = words[next(i for i, w in enumerate(words) if w.endswith("launcher.py")) + 1 :]
    for flag in ("-o", "-MF"):
        position = words.index(flag) + 1
        words[position] = str(scratch / tree.name / words[position])
        Path(words[position]).parent.mkdir(parents=True, exist_ok=True)
    return words


def cpu(words: "list[str]", tree: Path, environment: "dict[str, str]") -> float:
    process = subprocess.Popen(words, cwd=tree / "build", env=environment, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)  # of this process and all below it, whatever else runs beside it
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return used.ru_utime + used.ru_stime


def headers_made(work: Path) -> float:
    record = work / "edges.tsv"
    return sum(edges.headers(edges.read(record.read_text())).values()) if record.exists() else 0.0


class Pairs:
    """Edges of our compile, each to be compiled by ours and by the ordinary commands of its files."""

    def __init__(self, record: Path):
        costs, self.headers = read_record(record)
        configure_gcc(GCC)
        compiled = sources(OURS)
        self.edges = {name: seconds for name, seconds in costs.items() if name in compiled}
        self.files = {name: members(OURS, compiled[name]) for name in self.edges if not re.search("/Halves/|/Null/", name)}
        self.plain: dict[str, list[str]] = collections.defaultdict(list)  # a kernel file has an object for each CPU capability
        for name, source in sources(GCC).items():
            self.plain[source].append(name)
        self.ours = {
            **os.environ,
            "ARRSTACK_PCH": str(OURS / ".arrstack/plan/pch.json"),
            "ARRSTACK_CCACHE": "ccache",
            "ARRSTACK_MALLOC": "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
            "ARRSTACK_LIBRARIES": "/opt/compiler",
            "CCACHE_DEPEND": "1",
            "CCACHE_SLOPPINESS": "pch_defines,time_macros",
            "CCACHE_PCH_EXTSUM": "1",
        }

    def objects(self, name: str) -> "list[str]":
        """What the ordinary build compiles in place of this edge."""
        found = (self.plain[source] for source in self.files[name])
        return [obj for same in found for obj in (same if len(same) == 1 else [name])]

    def time(self, name: str) -> "tuple[float, float]":
        """CPU-seconds of the edge by ours, without the making of its header, and by gcc. Each thread has a scratch folder of its own."""
        scratch = SCRATCH / threading.current_thread().name
        work, ccache = scratch / "work", scratch / "ccache"
        shutil.rmtree(ccache, ignore_errors=True)  # what an earlier time compiled would hit
        made = headers_made(work)
        environment = {**self.ours, "ARRSTACK_WORK": str(work), "CCACHE_DIR": str(ccache)}
        ours = cpu(command(OURS, name, False, scratch), OURS, environment) - (headers_made(work) - made)
        return ours, sum(cpu(command(GCC, obj, True, scratch), GCC, dict(os.environ)) for obj in self.objects(name))


def read_times(path: Path) -> "dict[str, list[tuple[float, float]]]":
    """Edge -> CPU-seconds of ours and of gcc, a pair for each time that it was compiled."""
    times: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else []:
        name, ours, gcc = line.split("\t")
        times[name].append((float(ours), float(gcc)))
    return times


def show(title: str, pairs: Pairs, drawn: "dict[str, list[str]]", seconds: "dict[str, tuple[float, float]]") -> float:
    """Prints what `seconds` (edge -> ours, gcc) come to, scaled to the record. The ratio."""
    whole_ours = whole_gcc = 0.0
    print(title)
    for label, names in drawn.items():
        ours, gcc = (sum(seconds[name][side] for name in names) for side in (0, 1))
        size = sum(cost for name, cost in pairs.edges.items() if stratum(name) == label)
        whole_ours, whole_gcc = whole_ours + size, whole_gcc + size * gcc / ours
        held = sum(len(pairs.files[name]) for name in names)
        print(
            f"{label:10} {len(names):3} edges, {held:3} files: {ours:6.0f} s / {gcc:6.0f} s = {ours / gcc:.3f}; {size:5.0f} s of the record"
        )
    total = whole_ours + pairs.headers
    print(f"PCHs       {pairs.headers:.0f} s")
    print(f"whole      {total:.0f} s / {whole_gcc:.0f} s = {total / whole_gcc:.3f}  at most 0.33", flush=True)
    return total / whole_gcc


def conclude(ratios: "list[float]") -> None:
    """Prints the ratios of the pairs and their median as JSON."""
    print(json.dumps({"ratios": [round(ratio, 3) for ratio in ratios], "median": round(statistics.median(ratios), 3)}))


def main(record: Path, kept: Path, count: int = 100, jobs: int = 1) -> int:
    pairs = Pairs(record)
    drawn = draw(pairs.edges, pairs.files, count)
    names = [name for each in drawn.values() for name in each]
    times, ratios = read_times(kept), []

    def show_whole_rounds() -> None:
        while len(ratios) < min(len(times[name]) for name in names):
            number = len(ratios)
            ratios.append(show(f"pair {number + 1}", pairs, drawn, {name: times[name][number] for name in names}))

    show_whole_rounds()
    left = [name for number in range(ROUNDS) for name in names if len(times[name]) <= number]
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="job")
    try:
        running = {pool.submit(pairs.time, name): name for name in left}
        for done, finished in enumerate(as_completed(running), 1):
            name, (ours, gcc) = running[finished], finished.result()
            times[name].append((ours, gcc))
            with kept.open("a") as file:
                file.write(f"{name}\t{ours:.2f}\t{gcc:.2f}\n")
            print(f"{done} of {len(left)}  {ours:6.1f} s / {gcc:6.1f} s  {name}", flush=True)
            show_whole_rounds()
    finally:
        pool.shutdown(cancel_futures=True)
    conclude(ratios)
    return 0


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])))
