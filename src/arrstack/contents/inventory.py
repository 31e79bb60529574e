"""What is in an image, as values: layers, packages, libraries with their device code, duplicate files, what could be slimmer.

Sizes are bytes. `stored` is what a registry keeps and a pull fetches; every other size is that of the files themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from arrstack.artifacts.files import Problem
from arrstack.verify.facts import Amount

NOBODY = ""
"""The owner of a file that no package lists."""


class Kind(StrEnum):
    """Who manages a package."""

    DEBIAN = "deb"
    PYTHON = "python"


@dataclass(frozen=True)
class Part:
    """A layer of an image, or a wheel of a set: its name is its digest or path, `made_by` the instruction that made it.

    `bytes` are those of the `files` that are seen in the end, `hidden` of those that a higher layer replaces or removes.
    """

    name: str
    made_by: str
    stored: int
    files: int
    bytes: int
    hidden: int


@dataclass(frozen=True)
class Package:
    """An installed package. `source` is the source package that it was built from, where that has another name or version.

    `licences` are as the package states them: SPDX expressions, Debian's short names, or what its author wrote.
    """

    kind: Kind
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""
    licences: tuple[str, ...] = ()
    where: str = ""
    section: str = ""
    files: int = 0
    bytes: int = 0

    @property
    def key(self) -> str:
        """What no other package of the image is called: "deb libc6:amd64", "python torch"."""
        return f"{self.kind.value} {self.name}" + (f":{self.architecture}" if self.architecture else "")


@dataclass(frozen=True)
class Library:
    """A file with machine code. `code` is the device code in it, by architecture as CUDA names it: sm_90, compute_90 for PTX."""

    path: str
    size: int
    machine: str
    owner: str
    sha256: str
    code: Mapping[str, Amount] = field(default_factory=dict)


@dataclass(frozen=True)
class Duplicate:
    """Files of the same content, which is `size` bytes long."""

    size: int
    paths: tuple[str, ...]

    @property
    def wasted(self) -> int:
        return self.size * (len(self.paths) - 1)


@dataclass(frozen=True)
class Saving:
    """Bytes that an image may do without, of one kind; `largest` are the paths with the most, and how many bytes in each."""

    kind: str
    meaning: str
    files: int
    bytes: int
    largest: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Cell:
    """What one owner has in one part: `owner` is a package's key, or the folder of files that no package lists."""

    part: int
    owner: str
    is_package: bool
    files: int
    bytes: int


@dataclass(frozen=True)
class Distribution:
    """Which distribution it is, by os-release(5)."""

    id: str = ""
    version: str = ""
    codename: str = ""
    name: str = ""


@dataclass(frozen=True)
class Inventory:
    """All that was found in one pass. `digest` is the manifest's, "" where the target is no image; `created` as its label
    says, else its config."""

    target: str
    kind: str
    digest: str
    created: str
    labels: Mapping[str, str]
    distribution: Distribution
    parts: tuple[Part, ...]
    packages: tuple[Package, ...]
    libraries: tuple[Library, ...]
    cells: tuple[Cell, ...]
    duplicates: tuple[Duplicate, ...]
    savings: tuple[Saving, ...]
    problems: tuple[Problem, ...]
    files: int
    sources_lists: tuple[tuple[str, str], ...] = ()
    """The image's own lists of archives: the path and text of each file of etc/apt."""

    @property
    def bytes(self) -> int:
        """Of all files that are seen."""
        return sum(part.bytes for part in self.parts)

    @property
    def stored(self) -> int:
        """What a pull from nothing fetches."""
        return sum(part.stored for part in self.parts)

    @property
    def architectures(self) -> tuple[str, ...]:
        """Those of the device code of all libraries, machine code before PTX, by number."""
        found = {name for library in self.libraries for name in library.code}
        return tuple(sorted(found, key=lambda name: (not name.startswith("sm_"), len(name.rstrip("af")), name)))


def by_bytes(found: Mapping[str, int], most: int) -> tuple[tuple[str, int], ...]:
    """The largest, largest first; of two of one size the first by name."""
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:most])
