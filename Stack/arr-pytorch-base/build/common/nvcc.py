#!/usr/bin/env python3
"""nvcc, taken apart: runs what nvcc would run, one part after the other, and keeps each costly part by its content.

    nvcc.py NVCC ARG...           a compilation (`-c`); launcher.py calls it behind ccache, which keeps whole objects
    nvcc.py --identity TOOL...    a digest of the tools, and of what decides here what comes out
    nvcc.py --namespace FOLDER... a name for Thrust's and CUB's namespace where nothing else in the folders reads what it replaces

`nvcc --dryrun` prints the commands of a compilation: the host compiler preprocesses, cudafe++ splits the host's code off, for each
architecture cicc makes PTX and ptxas machine code, fatbinary packs it, the host compiler compiles the rest. A part is kept under a
digest of its command, of what its inputs hold, and of the tools. So one architecture more costs that architecture alone, a change that
the preprocessor takes away costs nothing, and what was finished before a killed or failed part is not made again.

What nvcc puts between the parts are files with random names. Here they have fixed names in a folder of their own, so that the same
source makes the same object. Where the parts cannot be told apart, or one fails, nvcc runs as it is, and says why.

Environment: ARRSTACK_WORK, the folder for the record `parts.tsv`; CCACHE_DIR, the compiler cache, whose folder the parts share (unset:
nothing is kept); ARRSTACK_NVCC_ID, a digest of the tools (unset: nothing is kept); ARRSTACK_CUDA_NAMESPACE, what Thrust's and CUB's
namespace is called in place of the list of architectures (unset: the list).

The record has a line a part, as launcher.py's has one an edge: user and system CPU-seconds, peak KiB, wall seconds, exit status, what
was done (`preprocess`, `cudafe`, `cicc`, `ptxas`, `fatbinary`, `host`; `kept` and the part where it came from the cache), the object and
the architecture. Standard library, any Python from 3.9.
"""

import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

RANDOM = re.compile(r"tmpxft_[0-9a-f]+_[0-9a-f]+-\d+_")
"""How nvcc begins the names of files between the parts: its process, and a number that changes with the architectures."""
ASSIGNMENT = re.compile(r"^(\w+)=(.*)$")
KEPT = ("cudafe", "cicc", "ptxas")
"""Parts worth keeping: the others cost less, or hang on every architecture."""
TOOLS = {"cudafe++": "cudafe", "cicc": "cicc", "ptxas": "ptxas", "fatbinary": "fatbinary"}
ARCH_LIST = "-D__CUDA_ARCH_LIST__="
KILLED = 137
BASE32HEX = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdefghijklmnopqrstuv")
"""From the alphabet of base 32 to the one in which ccache names its files."""
FORMAT = "1"
"""Another one where this program makes another object of the same source."""
NAMESPACES = ("thrust/detail/config/namespace.h", "cub/util_namespace.cuh")
"""Who reads the list of architectures, for the name of a namespace alone (CCCL 2.3)."""
HEADERS = (".h", ".hpp", ".cuh", ".inl", ".cu", ".cpp", "")


class Unknown(Exception):
    """nvcc's plan has something that is not known here."""


@dataclass(frozen=True)
class Part:
    """One command of nvcc's plan. `arch` as the command names it (`sm_90`, `compute_90`, `900`); '' where it is for all."""

    what: str
    arch: str
    argv: "list[str]"


def tool(argv: "list[str]") -> str:
    """What a command of the plan does. Raises Unknown."""
    name = os.path.basename(argv[0])
    if name in TOOLS:
        return TOOLS[name]
    if "-E" in argv:
        return "preprocess"
    if "-c" in argv:
        return "host"
    raise Unknown(f"the plan runs {name}")


def architecture(argv: "list[str]") -> str:
    for place, word in enumerate(argv):
        if word.startswith("-arch="):
            return word[6:]
        if word == "-arch":
            return argv[place + 1]
        if word.startswith("-D__CUDA_ARCH__=") and "-E" in argv:
            return "compute_" + word[len("-D__CUDA_ARCH__=") : -1]
    return ""


