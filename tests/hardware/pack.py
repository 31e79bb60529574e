"""A root file system made small enough for a narrow way to a machine with a GPU: what that GPU never loads is zeros, which compress to nothing.

    PYTHONPATH=src python3 tests/hardware/pack.py ROOT FOLDER [--arch sm_90] [--part-mib 54] [--exclude PATTERN] [--with-compiler]

Libraries keep their size and their fat binaries' entries; of a fat binary the code stays that the driver would take for the
architecture: machine code, or PTX where it has none. ROOT is a directory (an image that is mounted, or unpacked). Writes FOLDER/part-NN:
joined they are a tar file, compressed by zstd, to unpack with `cat FOLDER/part-*/part | zstd -dc --long=27 | tar -x -C TARGET` (enter.sh). Prints how
many bytes became zeros, and of which libraries the most.
"""

import argparse
import os
import re
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from arrstack.artifacts.blob import FileBlob
from arrstack.verify.compat import Mode, machine_code_runs
from arrstack.verify.entries import Container, Entry, Kind
from arrstack.verify.library import is_interesting, read_library

BLOCK = 1 << 20
ZSTD = ["zstd", "-q", "-6", "-T0", "--long=27"]
SMALL = 256 << 10
"""Bytes below which a file is not searched for GPU code."""
UNUSED = re.compile(
    r"/usr/share/(?:doc|man|locale|info|lintian)/|/__pycache__/|/var/(?:cache|lib/apt/lists)/|^/(?:proc|sys|dev|tmp)/."
)
"""What no program there reads."""
FOR_COMPILERS = re.compile(r"/usr/include/|\.a$")
"""What a compiler alone reads."""


def loaded(container: Container, gpu: tuple[int, int]) -> list[Entry]:
    """What the driver may take of a fat binary."""
    machine = [
        entry for entry in container.entries if entry.kind is Kind.SASS and machine_code_runs(entry.arch, gpu) is not Mode.NO
    ]
    return machine or [entry for entry in container.entries if entry.kind is Kind.PTX]


def foreign(path: Path, gpu: tuple[int, int]) -> list[tuple[int, int]]:
    """The ranges of a file (from, to) with code that this GPU never loads, ascending. A static library is for a linker, which reads all of it."""
    if path.suffix == ".a":
        return []
    blob = FileBlob(path)
    if blob.size < SMALL or not is_interesting(str(path), blob.read(0, 64)):
        return []
    library, _ = read_library(str(path), blob)
    found = []
    for code in library.code:
        kept = {entry.offset for entry in loaded(code.container, gpu)}
        found += [(each.offset, each.offset + each.stored) for each in code.container.entries if each.offset not in kept]
    return sorted(set(found))


class Zeroed:
    """A file's bytes with ranges of zeros, to read from."""

    def __init__(self, path: Path, ranges: list[tuple[int, int]]):
        self.file, self.ranges, self.at = path.open("rb"), ranges, 0

    def read(self, length: int = -1) -> bytes:
        data = bytearray(self.file.read(length))
        for begin, end in self.ranges:
            first, last = max(begin - self.at, 0), min(end - self.at, len(data))
            if first < last:
                data[first:last] = bytes(last - first)
        self.at += len(data)
        self.ranges = [each for each in self.ranges if each[1] > self.at]
        return bytes(data)


def names(root: Path, excluded: Sequence[re.Pattern[str]]) -> Iterator[str]:
    """Paths below the root that are sent, as `/usr/bin/python3`."""
    for folder, below, files in os.walk(root):
        inside = "/" + os.path.relpath(folder, root).removeprefix(".").removeprefix("/")
        for name in sorted([*below, *files]):
            path = f"{inside.rstrip('/')}/{name}"
            if not any(pattern.search(path) for pattern in excluded):
                yield path


def write_tar(root: Path, chosen: Iterable[str], to: "IO[bytes]", gpu: tuple[int, int]) -> dict[str, int]:
    """Writes the root's tar. Returns the bytes of zeros by path."""
    zeros = {}
    with tarfile.open(fileobj=to, mode="w|", bufsize=BLOCK) as tar:
        for name in chosen:
            path = root / name[1:]
            if stat.S_ISSOCK(path.lstat().st_mode):
                continue
            member = tar.gettarinfo(path, name[1:])
            if not member.isreg():
                tar.addfile(member)
                continue
            ranges = foreign(path, gpu)
            if ranges:
                zeros[name] = sum(end - begin for begin, end in ranges)
            tar.addfile(member, Zeroed(path, ranges))  # type: ignore[arg-type]  # read() is all that it takes
    return zeros


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--part-mib", type=int, default=54)
    parser.add_argument("--exclude", type=re.compile, default=re.compile("$."))
    parser.add_argument("--with-compiler", action="store_true", help="headers and static libraries too")
    options = parser.parse_args(argv)
    excluded = [UNUSED, options.exclude] + ([] if options.with_compiler else [FOR_COMPILERS])
    major, minor = divmod(int(options.arch.removeprefix("sm_")), 10)
    options.folder.mkdir(parents=True)
    packed = options.folder / "packed"
    with packed.open("wb") as out, subprocess.Popen(ZSTD, stdin=subprocess.PIPE, stdout=out) as zstd:
        assert zstd.stdin
        with zstd.stdin as to:
            zeros = write_tar(options.root, names(options.root, excluded), to, (major, minor))
    if zstd.returncode:
        raise SystemExit(f"error: zstd ended with {zstd.returncode}")
    with packed.open("rb") as whole:
        number = 0
        while part := whole.read(options.part_mib << 20):
            (options.folder / f"part-{number:03}").mkdir()
            (options.folder / f"part-{number:03}" / "part").write_bytes(part)
            number += 1
    print(f"{packed.stat().st_size:,} bytes in {number} parts; {sum(zeros.values()):,} bytes are zeros")
    for name, count in sorted(zeros.items(), key=lambda item: -item[1])[:20]:
        print(f"  {count:>13,}  {name}")
    packed.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
