#!/usr/bin/env python3
"""Headers that clang takes for CUDA: copies of those that only nvcc reads, each with a mend, in a folder that clang searches first.

    clang_headers.py FOLDER MENDS.json INCLUDE...     writes FOLDER; INCLUDE are the folders in which the headers are searched

MENDS.json holds for a header, by the name under which it is included, pairs of what stands there and what takes its place. A header that
has none of what should stand there is left out and said: then another version of it needs no mend, or another. nvcc and the C++ files
read the headers as they are, so nothing of theirs is compiled anew. Standard library, any Python from 3.10.
"""

import json
import sys
from pathlib import Path


def mended(text: str, pairs: "list[list[str]]") -> str:
    """The text with each pair's second in place of its first; '' where one of them is not there."""
    for old, new in pairs:
        if old not in text:
            return ""
        text = text.replace(old, new)
    return text


def write(folder: Path, mends: "dict[str, list[list[str]]]", includes: "list[Path]") -> "list[str]":
    """Writes the copies, and takes away what an earlier call wrote and this one does not; the names of the headers that no mend fits, or
    that are not there."""
    unfit, written = [], set()
    for name, pairs in mends.items():
        found = next((path for include in includes if (path := include / name).is_file()), None)
        text = mended(found.read_text(), pairs) if found else ""
        if text:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists() or target.read_text() != text:  # its date is part of what a precompiled header was made of
                target.write_text(text)
            written.add(target)
        else:
            unfit.append(name)
    for path in list(folder.rglob("*")):
        if path.is_file() and path not in written:
            path.unlink()
    return unfit


def main(folder: str, mends: str, *includes: str) -> int:
    unfit = write(Path(folder), json.loads(Path(mends).read_text()), [Path(each) for each in includes])
    for name in unfit:
        sys.stderr.write(f"arrstack: {name} is not as the mend for clang expects it; it stays\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
