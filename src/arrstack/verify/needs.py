"""What a target needs of the machine that it shall run on: processor, C library, Python, CUDA, driver."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from arrstack.verify.entries import Kind
from arrstack.verify.facts import Facts, Library
from arrstack.verify.policy import Policy

_PLATFORM_CPUS = {
    "x86_64": "x86-64",
    "amd64": "x86-64",
    "i686": "x86",
    "win32": "x86",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
}
_EXTENSION = re.compile(r"\.(?:cpython-(\d+)|(abi3))[\w-]*\.so$")
_MUSL = re.compile(r"libc\.musl-|ld-musl-|libc\.so$")


def needs(facts: Facts, policy: Policy) -> dict[str, str]:
    """The least that the target runs with; a key is there where it applies.

    "cpu" ("x86-64"), "libc" ("glibc" or "musl"), "glibc" (the oldest version), "python" (a wheel's tag, "cp311" or "cp39-abi3");
    "cuda", "cudnn" and "nccl" by the sonames that the libraries name, and NCCL by the functions that they call; "driver" by
    CUDA's rule for minor versions, and by how GPU code is packed; "ptx_driver", the CUDA release whose driver can compile the newest PTX inside.
    """
    found = {"cpu": ", ".join(processors(facts)), "libc": ", ".join(_libc_families(facts)), "glibc": _newest_glibc(facts)}
    found["python"] = ", ".join(_pythons(facts))
    for key, soname in (("cuda", "libcudart"), ("cudnn", "libcudnn"), ("nccl", "libnccl")):
        found[key] = max(_versions_of(facts, soname), key=numbers, default="")
    functions = {symbol for library in facts.libraries for symbol in (library.elf.symbols if library.elf else ())}
    called = (version for function, version in policy.nccl.items() if function in functions)
    found["nccl"] = max(called, key=numbers, default=found["nccl"])
    found["driver"] = max([policy.drivers.get(found["cuda"], ""), *_drivers_that_unpack(facts, policy)], key=numbers)
    found["ptx_driver"] = _ptx_driver(facts, policy)
    return {key: value for key, value in found.items() if value}


def processors(facts: Facts) -> list[str]:
    """The processors that the libraries were built for, that of the most first; of a whole system that of the most alone."""
    counts = Counter(library.elf.machine for library in facts.libraries if library.elf and library.elf.machine != "cuda")
    names = [name for name, _ in counts.most_common()]
    return names[:1] if facts.is_system else names


@dataclass(frozen=True)
class Platform:
    """A wheel's platform tag: the processor, and the family of its C library ("" where the tag says none)."""

    cpu: str
    libc: str


def platforms(facts: Facts) -> list[Platform]:
    """What the tags of a wheel say that it is for; nothing for "any"."""
    found: list[Platform] = []
    for text in (part for tag in facts.tags for part in tag.rpartition("-")[2].split(".")):
        cpu = next((cpu for name, cpu in _PLATFORM_CPUS.items() if text.endswith(name)), "")
        libc = "musl" if text.startswith("musllinux") else "glibc" if text.startswith("manylinux") else ""
        if text != "any":
            found.append(Platform(cpu, libc))
    return found


def _libc_families(facts: Facts) -> list[str]:
    by_need = {family for library in facts.libraries for family in _libc_of(library)}
    return sorted(by_need or {platform.libc for platform in platforms(facts) if platform.libc})


def _libc_of(library: Library) -> Iterator[str]:
    for name in (*library.elf.needed, *dict(library.elf.versions)) if library.elf else ():
        if _MUSL.match(name):
            yield "musl"
        elif name.startswith(("libc.so.6", "ld-linux")):
            yield "glibc"


def _newest_glibc(facts: Facts) -> str:
    found = (
        version.removeprefix("GLIBC_")
        for library in facts.libraries
        for _, versions in (library.elf.versions if library.elf else ())
        for version in versions
        if re.fullmatch(r"GLIBC_\d{1,4}(\.\d{1,4}){1,3}", version)
    )
    return max(found, key=numbers, default="")


def _pythons(facts: Facts) -> list[str]:
    """By a wheel's tags; elsewhere by the names of extension modules."""
    if facts.tags:
        pairs = (tag.split("-")[:2] for tag in facts.tags if tag.count("-") == 2)
        return sorted({python if abi in ("none", python) else f"{python}-{abi}" for python, abi in pairs})
    if facts.is_system:
        return []
    found = (_EXTENSION.search(library.path) for library in facts.libraries)
    return sorted({f"cp{match[1]}" if match[1] else match[2] for match in found if match})


def _versions_of(facts: Facts, stem: str) -> Iterator[str]:
    for library in facts.libraries:
        yield from (match[1] for match in sonames(library, stem))


def sonames(library: Library, stem: str) -> Iterator[re.Match[str]]:
    """The needed libraries of this name; group 1 is the major version."""
    for name in library.elf.needed if library.elf else ():
        if match := re.match(rf"{stem}(?:_\w{{1,40}})?\.so\.(\d{{1,4}})", name):
            yield match


def _drivers_that_unpack(facts: Facts, policy: Policy) -> list[str]:
    entries = (entry for library in facts.libraries for code in library.code for entry in code.container.entries)
    packed = {entry.compression.value for entry in entries}
    return [driver for compression, driver in policy.compression_drivers.items() if compression in packed]


def _ptx_driver(facts: Facts, policy: Policy) -> str:
    isa = (
        entry.isa
        for library in facts.libraries
        for code in library.code
        for entry in code.container.entries
        if entry.kind is Kind.PTX
    )
    newest = max(isa, default=None)
    return ptx_release(newest, policy) if newest else ""


def ptx_release(isa: tuple[int, int], policy: Policy) -> str:
    """The CUDA release of a version of the PTX language: "CUDA 12.4", or "PTX ISA 9.9" where it is not known."""
    text = f"{isa[0]}.{isa[1]}"
    return f"CUDA {policy.ptx_isa[text]}" if text in policy.ptx_isa else f"PTX ISA {text}"


def numbers(version: str) -> tuple[int, ...]:
    """A version as something that sorts: "2.17" is (2, 17)."""
    return tuple(int(part) for part in version.split(".") if re.fullmatch("[0-9]{1,9}", part))
