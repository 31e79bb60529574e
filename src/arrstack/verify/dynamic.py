"""The dynamic section of an ELF file: what the loader is told. Source: gABI 4.1, chapter 5, "Dynamic Section"."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from arrstack.verify.elf import ElfFile, exactly
from arrstack.verify.strings import ElfError, StringTable

MAX_TABLE = 1 << 20
MAX_STRINGS = 256 << 20
MAX_NEEDED = 1 << 10
MAX_SEARCH = 1 << 8
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29


@dataclass(frozen=True)
class Dynamic:
    """What the loader is told; empty for a static program or an object file."""

    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Segment:
    type: int
    offset: int
    address: int
    size: int
    """Bytes in the file."""


def read_dynamic(elf: ElfFile) -> Dynamic:
    """Raises ElfError, or BlobError from the reading.

    read_dynamic(read_elf(FileBlob(path))).needed   # ("libc.so.6",)
    """
    section = elf.section(".dynamic")
    if section and not section.has_bytes:
        # A file of debug symbols alone keeps the program headers of what it was split from.
        return Dynamic()
    segments = list(_segments(elf))
    table = next((segment for segment in segments if segment.type == _PT_DYNAMIC), None)
    if table is None:
        return Dynamic()
    tags = list(_tags(elf, table))
    if not tags:
        return Dynamic()
    strings = _strings(elf, dict(tags), segments)
    needed = [value for tag, value in tags if tag == _DT_NEEDED]
    if len(needed) > MAX_NEEDED:
        raise ElfError(f"it needs {len(needed)} libraries")

    def first(wanted: int) -> str:
        return next((strings.name(value) for tag, value in tags if tag == wanted), "")

    names = tuple(strings.name(value) for value in needed)
    return Dynamic(names, first(_DT_SONAME), _directories(first(_DT_RPATH)), _directories(first(_DT_RUNPATH)))


def _directories(path: str) -> tuple[str, ...]:
    found = tuple(directory for directory in path.split(":") if directory)
    if len(found) > MAX_SEARCH:
        raise ElfError(f"it looks for libraries in {len(found)} directories")
    return found


def _tags(elf: ElfFile, table: _Segment) -> Iterator[tuple[int, int]]:
    if table.size > MAX_TABLE:
        raise ElfError(f"a dynamic section of {table.size} bytes")
    layout = struct.Struct("<qQ" if elf.bits == 64 else "<iI")
    data = exactly(elf.blob, table.offset, table.size, "its dynamic section")
    for tag, value in layout.iter_unpack(data[: len(data) // layout.size * layout.size]):
        if tag == 0:
            return
        yield tag, value


def _segments(elf: ElfFile) -> Iterator[_Segment]:
    if elf.bits == 64:
        (offset,) = struct.unpack_from("<Q", elf.header, 32)
        entry_size, count = struct.unpack_from("<HH", elf.header, 54)
        layout, places = struct.Struct("<IIQQQQ"), (0, 2, 3, 5)
    else:
        (offset,) = struct.unpack_from("<I", elf.header, 28)
        entry_size, count = struct.unpack_from("<HH", elf.header, 42)
        layout, places = struct.Struct("<IIIII"), (0, 1, 2, 4)
    if not count:
        return
    if entry_size < layout.size:
        raise ElfError(f"program headers of {entry_size} bytes")
    table = exactly(elf.blob, offset, entry_size * count, "its program headers")
    for index in range(count):
        raw = layout.unpack_from(table, index * entry_size)
        yield _Segment(*(raw[place] for place in places))


def _strings(elf: ElfFile, tags: dict[int, int], segments: list[_Segment]) -> StringTable:
    """The table that DT_STRTAB names by its address. A loader finds it in a segment that it maps, or nowhere."""
    wanted = {_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH}
    if not wanted & tags.keys():
        return StringTable(b"")
    address, size = tags.get(_DT_STRTAB, 0), tags.get(_DT_STRSZ, 0)
    if size > MAX_STRINGS:
        raise ElfError(f"{size} bytes of dynamic strings")
    for segment in segments:
        if segment.type == _PT_LOAD and segment.address <= address < segment.address + segment.size:
            return StringTable(exactly(elf.blob, segment.offset + address - segment.address, size, "its dynamic strings"))
    raise ElfError(f"its dynamic strings (DT_STRTAB, {address:#x}) lie in no segment: what it needs cannot be told")
