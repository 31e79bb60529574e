"""What an ELF file says about itself: sections, the libraries and symbol versions that it needs, where it looks for them.

An own reader, because pyelftools takes minutes over the symbols of libtorch and wants a seekable file. Sources: the System V
ABI (gABI 4.1, chapters 4 and 5) and the Linux Standard Base, "Symbol Versioning".
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from arrstack.artifacts.blob import Blob
from arrstack.verify.strings import ElfError, StringTable

MAGIC = b"\x7fELF"
EM_CUDA = 190
_MACHINES = {3: "x86", 62: "x86-64", 40: "arm", 183: "aarch64", EM_CUDA: "cuda", 21: "ppc64le", 22: "s390x", 243: "riscv64"}

_SHT_NOBITS = 8
_SHT_DYNSYM = 11
_SHT_VERNEED = 0x6FFFFFFE
_SHF_ALLOC = 2
_SHF_EXECINSTR = 4

MAX_SECTIONS = 1 << 18
MAX_STRINGS = 256 << 20
MAX_SYMBOL_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int

    @property
    def has_bytes(self) -> bool:
        return self.type != _SHT_NOBITS and self.size > 0

    @property
    def is_data(self) -> bool:
        """Loaded into memory, and not as instructions."""
        return self.has_bytes and bool(self.flags & _SHF_ALLOC) and not self.flags & _SHF_EXECINSTR


@dataclass(frozen=True)
class ElfFile:
    """An ELF file's headers; its symbols are read when they are asked for. `bits` is 32 or 64."""

    blob: Blob = field(repr=False)
    header: bytes = field(repr=False)
    bits: int
    machine: str
    sections: tuple[Section, ...]

    def section(self, name: str) -> Section | None:
        return next((section for section in self.sections if section.name == name), None)

    def contents(self, section: Section, limit: int) -> bytes:
        """A section's bytes. Raises ElfError where they are more than `limit` or not all there."""
        if section.size > limit:
            raise ElfError(f"section {section.name} says that it has {section.size} bytes")
        return exactly(self.blob, section.offset, section.size, f"section {section.name}")

    @cached_property
    def needed_versions(self) -> dict[str, tuple[str, ...]]:
        """The symbol versions that are needed of each library: {"libc.so.6": ("GLIBC_2.17", ...)}. Raises ElfError."""
        section = next((section for section in self.sections if section.type == _SHT_VERNEED), None)
        if section is None:
            return {}
        table = _VersionTable(self.contents(section, MAX_STRINGS), self._strings(section.link))
        return dict(table.libraries(section.info))

    @cached_property
    def dynamic_names(self) -> bytes:
        """The string table of the dynamic symbols, names separated by zero bytes. Raises ElfError."""
        table = self._dynamic_symbols
        return b"" if table is None else self._strings(table.link).data

    def undefined_symbols(self, prefixes: Sequence[str]) -> frozenset[str]:
        """The names of symbols that another library must define, if they begin with one of `prefixes`. Raises ElfError."""
        table = self._dynamic_symbols
        if table is None:
            return frozenset()
        data, strings = self.contents(table, MAX_SYMBOL_BYTES), self._strings(table.link)
        layout, name_at, section_at = ("<IBBHQQ", 0, 3) if self.bits == 64 else ("<IIIBBH", 0, 5)
        usable = len(data) - len(data) % struct.calcsize(layout)
        undefined = (symbol[name_at] for symbol in struct.iter_unpack(layout, data[:usable]) if symbol[section_at] == 0)
        wanted = tuple(prefix.encode() for prefix in prefixes)
        return frozenset(strings.name(at) for at in undefined if at and strings.data.startswith(wanted, at))

    @property
    def _dynamic_symbols(self) -> Section | None:
        return next((section for section in self.sections if section.type == _SHT_DYNSYM), None)

    def _strings(self, index: int) -> StringTable:
        if not 0 < index < len(self.sections):
            raise ElfError(f"a section links to section {index}, which is not there")
        return StringTable(self.contents(self.sections[index], MAX_STRINGS))


class _VersionTable:
    """`.gnu.version_r`: a chain of libraries, each with a chain of versions. No honest one has more links than bytes for them."""

    _ENTRY_BYTES = 16

    def __init__(self, data: bytes, strings: StringTable) -> None:
        self._data = data
        self._strings = strings
        self._steps = len(data) // self._ENTRY_BYTES

    def libraries(self, count: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        at = 0
        for _ in range(count):
            _, versions, file, first, step = self._entry("<HHIII", at)
            yield self._strings.name(file), tuple(self._versions(at + first, versions))
            if step == 0:
                break
            at += step

    def _versions(self, at: int, count: int) -> Iterator[str]:
        for _ in range(count):
            _, _, _, name, step = self._entry("<IHHII", at)
            yield self._strings.name(name)
            if step == 0:
                return
            at += step

    def _entry(self, layout: str, at: int) -> tuple[int, ...]:
        self._steps -= 1
        if self._steps < 0:
            raise ElfError("a table of symbol versions whose entries lie over each other")
        try:
            return struct.unpack_from(layout, self._data, at)
        except struct.error:
            raise ElfError(f"a table of symbol versions that points outside of itself, at {at}") from None


def read_elf(blob: Blob) -> ElfFile:
    """The headers of an ELF file of either word size, little-endian. Raises ElfError, or BlobError from the reading."""
    ident = exactly(blob, 0, 20, "its header")
    if ident[:4] != MAGIC:
        raise ElfError("not an ELF file")
    if ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise ElfError(f"an ELF file of unknown class {ident[4]} or byte order {ident[5]}")
    if ident[5] == 2:
        raise ElfError("a big-endian ELF file, which no CUDA platform has")
    bits = 64 if ident[4] == 2 else 32
    header = exactly(blob, 0, 64 if bits == 64 else 52, "its header")
    (machine,) = struct.unpack_from("<H", ident, 18)
    return ElfFile(blob, header, bits, _MACHINES.get(machine, f"machine {machine}"), _read_sections(blob, header, bits))


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
    first = layout.unpack(exactly(blob, offset, layout.size, "its section headers"))
    # gABI, "ELF Header": counts that do not fit 16 bits stand in the first section header.
    count = count or first[5]
    names_index = first[6] if names_index == 0xFFFF else names_index
    if count > MAX_SECTIONS:
        raise ElfError(f"{count} sections")
    table = exactly(blob, offset, entry_size * count, "its section headers")
    raw = [layout.unpack_from(table, index * entry_size) for index in range(count)]
    names = _section_names(blob, raw, names_index)
    return tuple(Section(names.name(r[0]) if names else "", r[1], r[2], r[4], r[5], r[6], r[7]) for r in raw)


def _section_names(blob: Blob, raw: list[tuple[int, ...]], index: int) -> StringTable | None:
    if index == 0:
        # gABI, "ELF Header": SHN_UNDEF, the sections have no names.
        return None
    if index >= len(raw):
        raise ElfError("truncated: the names of its sections are not there")
    offset, size = raw[index][4], raw[index][5]
    if size > MAX_STRINGS:
        raise ElfError(f"{size} bytes of section names")
    return StringTable(exactly(blob, offset, size, "the names of its sections"))


def exactly(blob: Blob, offset: int, size: int, what: str) -> bytes:
    """`size` bytes at `offset`. Raises ElfError where they are not all there; `what` they are is in the message."""
    if offset + size > blob.size:
        raise ElfError(f"truncated: {what} should reach to {offset + size}, the file ends at {blob.size}")
    data = blob.read(offset, size)
    if len(data) != size:
        raise ElfError(f"truncated: {what} cannot be read in full")
    return data
