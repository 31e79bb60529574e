"""A compile with GPU code on many cores, in a tenth of its CPU-seconds and with no compiler: is what bench/makespan.py replays true?

    python bench/rehearsal.py bench/records/torch-cuda-graph.tsv bench/records/torch-cuda-parts.tsv --same LIST --jobs 64 --scale 0.1

The real ninja runs the recipe's own programs (schedule.py, launcher.py, nvcc.py, slots.py) over the edges of GRAPH (bench/makespan.py); each tool below
them is a program that computes for SCALE times the CPU-seconds that the PARTS tell of it. Runs it as schedule.py has it, and without the edges that go
ahead, and prints for both the seconds and the ratio to the bound, max(sum / jobs, longest chain). The programs' own start counts as a
cost of the real compile there, so a small SCALE tells too much: 0.1 is some 4 % off. The machine must have as many cores as jobs and nothing beside it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import makespan  # finds the recipe's own programs

COMMON = Path(makespan.schedule.__file__).parent
ARCHS = (75, 80, 86, 89, 90)
TOOL = """#!{python} -IS
import os, sys, time
argv = sys.argv
seconds = float(argv[argv.index("--burn") + 1])
while time.process_time() < seconds:
    pass
for flag in ("-o", "--gen_c_file_name", "--stub_file_name", "--module_id_file_name"):
    if flag in argv and not os.path.exists(argv[argv.index(flag) + 1]):
        open(argv[argv.index(flag) + 1], "w").write("made")
"""
NVCC = """#!{python} -IS
import os, sys
costs = {{}}
with open({costs!r}) as table:
    output = sys.argv[sys.argv.index("-o") + 1]
    for line in table:
        name, what, arch, seconds = line.rstrip("\\n").split("\\t")
        if name == output:
            costs[what, arch] = seconds
t = os.environ["TMPDIR"] + "/tmpxft_0000%d_00000000" % os.getpid()
def cost(what, arch=""):
    return costs.get((what, str(arch)), "0")
def say(*words):
    print("#$", *words)
archs = {archs}
say("_SPACE_= ")
for a in archs:
    say(f"g++ -D__CUDA_ARCH__={{a}}0 --burn {{cost('preprocess', a)}} -E a.cu -o \\"{{t}}-1{{a}}_a.compute_{{a}}.cpp1.ii\\"")
say(f"g++ --burn {{cost('preprocess')}} -E a.cu -o \\"{{t}}-5_a.cpp4.ii\\"")
last = archs[-1]
say(f"cudafe++ --burn {{cost('cudafe')}} --gen_c_file_name \\"{{t}}-6_a.compute_{{last}}.cudafe1.cpp\\"",
    f"--stub_file_name \\"{{t}}-6_a.compute_{{last}}.cudafe1.stub.c\\" --module_id_file_name \\"{{t}}-4_a.module_id\\" \\"{{t}}-5_a.cpp4.ii\\"")
for a in archs:
    k = "6" if a == last else f"6{{a}}"
    say(f"cicc -arch compute_{{a}} --burn {{cost('cicc', a)}} --module_id_file_name \\"{{t}}-4_a.module_id\\"",
        f"--stub_file_name \\"{{t}}-{{k}}_a.compute_{{a}}.cudafe1.stub.c\\" \\"{{t}}-1{{a}}_a.compute_{{a}}.cpp1.ii\\" -o \\"{{t}}-{{k}}_a.compute_{{a}}.ptx\\"")
    say(f"ptxas -arch=sm_{{a}} --burn {{cost('ptxas', a)}} \\"{{t}}-{{k}}_a.compute_{{a}}.ptx\\" -o \\"{{t}}-7{{a}}_a.compute_{{a}}.cubin\\"")
