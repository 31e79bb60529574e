"""Pure: the files that were seen, and who owns them -> sizes by layer and package, libraries, duplicates."""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from arrstack.contents.inventory import NOBODY, Cell, Duplicate, Library, Package
from arrstack.contents.owners import Owners, resolved, without_repeated
from arrstack.verify.entries import Kind as CodeKind
from arrstack.verify.facts import Amount
from arrstack.verify.facts import Library as LibraryFacts

SMALLEST_DUPLICATE = 4096
"""Bytes: a link is a block of its own in a layer's tar, so less saves nothing."""
MOST_DUPLICATES = 200
MOST_FOLDERS = 40
"""Folders of files without an owner that a part is divided into, the largest; the rest is one."""
FOLDER_DEPTH = 3


class Seen(NamedTuple):
    """A file: its path, bytes, the number of its part, the SHA-256 of its content (b"" where that could not be read)."""

    path: str
    size: int
    part: int
    digest: bytes


@dataclass(frozen=True)
class Summary:
    packages: tuple[Package, ...]
    libraries: tuple[Library, ...]
    cells: tuple[Cell, ...]
    duplicates: tuple[Duplicate, ...]


def summary(
    seen: Sequence[Seen],
    libraries: Iterable[LibraryFacts],
    packages: list[Package],
    owners: Owners,
    metadata: dict[str, str],
) -> Summary:
    """`metadata` has the path of each Python package's METADATA, by its key."""
    kept = without_repeated(packages, owners, metadata)
    keys = {package.key for package in kept}
    by_list: dict[str, str] = {}

    def owner_of(path: str) -> str:
        listed = owners.of(path)
        if listed not in by_list:
            by_list[listed] = listed if listed in keys else resolved(listed, kept) if listed else NOBODY
        return by_list[listed] if by_list[listed] in keys else NOBODY

    whose = {file.path: owner_of(file.path) for file in seen}
    counted = _counted(seen, whose)
    return Summary(
        tuple(sorted((_sized(each, counted) for each in kept), key=lambda package: (package.kind, package.key))),
        tuple(sorted(_libraries(libraries, whose, {file.path: file.digest for file in seen}), key=lambda library: library.path)),
        tuple(_cells(seen, whose)),
        tuple(_duplicates(seen)),
    )


def _counted(seen: Iterable[Seen], whose: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Owner -> its files and their bytes."""
    found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for file in seen:
        files, size = found[whose[file.path]]
        found[whose[file.path]] = files + 1, size + file.size
    return found


def _sized(package: Package, counted: Mapping[str, tuple[int, int]]) -> Package:
    files, size = counted.get(package.key, (0, 0))
    return replace(package, files=files, bytes=size)


def _libraries(found: Iterable[LibraryFacts], whose: Mapping[str, str], digests: Mapping[str, bytes]) -> Iterator[Library]:
    for facts in found:
        code: dict[str, Amount] = {arch.sm: amount for arch, amount in facts.amounts(CodeKind.SASS).items()}
        code |= {arch.compute: amount for arch, amount in facts.amounts(CodeKind.PTX).items()}
        machine = facts.elf.machine if facts.elf else ""
        owner, digest = whose.get(facts.path, NOBODY), digests.get(facts.path, b"").hex()
        yield Library(facts.path, facts.size, machine, owner, digest, code)


def _cells(seen: Sequence[Seen], whose: Mapping[str, str]) -> Iterator[Cell]:
    """By part, the largest owner first. Files without an owner count by folder."""
    sums: dict[tuple[int, str, bool], list[int]] = defaultdict(lambda: [0, 0])
    for file in seen:
        owner = whose[file.path]
        entry = sums[file.part, owner or _folder(file.path), bool(owner)]
        entry[0] += 1
        entry[1] += file.size
    cells = [Cell(part, owner, known, files, size) for (part, owner, known), (files, size) in sums.items()]
    for part in sorted({cell.part for cell in cells}):
        here = sorted((cell for cell in cells if cell.part == part), key=lambda cell: (-cell.bytes, cell.owner))
        rest = [cell for cell in here if not cell.is_package][MOST_FOLDERS:]
        small = frozenset(rest)
        yield from (cell for cell in here if cell not in small)
        if rest:
            yield Cell(part, "other folders", False, sum(cell.files for cell in rest), sum(cell.bytes for cell in rest))


def _folder(path: str) -> str:
    return "/" + "/".join(posixpath.dirname(path).split("/")[:FOLDER_DEPTH])


def _duplicates(seen: Iterable[Seen]) -> list[Duplicate]:
    """Those that waste the most first."""
    by_content: dict[tuple[int, bytes], list[str]] = defaultdict(list)
    for file in seen:
        if file.size >= SMALLEST_DUPLICATE and file.digest:
            by_content[file.size, file.digest].append(file.path)
    found = [Duplicate(size, tuple(sorted(paths))) for (size, _), paths in by_content.items() if len(paths) > 1]
    return sorted(found, key=lambda each: (-each.wasted, each.paths))[:MOST_DUPLICATES]
