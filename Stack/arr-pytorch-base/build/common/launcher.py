#!/usr/bin/env python3
"""Compiler launcher: everything that belongs to one edge of the build, and nothing else knows of.

    launcher.py COMPILER ARG...      as CMake's CMAKE_<LANG>_COMPILER_LAUNCHER, or behind a wrapper named as CXX

It picks the precompiled header (PCH) that suits the object, makes it when it is missing or a header in it has changed,
hands the command on to ccache, runs the file again without the PCH where that is refused, runs again alone what the
kernel killed for memory, compiles the files of a unity group one by one where they no longer fit together, and appends
what the edge cost to a record. Standard library, any Python from 3.9.

Environment: ARRSTACK_WORK, a folder for PCHs, locks, the record `edges.tsv` and schedule.py's `ahead.tsv`; ARRSTACK_PCH, the JSON file of rules
beside its headers (unset: no PCHs); ARRSTACK_CCACHE, the compiler cache's command (unset: none); ARRSTACK_MALLOC, an
allocator to preload into the compiler (unset: libc's); ARRSTACK_LIBRARIES, a folder that may have faster builds of the compiler's
own libraries (unset: none; faster_compiler.sh); ARRSTACK_FLAGS, options for clang in every compilation (unset: none);
ARRSTACK_NVCC, what runs in nvcc's place (unset: nvcc), and ARRSTACK_NVCC_ID, a digest of what it runs; ARRSTACK_FATBINARY_ID,
what else packs GPU code (unset: nothing); ARRSTACK_SAME_PTX (nvcc.py); ARRSTACK_JOBS, how many edges run at once (slots.py).

The record has a line an edge; edges.py says which. `fresh.tsv` beside it has those alone that no cache answered: they tell what
an edge costs.
"""

import fcntl
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # python -I does not
import slots

# Without this the PCH holds the headers' modification times, and two machines' would differ.
PCH_USE = ["-Xclang", "-fno-pch-timestamp"]
# clang's OpenMP optimisation pass takes minutes over files with huge static initialisers. The spelling with -Xclang is
# what ccache takes for one option; it tears a plain `-mllvm ARG` apart.
OPENMP_OPT_OFF = ["-Xclang", "-mllvm", "-Xclang", "-openmp-opt-disable"]
CXX_SOURCES = (".cpp", ".cc", ".cxx")
SOURCES = (*CXX_SOURCES, ".c")
# What CMake compiles to ask something of the compiler: its paths are random, so it would fill the cache and never hit.
QUESTION = "CMakeFiles/cmTC_"
STATISTICS = "CCACHE_STATSLOG"
"""The variable that names the file into which ccache (from 4.2 on) writes what one call of it came to."""
NO_ROOM = b"No space left on device"
NO_RULES: dict = {"headers": []}
DEPENDENCY_WITH_VALUE = {"-MF", "-MT", "-MQ"}


@dataclass
class Command:
    """A compiler's command line, split: `flags` decide the code and therefore the PCH, the rest names files."""

    compiler: str
    output: str = ""
    source: str = ""
    flags: "list[str]" = field(default_factory=list)
    dependencies: "list[str]" = field(default_factory=list)

    def line(self, extra: "list[str]") -> "list[str]":
        tail = [*self.dependencies]
        tail += ["-o", self.output] if self.output else []
        tail += ["-c", self.source] if self.source else []
        return [self.compiler, *self.flags, *extra, *tail]


def parse(argv: "list[str]") -> Command:
    """Splits COMPILER ARG... as CMake and torch's extension builder write it; `-c` and its source may stand apart."""
    command = Command(argv[0])
    args = iter(argv[1:])
    compiles = False
    for arg in args:
        if arg == "-o":
            command.output = next(args, "")
        elif arg == "-c":
            compiles = True
        elif arg in DEPENDENCY_WITH_VALUE:
            command.dependencies += [arg, next(args, "")]
        elif arg in ("-MD", "-MMD"):
            command.dependencies.append(arg)
        elif arg.endswith(SOURCES) and not arg.startswith("-"):
            command.source = arg
        else:
            command.flags.append(arg)
    if not compiles:  # a link, or a question about the compiler: handed on as it came
        return Command(argv[0], flags=argv[1:])
    if not command.source:
        return Command(argv[0], flags=argv[1:], output=command.output)
    return command


# CMake's name for the file of a unity group.
UNITY_SOURCE = re.compile(r"/Unity/unity_\w+\.cxx$")


