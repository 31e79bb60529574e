"""CUDA's rules for which code runs on which GPU.

Sources: NVIDIA, "CUDA C++ Programming Guide", sections "Binary Compatibility", "PTX Compatibility" and "Architecture-specific
features"; "NVCC", section "GPU Feature List" for the variants. In short: machine code runs on its own major version from its
own minor version up; PTX on anything as new or newer; "a" on its own GPU alone; "f" within the family.
"""

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from arrstack.verify.entries import Arch, Kind
from arrstack.verify.facts import Code, Library

Capability = tuple[int, int]
Isa = tuple[int, int]


class Mode(enum.Enum):
    """How code runs on a GPU, the best first."""

    NATIVE = "native"
    LOWER_MINOR = "lower-minor"
    PTX = "ptx"
    NO = "no"


RANK: Mapping[Mode, int] = {mode: rank for rank, mode in enumerate(Mode)}


@dataclass(frozen=True)
class Choice:
    """What the driver takes for a GPU out of one fat binary: code of `arch`, and for PTX the version of its language."""

    mode: Mode
    arch: Arch | None = None
    isa: Isa = (0, 0)


NOTHING = Choice(Mode.NO)


@dataclass(frozen=True)
class Unit:
    """The code of a translation unit: its machine code, and its PTX with the version of each."""

    machine: frozenset[Arch]
    ptx: frozenset[tuple[Arch, Isa]]


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


def choose(unit: Unit, gpu: Capability) -> Choice:
    """What the CUDA runtime finds for a GPU in one fat binary: machine code first, of either kind the newest that runs."""
    machine = [Choice(machine_code_runs(arch, gpu), arch) for arch in unit.machine]
    ptx = [Choice(ptx_runs(arch, gpu), arch, isa) for arch, isa in unit.ptx]
    running = [choice for choice in (*machine, *ptx) if choice.mode is not Mode.NO]
    return max(running, key=lambda choice: (-RANK[choice.mode], choice.arch or Arch(0), choice.isa), default=NOTHING)


def running_units(library: Library) -> Counter[Unit]:
    """The translation units that run, each as often as it stands there. Where there is relocatable code, the rest is what was
    linked from it, and is linked anew by the driver from PTX if need be (NVCC manual, "JIT Optimizations for Separate
    Compilation")."""
    runnable = [code for code in library.code if any(entry.kind is not Kind.LTO_IR for entry in code.container.entries)]
    relocatable = [code for code in runnable if code.relocatable]
    return Counter(_unit(code) for code in relocatable or runnable)


def _unit(code: Code) -> Unit:
    entries = code.container.entries
    return Unit(
        frozenset(entry.arch for entry in entries if entry.kind is Kind.SASS),
        frozenset((entry.arch, entry.isa) for entry in entries if entry.kind is Kind.PTX),
    )


def library_choice(units: Mapping[Unit, int], gpu: Capability, *, chooses_itself: bool = False) -> Choice:
    """How most of a library's translation units run: a single one built for a GPU besides does not make the library native.

    A vendor's library that keeps each architecture in a container of its own and `chooses_itself` runs as its best one does.
    """
    choices: Counter[Choice] = Counter()
    for unit, count in units.items():
        choices[choose(unit, gpu)] += count
    mode = _best(choices) if chooses_itself else _middle(choices)
    return most_common(choice for choice in choices.elements() if choice.mode is mode)


def _best(choices: Iterable[Choice]) -> Mode:
    return best(choice.mode for choice in choices)


def _middle(choices: Counter[Choice]) -> Mode:
    """The mode of the unit in the middle, the best first."""
    left = (choices.total() + 1) // 2
    for choice, count in sorted(choices.items(), key=lambda item: RANK[item[0].mode]):
        left -= count
        if left <= 0:
            return choice.mode
    return Mode.NO


def most_common(choices: Iterable[Choice]) -> Choice:
    """The one met most often; of two, that for the newer architecture."""
    counts = Counter(choices)
    return max(counts, key=lambda choice: (counts[choice], choice.arch or Arch(0), choice.isa), default=NOTHING)


def best(modes: Iterable[Mode]) -> Mode:
    return min(modes, key=RANK.__getitem__, default=Mode.NO)


def worst(modes: Iterable[Mode]) -> Mode:
    return max(modes, key=RANK.__getitem__, default=Mode.NO)
