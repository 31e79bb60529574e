#!/usr/bin/env python3
"""patch_cmake DIRECTORY LEDGER: raises every `cmake_minimum_required` below 3.5 to 3.5, and touches nothing else.

A blanket rewrite to 3.5 would lower the files that ask for more and change the policies that they get. CMake 4 refuses
minimums below 3.5. An upper bound (`VERSION 3.1...3.20`) stays. The ledger lists each changed file: old, new, path.
"""

import os
import re
import sys
from pathlib import Path

FLOOR = (3, 5)
MINIMUM = re.compile(rb"(cmake_minimum_required\s*\(\s*VERSION\s+)(\d+(?:\.\d+)*)", re.IGNORECASE)


def version(text: bytes) -> "tuple[int, ...]":
    return tuple(int(part) for part in text.split(b"."))


def raise_minimum(text: bytes) -> "tuple[bytes, list[bytes]]":
    """The text with every minimum below the floor raised, and the minimums that were raised."""
    raised: "list[bytes]" = []

    def replace(match: "re.Match[bytes]") -> bytes:
        if version(match[2]) >= FLOOR:
            return match[0]
        raised.append(match[2])
        return match[1] + b"3.5"

    return MINIMUM.sub(replace, text), raised


def main(root: Path, ledger: Path) -> int:
    lines = []
    for path in sorted(p for p in root.rglob("*") if p.name == "CMakeLists.txt" or p.suffix == ".cmake"):
        if path.is_symlink() or not path.is_file():
            continue
        text, raised = raise_minimum(path.read_bytes())
        if raised:
            status = path.stat()
            path.write_bytes(text)
            # The date is part of what ninja compares: a patched file keeps the tree's.
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            lines += [f"{old.decode()}\t3.5\t{path.relative_to(root)}" for old in raised]
    # Run again after an interruption, the files that were raised before are in the ledger alone.
    earlier = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
    ledger.write_text(
        "".join(line + "\n" for line in [*earlier, *(line for line in lines if line not in earlier)]), encoding="utf-8"
    )
    print(f"patch_cmake: {len(lines)} minimums raised to 3.5, see {ledger}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