def take_rule(command: Command, rules: dict) -> dict:
    """The rule for this object: the first that fits, or an empty one. Its `header` is to be precompiled; its `flags` are
    the command's from now on."""
    if not command.source.endswith(CXX_SOURCES) or any(refused in command.output for refused in rules.get("refuse", [])):
        return {}
    for rule in rules["headers"]:
        if rule["object"] not in command.output:
            continue
        define = rule.get("define")
        if define is None or any(flag.startswith(f"-D{define}") for flag in command.flags):
            command.flags += rule.get("flags", [])
            return rule
    return {}


def header_flags(command: Command, indifferent: "list[str]") -> "list[str]":
    """The flags that decide what a PCH holds, so that objects which differ in the others share one.

    Warnings are about the user of the header, not about the header. `indifferent` are flags that the compiler accepts
    beside a PCH made without them: macros that only forbid an include, for one.
    """
    passed_on = ("-Wa,", "-Wl,", "-Wp,")  # options for other tools, that begin like a warning
    return [f for f in command.flags if f not in indifferent and (not f.startswith("-W") or f.startswith(passed_on))]


def pch_name(command: Command, header: Path, indifferent: "list[str]") -> str:
    """The file name of the PCH that this object takes: its header's, and a digest of what decides what it holds."""
    decide = "\0".join([command.compiler, header.name, *header_flags(command, indifferent)])
    return f"{header.stem}-{hashlib.sha256(decide.encode()).hexdigest()[:16]}.pch"


@contextmanager
def locked(path: str, kind: int):
    with open(path, "w") as lock:
        fcntl.flock(lock, kind)
        yield


class Edge:
    """One compilation, and the folder that it shares with the others of the build."""

    def __init__(self, work: str, ccache: str, malloc: str = "", libraries: str = ""):
        self.work, self.cached = work, [ccache] if ccache else []
        libraries = ":".join(filter(None, [libraries, os.environ.get("LD_LIBRARY_PATH", "")]))
        loaded = {"LD_PRELOAD": malloc, "LD_LIBRARY_PATH": libraries}
        self.environment = {**os.environ, **{name: value for name, value in loaded.items() if value}}
        self.stderr = b""

    def run(self, argv: "list[str]", what: str, name: str) -> int:
        """Runs the command, keeps its messages in `stderr`, and records what it cost."""
        began, before, told = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN), f"{self.work}/told-{os.getpid()}"
        Path(told).unlink(missing_ok=True)  # of a killed edge: process numbers come again, ccache appends
        done = subprocess.run(argv, stderr=subprocess.PIPE, env={**self.environment, STATISTICS: told})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.stderr = done.stderr
        user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
        line = f"{user:.2f}\t{system:.2f}\t{after.ru_maxrss}\t{time.monotonic() - began:.2f}\t{done.returncode}\t{what}\t{name}\n"
        for record in ["edges.tsv"] if from_cache(told) else ["edges.tsv", "fresh.tsv"]:
            with open(f"{self.work}/{record}", "ab") as file:
                file.write(line.encode())  # one write: lines of parallel edges do not mix
        return done.returncode

    def killed(self, status: int) -> bool:
        """Whether the kernel ended the compiler: by signal, or a driver's word for it (gcc, clang)."""
        return status in (-9, 137) or (
            status != 0 and (b"Killed signal terminated" in self.stderr or b"unable to execute command: Killed" in self.stderr)
        )

    def ended_from_outside(self, status: int) -> bool:
        """Whether what failed says nothing of its source: killed for memory, or the disk was full."""
        return self.killed(status) or (status != 0 and NO_ROOM in self.stderr)

    def compile(self, argv: "list[str]", what: str, name: str) -> int:
        """Runs an edge beside the others; what was killed runs again when no other edge does.

        Edges pass a gate before they run. The one that waits to run alone holds the gate, so no new edge starts and
        it cannot be starved by those that come after it.
        """
        argv = [*self.cached, *argv]
        gate, running = f"{self.work}/gate.lock", f"{self.work}/running.lock"
        with open(running, "w") as lock:
            with locked(gate, fcntl.LOCK_SH):
                fcntl.flock(lock, fcntl.LOCK_SH)
            status = self.run(argv, what, name)
        if not self.killed(status):
            return status
        self.environment.pop("ARRSTACK_JOBS", None)  # alone is alone: one part after the other
        with locked(gate, fcntl.LOCK_EX), locked(running, fcntl.LOCK_EX):
            return self.run(argv, "killed", name)

    def pch(self, command: Command, header: Path, indifferent: "list[str]") -> str:
        """The path of the PCH for these flags, made if need be; '' where the header does not compile with them."""
        flags = header_flags(command, indifferent)
        pch = f"{self.work}/{pch_name(command, header, indifferent)}"

        def make(target: str) -> "int | None":
            argv = [*self.cached, command.compiler, *flags, "-w", "-fpch-instantiate-templates", *PCH_USE]
            argv += ["-MD", "-MF", pch + ".d", "-x", "c++-header", str(header), "-o", target]
            status = self.run(argv, "make-pch", pch)
            return None if self.ended_from_outside(status) else status

        return made_pch(pch, str(header), make)


