"""The third room: facts held to a policy, and what came of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from arrstack.artifacts.files import Level, Problem
from arrstack.verify import soundness
from arrstack.verify.compat import Capability, Mode, best, container_runs, library_runs, running_units, worst
from arrstack.verify.facts import Amount, Facts, Library, Package
from arrstack.verify.fatbin import Arch, Kind
from arrstack.verify.policy import Policy


@dataclass(frozen=True)
class JudgedLibrary:
    """A library with GPU code: what is in it, what of the list is not, and what is besides it.

    `ours` says whether it was judged; `partial` is, for each wanted architecture that it has, how many of its `containers`
    (translation units) lack it. `missing` is what most of them lack.
    """

    path: str
    ours: bool
    sm: Mapping[Arch, Amount]
    ptx: Mapping[Arch, Amount]
    lto_ir: Mapping[Arch, Amount]
    containers: int
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    partial: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Gpu:
    """How a target runs on a GPU model: as the worst of its libraries does, those made for one GPU family alone left out; of
    a vendor's, as the best.

    `libraries` says it for each; of the `of` translation units `less` run in a worse way than `mode`, or not at all. A vendor's
    library may hold each architecture in a container of its own and choose by itself: there, `less` says nothing.
    """

    capability: Capability
    mode: Mode
    libraries: Mapping[str, Mode]
    less: int
    of: int


@dataclass(frozen=True)
class Report:
    """The result of a verification. `passed` is false where something is missing or extra, or a problem is an error."""

    target: str
    source: str
    policy: Policy
    libraries: tuple[JudgedLibrary, ...]
    elf_files: int
    gpus: Mapping[str, Gpu]
    packages: tuple[Package, ...]
    needs: Mapping[str, str]
    cpu_capabilities: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def missing(self) -> dict[str, list[str]]:
        """Architecture to the libraries of ours that lack it."""
        return _by_architecture((name, library.path) for library in self.libraries for name in library.missing)

    @property
    def extra(self) -> dict[str, list[str]]:
        """Architecture to the libraries of ours that hold it though nobody asked."""
        return _by_architecture((name, library.path) for library in self.libraries for name in library.extra)

    @property
    def passed(self) -> bool:
        return not (self.missing or self.extra or any(problem.level is Level.ERROR for problem in self.problems))

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints. Sizes are bytes as stored in the files."""
        return {
            "target": self.target,
            "source": self.source,
            "policy": {
                "sm": [arch.sm for arch in self.policy.architectures],
                "ptx": [arch.compute for arch in self.policy.ptx],
                "variants": {variant.arch.sm: variant.reason for variant in self.policy.variants},
                "wants_gpu_code": self.policy.wants_gpu_code,
                "strict": self.policy.strict,
            },
            "libraries": [_library_dict(library, self.gpus) for library in self.libraries],
            "elf_files": self.elf_files,
            "gpus": {model: gpu.mode.value for model, gpu in self.gpus.items()},
            "partly": {model: {"units": gpu.less, "of": gpu.of} for model, gpu in self.gpus.items() if 0 < gpu.less < gpu.of},
            "packages": [{"name": package.name, "path": package.path, **dict(package.versions)} for package in self.packages],
            "needs": dict(self.needs),
            "cpu_capabilities": list(self.cpu_capabilities),
            "missing": self.missing,
            "extra": self.extra,
            "problems": [
                {"level": problem.level.value, "path": problem.path, "message": problem.message, "hint": problem.hint}
                for problem in self.problems
            ],
            "verdict": "pass" if self.passed else "fail",
        }


def _library_dict(library: JudgedLibrary, gpus: Mapping[str, Gpu]) -> dict[str, Any]:
    return {
        "path": library.path,
        "ours": library.ours,
        "sm": {arch.sm: _amount_dict(amount) for arch, amount in library.sm.items()},
        "ptx": {arch.compute: _amount_dict(amount) for arch, amount in library.ptx.items()},
        "lto_ir": {arch.sm: _amount_dict(amount) for arch, amount in library.lto_ir.items()},
        "gpus": {model: gpu.libraries[library.path].value for model, gpu in gpus.items() if library.path in gpu.libraries},
        "units": library.containers,
        "units_without": dict(library.partial),
    }


def _amount_dict(amount: Amount) -> dict[str, int]:
    return {"entries": amount.entries, "bytes": amount.bytes}


