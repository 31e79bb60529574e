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

import dataclasses
import enum
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import lz4.block
import zstandard

from arrstack.artifacts.blob import Blob

MAGIC = struct.pack("<I", 0xBA55ED50)
CONTAINER = struct.Struct("<IHHQ")
ENTRY = struct.Struct("<HHIQIIHHIIIQQQ")
CONTAINER_VERSION = 1
ENTRY_MAJOR = 1
_KIND_BUNDLE = 0x100
_BUNDLE_TABLE = struct.Struct("<II")
MAX_ENTRY_HEADER = 1 << 16
CODE_PREFIX = 192
WINDOW = ENTRY.size + 64 + CODE_PREFIX
MAX_CODE_BYTES = 1 << 30

_FLAG_LZ4 = 0x2000
_FLAG_ZSTD = 0x8000
_FLAG_ARCH_SPECIFIC = 0x100000
_FLAG_FAMILY_SPECIFIC = 0x200000
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_EM_CUDA = 190
_EF_CUDA_ACCELERATORS_V1 = 0x800
_CUBIN_ABI_CUDA13 = 8


class FatbinError(Exception):
    """Not a fat binary that this version can read in full; says at which offset of the file, and what was found there."""


class Kind(enum.Enum):
    """What an entry holds. LTO_IR is NVVM's intermediate code for link-time optimisation: no GPU runs it as it is."""

    PTX = 1
    SASS = 2
    LTO_IR = 8


_KINDS = frozenset(kind.value for kind in Kind)


class Compression(enum.Enum):
    NONE = "none"
    LZ4 = "lz4"
    ZSTD = "zstd"


class Arch(NamedTuple):
    """A GPU architecture as the compiler names it: 90 and "a" for sm_90a. Variant: "", "a" (this GPU alone), "f" (its family)."""

    number: int
    variant: str = ""

    @property
    def sm(self) -> str:
        return f"sm_{self.number}{self.variant}"

    @property
    def compute(self) -> str:
        return f"compute_{self.number}{self.variant}"

    @property
    def capability(self) -> tuple[int, int]:
        """(major, minor) of the compute capability: 89 is (8, 9), 120 is (12, 0)."""
        return divmod(self.number, 10)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a container.

    `stored` is its size in the file in bytes, headers excluded (its share of the compressed whole in a bundle); `isa` is
    (major, minor); the code is `size` bytes, at `inner` of what the `compressed_size` bytes at `offset` decompress to, which
    are `whole` bytes.
    """

    kind: Kind
    arch: Arch
    stored: int
    compression: Compression
    isa: tuple[int, int]
    offset: int
    compressed_size: int
    size: int
    inner: int
    whole: int


@dataclass(frozen=True, slots=True)
class Container:
    """The entries of one translation unit: the CUDA runtime picks one of them for the GPU at hand.

    `unknown_kinds` are the kinds of entries that this program does not know and left out.
    """

    offset: int
    entries: tuple[Entry, ...]
    unknown_kinds: tuple[int, ...] = ()


def read_containers(blob: Blob, start: int, end: int) -> Iterator[Container]:
    """Every container of a section that holds nothing else. Raises FatbinError at what is neither container nor padding."""
    position = start
    while (position := _skip_padding(blob, position, end)) < end:
        container, position = read_container(blob, position, end)
        yield container


def read_container(blob: Blob, position: int, end: int) -> tuple[Container, int]:
    """The container at `position` and the offset behind it. Raises FatbinError."""
    header = blob.read(position, CONTAINER.size)
    if len(header) < CONTAINER.size or position + CONTAINER.size > end:
        raise FatbinError(f"truncated: a fat binary's header at {position} does not fit")
    magic, version, header_size, size = CONTAINER.unpack(header)
    if header[:4] != MAGIC:
        raise FatbinError(f"{magic:#010x} at {position} is not the beginning of a fat binary")
    if version != CONTAINER_VERSION or header_size < CONTAINER.size:
        raise FatbinError(f"the fat binary at {position} has version {version}, newer than this program knows")
    limit = position + header_size + size
    if limit > end:
        raise FatbinError(f"truncated: the fat binary at {position} wants {size} bytes, {end - position - header_size} are there")
    entries: list[Entry] = []
    unknown: list[int] = []
    at = position + header_size
    while at < limit:
        entry = _read_header(blob, at, limit)
        if entry.kind == _KIND_BUNDLE:
            entries += _read_bundle(entry)
        elif entry.kind in _KINDS:
            entries.append(_read_entry(blob, entry))
        else:
            unknown.append(entry.kind)
        at = entry.behind
    return Container(position, tuple(entries), tuple(unknown)), limit


def _skip_padding(blob: Blob, position: int, end: int) -> int:
    while position < end:
        data = blob.read(position, min(CONTAINER.size, end - position))
        if not data:
            raise FatbinError(f"truncated: the section ends at {position} instead of {end}")
        if data[:4] == MAGIC:
            return position
        if data.count(0) != len(data):
            return position + (len(data) - len(data.lstrip(b"\0"))) // 8 * 8
        position += len(data)
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
    arch = Arch(number, _variant(flags))
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
    return _checked(entry, header.head[header.header_size :])


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
            arch=Arch(number, _variant(flags)),
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


def _variant(flags: int) -> str:
    if flags & _FLAG_ARCH_SPECIFIC:
        return "a"
    return "f" if flags & _FLAG_FAMILY_SPECIFIC else ""


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


def _checked(entry: Entry, prefix: bytes) -> Entry:
    """Looks at the code itself: what is compressed in an unknown way, or made for another architecture than its header says."""
    if entry.kind is Kind.LTO_IR:
        # NVIDIA scrambles it: there is nothing in it to recognise.
        return entry
    if entry.compression is Compression.ZSTD:
        # A zstd block cannot be decoded in part; its frame header names the size, RFC 8878 section 3.1.1.1.
        _check_zstd_frame(entry, prefix)
        return entry
    prefix = prefix[: entry.compressed_size]
    if entry.compression is Compression.LZ4:
        prefix = lz4_prefix(prefix, 128)
    if entry.kind is Kind.PTX:
        _check_ptx(entry, prefix)
        return entry
    found = check_cubin(entry, prefix)
    return dataclasses.replace(entry, arch=found) if found.variant and not entry.arch.variant else entry


def _check_zstd_frame(entry: Entry, prefix: bytes) -> None:
    if prefix[:4] != _ZSTD_MAGIC:
        raise FatbinError(f"the code at {entry.offset} is flagged as zstd and is not")
    try:
        size = zstandard.get_frame_parameters(prefix).content_size
    except zstandard.ZstdError as error:
        raise FatbinError(f"the code at {entry.offset} has no valid zstd frame: {error}") from error
    if size not in (entry.whole, zstandard.CONTENTSIZE_UNKNOWN):
        raise FatbinError(f"the code at {entry.offset} inflates to {size} bytes, its header says {entry.whole}")


def check_cubin(entry: Entry, code: bytes) -> Arch:
    """That `code` (its first 64 bytes suffice) is CUDA machine code for the entry's architecture. Raises FatbinError."""
    arch = cubin_architecture(code)
    if arch is None:
        raise FatbinError(f"the entry at {entry.offset} is neither CUDA machine code nor compressed in a known way")
    if arch.number != entry.arch.number:
        raise FatbinError(f"the entry at {entry.offset} says {entry.arch.sm}, its machine code is for {arch.sm}")
    return arch


