#!/usr/bin/env python3
"""Whether two builds of the same version export the same: every library of BUILD against the one in REFERENCE.

    python3 same.py REFERENCE/lib BUILD/lib

Compares the dynamic symbols that `nm` lists: names and kinds (code, constant, data that the file holds, data that is
filled at load time). A name that is missing or new changes what can be linked or loaded; a constant that became data
filled at load time may be read by another initialiser before it is there. Prints each difference; exit status 1 where
there is one.
"""

import subprocess
import sys
from pathlib import Path

KINDS = {
    "T": "code",
    "W": "code",
    "V": "data",
    "R": "constant",
    "D": "data",
    "B": "data filled at load time",
    "u": "data",
    "i": "code",
}


def exported(library: Path) -> "dict[str, str]":
    """Name -> kind. Symbols of the C++ run-time's thread-local initialisation are its own business."""
    told = subprocess.run(["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in told.splitlines())
    return {row[2]: KINDS.get(row[1], row[1]) for row in rows if not row[2].startswith("_ZTH")}


def main(reference: Path, build: Path) -> int:
    differences = 0
    for library in sorted(reference.glob("*.so")):
        other = build / library.name
        if not other.exists():
            print(f"{library.name}: missing")
            differences += 1
            continue
        a, b = exported(library), exported(other)
        wrong = [
            (name, a.get(name, "absent"), b.get(name, "absent"))
            for name in sorted(a.keys() | b.keys())
            if a.get(name) != b.get(name)
        ]
        print(f"{library.name}: {len(a)} names, {len(wrong)} differ")
        for name, was, became in wrong:
            print(f"  {name}: {was} -> {became}")
        differences += len(wrong)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
