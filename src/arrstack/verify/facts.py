"""The first room: what stands in the files, without an opinion on it."""

import re
from dataclasses import dataclass

from arrstack.artifacts.files import Problem
from arrstack.verify.entries import Arch, Container, Kind


@dataclass(frozen=True)
class Amount:
    """How much code there is for one architecture; bytes as stored in the file."""

    entries: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Code:
    """A fat binary and the section it stands in; `relocatable` code is linked once more before it runs."""

    section: str
    container: Container
    relocatable: bool = False

    def architectures(self, kind: Kind) -> frozenset[Arch]:
        return frozenset(entry.arch for entry in self.container.entries if entry.kind is kind)


@dataclass(frozen=True)
class ElfFacts:
    """What a library asks of its surroundings. `versions` are needed symbol versions by library; `symbols` are the undefined
    ones of NVIDIA's libraries and of OpenMP; `capabilities` the CPU kernels' (DEFAULT, AVX2, AVX512) where it has such."""

    machine: str
    soname: str = ""
    needed: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    versions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    symbols: frozenset[str] = frozenset()
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Library:
    """One file with machine code: an ELF file, a static archive, or GPU code in a file of its own."""

    path: str
    size: int
    elf: ElfFacts | None = None
    code: tuple[Code, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def has_gpu_code(self) -> bool:
        return any(code.container.entries for code in self.code)

    def amounts(self, kind: Kind) -> dict[Arch, Amount]:
        """By architecture, in ascending order: entries and bytes of this kind."""
        found: dict[Arch, Amount] = {}
        for code in self.code:
            for entry in code.container.entries:
                if entry.kind is kind:
                    sofar = found.get(entry.arch, Amount())
                    found[entry.arch] = Amount(sofar.entries + 1, sofar.bytes + entry.stored)
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Package:
    """A Python package or the like whose version was found: `versions` as its version.py states them."""

    name: str
    path: str
    versions: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Facts:
    """Everything that was found in a target.

    `unread` are the files that are named as libraries and are none; `tags` those of a wheel ("cp311-cp311-linux_x86_64");
    `wheels` what was found in each wheel that lies in it, which is judged on its own, and `in_image` that it lies in an image.
    `paths` are those of all shared libraries and of links to such, by which a needed library is looked up; `directory_links`
    are links from one directory to another, and `loader_directories` what ld.so.conf adds, where it is a whole system.
    """

    target: str
    source: str
    is_system: bool
    libraries: tuple[Library, ...]
    packages: tuple[Package, ...] = ()
    problems: tuple[Problem, ...] = ()
    unread: tuple[Problem, ...] = ()
    tags: tuple[str, ...] = ()
    wheels: tuple["Facts", ...] = ()
    in_image: bool = False
    paths: frozenset[str] = frozenset()
    directory_links: tuple[tuple[str, str], ...] = ()
    loader_directories: tuple[str, ...] = ()

    @property
    def has_gpu_code(self) -> bool:
        """Whether there is any, in it or in a wheel that lies in it."""
        return any(library.has_gpu_code for library in self.libraries) or any(wheel.has_gpu_code for wheel in self.wheels)


_STATEMENT = re.compile(
    r"""^(__version__|cuda|hip|git_version|debug)(?:[ \t]*:[^=\n]*)?[ \t]*=[ \t]*(?:'([^'\n]*)'|"([^"\n]*)"|(\w+))""",
    re.MULTILINE,
)


def read_version_file(path: str, text: str) -> Package | None:
    """The package of a `NAME/version.py` as torch, torchvision and torchaudio write it, with their commit; None for others."""
    values = {
        match[1]: match[2] or match[3] or (None if match[4] in ("None", "False") else match[4])
        for match in _STATEMENT.finditer(text)
    }
    if not {"__version__", "git_version"} <= set(values):
        return None
    parts = path.split("/")
    return Package(parts[-2] if len(parts) > 1 else path, path, tuple(sorted(values.items())))


def read_tags(text: str) -> tuple[str, ...]:
    """The tags of a wheel, as its own `WHEEL` file states them: "cp311-cp311-linux_x86_64"."""
    return tuple(line.removeprefix("Tag:").strip() for line in text.splitlines() if line.startswith("Tag:"))