def tell_kept() -> None:
    """For programs behind the launcher that keep parts of what they make: this edge does not cost what it costs without a cache."""
    told = os.environ.get(STATISTICS)
    if told:
        with open(told, "ab") as file:
            file.write(b"part_cache_hit\n")


def from_cache(told: str) -> bool:
    """Whether ccache, or who keeps parts, wrote there that it had what was asked of it. The file goes."""
    try:
        hit = b"cache_hit" in Path(told).read_bytes()
        os.unlink(told)
    except FileNotFoundError:
        return False
    return hit


def made_pch(pch: str, header: str, make) -> str:
    """A PCH's path, made if it is missing or a header in it has changed; '' where the header does not compile. `make` writes one to
    the path that it is given, and what it read to the PCH's path with `.d`; it returns an exit status, or None where it was ended from
    outside: then this edge has no PCH, and the next one makes it."""
    with locked(pch + ".lock", fcntl.LOCK_EX):
        if stored(pch + ".signature") != (signature(pch) or "stale"):
            status = make(pch + ".tmp")
            if status is None:
                return ""
            if status:
                Path(pch + ".tmp").write_bytes(b"")
                Path(pch + ".d").write_text(f"x: {header}\n")
            digest = hashlib.sha256(Path(pch + ".tmp").read_bytes()).hexdigest()
            os.replace(pch + ".tmp", pch)
            Path(pch + ".sum").write_text(digest)  # CCACHE_PCH_EXTSUM: hash this, not 100 MB at every edge
            Path(pch + ".signature").write_text(signature(pch))
    return pch if os.path.getsize(pch) else ""


