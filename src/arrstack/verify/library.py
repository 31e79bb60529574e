"""From one file to the facts about it: an ELF file, a static archive, or GPU code in a file of its own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from arrstack.artifacts.blob import Blob, BlobError, SliceBlob
from arrstack.artifacts.files import Level, Problem
from arrstack.verify import ar
from arrstack.verify.elf import MAGIC as ELF_MAGIC
from arrstack.verify.elf import ElfError, ElfFile, Section, read_elf
from arrstack.verify.facts import Code, ElfFacts, Library
from arrstack.verify.fatbin import MAGIC as FATBIN_MAGIC
from arrstack.verify.fatbin import (
    Arch,
    Compression,
    Container,
    Entry,
    FatbinError,
    Kind,
    cubin_architecture,
    read_container,
    read_containers,
)

# fatbinary_section.h of the CUDA toolkit; `.nvFatBinSegment` beside them holds pointers alone.
_FATBIN_SECTIONS = {".nv_fatbin": False, "__nv_relfatbin": True}
_POINTERS = ".nvFatBinSegment"
_OTHER_GPU_SECTIONS = {
    ".hip_fatbin": "GPU code for AMD",
    ".llvm.offloading": "GPU code in LLVM's offloading format",
    "__CLANG_OFFLOAD_BUNDLE__": "GPU code in clang's offload bundles",
}
_CAPABILITY = re.compile(rb"DispatchStub[^\0]*?(?:7(DEFAULT)|4(AVX2)|6(AVX512))E\0")
_SYMBOLS_OF_INTEREST = ("cuda", "__cuda", "cu", "cudnn", "nccl", "cublas", "omp_", "GOMP_", "__kmpc")
_PTX_HEAD = re.compile(rb"(?:\s|//[^\n]*\n)*\.version\s+(\d+)\.(\d+)\s+\.target\s+sm_(\d+)([af]?)\b")
_CUBIN_TARGET = re.compile(rb"-arch[ =]sm_(\d+)([af]?)\b")
MAX_ARCHIVE_MEMBERS = 1 << 17
MAX_CUBIN_NOTE = 16 << 20
HEAD_BYTES = 4096


@dataclass
class _Reading:
    """What has been found of one file so far."""

    path: str
    code: list[Code] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def report(self, level: Level, message: str, hint: str = "") -> None:
        self.problems.append(Problem(level, self.path, message, hint))


def is_interesting(path: str, head: bytes) -> bool:
    """Whether a file that begins with `head` (16 bytes or more) can hold what the census counts."""
    return head.startswith((ELF_MAGIC, ar.MAGIC, ar.THIN_MAGIC, FATBIN_MAGIC)) or (path.endswith(".ptx") and b".version" in head)


def read_library(path: str, blob: Blob) -> tuple[Library, tuple[Problem, ...]]:
    """The facts about a file, and what could not be read of it. Never raises for what stands in the file."""
    reading = _Reading(path)
    elf: ElfFacts | None = None
    try:
        head = blob.read(0, HEAD_BYTES)
        if head.startswith(ELF_MAGIC):
            elf = _read_elf_file(blob, reading)
        elif head.startswith(ar.MAGIC):
            _read_archive(blob, reading)
        elif head.startswith(ar.THIN_MAGIC):
            reading.report(Level.ERROR, "a thin archive: its members are other files", "name those files instead")
        elif head.startswith(FATBIN_MAGIC):
            _read_section(blob, "fatbin", 0, blob.size, False, reading)
        elif match := _PTX_HEAD.match(head):
            isa, arch = (int(match[1]), int(match[2])), Arch(int(match[3]), match[4].decode())
            reading.code.append(_single(Kind.PTX, arch, blob.size, isa))
        else:
            reading.report(Level.ERROR, "neither an ELF file, a static archive, a fat binary nor PTX")
    except (BlobError, ElfError) as error:
        reading.report(Level.ERROR, str(error))
    _report_unknown_kinds(reading)
    return Library(path, blob.size, elf, tuple(reading.code)), tuple(reading.problems)


def _read_elf_file(blob: Blob, reading: _Reading) -> ElfFacts:
    elf = read_elf(blob)
    if elf.machine == "cuda":
        _read_cubin(blob, reading)
        return ElfFacts(elf.machine)
    _read_gpu_code(elf, reading)
    return _elf_facts(elf, reading)


def _elf_facts(elf: ElfFile, reading: _Reading) -> ElfFacts:
    dynamic = elf.dynamic
    versions: dict[str, tuple[str, ...]] = {}
    symbols: frozenset[str] = frozenset()
    capabilities: set[str] = set()
    try:
        versions = elf.needed_versions
        symbols = frozenset(name for name in elf.undefined_symbols if name.startswith(_SYMBOLS_OF_INTEREST))
        for match in _CAPABILITY.finditer(elf.dynamic_names):
            capabilities.add(next(group for group in match.groups() if group).decode())
    except ElfError as error:
        reading.report(Level.ERROR, str(error))
    return ElfFacts(
        machine=elf.machine,
        soname=dynamic.soname,
        needed=dynamic.needed,
        # The loader ignores DT_RPATH where there is a DT_RUNPATH, ld.so(8).
        search=dynamic.runpath or dynamic.rpath,
        versions=tuple(sorted(versions.items())),
        symbols=symbols,
        capabilities=tuple(sorted(capabilities, key=["DEFAULT", "AVX2", "AVX512"].index)),
    )


def _read_gpu_code(elf: ElfFile, reading: _Reading) -> None:
    for section in elf.sections:
        if section.name in _FATBIN_SECTIONS:
            _read_fatbin_section(elf, section, reading)
        elif section.name in _OTHER_GPU_SECTIONS:
            reading.report(Level.WARNING, f"{_OTHER_GPU_SECTIONS[section.name]} in {section.name}, which is not counted")
        elif section.is_data and section.name != _POINTERS:
            _search(elf.blob, section.name, section.offset, section.offset + section.size, reading)
    if not elf.sections:
        reading.report(Level.ERROR, "it has no section headers: what GPU code it holds cannot be counted for certain")
        _search(elf.blob, "file", 0, elf.blob.size, reading)


def _read_fatbin_section(elf: ElfFile, section: Section, reading: _Reading) -> None:
    if not section.has_bytes:
        if section.size:
            reading.report(Level.NOTE, f"{section.name} is empty here: a file of debug symbols alone")
        return
    if section.offset + section.size > elf.blob.size:
        reading.report(Level.ERROR, f"truncated: {section.name} should reach to {section.offset + section.size}")
        return
    _read_section(elf.blob, section.name, section.offset, section.offset + section.size, _FATBIN_SECTIONS[section.name], reading)


def _read_section(blob: Blob, name: str, start: int, end: int, relocatable: bool, reading: _Reading) -> None:
    try:
        for container in read_containers(blob, start, end):
            reading.code.append(Code(name, container, relocatable))
    except FatbinError as error:
        reading.report(Level.ERROR, f"{name}: {error}")


def _search(blob: Blob, name: str, start: int, end: int, reading: _Reading) -> None:
    """Fat binaries that a library carries as data and gives to the driver itself, as cuFFT does: `cuobjdump` sees none."""
    behind = start
    for at in blob.find(FATBIN_MAGIC, start, min(end, blob.size)):
        if at < behind or (at - start) % 8:
            continue
        try:
            container, behind = read_container(blob, at, end)
        except FatbinError as error:
            reading.report(Level.NOTE, f"{name}: what looks like a fat binary cannot be read: {error}")
            continue
        if container.entries:
            reading.code.append(Code(name, container))


def _read_cubin(blob: Blob, reading: _Reading) -> None:
    arch = cubin_architecture(blob.read(0, 64))
    if arch is None:
        reading.report(Level.ERROR, "truncated: a cubin without a header")
        return
    for match in _CUBIN_TARGET.finditer(blob.read(0, min(blob.size, MAX_CUBIN_NOTE))):
        if int(match[1]) == arch.number:
            arch = Arch(arch.number, match[2].decode())
    reading.code.append(_single(Kind.SASS, arch, blob.size, (0, 0)))


def _single(kind: Kind, arch: Arch, size: int, isa: tuple[int, int]) -> Code:
    entry = Entry(kind, arch, size, Compression.NONE, isa, 0, size, size, 0, size)
    return Code("file", Container(0, (entry,)))


def _read_archive(blob: Blob, reading: _Reading) -> None:
    try:
        for number, member in enumerate(ar.members(blob)):
            if number >= MAX_ARCHIVE_MEMBERS:
                reading.report(Level.ERROR, f"a static archive with more than {MAX_ARCHIVE_MEMBERS} members")
                return
            _read_archive_member(member.name, SliceBlob(blob, member.offset, member.size), reading)
    except ar.ArchiveError as error:
        reading.report(Level.ERROR, str(error))


def _read_archive_member(name: str, blob: Blob, reading: _Reading) -> None:
    if blob.read(0, 4) != ELF_MAGIC:
        return
    inner = _Reading(f"{reading.path}:{name}")
    try:
        elf = read_elf(blob)
        if elf.machine == "cuda":
            _read_cubin(blob, inner)
        else:
            _read_gpu_code(elf, inner)
    except ElfError as error:
        inner.report(Level.ERROR, str(error))
    reading.code += inner.code
    reading.problems += inner.problems


def _report_unknown_kinds(reading: _Reading) -> None:
    for kind, count in sorted(_count(kind for code in reading.code for kind in code.container.unknown_kinds).items()):
        reading.report(
            Level.ERROR,
            f"{count} entries of kind {kind}, which this program does not know",
            "a newer CUDA made them; a newer version of this program may read them",
        )


def _count(items: Iterator[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return counts