def parse(plan: str, namespace: str = "") -> "tuple[dict[str, str], list[Part]]":
    """nvcc's plan as `--dryrun` prints it: the variables that it sets, and the commands with fixed names. Raises Unknown."""
    variables: "dict[str, str]" = {}
    parts = []
    for line in fixed(plan).splitlines():
        if not line.startswith("#$ "):
            continue
        told = line[3:]
        assigned = ASSIGNMENT.match(told)
        if assigned:
            variables[assigned[1]] = assigned[2]
        elif not told.startswith(("-- ", "rm ")):
            argv = [renamed(word, namespace) for word in shlex.split(told)]
            parts.append(Part(tool(argv), architecture(argv), argv))
    if not parts or parts[-1].what != "host":
        raise Unknown("the plan does not end with the host's compilation")
    return variables, settled(parts)


def settled(parts: "list[Part]") -> "list[Part]":
    """The same parts with names that do not change with the other architectures: nvcc names an architecture's files by it only
    where there are several, and the host's by the last of them. Raises Unknown."""
    virtual = [part.arch for part in parts if part.what == "cicc"]
    if not virtual:
        raise Unknown("the plan makes no device code")
    last = f".{virtual[-1]}."
    host = re.compile(re.escape(last) + r"(?=cudafe1\.)")
    single = re.compile(r"\.(?=(?:cpp1\.ii|ptx|cubin|cudafe1\.\w[\w.]*)(?:$|,))")
    found = []
    for part in parts:
        argv = part.argv
        if len(virtual) == 1:
            argv = [word if word.endswith((".cu", ".o")) else single.sub(last, word) for word in argv]
        if part.what in ("cudafe", "host"):
            argv = [host.sub(".", word) for word in argv]
        found.append(Part(part.what, part.arch, argv))
    return found


def stubs(folder: str, last: str) -> None:
    """Gives the host's code the stubs of the last architecture, which is whose nvcc takes."""
    for path in Path(folder).glob(f"*.{last}.cudafe1.stub.c"):
        shutil.copyfile(path, folder + "/" + path.name.replace(f".{last}.", "."))


def fixed(plan: str) -> str:
    """The plan with names that say nothing of the process. Raises Unknown where two files would have one name."""
    names = set(re.findall(RANDOM.pattern + r"[\w.+-]+", plan))
    if len({RANDOM.sub("", name) for name in names}) != len(names):
        raise Unknown("two files between the parts have one name")
    return RANDOM.sub("", plan)


def renamed(word: str, namespace: str) -> str:
    """Thrust and CUB put the list of architectures into a namespace, and read it for nothing else: with another list every
    kernel has another name, and every part is another. `namespace` is one name, whatever the list."""
    return ARCH_LIST + namespace if namespace and word.startswith(ARCH_LIST) else word


def without_host_warnings(argv: "list[str]") -> "list[str]":
    """The command without warnings meant for the host compiler: CMake writes clang's, and nvcc's host compiler is gcc, which stops
    at a name that it does not know. They are no part of the code."""
    out: "list[str]" = []
    words = iter(argv)
    for word in words:
        if word in ("-Xcompiler", "--compiler-options"):
            value = next(words, "")
            kept = ",".join(option for option in value.split(",") if not option.startswith("-W") or option.startswith("-Wa,"))
            out += [word, kept] if kept else []
        elif word.startswith(("-Xcompiler=", "--compiler-options=")):
            name, _, value = word.partition("=")
            kept = ",".join(option for option in value.split(",") if not option.startswith("-W"))
            out += [f"{name}={kept}"] if kept else []
        elif word.startswith("-W") and word != "-Wno-deprecated-gpu-targets":
            continue
        else:
            out.append(word)
    return out


def value_of(argv: "list[str]", flag: str) -> str:
    return argv[argv.index(flag) + 1] if flag in argv[:-1] else ""


