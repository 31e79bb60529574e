"""From one file to the facts about it: an ELF file, a static archive, or GPU code in a file of its own."""

import re
from collections import Counter
from dataclasses import dataclass, field

from arrstack.artifacts.blob import Blob, BlobError, SliceBlob
from arrstack.artifacts.files import Level, Problem
from arrstack.verify import ar
from arrstack.verify.dynamic import Dynamic, read_dynamic
from arrstack.verify.elf import MAGIC as ELF_MAGIC
from arrstack.verify.elf import ElfFile, Section, read_elf
from arrstack.verify.entries import Arch, Compression, Container, Entry, FatbinError, Kind
from arrstack.verify.entry_code import cubin_architecture
from arrstack.verify.facts import Code, ElfFacts, Library
from arrstack.verify.fatbin import CONTAINER, MAX_ARCH, read_container, read_containers
from arrstack.verify.fatbin import MAGIC as FATBIN_MAGIC
from arrstack.verify.strings import ElfError

# fatbinary_section.h of the CUDA toolkit; `.nvFatBinSegment` beside them holds pointers alone.
_FATBIN_SECTIONS = {".nv_fatbin": False, "__nv_relfatbin": True}
_POINTERS = ".nvFatBinSegment"
_OTHER_GPU_SECTIONS = {
    ".hip_fatbin": "GPU code for AMD",
    ".llvm.offloading": "GPU code in LLVM's offloading format",
    "__CLANG_OFFLOAD_BUNDLE__": "GPU code in clang's offload bundles",
}
_CAPABILITY = re.compile(rb"(?:7(DEFAULT)|4(AVX2)|6(AVX512))E\0")
_CAPABILITIES = ("DEFAULT", "AVX2", "AVX512")
_LONGEST_STUB = 4096
_SYMBOLS_OF_INTEREST = ("cuda", "__cuda", "cu", "cudnn", "nccl", "cublas", "omp_", "GOMP_", "__kmpc")
_PTX_HEAD = re.compile(rb"(?:\s|//[^\n]*\n)*\.version\s+(\d{1,3})\.(\d{1,3})\s+\.target\s+sm_(\d{2,3})([af]?)\b")
_CUBIN_TARGET = re.compile(rb"-arch[ =]sm_(\d{2,3})([af]?)\b")
MAX_ARCHIVE_MEMBERS = 1 << 17
MAX_CUBIN_NOTE = 16 << 20
MAX_CANDIDATES = 10_000
MAX_KINDS_NAMED = 5
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
    dynamic = Dynamic()
    versions: dict[str, tuple[str, ...]] = {}
    symbols: frozenset[str] = frozenset()
    capabilities: tuple[str, ...] = ()
    try:
        capabilities = _capabilities(elf.dynamic_names)
        dynamic = read_dynamic(elf)
        versions = elf.needed_versions
        symbols = elf.undefined_symbols(_SYMBOLS_OF_INTEREST)
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
        capabilities=capabilities,
    )


def _capabilities(names: bytes) -> tuple[str, ...]:
    """Which CPU kernels a library of PyTorch has, by the last template argument of its mangled `DispatchStub`s."""
    found: set[str] = set()
    for match in _CAPABILITY.finditer(names):
        name = next(group for group in match.groups() if group).decode()
        if name not in found:
            start = names.rfind(b"\0", max(0, match.start() - _LONGEST_STUB), match.start()) + 1
            if names.find(b"DispatchStub", start, match.start()) >= 0:
                found.add(name)
    return tuple(name for name in _CAPABILITIES if name in found)


def _read_gpu_code(elf: ElfFile, reading: _Reading) -> None:
    """Each byte once, in the order of the file: sections that lie over each other would be counted, or searched, many times."""
    behind = 0
    for section in sorted(elf.sections, key=lambda section: section.offset):
        start, end = max(section.offset, behind), section.offset + section.size
        if section.name in _FATBIN_SECTIONS:
            if section.has_bytes and section.offset < behind:
                reading.report(Level.ERROR, f"{section.name} lies over another section")
                continue
            _read_fatbin_section(elf, section, reading)
        elif section.name in _OTHER_GPU_SECTIONS:
            reading.report(Level.WARNING, f"{_OTHER_GPU_SECTIONS[section.name]} in {section.name}, which is not counted")
            continue
        elif section.is_data and section.name != _POINTERS:
            _search(elf.blob, section.name, start + (section.offset - start) % 8, end, reading)
        else:
            continue
        behind = max(behind, end if section.has_bytes else 0)
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
            if container.entries or container.unknown_kinds:
                reading.code.append(Code(name, container, relocatable))
    except FatbinError as error:
        reading.report(Level.ERROR, f"{name}: {error}")


def _search(blob: Blob, name: str, start: int, end: int, reading: _Reading) -> None:
    """Fat binaries that a library carries as data and gives to the driver itself, as cuFFT does: `cuobjdump` sees none."""
    behind = start
    failures: list[str] = []
    for at in blob.find(FATBIN_MAGIC, start, min(end, blob.size)):
        if at < behind or (at - start) % 8:
            continue
        try:
            container, behind = read_container(blob, at, end)
        except FatbinError as error:
            if error.read_to > at + CONTAINER.size:
                # Some of its entries could be read: no number that only looks like the beginning of one.
                reading.report(Level.ERROR, f"{name}: {error}")
                behind = error.read_to
            elif len(failures) < MAX_CANDIDATES:
                failures.append(str(error))
            else:
                reading.report(Level.ERROR, f"{name}: more than {MAX_CANDIDATES} beginnings of fat binaries that cannot be read")
                return
            continue
        if container.entries or container.unknown_kinds:
            reading.code.append(Code(name, container))
    if failures:
        also = f", nor can {len(failures) - 1} more" if failures[1:] else ""
        reading.report(Level.NOTE, f"{name}: what looks like a fat binary cannot be read{also}: {failures[0]}")


def _read_cubin(blob: Blob, reading: _Reading) -> None:
    arch = cubin_architecture(blob.read(0, 64))
    if arch is None or not 10 <= arch.number <= MAX_ARCH:
        reading.report(Level.ERROR, "truncated or malformed: a cubin that names no architecture")
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
    counts = Counter(kind for code in reading.code for kind in code.container.unknown_kinds)
    hint = "a newer CUDA made them; a newer version of this program may read them"
    for kind, count in sorted(counts.items())[:MAX_KINDS_NAMED]:
        reading.report(Level.ERROR, f"{count} entries of kind {kind}, which this program does not know", hint)
    if len(counts) > MAX_KINDS_NAMED:
        message = f"entries of {len(counts) - MAX_KINDS_NAMED} more kinds that this program does not know"
        reading.report(Level.ERROR, message, hint)
