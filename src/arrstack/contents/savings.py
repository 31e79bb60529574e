"""What an image may do without, found file by file. Nothing is removed here: it is listed, with bytes."""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field

from arrstack.artifacts.blob import Blob, BlobError
from arrstack.artifacts.files import File
from arrstack.contents.inventory import Duplicate, Saving, by_bytes
from arrstack.verify.ar import MAGIC as AR_MAGIC
from arrstack.verify.elf import read_elf
from arrstack.verify.strings import ElfError

LARGEST_SHOWN = 12
MEANINGS = {
    "static archives": "needed to link, never to run",
    "headers": "needed to compile, never to run",
    "debug information": "sections .debug_*, and files of such alone: needed by a debugger",
    "symbol tables": "sections .symtab and .strtab: names for a debugger's backtrace; the loader uses .dynsym",
    "documentation": "below /usr/share/doc, man, info and locale, without the copyright files",
    "Python bytecode": "__pycache__: Python writes it anew where it may, and starts slower without",
    "tests of packages": "folders test and tests of Python packages",
    "duplicate files": "the same content more than once: links would hold it once",
}
_HEADERS = (".h", ".hpp", ".hh", ".hxx", ".cuh", ".inl", ".ipp")
_DOCUMENTATION = ("usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/gtk-doc/")


@dataclass
class Savings:
    """Collects what could be left out, file by file."""

    found: dict[str, dict[str, int]] = field(default_factory=lambda: {kind: {} for kind in MEANINGS})

    def add(self, kind: str, path: str, size: int) -> None:
        if size:
            self.found[kind][path] = size

    def note(self, file: File) -> None:
        """A file's kind, by its path and first bytes; each file is of one kind at most."""
        if kind := _kind(file):
            self.add(kind, file.path, file.size)

    def note_sections(self, path: str, blob: Blob) -> None:
        """What of an ELF file a debugger alone reads. A file that cannot be read has its finding elsewhere."""
        try:
            sections = [each for each in read_elf(blob).sections if each.has_bytes]
        except (ElfError, BlobError):
            return
        named = ((each.name, min(each.size, blob.size)) for each in sections)
        sizes = [(_section_kind(name), size) for name, size in named]
        for kind in ("debug information", "symbol tables"):
            self.add(kind, path, min(sum(size for of, size in sizes if of == kind), blob.size))

    def result(self, duplicates: Iterable[Duplicate]) -> tuple[Saving, ...]:
        """One for each kind that was found, the largest first."""
        for each in duplicates:
            self.add("duplicate files", each.paths[0], each.wasted)
        made = [
            Saving(kind, MEANINGS[kind], len(paths), sum(paths.values()), by_bytes(paths, LARGEST_SHOWN))
            for kind, paths in self.found.items()
            if paths
        ]
        return tuple(sorted(made, key=lambda saving: -saving.bytes))


def _section_kind(name: str) -> str:
    if name.startswith((".debug_", ".zdebug_")):
        return "debug information"
    return "symbol tables" if name in (".symtab", ".strtab") else ""


def _kind(file: File) -> str:
    path, name = file.path, posixpath.basename(file.path)
    if name.endswith(".a") and file.head.startswith(AR_MAGIC):
        return "static archives"
    if "/include/" in f"/{path}" and (name.endswith(_HEADERS) or "." not in name):
        return "headers"
    if path.startswith("usr/lib/debug/"):
        return "debug information"
    if path.startswith(_DOCUMENTATION) and name != "copyright":
        return "documentation"
    if name.endswith(".pyc"):
        return "Python bytecode"
    in_packages = "-packages/" in path
    return "tests of packages" if in_packages and ("/tests/" in path or "/test/" in path) else ""