class Store:
    """Files by a digest, beside ccache's own in its folder: they count for its limit, are removed as they age, and move with
    it. A file ends with P, begins with a digest of the rest, and is read only where that is right."""

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        name = base64.b32encode(bytes.fromhex(key[2:42])).decode().translate(BASE32HEX)
        return self.folder / key[0] / key[1] / f"{name}P"

    def get(self, key: str) -> "dict[str, bytes] | None":
        path = self.path(key)
        try:
            held = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(held[32:]).digest() != held[:32]:
            path.unlink(missing_ok=True)
            return None
        os.utime(path)  # its last use
        head, _, rest = zlib.decompress(held[32:]).partition(b"\n")
        files, at = {}, 0
        for name, size in json.loads(head):
            files[name] = rest[at : at + size]
            at += size
        return files

    def put(self, key: str, files: "dict[str, bytes]") -> None:
        head = json.dumps([[name, len(data)] for name, data in files.items()]).encode()
        packed = zlib.compress(b"\n".join([head, b"".join(files.values())]), 1)
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{path.name}.tmp.{os.getpid()}")  # ccache removes what is called so, and left
        made.write_bytes(hashlib.sha256(packed).digest() + packed)
        made.replace(path)


class Compilation:
    """One object: its folder of files between the parts, its record, its cache."""

    def __init__(self, folder: str, name: str, work: str, store: "Store | None", identity: str):
        self.folder, self.name, self.work, self.store, self.identity = folder, name, work, store, identity
        self.errors = b""

    def mentioned(self, part: Part) -> "list[str]":
        """The files between the parts that a command names."""
        found = re.findall(re.escape(self.folder) + r"/[^\s\"',;]+", " ".join(part.argv))
        return sorted(set(found))

    def key(self, part: Part, inputs: "list[str]") -> str:
        told = [self.identity, part.what, *(word.replace(self.folder, "") for word in part.argv)]
        told += [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in inputs]
        return hashlib.sha256("\0".join(told).encode()).hexdigest()

    def do(self, part: Part, environment: "dict[str, str]") -> int:
        """Runs a part, or takes what it makes from the cache. Returns its exit status."""
        if not self.store or part.what not in KEPT:
            return self.run(part, environment)
        inputs = [path for path in self.mentioned(part) if os.path.exists(path)]
        key = self.key(part, inputs)
        began = time.monotonic()
        files = self.store.get(key)
        if files is not None:
            for name, data in files.items():
                Path(self.folder, name).write_bytes(data)
            self.note(f"kept {part.what}", part, 0.0, 0.0, 0, time.monotonic() - began, 0)
            return 0
        status = self.run(part, environment)
        if status == 0:
            made = [path for path in self.mentioned(part) if path not in inputs and os.path.exists(path)]
            self.store.put(key, {os.path.basename(path): Path(path).read_bytes() for path in made})
        return status

    def run(self, part: Part, environment: "dict[str, str]") -> int:
        began = time.monotonic()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(part.argv, stdout=errors, stderr=errors, env=environment)
            _, waited, used = os.wait4(process.pid, 0)
            process.returncode = status = os.waitstatus_to_exitcode(waited)
            errors.seek(0)
            told = errors.read()
        self.note(part.what, part, used.ru_utime, used.ru_stime, used.ru_maxrss, time.monotonic() - began, status)
        if status:
            self.errors = told
        else:
            sys.stderr.buffer.write(told)
        return KILLED if status == -9 or b"Killed signal terminated" in told else status

    def note(self, what: str, part: Part, user: float, system: float, peak: int, wall: float, status: int) -> None:
        line = f"{user:.2f}\t{system:.2f}\t{peak}\t{wall:.2f}\t{status}\t{what}\t{self.name}\t{part.arch}\n"
        with open(f"{self.work}/parts.tsv", "ab") as record:
            record.write(line.encode())  # one write: lines of parallel edges do not mix