say(f"fatbinary --burn {{cost('fatbinary')}} -o \\"{{t}}-3_a.fatbin.c\\"")
say(f"g++ -D__CUDA_ARCH__={{last}}0 --burn {{cost('host')}} -c -x c++ \\"{{t}}-6_a.compute_{{last}}.cudafe1.cpp\\" -o {{output}}")
"""


def parts_of(records: list[Path]) -> list[tuple[str, str, str, float]]:
    """(object, part, architecture's number, CPU-seconds) of nvcc's objects; each of clang's is one program here."""
    dearest = makespan.dearest_parts(records)
    by_clang = makespan.objects_of_clang(dearest)
    return [(name, what, arch.rpartition("_")[2], s) for (name, what, arch), s in dearest.items() if name not in by_clang]


def prepare(folder: Path, edges: list[makespan.Edge], costs: list[tuple[str, str, str, float]], scale: float) -> None:
    """Tools, build file, record."""
    tools = folder / "bin"
    tools.mkdir()
    for name in ("g++", "cudafe++", "cicc", "ptxas", "fatbinary", "burn"):
        (tools / name).write_text(TOOL.format(python=sys.executable))
    lines = [f"{name}\t{what}\t{arch}\t{seconds * scale:.3f}\n" for name, what, arch, seconds in costs]
    (folder / "costs.tsv").write_text("".join(lines))
    (tools / "nvcc").write_text(NVCC.format(python=sys.executable, costs=str(folder / "costs.tsv"), archs=ARCHS))
    for tool in tools.iterdir():
        tool.chmod(0o755)
    run = f"{sys.executable} -IS {COMMON}/launcher.py"
    apart = {name for name, *_ in costs}
    gencode = " ".join(f"-gencode arch=compute_{arch},code=sm_{arch}" for arch in ARCHS)
    text = [
        f"rule cu\n  command = {run} {tools}/nvcc $FLAGS -c a.cu -o $out",
        f"rule cxx\n  command = {run} {tools}/g++ --burn $s -o $out -c a.cpp",
        f"rule other\n  command = {tools}/burn --burn $s -o $out",
    ]
    record = []
    for edge in edges:
        rule = "cu" if edge.name in apart else "cxx" if edge.name.endswith(".o") else "other"
        before = " ".join(edges[index].name for index in edge.before)
        text.append(f"build {edge.name}: {rule} | {before}".rstrip(" |"))
        text.append(f"  FLAGS = {gencode}" if rule == "cu" else f"  s = {edge.seconds * scale:.3f}")
        if edge.name.endswith(".o"):
            record.append(f"{edge.seconds:.2f}\t0.00\t{int(edge.mebibytes * 1024)}\t1.00\t0\tapart\t{edge.name}\n")
    (folder / "build.ninja").write_text(
        "\n".join([*text, "build all: phony " + " ".join(e.name for e in edges), "default all", ""])
    )
    (folder / "record").write_text("".join(record))


def rehearse(folder: Path, jobs: int, same: str, ahead: bool) -> float:
    """Seconds that ninja took."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    told = {"ARRSTACK_WORK": str(work), "ARRSTACK_JOBS": str(jobs), "ARRSTACK_SAME_PTX": same}
    nvcc = folder / "bin/apart"
    nvcc.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {COMMON}/nvcc.py {folder}/bin/nvcc "$@"\n')
    nvcc.chmod(0o755)
    told |= {"ARRSTACK_NVCC": str(nvcc), "ARRSTACK_NVCC_ID": "", "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    environment = os.environ | told
    subprocess.run(
        [sys.executable, COMMON / "schedule.py", "build.ninja", "record", str(jobs)], cwd=folder, env=environment, check=True
    )
    if not ahead:
        makespan.slots.write_ahead(str(work), {})
    first = makespan.slots.read_ahead(str(work))
    print(f"{sum(first.values())} objects at once, {len(first)} ahead", flush=True)
    began = time.monotonic()
    subprocess.run(
        ["ninja", "-j", str(jobs), "all", makespan.schedule.ORDER],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path)
    parser.add_argument("records", type=Path, nargs="+", metavar="PARTS.tsv")
    parser.add_argument("--same", default="", metavar="LIST")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--scale", type=float, default=0.1)
    options = parser.parse_args()
    same = makespan.launcher.read_same(Path(options.same).read_text()) if options.same else None
    stages = makespan.stages_of(options.records, same)
    read = makespan.with_parts(makespan.read(options.graph), stages)
    edges = [replace(edge, header="", header_seconds=0.0) for edge in read]  # no header is made here
    total, chain = makespan.limits(edges, stages)
    bound = max(total / options.jobs, chain) * options.scale
    for ahead in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), edges, parts_of(options.records), options.scale)
            took = rehearse(Path(folder), options.jobs, os.path.abspath(options.same) if options.same else "", ahead)
        print(f"{took:.1f} s, {took / bound:.3f} of the bound {bound:.1f} s", flush=True)


if __name__ == "__main__":
    main()
