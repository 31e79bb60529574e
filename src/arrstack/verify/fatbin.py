"""NVIDIA's fat binary: a container with the same GPU code for several architectures, as machine code or as PTX.

The format is not documented by NVIDIA. The layout below was read off what `nvcc` and `fatbinary` of CUDA 11.8, 12.4, 13.0 and
13.5 write for known options, and agrees with what others published: n-eiling/cuda-fatbin-decompression (`fatbin-decompress.h`),
jiegec/fatbinary, and XLA's `cuda_fatbin.h`; `fatbinary_section.h` of the toolkit names the sections. The tests compare it with
`cuobjdump` entry by entry.

    container   u32 magic 0xBA55ED50 | u16 version 1 | u16 header size 16 | u64 bytes that follow
    entry       u16 kind | u16 version 0x0101 | u32 header size | u64 stored size | u32 compressed size | u32 options offset
                u16 minor, u16 major of the code's version (for PTX its ISA) | u32 architecture | u32, u32 object name
                u64 flags | u64 | u64 size after decompression | options and names | the code
    bundle      (kind 0x100, `fatbinary --concat` of CUDA 13) the same 64 bytes, then at the options offset u32 count,
                u32 bytes of this table, and `count` entry headers, each as long as its options reach, whose header size is
                instead the code's offset in the decompressed whole
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from arrstack.artifacts.blob import Blob
from arrstack.verify.entries import Arch, Compression, Container, Entry, FatbinError, Kind
from arrstack.verify.entry_code import checked

MAGIC = struct.pack("<I", 0xBA55ED50)
CONTAINER = struct.Struct("<IHHQ")
ENTRY = struct.Struct("<HHIQIIHHIIIQQQ")
CONTAINER_VERSION = 1
ENTRY_MAJOR = 1
_KIND_BUNDLE = 0x100
_KINDS = frozenset(kind.value for kind in Kind)
_BUNDLE_TABLE = struct.Struct("<II")
MAX_ENTRY_HEADER = 1 << 16
CODE_PREFIX = 192
MAX_ARCH = 999
MAX_CONTAINERS = 1 << 17
MAX_PADDING = 1 << 20
_PADDING_READ = 4096
WINDOW = ENTRY.size + 64 + CODE_PREFIX

_FLAG_LZ4 = 0x2000
_FLAG_ZSTD = 0x8000
_FLAG_ARCH_SPECIFIC = 0x100000
_FLAG_FAMILY_SPECIFIC = 0x200000


def read_containers(blob: Blob, start: int, end: int) -> Iterator[Container]:
    """Every container of a section that holds nothing else. Raises FatbinError at what is neither container nor padding."""
    position = start
    count = 0
    while (position := _skip_padding(blob, position, end)) < end:
        container, position = read_container(blob, position, end)
        count += 1
        if count > MAX_CONTAINERS:
            raise FatbinError(f"more than {MAX_CONTAINERS} fat binaries")
        yield container
    if not count:
        raise FatbinError(f"{end - start} bytes, and no fat binary in them")


def read_container(blob: Blob, position: int, end: int) -> tuple[Container, int]:
    """The container at `position` and the offset behind it. Raises FatbinError, which says how far it had been read."""
    limit = _read_container_header(blob, position, end)
    entries: list[Entry] = []
    unknown: list[int] = []
    at = position + CONTAINER.size
    try:
        while at < limit:
            header = _read_header(blob, at, limit)
            if header.kind == _KIND_BUNDLE:
                entries += _read_bundle(header)
            elif header.kind in _KINDS:
                entries.append(_read_entry(blob, header))
            else:
                unknown.append(header.kind)
            at = header.behind
    except FatbinError as error:
        error.read_to = at
        raise
    return Container(position, tuple(entries), tuple(unknown)), limit


def _read_container_header(blob: Blob, position: int, end: int) -> int:
    """Where the container at `position` ends."""
    header = blob.read(position, CONTAINER.size)
    if len(header) < CONTAINER.size or position + CONTAINER.size > end:
        raise FatbinError(f"truncated: a fat binary's header at {position} does not fit")
    magic, version, header_size, size = CONTAINER.unpack(header)
    if header[:4] != MAGIC:
        raise FatbinError(f"{magic:#010x} at {position} is not the beginning of a fat binary")
    if version != CONTAINER_VERSION or header_size != CONTAINER.size:
        raise FatbinError(f"the fat binary at {position} has version {version}, newer than this program knows")
    limit = position + CONTAINER.size + int(size)
    if limit > end:
        raise FatbinError(f"truncated: the fat binary at {position} wants {size} bytes, {end - position - header_size} are there")
    return limit


def _skip_padding(blob: Blob, position: int, end: int) -> int:
    """Where the next container begins; zeros, a few pages at most, may lie before it."""
    first = position
    # The header alone to begin with: of a deflated library it was kept.
    length = CONTAINER.size
    while position < end:
        data = blob.read(position, min(length, end - position))
        if not data:
            raise FatbinError(f"truncated: the section ends at {position} instead of {end}")
        if data[0]:
            return position
        zeros = len(data) - len(data.lstrip(b"\0"))
        if zeros < len(data):
            return position + zeros // 8 * 8
        position += len(data)
        length = _PADDING_READ
        if position - first > MAX_PADDING:
            raise FatbinError(f"more than {MAX_PADDING} zero bytes at {first}, where a fat binary should be")
    return end


@dataclass(frozen=True, slots=True)
class _Header:
    at: int
    kind: int
    header_size: int
    stored: int
    compressed: int
    options: int
    isa: tuple[int, int]
    arch: Arch
    compression: Compression
    size: int
    head: bytes

    @property
    def code(self) -> int:
        return self.at + self.header_size

    @property
    def behind(self) -> int:
        return self.code + self.stored


def _read_header(blob: Blob, at: int, limit: int) -> _Header:
    head = blob.read(at, min(WINDOW, limit - at))
    if len(head) < ENTRY.size:
        raise FatbinError(f"truncated: a fat binary's entry at {at} does not fit")
    kind, version, header_size, stored, compressed, options, minor, major, number, _, _, flags, _, size = ENTRY.unpack_from(head)
    if version >> 8 != ENTRY_MAJOR:
        raise FatbinError(f"the entry at {at} has version {version >> 8}.{version & 255}, newer than this program knows")
    if not ENTRY.size <= header_size <= MAX_ENTRY_HEADER or at + header_size + stored > limit:
        raise FatbinError(f"truncated: the entry at {at} is larger than its fat binary")
    compression = _compression(flags, at)
    if compression is Compression.NONE:
        compressed = size = stored
    elif compressed > stored:
        raise FatbinError(f"the entry at {at} says {compressed} compressed bytes, {stored} are stored")
    wanted = min(header_size + CODE_PREFIX, limit - at)
    if len(head) < wanted:
        head = blob.read(at, wanted)
    arch = _arch(number, flags, at) if kind in _KINDS else Arch(0)
    return _Header(at, kind, header_size, stored, compressed, options, (major, minor), arch, compression, size, head)


def _read_entry(blob: Blob, header: _Header) -> Entry:
    entry = Entry(
        kind=Kind(header.kind),
        arch=header.arch,
        stored=header.stored,
        compression=header.compression,
        isa=header.isa,
        offset=header.code,
        compressed_size=header.compressed,
        size=header.size,
        inner=0,
        whole=header.size,
    )
    return checked(entry, header.head[header.header_size :])


def _read_bundle(header: _Header) -> Iterator[Entry]:
    """The entries of a bundle; their sizes in the file are shares of the whole, since they were compressed together."""
    table, end = header.options, header.header_size
    if table + _BUNDLE_TABLE.size > end or len(header.head) < end:
        raise FatbinError(f"truncated: the bundle at {header.at} has no table")
    count, _ = _BUNDLE_TABLE.unpack_from(header.head, table)
    position = table + _BUNDLE_TABLE.size
    for _ in range(count):
        if position + ENTRY.size > end:
            raise FatbinError(f"truncated: the bundle at {header.at} says {count} entries")
        kind, _, inner, size, _, options, minor, major, number, _, _, flags, _, _ = ENTRY.unpack_from(header.head, position)
        if kind not in _KINDS or inner + size > header.size:
            raise FatbinError(f"the bundle at {header.at} has an entry of kind {kind}, {size} bytes at {inner}")
        yield Entry(
            kind=Kind(kind),
            arch=_arch(number, flags, position),
            stored=header.stored * size // max(1, header.size),
            compression=header.compression,
            isa=(major, minor),
            offset=header.code,
            compressed_size=header.compressed,
            size=size,
            inner=inner,
            whole=header.size,
        )
        position += _bundled_header_size(header, position, options)


def _bundled_header_size(header: _Header, position: int, options: int) -> int:
    """An entry header in a bundle has no size of its own: it ends with its options (offset, length) and a zero byte, padded to 8."""
    if options == 0:
        return ENTRY.size
    if position + options + _BUNDLE_TABLE.size > header.header_size:
        raise FatbinError(f"truncated: the bundle at {header.at} has options outside of its header")
    first, length = _BUNDLE_TABLE.unpack_from(header.head, position + options)
    return max(ENTRY.size, (int(first) + int(length) + 8) // 8 * 8)


def _arch(number: int, flags: int, at: int) -> Arch:
    if not 10 <= number <= MAX_ARCH:
        raise FatbinError(f"the entry at {at} says that it is for architecture {number}, which there cannot be")
    if flags & _FLAG_ARCH_SPECIFIC:
        return Arch(number, "a")
    return Arch(number, "f" if flags & _FLAG_FAMILY_SPECIFIC else "")


def _compression(flags: int, at: int) -> Compression:
    match flags & (_FLAG_LZ4 | _FLAG_ZSTD):
        case 0:
            return Compression.NONE
        case 0x2000:
            return Compression.LZ4
        case 0x8000:
            return Compression.ZSTD
        case _:
            raise FatbinError(f"the entry at {at} says that it is LZ4 and zstd at once")
