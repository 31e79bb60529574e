"""What an ELF file says about itself: sections, the libraries and symbol versions that it needs, where it looks for them.

An own reader, because pyelftools takes minutes over the symbols of libtorch and wants a seekable file. Sources: the System V
ABI (gABI 4.1, chapters 4 and 5) and the Linux Standard Base, "Symbol Versioning".
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from arrstack.artifacts.blob import Blob

MAGIC = b"\x7fELF"
EM_CUDA = 190
_MACHINES = {3: "x86", 62: "x86-64", 183: "aarch64", EM_CUDA: "cuda", 21: "ppc64", 243: "riscv"}

_SHT_NOBITS = 8
_SHT_DYNSYM = 11
_SHT_DYNAMIC = 6
_SHT_VERNEED = 0x6FFFFFFE
_SHF_ALLOC = 2
_SHF_EXECINSTR = 4
_PT_LOAD = 1
_PT_DYNAMIC = 2
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29

MAX_SECTIONS = 1 << 20
MAX_STRINGS = 256 << 20
MAX_SYMBOL_BYTES = 256 << 20


class ElfError(Exception):
    """An ELF file that is truncated or contradicts itself; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    entry_size: int

    @property
    def has_bytes(self) -> bool:
        return self.type != _SHT_NOBITS and self.size > 0

    @property
    def is_data(self) -> bool:
        """Loaded into memory, and not as instructions."""
        return self.has_bytes and bool(self.flags & _SHF_ALLOC) and not self.flags & _SHF_EXECINSTR


@dataclass(frozen=True)
class Dynamic:
    """The dynamic section: what the loader is told. Empty for a static program or an object file."""

    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


@dataclass(frozen=True)
class ElfFile:
    """An ELF file's headers; its symbols are read when they are asked for."""

    blob: Blob = field(repr=False)
    bits: int
    machine: str
    sections: tuple[Section, ...]
    dynamic: Dynamic

    def section(self, name: str) -> Section | None:
        return next((section for section in self.sections if section.name == name), None)

    def contents(self, section: Section, limit: int) -> bytes:
        """A section's bytes. Raises ElfError where they are more than `limit` or not all there."""
        if section.size > limit:
            raise ElfError(f"section {section.name} says that it has {section.size} bytes")
        return _exactly(self.blob, section.offset, section.size, f"section {section.name}")

    @cached_property
    def needed_versions(self) -> dict[str, tuple[str, ...]]:
        """The symbol versions that are needed of each library: {"libc.so.6": ("GLIBC_2.17", ...)}. Raises ElfError."""
        section = next((section for section in self.sections if section.type == _SHT_VERNEED), None)
        if section is None:
            return {}
        data, strings = self.contents(section, MAX_STRINGS), self._strings(section.link)
        found: dict[str, tuple[str, ...]] = {}
        at = 0
        for _ in range(section.info):
            _, count, file, aux, step = _unpack("<HHIII", data, at)
            versions = tuple(self._aux_versions(data, strings, at + aux, count))
            found[_string(strings, file)] = versions
            if step == 0:
                break
            at += step
        return found

    def _aux_versions(self, data: bytes, strings: bytes, at: int, count: int) -> Iterator[str]:
        for _ in range(count):
            _, _, _, name, step = _unpack("<IHHII", data, at)
            yield _string(strings, name)
            if step == 0:
                return
            at += step

    @cached_property
    def dynamic_names(self) -> bytes:
        """The string table of the dynamic symbols, names separated by zero bytes. Raises ElfError."""
        table = next((section for section in self.sections if section.type == _SHT_DYNSYM), None)
        return b"" if table is None else self._strings(table.link)

    @cached_property
    def undefined_symbols(self) -> frozenset[str]:
        """The names of symbols that another library must define. Raises ElfError."""
        table = next((section for section in self.sections if section.type == _SHT_DYNSYM), None)
        if table is None:
            return frozenset()
        data, strings = self.contents(table, MAX_SYMBOL_BYTES), self._strings(table.link)
        layout, name_at, section_at = ("<IBBHQQ", 0, 3) if self.bits == 64 else ("<IIIBBH", 0, 5)
        usable = len(data) - len(data) % struct.calcsize(layout)
        symbols = struct.iter_unpack(layout, data[:usable])
        return frozenset(_string(strings, symbol[name_at]) for symbol in symbols if symbol[section_at] == 0 and symbol[name_at])

    def _strings(self, index: int) -> bytes:
        if not 0 < index < len(self.sections):
            raise ElfError(f"a section links to section {index}, which is not there")
        return self.contents(self.sections[index], MAX_STRINGS)


def read_elf(blob: Blob) -> ElfFile:
    """The headers of an ELF file of either word size, little-endian. Raises ElfError, or BlobError from the reading."""
    ident = _exactly(blob, 0, 20, "its header")
    if ident[:4] != MAGIC:
        raise ElfError("not an ELF file")
    if ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise ElfError(f"an ELF file of unknown class {ident[4]} or byte order {ident[5]}")
    if ident[5] == 2:
        raise ElfError("a big-endian ELF file, which no CUDA platform has")
    bits = 64 if ident[4] == 2 else 32
    header = _exactly(blob, 0, 64 if bits == 64 else 52, "its header")
    sections = _read_sections(blob, header, bits)
    (machine,) = struct.unpack_from("<H", ident, 18)
    return ElfFile(blob, bits, _MACHINES.get(machine, f"machine {machine}"), sections, _read_dynamic(blob, header, bits))