def with_dependencies(parts: "list[Part]", folder: str) -> "list[Part]":
    """The same parts, and each preprocessing writes what it read: nvcc reads that from the host's text alone."""
    return [
        Part(part.what, part.arch, [*part.argv, "-MD", "-MF", f"{folder}/{number}.d", "-MT", "x"])
        if part.what == "preprocess"
        else part
        for number, part in enumerate(parts)
    ]


def dependency_file(target: str, folder: str) -> str:
    """What all preprocessings read, as one rule of make."""
    names: "dict[str, None]" = {}
    for path in sorted(Path(folder).glob("*.d")):
        told = path.read_text().replace("\\\n", " ").split(":", 1)[1]
        names.update(dict.fromkeys(re.findall(r"(?:[^\s\\]|\\.)+", told)))
    return f"{target}: " + " \\\n  ".join(names) + "\n"


def apart(argv: "list[str]", output: str, folder: str) -> int:
    """Compiles part by part in the folder. Raises Unknown where nvcc's plan is not understood."""
    environ = dict(os.environ)
    planned = subprocess.run(
        [*argv, "--dryrun"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**environ, "TMPDIR": folder}
    )
    if planned.returncode:
        raise Unknown(f"nvcc refuses the command: {planned.stdout.strip()[-300:]}")
    variables, parts = parse(planned.stdout, environ.get("ARRSTACK_CUDA_NAMESPACE", ""))
    identity, cache = environ.get("ARRSTACK_NVCC_ID", ""), environ.get("CCACHE_DIR", "")
    store = Store(cache) if identity and cache else None
    made = Compilation(folder, output, environ["ARRSTACK_WORK"], store, identity)
    last = [part.arch for part in parts if part.what == "cicc"][-1]
    for part in with_dependencies(parts, folder):
        if part.what == "host":
            stubs(folder, last)
        status = made.do(part, {**environ, **variables, "TMPDIR": folder})
        if status == KILLED:
            return KILLED
        if status:
            why = next(
                (line for line in made.errors.decode(errors="replace").splitlines() if "error" in line), f"status {status}"
            )
            raise Unknown(f"{part.what} {part.arch}: {why}")
    if "-MF" in argv:
        rule = dependency_file(value_of(argv, "-MT") or output, folder)
        Path(value_of(argv, "-MF")).write_text(rule)
    return 0


def identity(tools: "list[str]", namespace: str) -> str:
    """A digest of what makes the objects; a folder counts with every file in it."""
    told = hashlib.sha256(f"{FORMAT} {namespace}".encode())
    for tool in tools:
        path = Path(tool).resolve()
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                told.update(hashlib.sha256(file.read_bytes()).digest())
    return told.hexdigest()


def namespace(folders: "list[str]") -> "tuple[str, str]":
    """The name, and who makes it impossible: a file that reads the list of architectures for something else."""
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                path = f"{root}/{name}"
                if os.path.splitext(name)[1] in HEADERS and os.path.isfile(path) and not path.endswith(NAMESPACES):
                    with open(path, "rb") as file:
                        if b"__CUDA_ARCH_LIST__" in file.read():
                            return "", path
    return "arrstack", ""


def main(argv: "list[str]") -> int:
    if argv[0] == "--identity":
        print(identity(argv[1:], os.environ.get("ARRSTACK_CUDA_NAMESPACE", "")))
        return 0
    if argv[0] == "--namespace":
        name, reader = namespace(argv[1:])
        if reader:
            sys.stderr.write(f"arrstack: {reader} reads __CUDA_ARCH_LIST__: an architecture more will compile all of them anew\n")
        print(name)
        return 0
    argv = without_host_warnings(argv)
    output = value_of(argv, "-o")
    folder = tempfile.mkdtemp(prefix="nvcc-")
    try:
        return apart(argv, output, folder)
    except Unknown as why:
        sys.stderr.write(f"arrstack: {output}: nvcc compiles it whole: {why}\n")
        return subprocess.run(argv).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