def _by_architecture(pairs: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, path in pairs:
        found.setdefault(name, []).append(path)
    return found


def judge(facts: Facts, policy: Policy, gpus: Mapping[str, Capability], more: tuple[Problem, ...] = ()) -> Report:
    """Holds the facts to the policy. `more` are problems found elsewhere, by --deep for instance."""
    with_code = [library for library in facts.libraries if library.has_gpu_code]
    judged = tuple(_judge_library(library, _is_ours(library, facts, policy), policy) for library in with_code)
    problems = [*facts.problems, *more, *_missing_gpu_code(facts, policy), *_partial_units(judged)]
    problems += soundness.check_soundness(facts, policy)
    ours = [library for library, verdict in zip(with_code, judged, strict=True) if verdict.ours]
    return Report(
        target=facts.target,
        source=facts.source,
        policy=policy,
        libraries=judged,
        elf_files=sum(library.elf is not None for library in facts.libraries),
        gpus={model: _gpu(ours or with_code, capability, not ours) for model, capability in gpus.items()} if with_code else {},
        packages=facts.packages,
        needs=soundness.needs(facts, policy),
        cpu_capabilities=soundness.cpu_capabilities(facts),
        problems=tuple(sorted(problems, key=lambda problem: list(Level).index(problem.level))),
    )


def _is_ours(library: Library, facts: Facts, policy: Policy) -> bool:
    """In an image, what our recipes compile; what is given by path is judged, unless it is known to be a vendor's."""
    name = facts.target if facts.source == "library" else library.path
    if facts.source == "image":
        return policy.is_ours(library.path)
    return not policy.is_vendor(name)


def _judge_library(library: Library, ours: bool, policy: Policy) -> JudgedLibrary:
    sm, ptx = library.amounts(Kind.SASS), library.amounts(Kind.PTX)
    units = [code.architectures(Kind.SASS) for code in library.code if code.architectures(Kind.SASS)]
    missing: list[str] = []
    extra: list[str] = []
    if ours:
        wanted, allowed = set(policy.architectures), policy.allowed_variants(library.path)
        missing = [arch.sm for arch in sorted(wanted) if not _is_held(arch, units)] + [
            arch.compute for arch in sorted(set(policy.ptx) - set(ptx))
        ]
        extra = [arch.sm for arch in sm if arch not in wanted | allowed] + [
            arch.compute for arch in ptx if arch not in policy.ptx
        ]
    lacking = ((arch.sm, sum(arch not in unit for unit in units)) for arch in policy.architectures if arch in sm)
    return JudgedLibrary(
        path=library.path,
        ours=ours,
        sm=sm,
        ptx=ptx,
        lto_ir=library.amounts(Kind.LTO_IR),
        containers=len(library.code),
        missing=tuple(missing),
        extra=tuple(extra),
        partial=tuple((name, count) for name, count in lacking if count),
    )


def _is_held(arch: Arch, units: list[frozenset[Arch]]) -> bool:
    """Whether most translation units hold it: PyTorch builds single files for sm_89 besides, which does not make it an L4's."""
    return bool(units) and 2 * sum(arch in unit for unit in units) >= len(units)


def _partial_units(libraries: tuple[JudgedLibrary, ...]) -> Iterator[Problem]:
    for library in libraries:
        if library.ours and library.partial:
            counts = ", ".join(f"{count} lack {name}" for name, count in library.partial)
            message = f"not every translation unit is built for every architecture: of {library.containers}, {counts}"
            yield Problem(
                Level.WARNING, library.path, message, "kernels of those run from another architecture's code, or not at all"
            )


def _missing_gpu_code(facts: Facts, policy: Policy) -> Iterator[Problem]:
    if any(library.has_gpu_code for library in facts.libraries):
        return
    wanted = policy.wants_gpu_code and bool(policy.architectures)
    if facts.libraries or wanted:
        level = Level.ERROR if wanted else Level.NOTE
        yield Problem(level, facts.target, "there is no GPU code in it", "it was built for the CPU alone" if wanted else "")


def _gpu(libraries: list[Library], capability: Capability, chooses_itself: bool) -> Gpu:
    modes = {library.path: library_runs(library, capability, chooses_itself=chooses_itself) for library in libraries}
    general = [mode for library, mode in zip(libraries, modes.values(), strict=True) if not _is_for_one_gpu(library)]
    # Vendors' wheels have libraries with a stub of GPU code for one old architecture beside the one that matters.
    mode = best(modes.values()) if chooses_itself else worst(general or modes.values())
    order = list(Mode)
    units = [container_runs(code, capability) for library in libraries for code in running_units(library)]
    return Gpu(capability, mode, modes, sum(order.index(unit) > order.index(mode) for unit in units), len(units))


def _is_for_one_gpu(library: Library) -> bool:
    """Made of "a" and "f" variants alone, as FlashAttention 3 for sm_90a: its package chooses it on that GPU and no other."""
    return all(arch.variant for kind in (Kind.SASS, Kind.PTX) for arch in library.amounts(kind))
