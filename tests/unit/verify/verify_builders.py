"""Hand-written fat binaries, cubins, ELF files and archives. `test_verify_real_compilers.py` holds them to what NVIDIA's tools write."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import lz4.block
import zstandard

LZ4, ZSTD = 0x2000, 0x8000
VARIANT_FLAGS = {"": 0, "a": 0x100000, "f": 0x200000}


def cubin(number: int, *, abi: int = 7, size: int = 400) -> bytes:
    """The header of CUDA machine code for sm_NUMBER, and zeros up to `size` bytes."""
    flags = number << 16 | 0x500 | number if abi == 7 else 0x6000004 | number << 8
    ident = b"\x7fELF\x02\x01\x01\x33" + bytes([abi]) + bytes(7)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, 0, flags, 64, 56, 0, 64, 0, 0)
    return header.ljust(size, b"\0")


def ptx(number: int, variant: str = "", isa: tuple[int, int] = (8, 4)) -> bytes:
    text = f"\n\n.version {isa[0]}.{isa[1]}\n.target sm_{number}{variant}\n.address_size 64\n.visible .entry f()\n{{\nret;\n}}\n"
    return text.encode() + b"\0" * 40


@dataclass(frozen=True)
class E:
    """One entry: its kind (1 PTX, 2 SASS, 8 LTO IR), architecture and code."""

    kind: int
    number: int
    variant: str = ""
    compression: int = 0
    code: bytes = b""
    version: int = 0x101
    isa: tuple[int, int] = (8, 4)

    def content(self) -> bytes:
        if self.code:
            return self.code
        return ptx(self.number, self.variant, self.isa) if self.kind == 1 else cubin(self.number)


def entry(e: E) -> bytes:
    code = e.content()
    stored = compress(code, e.compression)
    compressed = len(stored) if e.compression else 0
    stored = stored.ljust(-(-len(stored) // 8) * 8, b"\0")
    minor, major = (e.isa[1], e.isa[0]) if e.kind == 1 else (7, 1)
    flags = 0x11 | e.compression | VARIANT_FLAGS[e.variant]
    size = len(code) if e.compression else 0
    # PTX has an (empty) field of compiler options behind its header.
    options = struct.pack("<IIQ", 72, 0, 0) if e.kind == 1 else b""
    header = struct.pack(
        "<HHIQIIHHIIIQQQ",
        e.kind, e.version, 64 + len(options), len(stored), compressed, 64 if options else 0, minor, major, e.number, 0, 0, flags, 0, size,
    )  # fmt: skip
    return header + options + stored


def compress(code: bytes, how: int) -> bytes:
    if how == LZ4:
        return bytes(lz4.block.compress(code, store_size=False))
    return zstandard.ZstdCompressor().compress(code) if how == ZSTD else code


def container(entries: Sequence[E | bytes], *, version: int = 1) -> bytes:
    body = b"".join(e if isinstance(e, bytes) else entry(e) for e in entries)
    return struct.pack("<IHHQ", 0xBA55ED50, version, 16, len(body)) + body


def fatbin(*archs: int, compression: int = 0, with_ptx: Sequence[int] = ()) -> bytes:
    return container([*(E(2, n, compression=compression) for n in archs), *(E(1, n, compression=compression) for n in with_ptx)])


def bundle(archs: Sequence[int], codes: Sequence[bytes] = ()) -> bytes:
    """What `fatbinary --concat` writes: several cubins compressed as one, and a table of them in the header."""
    whole, table = b"", b""
    for number, code in zip(archs, codes or [cubin(number) for number in archs], strict=True):
        table += struct.pack("<HHIQIIHHIIIQQQ", 2, 0x101, len(whole), len(code), 0, 0, 8, 1, number, 0, 0, 0x11, 0, 0)
        whole += code
    stored = compress(whole, ZSTD)
    size = len(stored)
    stored = stored.ljust(-(-size // 8) * 8, b"\0")
    header_size = 64 + 8 + len(table)
    head = struct.pack(
        "<HHIQIIHHIIIQQQ", 0x100, 0x101, header_size, len(stored), size, 64, 0, 1, 0, 0, 0, 0x11 | ZSTD, 0, len(whole)
    )
    return container([head + struct.pack("<II", len(archs), 8 + len(table)) + table + stored])


def elf(
    sections: dict[str, bytes],
    *,
    needed: Sequence[str] = (),
    soname: str = "",
    runpath: str = "",
    versions: dict[str, Sequence[str]] | None = None,
    undefined: Sequence[str] = (),
    machine: int = 62,
) -> bytes:
    """A shared library with these data sections and, where asked for, a dynamic section that a reader can follow."""
    strings = bytearray(b"\0")

    def string(text: str) -> int:
        at = len(strings)
        strings.extend(text.encode() + b"\0")
        return at

    tags = [(1, string(name)) for name in needed]
    tags += [(14, string(soname))] if soname else []
    tags += [(29, string(runpath))] if runpath else []
    symbols = bytes(24) + b"".join(struct.pack("<IBBHQQ", string(name), 0x12, 0, 0, 0, 0) for name in undefined)
    verneed, verneed_count = _verneed(versions or {}, string)
    base = 64 + 2 * 56
    dynstr_at = base
    tags += [(5, dynstr_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", tag, value) for tag, value in tags)
    parts = [(".dynstr", 3, bytes(strings), 0, 0, 2), (".dynamic", 6, dynamic, 1, 0, 2), (".dynsym", 11, symbols, 1, 0, 2)]
    if verneed:
        parts.append((".gnu.version_r", 0x6FFFFFFE, verneed, 1, verneed_count, 2))
    parts += [(name, 1, data, 0, 0, 2) for name, data in sections.items()]
    return _assemble(parts, base, machine)


def _verneed(versions, string):
    out, libraries = b"", list(versions.items())
    for number, (library, names) in enumerate(libraries):
        aux = b"".join(
            struct.pack("<IHHII", 0, 0, 0, string(name), 16 if index + 1 < len(names) else 0) for index, name in enumerate(names)
        )
        step = 16 + len(aux) if number + 1 < len(libraries) else 0
        out += struct.pack("<HHIII", 1, len(names), string(library), 16, step) + aux
    return out, len(libraries)


def _assemble(parts, base, machine):
    names, body, headers, dynamic_at, dynamic_size = bytearray(b"\0"), bytearray(), [bytes(64)], 0, 0
    for name, kind, data, link, info, flags in parts:
        while (base + len(body)) % 8 and name != ".dynstr":
            body.append(0)
        at = base + len(body)
        if name == ".dynamic":
            dynamic_at, dynamic_size = at, len(data)
        headers.append(struct.pack("<IIQQQQIIQQ", len(names), kind, flags, at, at, len(data), link, info, 8, 0))
        names += name.encode() + b"\0"
        body += data
    headers.append(struct.pack("<IIQQQQIIQQ", len(names), 3, 0, 0, base + len(body), len(names) + 10, 0, 0, 1, 0))
    names += b".shstrtab\0"
    body += names
    while (base + len(body)) % 8:
        body.append(0)
    table_at = base + len(body)
    ident = b"\x7fELF\x02\x01\x01\0" + bytes(8)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, table_at, 0, 64, 56, 2, 64, len(headers), len(headers) - 1)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, table_at, table_at, 8)
    dynamic = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, dynamic_size, dynamic_size, 8)
    return head + load + dynamic + bytes(body) + b"".join(headers)


def raw_elf(parts: Sequence[tuple[str, int, bytes, int, int, int]]) -> bytes:
    """A shared library of these sections, (name, type, content, link, info, flags) each."""
    return _assemble(parts, 64 + 2 * 56, 62)


def library(*archs: int, compression: int = 0, with_ptx: Sequence[int] = (), **kwargs) -> bytes:
    return elf({".nv_fatbin": fatbin(*archs, compression=compression, with_ptx=with_ptx)}, **kwargs)


def archive(members: dict[str, bytes]) -> bytes:
    """A static archive, with GNU's table for names longer than 15 bytes."""
    long_names = b""
    out = b"!<arch>\n"
    bodies = b""
    for name, data in members.items():
        if len(name) > 15:
            label = f"/{len(long_names)}"
            long_names += name.encode() + b"/\n"
        else:
            label = f"{name}/"
        bodies += _ar_member(label, data)
    return out + (_ar_member("//", long_names) if long_names else b"") + bodies


def _ar_member(name: str, data: bytes) -> bytes:
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
