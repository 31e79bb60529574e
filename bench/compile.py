"""CPU-seconds of our compile against the ordinary gcc compile, by a stratified sample of files in one run.

Inside a container of the bottom recipe's `torch-builder` stage, with the tree of a finished compile at /opt/pytorch:

    python3 compile.py RECORD [FILES]

RECORD is the record of a whole compile (edges.tsv); FILES, 80 by default, are drawn with a fixed seed from strata (csrc,
jit, native, kernels, generated, others) in proportion to their cost, at least four of each. A second tree is configured
with COMPILE_PLAN=none at /opt/pytorch-gcc. Each file is compiled by both, one after the other: ours by the launcher with a
cold ccache, gcc by the plain command. Means of strata are scaled to the whole; all PCHs of the record are added to ours.
"""

import collections
import json
import os
import random
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

OURS, GCC, SCRATCH = Path("/opt/pytorch"), Path("/opt/pytorch-gcc"), Path("/tmp/bench")
STRATA = (
    ("kernels", re.compile(r"native/cpu/.*\.(DEFAULT|AVX2|AVX512)\.cpp")),
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
    edges: dict[str, float] = collections.defaultdict(float)
    headers = 0.0
    for line in path.read_text().splitlines():
        user, system, _, _, _, what, name = line.split("\t")
        if what == "make-pch":
            headers += float(user) + float(system)
        elif re.search(r"\.(cpp|cc|cxx)\.o$", name):
            edges[name] += float(user) + float(system)
    return dict(edges), headers


def draw(edges: "dict[str, float]", count: int) -> "dict[str, list[str]]":
    groups: dict[str, list[str]] = collections.defaultdict(list)
    for name in sorted(edges):
        groups[stratum(name)].append(name)
    chosen = {}
    generator = random.Random(2600)
    for label, names in groups.items():
        share = round(count * sum(edges[n] for n in names) / sum(edges.values()))
        chosen[label] = generator.sample(names, min(max(share, 4), len(names)))
    return chosen


def configure_gcc() -> None:
    """The ordinary build's tree: the same sources, configured for gcc, its generated sources made."""
    if not (GCC / "build/build.ninja").exists():
        shutil.copytree(
            OURS,
            GCC,
            symlinks=True,
            ignore=lambda folder, _: {"build", ".arrstack"} if folder == str(OURS) else set(),
            dirs_exist_ok=True,
        )
        script = (
            ". /build/common/component.sh; COMPILE_PLAN=none; use_compilers /build/torch /tmp/bench/gcc-work; cd /opt/pytorch-gcc; "
            "export PYTORCH_BUILD_VERSION=$TORCH_VERSION PYTORCH_BUILD_NUMBER=0; rm -rf build; python3 setup.py build --cmake-only"
        )
        subprocess.run(["bash", "-c", script], check=True)
        subprocess.run(["ninja", "-C", str(GCC / "build"), "ATEN_CPU_FILES_GEN_TARGET", "generate-torch-sources"], check=True)


def command(tree: Path, name: str, plain: bool) -> "list[str]":
    """The compile command of an object, its outputs moved to a scratch folder; plain: without the launcher."""
    told = subprocess.run(
        ["ninja", "-C", str(tree / "build"), "-t", "commands", "-s", name], check=True, capture_output=True, text=True
    ).stdout
    words = shlex.split([line for line in told.splitlines() if " -c " in line][-1])
    if plain:
        words = words[next(i for i, w in enumerate(words) if w.endswith("launcher.py")) + 1 :]
    for flag in ("-o", "-MF"):
        position = words.index(flag) + 1
        words[position] = str(SCRATCH / tree.name / words[position])
        Path(words[position]).parent.mkdir(parents=True, exist_ok=True)
    return words


def cpu(words: "list[str]", tree: Path, environment: "dict[str, str]") -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, cwd=tree / "build", env=environment, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def headers_made(work: Path) -> float:
    record = work / "edges.tsv"
    rows = [line.split("\t") for line in record.read_text().splitlines()] if record.exists() else []
    return sum(float(row[0]) + float(row[1]) for row in rows if row[5] == "make-pch")


def main(record: Path, count: int) -> int:
    edges, pch_seconds = read_record(record)
    chosen = draw(edges, count)
    configure_gcc()
    work = SCRATCH / "work"
    ours = {
        **os.environ,
        "ARRSTACK_WORK": str(work),
        "ARRSTACK_PCH": str(OURS / ".arrstack/plan/pch.json"),
        "ARRSTACK_CCACHE": "ccache",
    }
    ours |= {
        "CCACHE_DIR": str(SCRATCH / "ccache"),
        "CCACHE_DEPEND": "1",
        "CCACHE_SLOPPINESS": "pch_defines,time_macros",
        "CCACHE_PCH_EXTSUM": "1",
    }
    whole_ours = whole_gcc = 0.0
    for label, names in chosen.items():
        pairs = []
        for name in names:
            made = headers_made(work)
            a = cpu(command(OURS, name, plain=False), OURS, ours) - (headers_made(work) - made)
            b = cpu(command(GCC, name, plain=True), GCC, dict(os.environ))
            pairs.append((a, b))
        size = sum(1 for name in edges if stratum(name) == label)
        a, b = (sum(p[i] for p in pairs) / len(pairs) * size for i in (0, 1))
        whole_ours, whole_gcc = whole_ours + a, whole_gcc + b
        print(f"{label:10} {len(names):3} of {size:4} files: {a:7.0f} s / {b:7.0f} s = {a / b:.3f}", flush=True)
    total = whole_ours + pch_seconds
    print(f"PCHs       {pch_seconds:.0f} s")
    print(f"whole      {total:.0f} s / {whole_gcc:.0f} s = {total / whole_gcc:.3f}  at most 0.42")
    print(json.dumps({"ours": round(total), "gcc": round(whole_gcc), "ratio": round(total / whole_gcc, 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 80))
