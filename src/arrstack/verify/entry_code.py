"""What stands in an entry of a fat binary: machine code, PTX or intermediate code, compressed or not."""

import dataclasses
import re
import struct

import lz4.block
import zstandard

from arrstack.artifacts.blob import Blob
from arrstack.verify.entries import Arch, Compression, Entry, FatbinError, Kind

MAX_CODE_BYTES = 1 << 30
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_EM_CUDA = 190
_EF_CUDA_ACCELERATORS_V1 = 0x800
_CUBIN_ABI_CUDA13 = 8


def checked(entry: Entry, prefix: bytes) -> Entry:
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
