"""An object of CUDA by clang, in nvcc's place: for each architecture one pass makes PTX, one more makes the host's code, each with a
precompiled header (PCH). ptxas and fatbinary stay, as nvcc's plan calls them (nvcc_plan.py).

    if launcher.by_clang(output):
        parts = clang_cuda.planned(clang_cuda.read_plan(os.environ), parts, argv, folder)

clang's driver knows no PCHs for CUDA. So each pass is its inner command (`-cc1`), as `-###` prints it, with the PCH put in. What a pass
makes for an architecture is kept under what it read (kept.py): nothing has to be preprocessed to find it.

Environment: ARRSTACK_CLANG_CUDA, a folder with `objects.tsv`, which says what clang compiles, and `include`, headers that are searched
first (clang_headers.py), unset: nothing is clang's; PLAN_CXX, clang; CUDA_TOOLKIT, the folder that clang knows the toolkit by;
ARRSTACK_CLANG_ID, a digest of the compiler and of these folders; ARRSTACK_CLANG_HEADER, what the PCHs are made of (unset: none);
ARRSTACK_MALLOC and ARRSTACK_LIBRARIES as for C++ (launcher.py). Standard library, any Python from 3.10.
"""

import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import launcher
import nvcc_plan
from nvcc_plan import Part, Unknown, value_of

DROPPED = (
    *(
        "--expt-relaxed-constexpr",
        "-expt-relaxed-constexpr",
        "--expt-extended-lambda",
        "-expt-extended-lambda",
        "--extended-lambda",
    ),
    *("-forward-unknown-to-host-compiler", "--forward-unknown-to-host-compiler", "-c", "-MD", "-MMD", "-m64"),
)
"""What clang does without being asked, is told for each pass, or what is about nvcc."""
DROPPED_WITH_VALUE = (
    "-Xfatbin",
    "-Xcudafe",
    "-gencode",
    "--generate-code",
    "-ccbin",
    "--threads",
    "-t",
    "-MF",
    "-MT",
    "-MQ",
    "-o",
    "-x",
)
"""What stands in nvcc's plan already, or is about nvcc itself."""
DROPPED_BEGINNINGS = ("-gencode=", "--generate-code=", "-ccbin=")
WITH_VALUE = ("-isystem", "-include", "-I", "-D", "-U")
KEPT = ("-I", "-D", "-U", "-isystem", "-std=", "-O")
HOST = ("-fPIC", "-fpic", "-fvisibility", "-O", "-D")
"""Of what nvcc hands its host compiler, what both passes take. Warnings go: they are no part of the code."""
DEVICE = tuple(
    word
    for option in ("-inline-threshold=5000", "-pragma-unroll-threshold=100000", "-unroll-threshold=5000")
    for word in ("-Xclang", "-mllvm", "-Xclang", option)
)
"""With less, a kernel's parameters of a kilobyte are copied to local memory, and loops that nvcc unrolls stay loops."""
WRAPPER = ["-include", "__clang_cuda_runtime_wrapper.h"]
"""Before everything in each pass, and so in the PCH."""


@dataclass(frozen=True)
class Plan:
    """By which tools clang compiles."""

    compiler: str
    toolkit: str
    folder: str
    header: str
    namespace: str
    flags: str


def read_plan(environment: "Mapping[str, str]") -> Plan:
    names = (
        "PLAN_CXX",
        "CUDA_TOOLKIT",
        "ARRSTACK_CLANG_CUDA",
        "ARRSTACK_CLANG_HEADER",
        "ARRSTACK_CUDA_NAMESPACE",
        "ARRSTACK_FLAGS",
    )
    return Plan(*(environment.get(name, "") for name in names))


