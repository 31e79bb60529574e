#!/usr/bin/env python3
"""headers.py pack|unpack: what of torch's wheel only a compiler needs, as one archive, /build/headers.tar.xz.

    headers.py pack      in this image: headers, CMake files and static archives go into it; errors that miss a compiler name the image that
                         has one
    headers.py unpack    in arr-pytorch-devel, or by hand: torch is again what was packed, to the byte

RECORD tells what is there in both, so that pip and the guard of the tier above still know each file.
"""

import base64
import csv
import hashlib
import os
import sys
import tarfile
from importlib import metadata
from pathlib import Path

ARCHIVE = Path("/build/headers.tar.xz")
HINT = "This image has no compiler and no headers: the image arr-pytorch-devel has them (arrstack launch arr-pytorch-devel)."
SENTENCES = (
    ("torch/utils/cpp_extension.py", "Ninja is required to load C++ extensions"),
    ("torch/utils/cpp_extension.py", "we could not find ninja."),
    ("torch/utils/cpp_extension.py", "Please set it to your CUDA install root."),
    ("torch/_inductor/exc.py", "No working C++ compiler found in {config.__name__}.cpp.cxx: {config.cpp.cxx}"),
    ("torch/_inductor/scheduler.py", "More information on installing Triton can be found at https://github.com/openai/triton"),
)
"""What torch says where it misses a compiler, ninja, nvcc or triton: the hint is appended to each."""


def only_to_compile(name: str) -> bool:
    """Whether nothing but a compiler or CMake reads a file of the wheel."""
    if name.startswith("torch/lib/"):
        return name.endswith((".a", ".h"))
    return name.startswith(("torch/include/", "torch/share/cmake/"))


def row(site: Path, name: str) -> "list[str]":
    """A file's line of RECORD (PEP 376): its path, SHA-256 and size."""
    content = (site / name).read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return [name, f"sha256={digest}", str(len(content))]


def record_of(distribution: str) -> "tuple[Path, Path]":
    """The folder that a distribution is installed in, and its RECORD."""
    found = metadata.distribution(distribution)
    record = next(file for file in found.files or [] if file.name == "RECORD" and ".dist-info" in str(file))
    return Path(str(found.locate_file(""))), Path(str(found.locate_file(record)))


def rows_of(record: Path) -> "list[list[str]]":
    with record.open(newline="") as file:
        return list(csv.reader(file))


def write_rows(record: Path, rows: "list[list[str]]") -> None:
    with record.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def add_hints(site: Path) -> None:
    """Appends the hint to each sentence. Ends the program where a sentence is not there once."""
    for name, sentence in SENTENCES:
        path = site / name
        text = path.read_text()
        if text.count(sentence) != 1:
            sys.exit(f"error: {name} says {sentence!r} {text.count(sentence)} times, not once: correct SENTENCES in headers.py")
        stop = "" if sentence.endswith(".") else "."
        path.write_text(text.replace(sentence, f"{sentence}{stop} {HINT}"))


def pack(site: Path, record: Path, archive: Path) -> None:
    rows = rows_of(record)
    gone = sorted(each[0] for each in rows if only_to_compile(each[0]))
    changed = {name for name, _ in SENTENCES}
    size = 0
    with tarfile.open(archive, "w:xz", preset=2) as tar:
        for name in sorted([*gone, *changed, str(record.relative_to(site))]):
            entry = tar.gettarinfo(str(site / name), name)
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = int(os.environ["SOURCE_DATE_EPOCH"]), 0, 0, "", ""
            with (site / name).open("rb") as content:
                tar.addfile(entry, content)
    for name in gone:
        size += (site / name).stat().st_size
        (site / name).unlink()
    for folder in sorted({parent for name in gone for parent in (site / name).parents if site in parent.parents}, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    add_hints(site)
    kept = [row(site, each[0]) if each[0] in changed else each for each in rows if each[0] not in set(gone)]
    write_rows(record, kept)
    print(f"headers: {len(gone)} files, {size / 2**20:.0f} MiB, are {archive.stat().st_size / 2**20:.1f} MiB in {archive}")


def unpack(site: Path, archive: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)  # the older Pythons have no filters
        tar.extractall(site)
    archive.unlink()


def main(action: str) -> None:
    site, record = record_of("torch")
    if action == "unpack":
        unpack(site, ARCHIVE)
    else:
        pack(site, record, ARCHIVE)


if __name__ == "__main__":
    if sys.argv[1:] not in (["pack"], ["unpack"]):
        sys.exit(__doc__)
    main(sys.argv[1])
