"""From a source of files to the facts about it, one file at a time."""

import posixpath
from dataclasses import dataclass, field

from arrstack.artifacts.blob import BlobError
from arrstack.artifacts.files import File, Level, Link, Problem, Source
from arrstack.verify.facts import Facts, Library, Package, read_version_file
from arrstack.verify.library import is_interesting, read_library

MAX_TEXT = 1 << 20
_FOREIGN = {b"MZ": "a Windows program or library", b"\xcf\xfa\xed\xfe": "a macOS program or library"}


@dataclass
class _Collection:
    libraries: list[Library] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    directory_links: list[tuple[str, str]] = field(default_factory=list)
    loader_directories: list[str] = field(default_factory=list)
    files: int = 0


def collect(source: Source) -> Facts:
    """Reads every file of the source that can matter. What cannot be read becomes a problem. Raises ArrstackError of the source."""
    found = _Collection()
    for item in source.items():
        match item:
            case Problem():
                found.problems.append(item)
            case Link():
                _note_link(item, found)
            case File():
                found.files += 1
                _read_file(item, found)
    if source.kind == "library" and not found.libraries and not found.problems:
        message = "not a binary: neither an ELF file, a static archive, a fat binary nor a wheel"
        found.problems.append(Problem(Level.ERROR, source.name, message))
    if not found.files and not found.problems:
        found.problems.append(Problem(Level.ERROR, source.name, "there is no file in it"))
    return Facts(
        target=source.name,
        source=source.kind,
        is_system=source.is_system,
        libraries=tuple(sorted(found.libraries, key=lambda library: library.path)),
        packages=tuple(sorted(found.packages, key=lambda package: package.path)),
        problems=tuple(found.problems),
        paths=frozenset(found.paths),
        directory_links=tuple(found.directory_links),
        loader_directories=tuple(found.loader_directories),
    )


def _note_link(link: Link, found: _Collection) -> None:
    if ".so" in posixpath.basename(link.path):
        found.paths.add(link.path)
    else:
        target = posixpath.normpath(posixpath.join("/", posixpath.dirname(link.path), link.target)).lstrip("/")
        found.directory_links.append((link.path, target))


def _read_file(file: File, found: _Collection) -> None:
    if ".so" in posixpath.basename(file.path):
        found.paths.add(file.path)
    try:
        if is_interesting(file.path, file.head):
            library, problems = read_library(file.path, file.open())
            found.libraries.append(library)
            found.problems += problems
        elif file.path.endswith("/version.py") and file.size <= MAX_TEXT:
            package = read_version_file(file.path, _text(file))
            found.packages += [package] if package else []
        elif file.path.startswith("etc/ld.so.conf"):
            found.loader_directories += [line.strip().lstrip("/") for line in _text(file).splitlines() if line.startswith("/")]
        elif foreign := next((what for magic, what in _FOREIGN.items() if file.head.startswith(magic)), None):
            _note_foreign(file.path, foreign, found)
        elif ".so" in posixpath.basename(file.path) and file.path.rsplit(".so", 1)[-1].strip(".0123456789") == "":
            _note_no_elf(file, found)
    except BlobError as error:
        found.problems.append(Problem(Level.ERROR, file.path, str(error)))


def _note_foreign(path: str, what: str, found: _Collection) -> None:
    if path.endswith((".dll", ".pyd", ".exe", ".dylib", ".so")):
        found.problems.append(Problem(Level.NOTE, path, f"{what}, which is not read"))


def _note_no_elf(file: File, found: _Collection) -> None:
    if file.size and not file.head.lstrip().startswith((b"/*", b"INPUT", b"GROUP", b"OUTPUT_FORMAT")):
        found.problems.append(Problem(Level.WARNING, file.path, "named as a library, but not an ELF file"))


def _text(file: File) -> str:
    if file.size <= len(file.head):
        return file.head.decode("utf-8", "replace")
    return file.open().read(0, MAX_TEXT).decode("utf-8", "replace")