def translated(argv: "list[str]") -> "list[str]":
    """nvcc's options as clang's, without those that name files. Raises Unknown for one that is not known here."""
    flags: "list[str]" = []
    words = iter(argv[1:])
    for word in words:
        if word in DROPPED_WITH_VALUE:
            next(words, "")
        elif word in ("-Xcompiler", "--compiler-options"):
            flags += host_options(next(words, ""))
        elif word.startswith(("-Xcompiler=", "--compiler-options=")):
            flags += host_options(word.partition("=")[2])
        elif word in WITH_VALUE:
            flags += [word, next(words, "")]
        elif word.startswith((*KEPT, *HOST)):
            flags.append(word)
        elif (
            word not in DROPPED
            and not word.startswith(DROPPED_BEGINNINGS)
            and not word.endswith(".cu")
            and not nvcc_plan.warns(word)
        ):
            raise Unknown(f"what {word} means to clang is not known here")
    return flags


def host_options(value: str) -> "list[str]":
    """Raises Unknown."""
    found = [option for option in nvcc_plan.wanted(value).split(",") if option]
    unknown = next((option for option in found if not option.startswith(HOST)), "")
    if unknown:
        raise Unknown(f"what -Xcompiler {unknown} means to clang is not known here")
    return found


def inner(argv: "list[str]") -> "list[str]":
    """The command that clang's driver would run. Raises Unknown where it is not one."""
    told = subprocess.run([*argv, "-###"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = [shlex.split(line) for line in told.stderr.splitlines() if '"-cc1"' in line]
    if told.returncode or len(lines) != 1:
        raise Unknown(f"clang's driver: {''.join(told.stderr.strip().splitlines()[-1:]) or 'no command'}")
    return lines[0]


def with_pch(line: "list[str]", pch: str) -> "list[str]":
    """The pass with a PCH, which holds the runtime's wrapper already."""
    at = next((place for place in range(len(line) - 1) if line[place : place + 2] == WRAPPER), None)
    line = line if at is None else [*line[:at], *line[at + 2 :]]
    language = line.index("-x")
    return [*line[:language], "-include-pch", pch, "-fno-pch-timestamp", *line[language:]]


def making_pch(line: "list[str]", header: str, pch: str, reads: str) -> "list[str]":
    """What makes the PCH of a pass, and writes to `reads` what it read. Nothing of one object is in it."""
    made = ["-emit-pch" if word in ("-S", "-emit-obj") else word for word in line[:-1]]
    for flag, value in (("-o", pch), ("-dependency-file", reads), ("-main-file-name", os.path.basename(header))):
        if flag in made:
            made[made.index(flag) + 1] = value
    if "-fcuda-include-gpubinary" in made:
        at = made.index("-fcuda-include-gpubinary")
        made = [*made[:at], *made[at + 2 :]]
    return [*made, "-fno-pch-timestamp", header]


def planned(plan: Plan, parts: "list[Part]", argv: "list[str]", folder: str) -> "list[Part]":
    """nvcc's parts with clang's in place of its preprocessing, cudafe++, cicc and host compiler. Raises Unknown."""
    source = next(word for word in argv if word.endswith(".cu"))
    archs = [part.arch for part in parts if part.what == "cicc"]
    listed = plan.namespace or ",".join(f"{arch.rpartition('_')[2].rstrip('af')}0" for arch in archs)
    common = [plan.compiler, "-x", "cuda", f"--cuda-path={plan.toolkit}", f"-I{plan.folder}/include", *translated(argv)]
    common += [*plan.flags.split(), f"-D__CUDA_ARCH_LIST__={listed}", "-w", "-fuse-cuid=none", "-MD", "-MT", "x"]
    fatbin = f"{folder}/packed.fatbin"
    made = []
    for part in parts:
        if part.what == "cicc":
            gpu = part.arch.replace("compute", "sm")
            only = [*common, "--cuda-device-only", f"--cuda-gpu-arch={gpu}", "-S", *DEVICE, "-MF", f"{folder}/{part.arch}.d"]
            made.append(Part("device", part.arch, inner([*only, "-o", value_of(part.argv, "-o"), source])))
        elif part.what == "fatbinary":
            words = [f"--create={fatbin}" if word.startswith("--embedded-fatbin=") else word for word in part.argv]
            made.append(Part(part.what, part.arch, words))
        elif part.what == "host":
            only = [*common, "--cuda-host-only", "-Xclang", "-fcuda-include-gpubinary", "-Xclang", fatbin, "-c"]
            made.append(Part("clang", "", inner([*only, "-MF", f"{folder}/host.d", "-o", value_of(argv, "-o"), source])))
        elif part.what not in ("preprocess", "cudafe"):
            made.append(part)
    return made


class Passes:
    """clang's passes of one object. `made` is nvcc.py's Compilation: it runs and records."""

    def __init__(self, plan: Plan, made, environment: "dict[str, str]"):
        self.plan, self.made, self.identity = plan, made, environment.get("ARRSTACK_CLANG_ID", "")
        libraries = ":".join(filter(None, [environment.get("ARRSTACK_LIBRARIES", ""), environment.get("LD_LIBRARY_PATH", "")]))
        loaded = {"LD_PRELOAD": environment.get("ARRSTACK_MALLOC", ""), "LD_LIBRARY_PATH": libraries}
        self.environment = {**environment, **{name: value for name, value in loaded.items() if value}}

    def do(self, part: Part) -> int:
        """Runs a pass, or takes what it makes from the cache. Returns its exit status."""
        key = self.key(part) if part.what == "device" and self.made.store and self.identity else ""
        if key and self.take(key, part):
            return 0
        pch = self.pch(part) if self.plan.header else ""
        status = self.made.run(Part(part.what, part.arch, with_pch(part.argv, pch)), self.environment) if pch else 1
        if status and status != self.made.KILLED:
            status = self.made.run(part, self.environment)
        if key and status == 0:
            self.keep(key, part)
        return status

    def key(self, part: Part) -> str:
        told = [self.identity, part.what, *(word.replace(self.made.folder, "") for word in part.argv)]
        return hashlib.sha256("\0".join(told).encode()).hexdigest()

    def read_by(self, key: str, names: "list[str]") -> str:
        """The key of what a pass makes of these files as they are now; '' where one is gone."""
        told = hashlib.sha256(key.encode())
        for name in names:
            try:
                told.update(hashlib.sha256(Path(name).read_bytes()).digest())
            except OSError:
                return ""
        return told.hexdigest()

    def take(self, key: str, part: Part) -> bool:
        held = self.made.store.get(key)
        found = self.read_by(key, json.loads(held["read"])) if held else ""
        files = self.made.store.get(found) if found else None
        for name, data in (files or {}).items():
            Path(self.made.folder, name).write_bytes(data)
        if files:
            self.made.note("kept device", part)
            launcher.tell_kept()
        return bool(files)

    def keep(self, key: str, part: Part) -> None:
        paths = [Path(value_of(part.argv, flag)) for flag in ("-o", "-dependency-file")]
        names = nvcc_plan.prerequisites(paths[1].read_text())
        found = self.read_by(key, names)
        if not found:
            return
        try:
            self.made.store.put(found, {path.name: path.read_bytes() for path in paths})
            self.made.store.put(key, {"read": json.dumps(names).encode()})
        except OSError as error:
            self.made.say(f"{part.what} {part.arch} is not kept: {error}")

    def pch(self, part: Part) -> str:
        """The path of the PCH for a pass, made if need be; '' where the header does not compile with its options."""
        line = [word.replace(self.made.folder, "") for word in making_pch(part.argv, self.plan.header, "x", "x.d")]
        digest = hashlib.sha256("\0".join(line).encode()).hexdigest()[:16]
        pch = f"{self.made.work}/cuda-{part.arch or 'host'}-{digest}.pch"

        def make(target: str) -> "int | None":
            argv = making_pch(part.argv, self.plan.header, target, pch + ".d")
            status = self.made.run(Part("make-pch", part.arch, argv), self.environment)
            full = status and launcher.NO_ROOM in self.made.errors["make-pch", part.arch]
            return None if full or status == self.made.KILLED else status

        return launcher.made_pch(pch, self.plan.header, make)
