"""What one changed file costs: the edges that ninja runs again for it, priced by the record of a whole build.

    python bench/incremental.py BUILD RECORD FILE ...

BUILD is a finished build directory (build.ninja, .ninja_log, .ninja_deps), RECORD its edges.tsv or, of the ordinary build, that
of bench/baseline.py, FILE a source below the tree's root. Prints for each the compilations with their CPU-seconds, precompiled headers included, the longest of them, and
the links with the seconds of their last run. The ninja that made the directory and the dependencies that the compiler wrote decide what is run again; nothing is compiled.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "Stack/arr-pytorch-base/build/common"))

import baseline
import edges
import makespan


def root(build: Path) -> str:
    """Where the tree was when it was configured, with a slash at the end."""
    cache = (build / "CMakeCache.txt").read_text()
    return cache.split("CMAKE_HOME_DIRECTORY:INTERNAL=", 1)[1].split("\n", 1)[0] + "/"


def below(name: str, tree: str) -> str:
    """A name of the build directory's, from the tree's root on."""
    return name.removeprefix(tree) if name.startswith("/") else f"build/{name}"


def headers_of(build: Path, tree: str) -> Iterator[tuple[str, set[str]]]:
    """Each object, with what its compiler read. Asked of a copy: ninja removes logs that another version of it wrote."""
    with tempfile.TemporaryDirectory() as copy:
        for entry in build.absolute().iterdir():
            shutil.copy(entry, copy) if entry.name.startswith(".ninja_") else Path(copy, entry.name).symlink_to(entry)
        told = subprocess.run(["ninja", "-C", copy, "-t", "deps"], check=True, capture_output=True, text=True).stdout
    for block in told.split("\n\n"):
        first, *read = block.splitlines() or [""]
        yield first.partition(": #deps")[0], {below(name.strip(), tree) for name in read}


def again(every: list[makespan.Statement], reads: dict[str, set[str]], tree: str, file: str) -> tuple[set[str], set[str]]:
    """The objects that a change of the file compiles again, and what is linked again for them."""
    objects = {name for name, read in reads.items() if file in read}
    sources = {i for s in every for i in s.inputs if "COMPILER" in s.rule and below(i, tree) == file}
    objects |= {s.outputs[0] for s in every if "COMPILER" in s.rule and sources & set(s.inputs)}
    changed = set(objects)
    grew = True
    while grew:
        linked = {s.outputs[0] for s in every if "LINKER" in s.rule and changed & set(before_order(s.inputs))}
        grew = not linked <= changed
        changed |= linked
    return objects, changed - objects


def before_order(inputs: list[str]) -> list[str]:
    """Inputs whose change counts: those that only decide the order stand behind the mark."""
    return inputs[: inputs.index("|order|")] if "|order|" in inputs else inputs


def main(build: Path, record: Path, files: list[str]) -> int:
    text = record.read_text()
    ordinary = text.split("\n", 1)[0].count("\t") == 3
    entries = [] if ordinary else edges.read(text)
    cost = baseline.scaled(baseline.read(record)) if ordinary else edges.costs(entries)
    made_before = edges.headers(entries)
    headers = {name: Path(str(build.parent / ".arrstack" / Path(name).name) + ".d") for name in made_before}
    tree = root(build)
    log = {name: ended - began for name, (began, ended) in makespan.times(build / ".ninja_log").items()}
    every = makespan.statements((build / "build.ninja").read_text().replace(" || ", " |order| "))
    reads = dict(headers_of(build, tree))
    whole = sum(cost.values())
    for file in files:
        objects, links = again(every, reads, tree, file)
        made = {
            pch
            for pch, deps in headers.items()
            if deps.exists() and re.search(rf"(^|\s){re.escape(tree + file)}(\s|$)", deps.read_text())
        }
        seconds = sum(cost.get(name, 0.0) for name in objects | made)
        longest = max(objects, key=lambda name: cost.get(name, 0.0), default="none")
        print(f"{file}: {len(objects)} compilations and {len(made)} headers, {seconds:.0f} CPU-s ({seconds / whole:.1%} of all)")
        print(
            f"  longest {cost.get(longest, 0.0):.0f} s, {longest}; {len(links)} links, {sum(log.get(n, 0.0) for n in links):.0f} s"
        )
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
