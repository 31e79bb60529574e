#!/usr/bin/env python3
"""twins.py TREE WORK: writes WORK/twins, the places of all headers that share their name with another.

What ccache cannot know of an object is which of several headers of one name its includes find. It remembers the headers
that were read, and a new one that stands before them is none of those. So the twins are part of each object's hash
(CCACHE_EXTRAFILES); a header whose name is new changes nothing. The tree is listed into WORK/headers before anything is
generated in it, and only once, so that a build that goes on has the list of the build that began.
"""

import collections
import fnmatch
import glob
import os
import re
import sys
from pathlib import Path
from typing import Iterator

INSTALLED = ("/usr/include", "/usr/local", "/usr/lib/gcc", "/usr/lib/llvm-*", "/usr/lib/python3", "/opt/site")
HEADER = re.compile(
    "|".join(map(fnmatch.translate, ("*.h", "*.h[hp]*", "*.cuh", "*.in[cl]", "*.ipp", "*.tcc", "*.def"))), re.DOTALL
)
PRUNED = re.compile(r"\.arrstack.*|\.git", re.DOTALL)


def is_header(name: str) -> bool:
    """Whether an include may name it: the usual endings, and none at all (<vector>)."""
    return "." not in name or bool(HEADER.fullmatch(name))


def headers(root: str) -> Iterator[str]:
    """The headers below a folder, links among them, which are not followed. The folder's own `build` is generated."""
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if PRUNED.fullmatch(entry.name) or entry.path == os.path.join(root, "build"):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif is_header(entry.name) and (entry.is_symlink() or entry.is_file(follow_symlinks=False)):
                    yield entry.path


def twins(paths: "list[str]") -> "list[str]":
    """The paths whose last part occurs more than once, sorted by their bytes."""
    count = collections.Counter(os.path.basename(path) for path in paths)
    return sorted((path for path in paths if count[os.path.basename(path)] > 1), key=os.fsencode)


# A name may hold a newline: a line of a list is one path all the same.


def to_lines(paths: "list[str]") -> bytes:
    return b"".join(os.fsencode(path).replace(b"\\", b"\\\\").replace(b"\n", b"\\n") + b"\n" for path in paths)


def from_lines(text: bytes) -> "list[str]":
    plain = {b"\\n": b"\n", b"\\\\": b"\\"}
    return [os.fsdecode(re.sub(rb"\\[n\\]", lambda match: plain[match[0]], line)) for line in text.split(b"\n")[:-1]]


def replace(path: Path, content: bytes) -> None:
    """Writes a file so that an interruption leaves the old one, or none."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    new.replace(path)


def main(tree: str, work: Path, installed: "tuple[str, ...]" = INSTALLED) -> int:
    listed = work / "headers"
    if not listed.exists():
        replace(listed, to_lines(list(headers(tree))))
    folders = [folder for pattern in installed for folder in sorted(glob.glob(pattern)) if os.path.isdir(folder)]
    paths = from_lines(listed.read_bytes()) + [path for folder in folders for path in headers(folder)]
    replace(work / "twins", to_lines(twins(paths)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
