"""The second room: what is expected of a library, and of whose."""

import dataclasses
import functools
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any

from arrstack.errors import ConfigError
from arrstack.verify.entries import Arch
from arrstack.verify.facts import Facts, Library


@dataclass(frozen=True)
class Variant:
    """An architecture that stands in some libraries besides the list, and why."""

    arch: Arch
    libraries: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Policy:
    """What a verification holds a target to.

    `architectures` is the exact list of machine code that our libraries hold, `ptx` that of PTX. `wants_gpu_code` fails a
    target without any. `strict` makes errors of the soundness findings that are warnings for binaries that others built.
    """

    architectures: tuple[Arch, ...]
    ptx: tuple[Arch, ...] = ()
    wants_gpu_code: bool = False
    is_exact: bool = True
    strict: bool = False
    ours: tuple[str, ...] = ()
    vendor: tuple[str, ...] = ()
    gpu_packages: tuple[str, ...] = ()
    system_directories: tuple[str, ...] = ()
    system_libraries: tuple[str, ...] = ()
    driver_libraries: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    drivers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    compression_drivers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """How GPU code is packed -> the oldest driver that reads it, where that is not every one."""
    ptx_isa: Mapping[str, str] = dataclasses.field(default_factory=dict)
    nccl: Mapping[str, str] = dataclasses.field(default_factory=dict)
    deep_kernels: tuple[str, ...] = ()

    def for_architectures(self, archs: Sequence[str], *, wants_gpu_code: bool) -> "Policy":
        """This policy for another list: "8.9", "89", "sm_89" or "9.0a" each, "8.9+PTX" for both kinds. Raises ConfigError."""
        sass, ptx = parse_architectures(archs)
        return dataclasses.replace(self, architectures=sass, ptx=ptx, wants_gpu_code=wants_gpu_code, is_exact=True)

    def for_gpus(self) -> "Policy":
        """This policy where the question is whether it runs on some GPUs, whatever architectures are in it."""
        return dataclasses.replace(self, wants_gpu_code=True, is_exact=False)

    def is_vendor(self, path: str) -> bool:
        return matches(path, self.vendor)

    def is_ours(self, path: str) -> bool:
        return matches(path, self.ours) and not self.is_vendor(path)

    def allowed_variants(self, path: str) -> frozenset[Arch]:
        return frozenset(variant.arch for variant in self.variants if matches(path, variant.libraries))


def is_judged(library: Library, facts: Facts, policy: Policy) -> bool:
    """In an image, what our recipes compile; what is given by path is judged, unless it is known to be a vendor's."""
    if facts.in_image:
        return policy.is_ours(library.path)
    return not policy.is_vendor(facts.target if facts.source == "library" else library.path)


def matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


_ARCH = re.compile(r"(?:sm_|compute_)?(?:(\d{1,2})\.(\d)|(\d{2,3}))([af]?)(\+ptx)?", re.IGNORECASE)


def parse_architectures(archs: Sequence[str]) -> tuple[tuple[Arch, ...], tuple[Arch, ...]]:
    """(machine code, PTX) of a list as people and PyTorch write it, `TORCH_CUDA_ARCH_LIST` included. Raises ConfigError."""
    sass: set[Arch] = set()
    ptx: set[Arch] = set()
    for text in (part for item in archs for part in re.split(r"[\s,;]+", item) if part):
        match = _ARCH.fullmatch(text)
        if not match:
            raise ConfigError(
                f"{text!r} is not a GPU architecture", "write a list such as 7.5,8.0,8.9 or sm_89, with +PTX for PTX"
            )
        number = int(match[3]) if match[3] else int(match[1]) * 10 + int(match[2])
        sass.add(Arch(number, match[4].lower()))
        if match[5]:
            ptx.add(Arch(number, match[4].lower()))
    return tuple(sorted(sass)), tuple(sorted(ptx))


@functools.cache
def load_policy() -> Policy:
    """The policy of `policy.toml` beside this module."""
    table = tomllib.loads(resources.files("arrstack.verify").joinpath("policy.toml").read_text(encoding="utf-8"))
    return _policy(table)


def _policy(table: dict[str, Any]) -> Policy:
    return Policy(
        architectures=parse_architectures(table["architectures"])[0],
        ptx=parse_architectures(table["ptx"])[0],
        ours=tuple(table["ours"]),
        vendor=tuple(table["vendor"]),
        gpu_packages=tuple(table["gpu_packages"]),
        system_directories=tuple(table["system_directories"]),
        system_libraries=tuple(table["system"]["libraries"]),
        driver_libraries=tuple(table["system"]["driver"]),
        variants=tuple(
            Variant(parse_architectures([entry["architecture"]])[0][0], tuple(entry["libraries"]), entry["reason"])
            for entry in table["variant"]
        ),
        drivers=table["driver"],
        compression_drivers=table["compression"],
        ptx_isa=table["ptx_isa"],
        nccl=table["nccl"],
        deep_kernels=tuple(table["deep"]["kernels"]),
    )