def cubin_architecture(code: bytes) -> Arch | None:
    """The architecture that a cubin (an ELF file of machine EM_CUDA, 190) was made for; None where it is no cubin.

    `e_flags` holds it in its low byte, and the "a" of its variant in EF_CUDA_ACCELERATORS_V1, up to CUDA 12 (ELF ABI version
    7); in its second byte since (ABI version 8), where the variant stands in the fat binary alone. Source of the names and
    bits: llvm/BinaryFormat/ELF.h; the second layout was read off cubins of CUDA 13.
    """
    if len(code) < 52 or code[:4] != b"\x7fELF":
        return None
    (machine,) = struct.unpack_from("<H", code, 18)
    (flags,) = struct.unpack_from("<I", code, 48 if code[4] == 2 else 36)
    if machine != _EM_CUDA:
        return None
    if code[8] >= _CUBIN_ABI_CUDA13:
        return Arch(flags >> 8 & 0xFF)
    return Arch(flags & 0xFF, "a" if flags & _EF_CUDA_ACCELERATORS_V1 else "")


def _check_ptx(entry: Entry, text: bytes) -> None:
    if text.strip(b"\0") and re.search(rb"[\x01-\x08\x0e-\x1f\x7f-\xff]", text):
        raise FatbinError(f"the entry at {entry.offset} is neither PTX nor compressed in a known way")
    target = re.search(rb"^\.target\s+sm_(\d+)([af]?)\b", text, re.MULTILINE)
    if target and int(target[1]) != entry.arch.number:
        raise FatbinError(f"the entry at {entry.offset} says {entry.arch.compute}, its PTX is for sm_{target[1].decode()}")


def lz4_prefix(data: bytes, wanted: int) -> bytes:
    """The first bytes of an LZ4 block (about `wanted`, as far as `data` reaches): a library decodes blocks only as a whole.

    Source: lz4_Block_format.md of the LZ4 project.
    """
    out = bytearray()
    at = 0
    while at < len(data) and len(out) < wanted:
        token = data[at]
        literals, at = _lz4_length(data, at + 1, token >> 4)
        out += data[at : at + literals]
        at += literals
        if at + 2 > len(data):
            break
        distance = data[at] | data[at + 1] << 8
        length, at = _lz4_length(data, at + 2, token & 15)
        if not 0 < distance <= len(out):
            break
        for _ in range(min(length + 4, wanted)):
            out.append(out[-distance])
    return bytes(out[:wanted])


def _lz4_length(data: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        while at < len(data):
            length += data[at]
            at += 1
            if data[at - 1] != 255:
                break
    return length, at


def read_code(blob: Blob, entry: Entry, limit: int = MAX_CODE_BYTES) -> bytes:
    """The code of a SASS or PTX entry, decompressed. Raises FatbinError where it is corrupt or wants more than `limit` bytes."""
    if max(entry.whole, entry.compressed_size) > limit:
        raise FatbinError(f"the code at {entry.offset} would inflate to {entry.whole} bytes")
    data = blob.read(entry.offset, entry.compressed_size)
    try:
        if entry.compression is Compression.LZ4:
            data = bytes(lz4.block.decompress(data, uncompressed_size=entry.whole))
        elif entry.compression is Compression.ZSTD:
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=entry.whole)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise FatbinError(f"the code at {entry.offset} does not decompress: {error}") from error
    if len(data) != entry.whole:
        raise FatbinError(f"the code at {entry.offset} inflates to {len(data)} bytes, its header says {entry.whole}")
    return data[entry.inner : entry.inner + entry.size]
