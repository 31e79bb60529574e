"""From a source of files to the facts about it, one file at a time."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

from arrstack.artifacts.blob import BlobError
from arrstack.artifacts.files import LFS_POINTER, File, Level, Link, Problem, Source
from arrstack.artifacts.sdist import is_sdist, is_tar
from arrstack.artifacts.wheel import WheelFile
from arrstack.verify.facts import Facts, Library, Package, read_tags, read_version_file
from arrstack.verify.header_index import HeaderIndex
from arrstack.verify.library import is_interesting, read_library

MAX_TEXT = 64 << 10
MAX_VERSION_FILES = 10_000
MAX_WHEEL_DEPTH = 2
_FOREIGN = {
    b"MZ": "a Windows program or library",
    b"\xcf\xfa\xed\xfe": "a macOS program or library",
    b"\xca\xfe\xba\xbe": "a macOS program or library",
}
_FOREIGN_NAMES = (".dll", ".pyd", ".exe", ".dylib", ".so")
_LIBRARY_NAMES = (".a", ".o", ".cubin", ".fatbin", ".ptx", ".whl")
_SOURCE_TREE = ("pyproject.toml", "setup.py", "PKG-INFO")
BUILD_FIRST = "source: build it first"


@dataclass
class _Collection:
    kind: str
    name: str
    in_image: bool
    depth: int
    libraries: list[Library] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[Problem] = field(default_factory=list)
    tags: tuple[str, ...] = ()
    wheels: list[Facts] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    directory_links: list[tuple[str, str]] = field(default_factory=list)
    loader_directories: list[str] = field(default_factory=list)
    has_files: bool = False
    is_foreign: bool = False
    is_source: bool = False
    version_files: int = 0

    def report(self, level: Level, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(level, path, message, hint))


def collect(source: Source, *, in_image: bool = False, depth: int = 0) -> Facts:
    """Reads every file of the source that can matter, and every wheel that lies in it. What cannot be read becomes a problem.

    Raises ArrstackError of the source.

        collect(open_target("dist", HeaderIndex)).libraries
    """
    found = _Collection(source.kind, source.name, in_image or source.kind == "image", depth)
    for item in source.items():
        match item:
            case Problem():
                found.problems.append(item)
            case Link():
                _note_link(item, found)
            case File():
                found.has_files = True
                _read_file(item, found)
    if source.kind == "wheel" and not found.tags:
        found.tags = _tags_of_name(source.name)
    found.problems += _nothing_read(found)
    return Facts(
        target=source.name,
        source=source.kind,
        is_system=source.is_system,
        libraries=tuple(sorted(found.libraries, key=lambda library: library.path)),
        packages=tuple(sorted(found.packages, key=lambda package: package.path)),
        problems=tuple(found.problems),
        unread=tuple(found.unread),
        tags=found.tags,
        wheels=tuple(sorted(found.wheels, key=lambda wheel: wheel.target)),
        in_image=found.in_image,
        paths=frozenset(found.paths),
        directory_links=tuple(found.directory_links),
        loader_directories=tuple(found.loader_directories),
    )


def _nothing_read(found: _Collection) -> Iterator[Problem]:
    """A pass needs something that was read: what it was that there is nothing to judge in."""
    if found.libraries or found.wheels or found.unread or any(problem.level is Level.ERROR for problem in found.problems):
        return
    if not found.has_files:
        yield Problem(Level.ERROR, found.name, "there is no file in it")
    elif found.is_foreign:
        yield Problem(Level.ERROR, found.name, "it holds programs for Windows or macOS alone, which are not read")
    elif found.is_source and not found.tags:
        yield Problem(Level.ERROR, found.name, BUILD_FIRST, "pip wheel makes a wheel of it; verify that")
    elif not found.tags:
        yield Problem(Level.ERROR, found.name, "there is no library in it: nothing could be judged")


def _tags_of_name(name: str) -> tuple[str, ...]:
    """The tags in a wheel's file name, PEP 427: NAME-VERSION(-BUILD)-PYTHON-ABI-PLATFORM.whl."""
    parts = posixpath.basename(name).removesuffix(".whl").split("-")
    return ("-".join(parts[-3:]),) if name.endswith(".whl") and len(parts) in (5, 6) else ()


def _note_link(link: Link, found: _Collection) -> None:
    if ".so" in posixpath.basename(link.path):
        found.paths.add(link.path)
    else:
        target = posixpath.normpath(posixpath.join("/", posixpath.dirname(link.path), link.target)).lstrip("/")
        found.directory_links.append((link.path, target))


