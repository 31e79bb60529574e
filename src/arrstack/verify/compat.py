"""CUDA's rules for which code runs on which GPU.

Sources: NVIDIA, "CUDA C++ Programming Guide", sections "Binary Compatibility", "PTX Compatibility" and "Architecture-specific
features"; "NVCC", section "GPU Feature List" for the variants. In short: machine code runs on its own major version from its
own minor version up; PTX on anything as new or newer; "a" on its own GPU alone; "f" within the family.
"""

import enum
import functools
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from types import MappingProxyType

from arrstack.verify.facts import Code, Library
from arrstack.verify.fatbin import Arch, Kind

Capability = tuple[int, int]


class Mode(enum.Enum):
    """How code runs on a GPU, the best first."""

    NATIVE = "native"
    LOWER_MINOR = "lower-minor"
    PTX = "ptx"
    NO = "no"


_ORDER = list(Mode)


def machine_code_runs(arch: Arch, gpu: Capability) -> Mode:
    """NATIVE, LOWER_MINOR or NO."""
    if arch.capability == gpu:
        return Mode.NATIVE
    same_major = arch.capability[0] == gpu[0] and arch.capability[1] < gpu[1]
    return Mode.LOWER_MINOR if same_major and arch.variant != "a" else Mode.NO


def ptx_runs(arch: Arch, gpu: Capability) -> Mode:
    """PTX or NO: whether the driver can compile it for this GPU at first use (a driver as new as the PTX given)."""
    if arch.variant == "a":
        fits = arch.capability == gpu
    elif arch.variant == "f":
        fits = arch.capability[0] == gpu[0] and arch.capability[1] <= gpu[1]
    else:
        fits = arch.capability <= gpu
    return Mode.PTX if fits else Mode.NO


def best(modes: Iterable[Mode]) -> Mode:
    return min(modes, key=_ORDER.index, default=Mode.NO)


def worst(modes: Iterable[Mode]) -> Mode:
    return max(modes, key=_ORDER.index, default=Mode.NO)


def container_runs(code: Code, gpu: Capability) -> Mode:
    """What the CUDA runtime finds for a GPU in one fat binary."""
    machine = (machine_code_runs(arch, gpu) for arch in code.architectures(Kind.SASS))
    ptx = (ptx_runs(arch, gpu) for arch in code.architectures(Kind.PTX))
    return best([*machine, *ptx])


def library_runs(library: Library, gpu: Capability, *, chooses_itself: bool = False) -> Mode:
    """How most of a library's translation units run: a single one built for a GPU besides does not make the library native.

    A vendor's library that keeps each architecture in a container of its own and `chooses_itself` runs as its best one does.
    """
    modes = sorted((container_runs(code, gpu) for code in running_units(library)), key=_ORDER.index)
    if not modes:
        return Mode.NO
    return modes[0] if chooses_itself else modes[(len(modes) - 1) // 2]


def running_units(library: Library) -> list[Code]:
    """The translation units that run. Where there is relocatable code, the rest is what was linked from it, and is linked anew
    by the driver from PTX if need be (NVCC manual, "JIT Optimizations for Separate Compilation")."""
    runnable = [code for code in library.code if any(entry.kind is not Kind.LTO_IR for entry in code.container.entries)]
    relocatable = [code for code in runnable if code.relocatable]
    return relocatable or runnable


@functools.cache
def load_gpus() -> Mapping[str, Capability]:
    """GPU models and their compute capability, in the order of the data file (oldest first)."""
    table = tomllib.loads(resources.files("arrstack.verify").joinpath("gpus.toml").read_text(encoding="utf-8"))
    return MappingProxyType({model: _capability(text) for model, text in table["capability"].items()})


def _capability(text: str) -> Capability:
    major, _, minor = text.partition(".")
    return int(major), int(minor)