def _read_sections(blob: Blob, header: bytes, bits: int) -> tuple[Section, ...]:
    if bits == 64:
        (offset,) = struct.unpack_from("<Q", header, 40)
        entry_size, count, names_index = struct.unpack_from("<HHH", header, 58)
        layout = struct.Struct("<IIQQQQIIQQ")
    else:
        (offset,) = struct.unpack_from("<I", header, 32)
        entry_size, count, names_index = struct.unpack_from("<HHH", header, 46)
        layout = struct.Struct("<IIIIIIIIII")
    if offset == 0:
        return ()
    if entry_size < layout.size:
        raise ElfError(f"section headers of {entry_size} bytes")
    first = layout.unpack(_exactly(blob, offset, layout.size, "its section headers"))
    # gABI, "ELF Header": counts that do not fit 16 bits stand in the first section header.
    count = count or first[5]
    names_index = first[6] if names_index == 0xFFFF else names_index
    if count > MAX_SECTIONS:
        raise ElfError(f"{count} sections")
    table = _exactly(blob, offset, entry_size * count, "its section headers")
    raw = [layout.unpack_from(table, index * entry_size) for index in range(count)]
    names = _section_names(blob, raw, names_index)
    return tuple(Section(_string(names, r[0]), r[1], r[2], r[4], r[5], r[6], r[7], r[9]) for r in raw)


def _section_names(blob: Blob, raw: list[tuple[int, ...]], index: int) -> bytes:
    if index >= len(raw):
        raise ElfError("truncated: the names of its sections are not there")
    offset, size = raw[index][4], raw[index][5]
    if size > MAX_STRINGS:
        raise ElfError(f"{size} bytes of section names")
    return _exactly(blob, offset, size, "the names of its sections")


def _read_dynamic(blob: Blob, header: bytes, bits: int) -> Dynamic:
    segments = list(_segments(blob, header, bits))
    table = next(((offset, size) for kind, offset, _, size in segments if kind == _PT_DYNAMIC), None)
    if table is None:
        return Dynamic()
    layout = "<qQ" if bits == 64 else "<iI"
    if table[1] > MAX_STRINGS:
        raise ElfError(f"a dynamic section of {table[1]} bytes")
    data = _exactly(blob, *table, "its dynamic section")
    pairs = []
    for tag, value in struct.iter_unpack(layout, data[: len(data) // struct.calcsize(layout) * struct.calcsize(layout)]):
        if tag == 0:
            break
        pairs.append((tag, value))
    strings = _dynamic_strings(blob, dict(pairs), segments)

    def paths(wanted: int) -> tuple[str, ...]:
        return tuple(path for tag, value in pairs if tag == wanted for path in _string(strings, value).split(":") if path)

    return Dynamic(
        needed=tuple(_string(strings, value) for tag, value in pairs if tag == _DT_NEEDED),
        soname=next((_string(strings, value) for tag, value in pairs if tag == _DT_SONAME), ""),
        rpath=paths(_DT_RPATH),
        runpath=paths(_DT_RUNPATH),
    )


def _segments(blob: Blob, header: bytes, bits: int) -> Iterator[tuple[int, int, int, int]]:
    """(type, offset in the file, address, bytes in the file) of each program header."""
    if bits == 64:
        (offset,) = struct.unpack_from("<Q", header, 32)
        entry_size, count = struct.unpack_from("<HH", header, 54)
    else:
        (offset,) = struct.unpack_from("<I", header, 28)
        entry_size, count = struct.unpack_from("<HH", header, 42)
    layout = struct.Struct("<IIQQQQ" if bits == 64 else "<IIIII")
    if not count:
        return
    if entry_size < layout.size:
        raise ElfError(f"program headers of {entry_size} bytes")
    table = _exactly(blob, offset, entry_size * count, "its program headers")
    for index in range(count):
        raw = layout.unpack_from(table, index * entry_size)
        yield (raw[0], raw[2], raw[3], raw[5]) if bits == 64 else (raw[0], raw[1], raw[2], raw[4])


def _dynamic_strings(blob: Blob, tags: dict[int, int], segments: list[tuple[int, int, int, int]]) -> bytes:
    address, size = tags.get(_DT_STRTAB, 0), tags.get(_DT_STRSZ, 0)
    if size > MAX_STRINGS:
        raise ElfError(f"{size} bytes of dynamic strings")
    for kind, offset, start, length in segments:
        if kind == _PT_LOAD and start <= address < start + length:
            return _exactly(blob, offset + address - start, size, "its dynamic strings")
    return b""


def _exactly(blob: Blob, offset: int, size: int, what: str) -> bytes:
    if offset + size > blob.size:
        raise ElfError(f"truncated: {what} should reach to {offset + size}, the file ends at {blob.size}")
    data = blob.read(offset, size)
    if len(data) != size:
        raise ElfError(f"truncated: {what} cannot be read in full")
    return data


def _unpack(layout: str, data: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, data, at)
    except struct.error:
        raise ElfError(f"a table of symbol versions that points outside of itself, at {at}") from None


def _string(strings: bytes, at: int) -> str:
    end = strings.find(b"\0", at)
    if at >= len(strings) or end < 0:
        return ""
    return strings[at:end].decode("utf-8", "replace")
