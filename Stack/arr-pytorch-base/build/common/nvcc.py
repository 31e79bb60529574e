#!/usr/bin/env python3
"""nvcc, taken apart: runs what nvcc would run, one part after the other, and keeps each costly part by its content.

    nvcc.py NVCC ARG...           a compilation (`-c`); launcher.py calls it behind ccache, which keeps whole objects
    nvcc.py --identity TOOL...    a digest of the tools, and of what decides here what comes out
    nvcc.py --namespace FOLDER... a name for Thrust's and CUB's namespace where nothing else in the folders reads what it replaces

`nvcc --dryrun` prints the commands of a compilation: the host compiler preprocesses, cudafe++ splits the host's code off, for each
architecture cicc makes PTX and ptxas machine code, fatbinary packs it, the host compiler compiles the rest (nvcc_plan.py). A part is
kept under a digest of its command, of what its inputs hold, and of the tools (kept.py). Architectures are made beside each other where
processors are idle, and of the dearest objects in any case (slots.py). So one architecture more costs that architecture
alone, a change that the preprocessor takes away costs nothing, and what was finished before a killed or failed part is not made again.
Where architectures are known to have the same PTX (ARRSTACK_SAME_PTX, made by tools/compile-plan/ptx.py), it is made once; of one object
in SAMPLE it is made for each all the same, and compared. Where they differ, the list is put away (`.wrong`).

Some objects are clang's (clang_cuda.py): those of which its code was found as good. Where clang fails, nvcc's parts make the object.
Where the parts cannot be told apart, or one fails, nvcc runs as it is, and says why.

Environment: ARRSTACK_WORK, the folder for the record (parts.py says what is in it); CCACHE_DIR, the compiler cache, whose folder the
parts share (unset: nothing is kept); ARRSTACK_NVCC_ID, a digest of the tools (unset: nothing is kept); ARRSTACK_CUDA_NAMESPACE, what
Thrust's and CUB's namespace is called in place of the list of architectures (unset: the list); ARRSTACK_SAME_PTX, a file (unset: none);
ARRSTACK_FATBINARY, a program and its options in fatbinary's place (unset: nvcc's). It is no part of the digest: it makes no part that is kept.
Standard library, any Python from 3.10.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # python -I does not
import clang_cuda
import identity
import kept
import launcher
import nvcc_plan
import parts
import slots
from nvcc_plan import Part, Unknown, value_of

KEPT = ("cudafe", "cicc", "ptxas")
"""Parts worth keeping: the others cost less, or hang on every architecture."""
KILLED = 137
SAMPLE = 20


class Compilation:
    """One object: its folder of files between the parts, its record, its cache."""

    KILLED = KILLED

    def __init__(self, folder: str, name: str, work: str, store: "kept.Store | None", identity: str):
        self.folder, self.name, self.work, self.store, self.identity = folder, name, work, store, identity
        self.errors: "dict[tuple[str, str], bytes]" = {}
        """What a part that failed said, by what it does and its architecture."""
        self.digests: "dict[str, str]" = {}
        """Of the device code that cicc made, by architecture."""

    def mentioned(self, part: Part) -> "list[str]":
        """The files between the parts that a command names."""
        found = re.findall(re.escape(self.folder) + r"/[^\s\"',;]+", " ".join(part.argv))
        return sorted(set(found))

    def key(self, part: Part, inputs: "list[str]") -> str:
        told = [self.identity, part.what, *(word.replace(self.folder, "") for word in part.argv)]
        told += [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in inputs]
        return hashlib.sha256("\0".join(told).encode()).hexdigest()

    def takes(self, parts: "list[Part]", same: "list[list[str]]") -> "dict[str, str]":
        """Architecture -> the one whose PTX it takes: of each group the first whose PTX is kept, else the first."""
        cicc = {part.arch: part for part in parts if part.what == "cicc"}
        found = {}
        for group in same:
            there = [arch for arch in group if arch in cicc]
            base = next((arch for arch in there if self.has(cicc[arch])), there[0] if there else "")
            found.update({arch: base for arch in there if arch != base})
        return found

    def has(self, part: Part) -> bool:
        """Whether what a part makes is kept. What it reads is there."""
        return bool(self.store) and self.store.path(self.key(part, self.inputs(part))).exists()

    def inputs(self, part: Part) -> "list[str]":
        """The files between the parts that a command reads, before it runs."""
        return [path for path in self.mentioned(part) if os.path.exists(path)]

    def do(self, part: Part, environment: "dict[str, str]") -> int:
        """Runs a part, or takes what it makes from the cache. Returns its exit status."""
        if part.what == "share":
            return self.share(part)
        if not self.store or part.what not in KEPT:
            return self.run(part, environment)
        inputs = self.inputs(part)
        key, began = self.key(part, inputs), time.monotonic()
        files = self.store.get(key)
        if files is not None:
            for name, data in files.items():
                Path(self.folder, name).write_bytes(data)
            self.note(f"kept {part.what}", part, wall=time.monotonic() - began)
            launcher.tell_kept()
            return 0
        status = self.run(part, environment)
        if status == 0:
            made = [path for path in self.mentioned(part) if path not in inputs and os.path.exists(path)]
            try:
                self.store.put(key, {os.path.basename(path): Path(path).read_bytes() for path in made})
            except OSError as error:
                self.say(f"{part.what} is not kept: {error}")
        return status

    def together(self, parts: "list[Part]", environment: "dict[str, str]") -> "list[tuple[Part, int]]":
        """Does parts that do not wait for each other, each beside the others where a processor is idle or this object is ahead of
        others. Returns the exit status of each that was begun, in their order; after one that failed none is."""

        def beside(part: Part, held: "int | None") -> int:
            try:
                return self.do(part, environment)
            finally:
                if held is not None:
                    slots.give_back(held)

        at_once = slots.jobs() > 0 and slots.read_ahead(self.work).get(self.name, False)
        begun: "list[tuple[Part, Future[int]]]" = []
        with ThreadPoolExecutor(len(parts)) as others:
            for place, part in enumerate(parts, 1):
                held = slots.take_idle(self.work) if place < len(parts) else None
                if held is not None or (at_once and place < len(parts)):
                    begun.append((part, others.submit(beside, part, held)))
                    continue
                begun.append((part, Future()))
                begun[-1][1].set_result(self.do(part, environment))
                if any(each.done() and each.result() for _, each in begun):
                    break
        return [(part, each.result()) for part, each in begun]

    def say(self, what: str) -> None:
        sys.stderr.write(f"arrstack: {self.name}: {what}\n")

    def share(self, part: Part) -> int:
        """Gives an architecture what another's cicc made."""
        target, *pairs = part.argv
        for source, copy in zip(pairs[::2], pairs[1::2], strict=True):
            text = Path(source).read_text()
            Path(copy).write_text(nvcc_plan.TARGET.sub(f".target {target}", text, count=1) if copy.endswith(".ptx") else text)
        self.note("share", part)
        return 0

    def run(self, part: Part, environment: "dict[str, str]") -> int:
        began = time.monotonic()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(part.argv, stdout=output, stderr=output, env=environment)
            _, waited, used = os.wait4(process.pid, 0)
            process.returncode = status = os.waitstatus_to_exitcode(waited)
            output.seek(0)
            told = output.read()
        cost = (used.ru_utime, used.ru_stime, used.ru_maxrss)
        self.note(part.what, part, cost, time.monotonic() - began, status)
        if status:
            self.errors[part.what, part.arch] = told
        else:
            sys.stderr.buffer.write(told)
        return KILLED if status == -9 or b"Killed signal terminated" in told else status

    def note(
        self, what: str, part: Part, cost: "tuple[float, float, int]" = (0.0, 0.0, 0), wall: float = 0.0, status: int = 0
    ) -> None:
        """Writes the part's line; of device code with its digest."""
        digest = ""
        if part.what == "cicc" and status == 0:  # run or kept
            paths = [value_of(part.argv, flag) for flag in ("-o", "--stub_file_name")]
            texts = [nvcc_plan.code_of(Path(path).read_text()) for path in paths if os.path.exists(path)]
            digest = self.digests[part.arch] = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
        row = parts.Row(*cost, wall, status, what, self.name, part.arch, digest)
        with open(f"{self.work}/parts.tsv", "ab") as record:
            record.write(row.line.encode())  # one write: lines of parallel edges do not mix


