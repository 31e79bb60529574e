"""Run inside the image's build, after checks.py: whatever changes, nothing stale comes out of the compiler cache.

Each mutation is compiled twice in the same wiped folder, with the warm cache and without any: every object must be the same
to the byte, and at least one another than before the mutation, or the mutation would prove nothing.
"""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

TREE, PLAN, BUILD = Path("/opt/pytorch"), Path("/build/torch"), Path("/tmp/stale")
GROUP = "\n".join(f"torch_cpu\t000\tsrc/{name}.cpp" for name in ("asserts", "asserts_not", "static_one")) + "\n"


CONFIGURED = Path("/tmp/configured")
MADE = ("*.o", "*.so", "*.d", "program", "generated.cpp", ".ninja_*")


def build(configured: bool = True, **environment: str) -> "tuple[dict[str, str], dict[str, int]]":
    """The tree compiled in a folder that was wiped: object -> SHA-256, and the cache's counters."""
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.rmtree(f"{BUILD}.work", ignore_errors=True)
    if configured:  # CMake's questions to the compiler take longer than the tree
        shutil.copytree(CONFIGURED, BUILD, symlinks=True, ignore=shutil.ignore_patterns(*MADE))
    command = ["bash", "/test/build.sh", str(BUILD)]
    done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    objects = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in BUILD.rglob("*.cxx.o")}
    objects |= {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in BUILD.rglob("*.cpp.o")}
    rows = (line.split("\t") for line in Path(f"{BUILD}.work/cache").read_text().splitlines())
    return objects, {row[0]: int(row[1]) for row in rows}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, (path, old)
    path.write_text(text.replace(old, new))


def hide(path: Path, nearer: Path, old: str, new: str) -> None:
    """Nothing that is there changes: a header of the same name, where an include looks first, is new."""
    nearer.parent.mkdir()
    shutil.copy(path, nearer)
    edit(nearer, old, new)


def use(compiler: str) -> None:
    PROFILE.write_text(re.sub(r"PLAN_CXX=.*", f"PLAN_CXX={compiler}", PROFILE.read_text()))


def wrapper(flag: str) -> None:
    path = Path("/tmp/clang++-wrapped")
    path.write_text(f'#!/bin/sh\nexec clang++-19 {flag} "$@"\n')
    path.chmod(0o755)


TELLS = """\
#include "src/lib.h"
#include "src/forbidden.h"
#include "src/guarded.h"
#ifndef ANOTHER
#define ANOTHER 0
#endif
int tells() { return forbidden() + guarded() + name_of_long()[0] + ANOTHER; }
"""
MUTATIONS = {
    "a header of the PCH": lambda: edit(TREE / "src/lib.h", '"any"', '"some"'),
    "a value in a header of the PCH": lambda: edit(TREE / "src/forbidden.h", "return 1", "return 5"),
    "a header that one file includes": lambda: edit(TREE / "src/guarded.h", "return 1", "return 6"),
    "a new header that hides another": lambda: hide(TREE / "src/guarded.h", TREE / "src/src/guarded.h", "return 1", "return 6"),
    "a source of a group": lambda: edit(TREE / "src/asserts.cpp", "return 2", "return 9"),
    "what a source is made of": lambda: edit(TREE / "src/generated.in", "return 7", "return 70"),
    "a flag of the build": lambda: edit(
        TREE / "CMakeLists.txt", "CXX_STANDARD 17)", "CXX_STANDARD 17)\nadd_compile_options(-O1)"
    ),
    "a rule's own flag": lambda: edit(PLAN / "pch.json", '-DFROM_THE_RULE=5"', '-DFROM_THE_RULE=5", "-fno-omit-frame-pointer"'),
    "what the PCH is made of": lambda: edit(PLAN / "headers/cpu.h", '#include "src/forbidden.h"', "#define ANOTHER 1"),
    "the plan: another group": lambda: edit(PLAN / "groups/made.tsv", "src/static_one.cpp", "src/static_two.cpp"),
    "the compiler's content": lambda: wrapper("-fno-inline"),
}
WRAPPED = "the compiler's content"
PROFILE = Path("/build/profile.env")


def main() -> None:
    # What the mutations need: a file whose object tells one header from another.
    (TREE / "src/tells.cpp").write_text(TELLS)
    (PLAN / "groups/made.tsv").write_text(GROUP)
    wrapper("")
    shutil.copytree(TREE, "/tmp/pristine-tree")
    shutil.copytree(PLAN, "/tmp/pristine-plan")
    before: dict[str, dict[str, str]] = {}
    for name, compiler in ((WRAPPED, "/tmp/clang++-wrapped"), ("", "clang++-19")):
        use(compiler)
        before[name] = build(configured=False)[0]
        shutil.rmtree(CONFIGURED, ignore_errors=True)
        shutil.copytree(BUILD, CONFIGURED, symlinks=True)
        _, counted = build()
        assert counted["cache_miss"] == 0, (name, counted)
    for name, mutate in MUTATIONS.items():
        use("/tmp/clang++-wrapped" if name == WRAPPED else "clang++-19")
        mutate()
        same = name not in (WRAPPED, "the plan: another group")
        cached, counted = build(same)
        plain, _ = build(same, CCACHE_DISABLE="1")
        stale = sorted(each for each in plain if cached.get(each) != plain[each])
        assert not stale, f"{name}: stale {stale}"
        old = before[name] if name in before else before[""]
        assert plain != old, f"{name}: no object changed"
        hits = counted.get("direct_cache_hit", 0) + counted.get("preprocessed_cache_hit", 0)
        print(
            f"{name}: {sum(old.get(n) != d for n, d in plain.items())} of {len(plain)} objects differ, {hits} hits, none stale",
            flush=True,
        )
        for pristine, folder in (("/tmp/pristine-tree", TREE), ("/tmp/pristine-plan", PLAN)):
            shutil.rmtree(folder)
            shutil.copytree(pristine, folder)
        wrapper("")
    print(f"no stale hit in {len(MUTATIONS)} mutations")


main()