def _read_file(file: File, found: _Collection) -> None:
    name = posixpath.basename(file.path)
    if ".so" in name:
        found.paths.add(file.path)
    if found.kind != "image" and file.path.count("/") <= 1 and name in _SOURCE_TREE:
        found.is_source = True
    try:
        if is_interesting(file.path, file.head):
            library, problems = read_library(file.path, file.open())
            found.libraries.append(library)
            found.problems += problems
        elif name.endswith(".whl") and not file.head.startswith(LFS_POINTER):
            _read_wheel(file, found)
        else:
            _read_other(file, name, found)
    except BlobError as error:
        found.report(Level.ERROR, file.path, str(error))


def _read_wheel(file: File, found: _Collection) -> None:
    if found.depth >= MAX_WHEEL_DEPTH:
        found.report(Level.ERROR, file.path, f"a wheel in {found.depth} others: it is not looked into")
        return
    inner = WheelFile(file.path, file.open, HeaderIndex)
    found.wheels.append(collect(inner, in_image=found.in_image, depth=found.depth + 1))


def _read_other(file: File, name: str, found: _Collection) -> None:
    """What is no library: the versions and directories that some files tell, and what should have been a library."""
    if file.path.endswith("/version.py"):
        _read_version(file, found)
    elif found.kind == "wheel" and name == "WHEEL" and posixpath.dirname(file.path).endswith(".dist-info"):
        found.tags = read_tags(_text(file))
    elif file.path.startswith("etc/ld.so.conf"):
        found.loader_directories += [line.strip().lstrip("/") for line in _text(file).splitlines() if line.startswith("/")]
    elif foreign := next((what for magic, what in _FOREIGN.items() if file.head.startswith(magic)), None):
        if name.endswith(_FOREIGN_NAMES):
            found.is_foreign = True
            found.report(Level.NOTE, file.path, f"{foreign}, which is not read")
    elif found.kind == "library":
        found.unread.append(_no_binary(file))
    elif _is_named_as_library(name):
        _note_no_library(file, found)
    elif found.kind == "directory" and "/" not in file.path and is_tar(name, file.head) and is_sdist(file):
        found.is_source = True
        found.report(Level.NOTE, file.path, f"{BUILD_FIRST}; it is not read")


def _read_version(file: File, found: _Collection) -> None:
    """From the first bytes alone: what torch writes there are a few lines."""
    found.version_files += 1
    if found.version_files == MAX_VERSION_FILES + 1:
        found.report(Level.ERROR, found.name, f"more than {MAX_VERSION_FILES} files version.py: the others were not read")
    elif found.version_files <= MAX_VERSION_FILES:
        package = read_version_file(file.path, file.head.decode("utf-8", "replace"))
        found.packages += [package] if package else []


def _is_named_as_library(name: str) -> bool:
    return name.endswith(_LIBRARY_NAMES) or (".so" in name and name.rsplit(".so", 1)[-1].strip(".0123456789") == "")


def _note_no_library(file: File, found: _Collection) -> None:
    if file.size and (what := _placeholder(file)):
        found.unread.append(what)
    elif file.size and ".so" in file.path and not file.head.lstrip().startswith((b"/*", b"INPUT", b"GROUP", b"OUTPUT_FORMAT")):
        found.unread.append(Problem(Level.ERROR, file.path, "named as a library, but not an ELF file"))


def _placeholder(file: File) -> Problem | None:
    """What stands where a file should be whose content never arrived."""
    if file.head.startswith(LFS_POINTER):
        return Problem(Level.ERROR, file.path, "a Git LFS pointer, not the file that it stands for", "fetch that: git lfs pull")
    if file.head and not file.head.strip(b"\0"):
        return Problem(Level.ERROR, file.path, f"not a binary: its first {len(file.head)} bytes are zeros", "get it again")
    return None


def _no_binary(file: File) -> Problem:
    if placeholder := _placeholder(file):
        return placeholder
    if is_tar(file.path, file.head):
        if is_sdist(file):
            return Problem(Level.ERROR, file.path, BUILD_FIRST, "pip wheel makes a wheel of it; verify that")
        return Problem(Level.ERROR, file.path, "an archive, which is not looked into", "unpack it, and name the directory")
    return Problem(Level.ERROR, file.path, "not a binary: neither an ELF file, a static archive, a fat binary nor a wheel")


def _text(file: File) -> str:
    data = file.head if file.size <= len(file.head) else file.open().read(0, MAX_TEXT)
    return data.decode("utf-8", "replace")