def sampled(output: str) -> bool:
    return int(hashlib.sha256(output.encode()).hexdigest(), 16) % SAMPLE == 0


def plan(argv: "list[str]", folder: str) -> "tuple[dict[str, str], list[Part]]":
    """nvcc's variables and parts. Raises Unknown where they are not understood."""
    environment = {**os.environ, "TMPDIR": folder}
    told = subprocess.run([*argv, "--dryrun"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    if told.returncode:
        raise Unknown(f"nvcc refuses the command: {told.stdout.strip()[-300:]}")
    variables, parts = nvcc_plan.parse(told.stdout, os.environ.get("ARRSTACK_CUDA_NAMESPACE", ""))
    return variables, nvcc_plan.packed(parts, os.environ.get("ARRSTACK_FATBINARY", "").split())


def apart(argv: "list[str]", output: str, folder: str) -> int:
    """Compiles part by part in the folder. Raises Unknown where nvcc's plan is not understood, or a part fails."""
    variables, planned = plan(argv, folder)
    environment = {**os.environ, **variables, "TMPDIR": folder}
    identity, cache = environment.get("ARRSTACK_NVCC_ID", ""), environment.get("CCACHE_DIR", "")
    store = kept.Store(cache) if identity and cache else None
    made = Compilation(folder, output, environment["ARRSTACK_WORK"], store, identity)
    try:
        status = compiled_by_clang(made, planned, argv, environment) if launcher.by_clang(output) else None
    except (Unknown, OSError) as why:
        made.say(f"nvcc compiles it, not clang: {why}")
        shutil.rmtree(folder)  # what is there counts as read, not as made: kept parts would lack it, and stand on clang's PTX
        os.mkdir(folder, 0o700)
        status = None
    if status is None:
        status = compiled_by_nvcc(made, planned, environment)
    if status == 0 and "-MF" in argv:
        rule = nvcc_plan.dependency_file(value_of(argv, "-MT") or output, folder)
        Path(value_of(argv, "-MF")).write_text(rule)
    return status


def compiled_by_nvcc(made: Compilation, planned: "list[Part]", environment: "dict[str, str]") -> int:
    """By nvcc's parts: 0, or KILLED. Raises Unknown where a part fails."""
    same = launcher.same_ptx(made.name)
    last = [part.arch for part in planned if part.what == "cicc"][-1]
    reads, makes = nvcc_plan.halves(nvcc_plan.with_dependencies(planned, made.folder))
    for part in reads:
        if done(made, part, made.do(part, environment)) == KILLED:
            return KILLED
    makes = nvcc_plan.shared(makes, {} if sampled(made.name) else made.takes(makes, same))
    for step in nvcc_plan.steps(makes):
        if step[0].what == "host":
            take_stubs(made.folder, last)
        for part, status in made.together(step, environment):
            if done(made, part, status) == KILLED:
                return KILLED
    for group in same:
        known = [arch for arch in group if arch in made.digests]
        for arch in known[1:]:
            if made.digests[arch] != made.digests[known[0]]:
                made.say(
                    f"{arch} has other PTX than {known[0]}: the list of the same PTX no longer fits the source, and is put away"
                )
                put_away(Path(os.environ["ARRSTACK_SAME_PTX"]))
    return 0


def put_away(told: Path) -> None:
    """A list that is wrong of one object is trusted in none: later edges find none, and the recipe makes anew what relied on it."""
    with contextlib.suppress(FileNotFoundError):  # another edge did it
        told.rename(told.with_suffix(".wrong"))


def compiled_by_clang(made: Compilation, planned: "list[Part]", argv: "list[str]", environment: "dict[str, str]") -> int:
    """By clang's passes and nvcc's ptxas: 0, or KILLED. Raises Unknown where a part fails."""
    by_clang = clang_cuda.read_plan(environment)
    passes = clang_cuda.Passes(by_clang, made, environment)
    for part in clang_cuda.planned(by_clang, planned, argv, made.folder):
        own = part.what in ("device", "clang")
        if done(made, part, passes.do(part) if own else made.do(part, environment)) == KILLED:
            return KILLED
    return 0


def done(made: Compilation, part: Part, status: int) -> int:
    """0 or KILLED. Raises Unknown for any other status."""
    if status in (0, KILLED):
        return status
    told = made.errors.get((part.what, part.arch), b"").decode(errors="replace").splitlines()
    raise Unknown(f"{part.what} {part.arch}: {next((line for line in told if 'error' in line), f'status {status}')}")


def take_stubs(folder: str, last: str) -> None:
    """Gives the host's code the stubs of the last architecture, which is whose nvcc takes."""
    for path in Path(folder).glob(f"*.{last}.cudafe1.stub.c"):
        shutil.copyfile(path, folder + "/" + path.name.replace(f".{last}.", "."))


def compile_whole(argv: "list[str]") -> int:
    """nvcc as it is: what it says of a killed tool is its signal's number."""
    status = subprocess.run(argv).returncode
    return KILLED if status in (-9, 9) else status


def main(argv: "list[str]") -> int:
    if argv[0] == "--identity":
        try:
            print(identity.of(argv[1:], os.environ.get("ARRSTACK_CUDA_NAMESPACE", "")))
        except identity.NoTool as path:
            sys.exit(f"error: there is no {path}: what it makes would be kept under a name that says nothing of it")
        return 0
    if argv[0] == "--namespace":
        name, reader = identity.namespace_for(argv[1:])
        if reader:
            sys.stderr.write(f"arrstack: {reader} reads __CUDA_ARCH_LIST__: an architecture more will compile all of them anew\n")
        print(name)
        return 0
    argv = nvcc_plan.without_host_warnings(argv)
    output = value_of(argv, "-o")
    folder = tempfile.mkdtemp(prefix="nvcc-")
    try:
        return apart(argv, output, folder)
    except (Unknown, OSError, UnicodeError) as why:  # a full disk too: then nvcc says so
        sys.stderr.write(f"arrstack: {output}: nvcc compiles it whole: {why}\n")
        return compile_whole(argv)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
