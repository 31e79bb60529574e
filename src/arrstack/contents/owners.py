"""Pure: which package owns a file, by the lists that dpkg and Python's installers keep."""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from arrstack.artifacts.files import normal_path
from arrstack.contents.inventory import Kind, Package
from arrstack.contents.packages import normal_name

MAX_OWNED = 4 << 20
"""Paths in all lists together: more is no image that anybody uses, and would fill memory."""
_MERGED = ("bin/", "sbin/", "lib/", "lib32/", "lib64/", "libx32/")


class TooMany(Exception):
    """The lists of an image name more paths than any image has."""


@dataclass
class Owners:
    """Collects the packages and their lists in any order; afterwards says whose a path is.

    owners.own("deb libc6", ["usr/lib/x86_64-linux-gnu/libc.so.6"])
    owners.of("lib/x86_64-linux-gnu/libc.so.6")   # "deb libc6": /lib is a link to /usr/lib
    """

    paths: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    """Whose all is that lies below, where no list names it."""
    listed: set[str] = field(default_factory=set)

    def own(self, owner: str, paths: Iterable[str]) -> None:
        """Raises TooMany."""
        self.listed.add(owner)
        for path in paths:
            if len(self.paths) >= MAX_OWNED:
                raise TooMany(f"more than {MAX_OWNED} paths in the packages' lists")
            self.paths.setdefault(merged(path), owner)

    def of(self, path: str) -> str:
        """The owner's key; "" where no list names the path."""
        path = merged(path)
        found = self.paths.get(path, "")
        if not found and path.endswith(".pyc"):  # what Python wrote beside a file belongs to that file's owner
            folder, name = posixpath.split(path)
            found = self.paths.get(f"{posixpath.dirname(folder)}/{name.split('.')[0]}.py", "")
        return found or self._below(path)

    def own_folders(self, package: Package) -> None:
        """For a Python package without a list: the folder and the file of its name, beside its metadata, are its own."""
        for name in {package.name, package.name.replace("-", "_")} if self.is_listless(package) else ():
            self.folders[merged(f"{package.where}/{name}")] = package.key
            self.folders[merged(f"{package.where}/{name}.py")] = package.key

    def is_listless(self, package: Package) -> bool:
        return package.kind is Kind.PYTHON and package.key not in self.listed

    def _below(self, path: str) -> str:
        while path and self.folders:
            if path in self.folders:
                return self.folders[path]
            path = posixpath.dirname(path)
        return ""


def merged(path: str) -> str:
    """A path as it is where /bin, /lib and their like are links into /usr (usrmerge): the same file has one name."""
    path = normal_path(path)
    return f"usr/{path}" if path.startswith(_MERGED) else path


def list_owner(path: str) -> str:
    """The package whose files `var/lib/dpkg/info/NAME[:ARCHITECTURE].list` names: "deb NAME[:ARCHITECTURE]"."""
    return f"{Kind.DEBIAN.value} {posixpath.basename(path).removesuffix('.list')}"


def resolved(owner: str, packages: Iterable[Package]) -> str:
    """The key of the package that a list's owner names: dpkg writes the architecture only for those that may stand twice."""
    wanted = owner.partition(" ")[2]
    for package in packages:
        if wanted in (package.name, f"{package.name}:{package.architecture}"):
            return package.key
    return owner


def without_repeated(packages: list[Package], owners: Owners, metadata: dict[str, str]) -> list[Package]:
    """Without the Python packages that a distribution's package brought: they are known by that. `metadata` has the path of each
    Python package's METADATA, by its key."""
    kept = []
    for package in packages:
        owner = owners.of(metadata.get(package.key, "")) if package.kind is Kind.PYTHON else ""
        if not owner.startswith(f"{Kind.DEBIAN.value} "):
            kept.append(package)
    return kept


def normalised(package: Package) -> Package:
    """A Python package by its normal name, by which an index and a purl know it."""
    return replace(package, name=normal_name(package.name)) if package.kind is Kind.PYTHON else package