def stored(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return "none"


def prerequisites(dependencies: str) -> str:
    """What a compiler's dependency file names after its target, on one line, spaces still escaped."""
    return Path(dependencies).read_text().replace("\\\n", " ").split(":", 1)[1].strip()


def signature(pch: str) -> str:
    """Sizes and dates of the PCH and of every header in it: as cheap as ninja's own look, and as careful. '' where one
    of them is gone."""
    try:
        names = [pch, *(name.replace("\0", " ") for name in prerequisites(pch + ".d").replace("\\ ", "\0").split())]
        stats = [os.stat(name) for name in names]
    except OSError:
        return ""
    return hashlib.sha256(repr([(s.st_size, s.st_mtime_ns) for s in stats]).encode()).hexdigest()


def parted(edge: Edge, group: Command, use: "list[str]", extra: "list[str]") -> int:
    """Compiles the files of a unity group one by one and joins them into the group's object: a plan that no longer fits
    the source costs time, not the build."""
    why = next((line for line in edge.stderr.decode(errors="replace").splitlines() if "error:" in line), "no error was named")
    sys.stderr.write(f"arrstack: {group.output}: its files do not compile together, so one by one: {why}\n")
    objects, dependencies = [], ""
    for number, source in enumerate(re.findall(r'#include "(.*)"', Path(group.source).read_text())):
        output = f"{group.output}.{number}.o"
        part = Command(group.compiler, output, source, group.flags, ["-MD", "-MT", group.output, "-MF", output + ".d"])
        status = edge.compile(part.line(use), "parted", output)
        if status and use != extra:
            status = edge.compile(part.line(extra), "parted", output)
        if status:
            return status
        objects.append(output)
        dependencies += prerequisites(output + ".d") + " "
    if "-MF" in group.dependencies:
        made = group.dependencies[group.dependencies.index("-MF") + 1]
        Path(made).write_text(f"{group.output}: {group.source} {dependencies}\n")
    return edge.run(["ld", "-r", "-o", group.output, *objects], "parted", group.output)


def short_dependencies(argv: "list[str]") -> "list[str]":
    """The command with nvcc's short options for dependencies, which ccache knows; torch's extension builder writes the long ones."""
    short = {"--generate-dependencies-with-compile": "-MD", "--dependency-output": "-MF"}
    return [short.get(word, word) for word in argv]


def with_host_compiler(argv: "list[str]", wanted: str) -> "list[str]":
    """The command with that host compiler where it names another: torch's CMake files and its extension builder take the C++ compiler
    for one, and nvcc refuses those that are newer than it."""
    named = [place for place, word in enumerate(argv) if word.startswith("-ccbin")]
    if not wanted or not named:
        return argv
    first, *_ = named
    after = first + (1 if "=" in argv[first] else 2)
    return [*argv[:first], f"-ccbin={wanted}", *argv[after:]]


def by_clang(output: str) -> bool:
    """Whether the plan has clang compile a CUDA object, one architecture after the other (clang_cuda.py)."""
    folder = os.environ.get("ARRSTACK_CLANG_CUDA", "")
    return bool(folder) and f"\n{output}\tclang" in "\n" + Path(folder, "objects.tsv").read_text()


def same_ptx(output: str) -> "list[list[str]]":
    """Groups of architectures with the same PTX in a CUDA object, as the plan has it: `[["compute_80", "compute_89"]]`."""
    told = os.environ.get("ARRSTACK_SAME_PTX", "")
    try:
        return read_same(Path(told).read_text()).get(output, []) if told else []
    except FileNotFoundError:  # it was found to be wrong (nvcc.py)
        return []


def read_same(text: str) -> "dict[str, list[list[str]]]":
    """Such a list, by object. A line is the object, then each group, its architectures joined by `=`; tabs between."""
    lines = (line.split("\t") for line in text.splitlines())
    return {name: [group.split("=") for group in groups] for name, *groups in lines}


def cuda(edge: Edge, argv: "list[str]", output: str) -> int:
    """An edge of nvcc's: taken apart (nvcc.py) where the plan says so. ccache is told what the script there stands for."""
    apart, argv = os.environ.get("ARRSTACK_NVCC", ""), short_dependencies(argv)
    argv = with_host_compiler(argv, os.environ.get("CUDAHOSTCXX", ""))
    if apart:
        edge.environment.pop("LD_PRELOAD", None)  # the allocator is for clang
        edge.environment.pop("LD_LIBRARY_PATH", None)
        identity = os.environ["ARRSTACK_NVCC_ID"] + os.environ.get("ARRSTACK_FATBINARY_ID", "")
        if by_clang(output):
            identity += os.environ["ARRSTACK_CLANG_ID"] + os.environ.get("ARRSTACK_FLAGS", "")
        identity += "".join(f" {'='.join(group)}" for group in same_ptx(output))
        told = {"CCACHE_COMPILERTYPE": "nvcc", "CCACHE_COMPILERCHECK": f"string:{identity}"}
        edge.environment.update(told)
        argv = [apart, *argv[1:]]
    status = edge.compile(argv, "apart" if apart else "plain", output)
    sys.stderr.buffer.write(edge.stderr)
    return status


def main(argv: "list[str]") -> int:
    work, rules_file = os.environ["ARRSTACK_WORK"], os.environ.get("ARRSTACK_PCH", "")
    os.makedirs(work, exist_ok=True)
    slots.take(work)  # until this process ends
    command = parse(argv)
    edge = Edge(
        work,
        os.environ.get("ARRSTACK_CCACHE", ""),
        os.environ.get("ARRSTACK_MALLOC", ""),
        os.environ.get("ARRSTACK_LIBRARIES", ""),
    )
    if os.path.basename(argv[0]) == "nvcc" and "-c" in argv and not command.output.startswith(QUESTION):
        slots.give_way(work, command.output)
        return cuda(edge, argv, command.output)
    if not command.source or command.output.startswith(QUESTION):
        status = edge.run(argv, "plain", command.output or " ".join(argv[1:])[-120:])
        sys.stderr.buffer.write(edge.stderr)
        return status
    command.flags += os.environ.get("ARRSTACK_FLAGS", "").split()
    extra = OPENMP_OPT_OFF if "clang" in os.path.basename(command.compiler) and "-fopenmp" in " ".join(command.flags) else []
    rules = json.loads(Path(rules_file).read_text()) if rules_file else NO_RULES
    rule = take_rule(command, rules)
    folder = Path(rules_file).parent / "headers"
    pch = edge.pch(command, folder / rule["header"], rules.get("indifferent", [])) if rule else ""
    slots.give_way(work, command.output)  # not before: others wait for the header too
    use = ["-include-pch", pch, *PCH_USE, *extra] if pch else extra
    status = edge.compile(command.line(use), "pch" if pch else "plain", command.output)
    if status and UNITY_SOURCE.search(command.source):
        status = parted(edge, command, use, extra)
    elif status and pch:
        status = edge.compile(command.line(extra), "refused", command.output)
    sys.stderr.buffer.write(edge.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
