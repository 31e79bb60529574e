#!/usr/bin/env python3
"""symbols.py: takes the symbol tables out of the trio's libraries that no loader reads, 77 MB of them, by strip(1) of binutils.

A file is replaced only where all that is ever mapped into memory is the same to the byte; else it stays, and that is said. RECORD tells the new
sizes and hashes. What a debugger or a profiler can name afterwards are the exported functions.
"""

import os
import struct
import subprocess
from pathlib import Path

from headers import record_of, row, rows_of, write_rows

TRIO = ("torch", "torchvision", "torchaudio")
PT_LOAD = 1
HEADER_SIZE, SECTION_TABLE, SECTION_COUNTS = 64, slice(40, 48), slice(60, 64)
"""Of the ELF header, 64 bits: it is mapped too, and says where the sections are, which the loader does not ask."""


def mapped(content: bytes) -> "list[tuple[tuple[int, ...], bytes]]":
    """The segments that a loader maps: flags, address and sizes, and the bytes. Raises ValueError for what is no ELF file of 64 bits."""
    if content[:6] != b"\x7fELF\x02\x01" or len(content) < HEADER_SIZE:
        raise ValueError("no little-endian ELF file of 64 bits")
    header = bytearray(content[:HEADER_SIZE])
    header[SECTION_TABLE], header[SECTION_COUNTS] = bytes(8), bytes(4)
    (table,), (size, count) = struct.unpack_from("<Q", content, 32), struct.unpack_from("<2H", content, 54)
    found = []
    for number in range(count):
        kind, flags, offset, address, _, length, memory, _ = struct.unpack_from("<2I6Q", content, table + number * size)
        if kind == PT_LOAD:
            data = content[offset : offset + length]
            found.append(((flags, address, length, memory), bytes(header) + data[HEADER_SIZE:] if offset == 0 else data))
    return found


def without_symbols(path: Path) -> int:
    """Replaces a library by one without them. The bytes freed; 0 where it stays as it is."""
    stripped = path.with_name(path.name + ".stripped")
    subprocess.run(["strip", "--strip-unneeded", "-o", stripped, path], check=True)
    before, after = path.read_bytes(), stripped.read_bytes()
    if len(after) >= len(before) or mapped(before) != mapped(after):
        print(f"{path.name} stays as it is: strip would change what is loaded, or free nothing")
        stripped.unlink()
        return 0
    os.chmod(stripped, path.stat().st_mode)
    stripped.replace(path)
    return len(before) - len(after)


def strip_all(site: Path, record: Path) -> int:
    """Strips the libraries that a RECORD names, and corrects it. The bytes freed."""
    rows, freed = rows_of(record), 0
    for number, (name, *_) in enumerate(rows):
        path = site / name
        if path.is_file() and path.open("rb").read(4) == b"\x7fELF" and (saved := without_symbols(path)):
            rows[number], freed = row(site, name), freed + saved
    write_rows(record, rows)
    return freed


def main() -> None:
    freed = sum(strip_all(*record_of(name)) for name in TRIO)
    print(f"symbol tables removed: {freed / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
