"""Run inside the image's build: every claim of the launcher and the groups, with the real compilers. Fails by assert."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, "/build/common")
import edges
import groups as groups_plan
import same

TREE, GROUPS = Path("/opt/pytorch"), Path("/build/torch/groups/made.tsv")
EXPECTED = "2 1 3 4 long registered 7 123w 1234\n"
"""The last but one: the order in which files registered; the last: what both halves of the kernel file registered."""


def build(name: str, **environment: str) -> "tuple[str, list[edges.Entry]]":
    """Compiles the tree in a build directory of that name: all output, and the record's new lines."""
    record = Path(f"/tmp/{name}.work/edges.tsv")
    before = len(edges.read(record.read_text())) if record.exists() else 0
    done = subprocess.run(
        ["bash", "/test/build.sh", f"/tmp/{name}"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout, flush=True)
    assert done.returncode == 0, name
    assert EXPECTED in done.stdout, name
    return done.stdout, edges.read(record.read_text())[before:]


def done(record: "list[edges.Entry]", what: str) -> "list[str]":
    ours = (entry.name for entry in record if entry.what == what and "CMakeFiles/CMake" not in entry.name)
    return sorted(Path(name).name.split("-")[0] for name in ours)


def symbols(name: str) -> "list[str]":
    ours = ("asserts", "static", "refuses", "words", "generated", "guarded", "strict", "order", "stub")
    exported = same.exported(Path(f"/tmp/{name}/libtorch_cpu.so"))
    return sorted(symbol for symbol in exported if any(word in symbol for word in ours))


def cache(name: str) -> "dict[str, int]":
    rows = (line.split("\t") for line in Path(f"/tmp/{name}.work/cache").read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows}


# The ordinary build, and the plan without groups: one file refuses the header, and is compiled without; one PCH serves
# the rest, also the file whose warnings and assertions are its own.
build("plain", COMPILE_PLAN="none")
_, record = build("alone")
assert done(record, "make-pch") == ["cpu"], record
assert done(record, "refused") == ["refuses.cpp.o"], record
assert len(done(record, "pch")) == 12, record
shutil.copy("/tmp/alone.work/edges.tsv", "/tmp/record.tsv")

# The tool finds what may stand together: not both statics of one name, not the one that refuses, nothing generated; of what
# registers when the library is loaded only neighbours, and none over the head of one that stays alone.
shutil.copytree("/tmp/alone", TREE / "build", symlinks=True)
made = subprocess.run(["python3", "/test/groups.py", "/tmp/record.tsv"], capture_output=True, text=True)
print(made.stderr, flush=True)
assert made.returncode == 0
groups: "dict[str, list[str]]" = {}
for line in made.stdout.splitlines():
    target, group, source = line.split("\t")
    assert target == "torch_cpu"
    groups.setdefault(group, []).append(Path(source).stem)
assert groups.pop("!AVX512") == ["PairKernel"], groups
members, registering = sorted(groups.values(), key=lambda group: "words" in group)
assert {"asserts", "asserts_not"} <= set(members), groups
assert len({"static_one", "static_two"} & set(members)) == 1, groups
assert not {"refuses", "generated"} & set(members), groups
assert registering == ["order_3", "words"], groups
shutil.rmtree(TREE / "build")

# Compiled in these groups, a kernel file in two halves and as null pointers for AVX-512, two files as cold code: fewer edges, the
# same library, in which everything registers in the same order. What is cold shares the header, and is linked last.
HALVED = "torch_cpu\t/backward_stub\taten/src/ATen/native/cpu/PairKernel.cpp\n"
COLD = ["asserts_not.cpp.o", "generated.cpp.o"]
PLAN = "".join(line for line in made.stdout.splitlines(keepends=True) if "asserts" not in line) + HALVED
PLAN += "".join(f"torch_cpu\t{groups_plan.COLD_OPTIONS}\t{source}\n" for source in ("src/asserts_not.cpp", "build/generated.cpp"))
GROUPS.parent.mkdir(exist_ok=True)
GROUPS.write_text(PLAN)
_, record = build("cold")
assert done(record, "make-pch") == ["cpu"], record
assert set(COLD) < set(done(record, "pch")), record
told = subprocess.run(["ninja", "-C", "/tmp/cold", "-t", "commands"], check=True, capture_output=True, text=True).stdout
assert sorted(name for name in COLD if re.search(f"-O3 .*{groups_plan.COLD_OPTIONS} .*{name}", told)) == COLD, told
linked = re.search(r"-o libtorch_cpu\.so (.*)", told)
assert linked and [Path(word).name for word in linked[1].split() if word.endswith(".o")][-2:] == COLD, told
assert symbols("cold") == symbols("plain"), symbols("cold")

GROUPS.write_text(made.stdout + HALVED)
_, record = build("grouped")
assert len([name for name in done(record, "pch") if "unity" in name]) == 2, record
assert sorted(row[6].split("torch_cpu.dir/")[-1] for row in record if "Pair" in row[6]) == [
    "Halves/PairKernel.cpp.backward_stub.DEFAULT.cpp.o",
    "Halves/PairKernel.cpp.rest.DEFAULT.cpp.o",
    "Null/PairKernel.cpp.AVX512.cpp.o",
], record
assert not done(record, "parted"), record
assert symbols("grouped") == symbols("alone") == symbols("plain"), symbols("grouped")

# A wiped build directory: every object comes from the cache.
shutil.rmtree("/tmp/grouped")
build("grouped")
counted = cache("grouped")
assert counted["cache_miss"] == 0, counted
assert counted["direct_cache_hit"] >= 4, counted

# On another machine the PCH comes from the cache too, the same to the byte: what was compiled with it hits.
shutil.rmtree("/tmp/grouped")
shutil.rmtree("/tmp/grouped.work")
_, record = build("grouped")
counted = cache("grouped")
assert done(record, "make-pch") == ["cpu"], record
assert counted["cache_miss"] == 0, counted
assert counted["direct_cache_hit"] >= 5, counted

# A header of the PCH changes: it is made again, and nothing stale is used.
header = TREE / "src/lib.h"
header.write_text(header.read_text() + "// changed\n")
_, record = build("grouped")
assert done(record, "make-pch") == ["cpu"], record
assert any("unity" in name for name in done(record, "pch")), record

# A kernel file registers for AVX-512 from now on: no object read it, and all the same it is compiled.
kernel = TREE / "aten/src/ATen/native/cpu/PairKernel.cpp"
before = kernel.read_text()
kernel.write_text(before.replace("REGISTER_DISPATCH(forward_stub", "REGISTER_ARCH_DISPATCH(forward_stub, CPU_CAPABILITY"))
told, record = build("grouped")
assert "PairKernel.cpp does not register as it did: it is compiled as it is" in told
assert "PairKernel.cpp.rest.AVX512.cpp.o" in done(record, "plain"), record
kernel.write_text(before)

# A plan that no longer fits: both statics in one group. The files are compiled one by one, and it is said.
lines = [f"torch_cpu\t000\tsrc/{name}.cpp" for name in ("static_one", "static_two", "words")]
GROUPS.write_text("\n".join(lines) + "\n")
told, record = build("unfit")
assert "do not compile together, so one by one: " in told
assert "error: redefinition of 'helper'" in told
assert len(done(record, "parted")) == 4, record
assert symbols("unfit") == symbols("plain")
header.write_text(header.read_text() + "// changed again\n")
_, record = build("unfit")
assert len(done(record, "parted")) == 4, "an object made of parts depends on their headers"

# A file of a group is gone, another has flags of its own, a stub is registered elsewhere now: the groups are not used.
own = [f"torch_cpu\t001\tsrc/{name}.cpp" for name in ("strict", "words")]
gone = [
    "torch_cpu\t000\tsrc/gone.cpp",
    "torch_cpu\t!AVX512\tsrc/words.cpp",
    f"torch_cpu\t{groups_plan.COLD_OPTIONS}\tsrc/cold.cpp",
]
GROUPS.write_text("\n".join([*lines[:1], *gone, *own, HALVED.replace("backward", "sideways")]))
told, record = build("gone")
assert "src/gone.cpp is gone: group 000 is not made" in told
assert "src/cold.cpp is no source of torch_cpu: it cannot be linked last" in told
assert "src/strict.cpp has COMPILE_FLAGS of its own: group 001 is not made" in told
assert "PairKernel.cpp does not register sideways_stub as it did: group /sideways_stub is not made" in told
assert "src/words.cpp does not register as it did: it is compiled as it is" in told
assert not any("unity" in name for name in done(record, "pch")), record
print("all checks of the launcher and its groups hold")
