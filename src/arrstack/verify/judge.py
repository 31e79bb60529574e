"""The third room: facts held to a policy."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from arrstack.artifacts.files import Level, Problem
from arrstack.verify import soundness
from arrstack.verify.compat import (
    RANK,
    Capability,
    Unit,
    best,
    choose,
    library_choice,
    most_common,
    running_units,
    worst,
)
from arrstack.verify.entries import Arch, Kind
from arrstack.verify.facts import Facts, Library
from arrstack.verify.needs import needs
from arrstack.verify.policy import Policy, is_judged
from arrstack.verify.report import Gpu, JudgedLibrary, Report


def judge(
    facts: Facts,
    policy: Policy,
    gpus: Mapping[str, Capability],
    *,
    asked: Sequence[str] = (),
    more: Sequence[Problem] = (),
    torch_has_gpu_code: bool = False,
) -> Report:
    """Holds the facts to the policy, and each wheel that lies in the target on its own. `asked` are the models of `gpus` that
    must run it; `more` are problems found elsewhere, by --deep for instance; `torch_has_gpu_code` that a torch beside it has."""
    with_code = [library for library in facts.libraries if library.has_gpu_code]
    judged = tuple(_judge_library(library, is_judged(library, facts, policy), policy) for library in with_code)
    problems = [*facts.problems, *_unread(facts, policy), *more]
    problems += [*_missing_gpu_code(facts, policy, asked), *_partial_units(judged)]
    problems += soundness.check_soundness(facts, policy, torch_has_gpu_code=torch_has_gpu_code)
    ours = [library for library, verdict in zip(with_code, judged, strict=True) if verdict.ours]
    # Whether GPU code is wanted is a question to the whole: a folder may hold a wheel that needs none.
    of_a_wheel = dataclasses.replace(policy, wants_gpu_code=False)
    beside = torch_has_gpu_code or soundness.torch_has_code(facts)
    return Report(
        target=facts.target,
        source=facts.source,
        policy=policy,
        libraries=judged,
        elf_files=sum(library.elf is not None for library in facts.libraries),
        gpus=_gpus(ours or with_code, gpus, not ours) if with_code else {},
        asked=tuple(asked),
        packages=facts.packages,
        needs=needs(facts, policy),
        cpu_capabilities=soundness.cpu_capabilities(facts),
        problems=tuple(sorted(problems, key=lambda problem: list(Level).index(problem.level))),
        wheels=tuple(judge(wheel, of_a_wheel, gpus, asked=asked, torch_has_gpu_code=beside) for wheel in facts.wheels),
    )


def _unread(facts: Facts, policy: Policy) -> Iterator[Problem]:
    """In an image, what others left there as a library and is none does not make it fail."""
    for problem in facts.unread:
        ours = not facts.in_image or policy.is_ours(problem.path)
        yield problem if ours else dataclasses.replace(problem, level=Level.WARNING)


def _judge_library(library: Library, ours: bool, policy: Policy) -> JudgedLibrary:
    sm, ptx = library.amounts(Kind.SASS), library.amounts(Kind.PTX)
    units = [code.architectures(Kind.SASS) for code in library.code if code.architectures(Kind.SASS)]
    missing: list[str] = []
    extra: list[str] = []
    if ours and policy.is_exact:
        wanted, allowed = set(policy.architectures), policy.allowed_variants(library.path)
        missing = [arch.sm for arch in sorted(wanted) if not _is_held(arch, units)]
        missing += [arch.compute for arch in sorted(set(policy.ptx) - set(ptx))]
        extra = [arch.sm for arch in sm if arch not in wanted | allowed]
        extra += [arch.compute for arch in ptx if arch not in policy.ptx]
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
        partial=tuple((name, count) for name, count in lacking if count) if policy.is_exact else (),
    )


def _is_held(arch: Arch, units: Sequence[frozenset[Arch]]) -> bool:
    """Whether most translation units hold it: PyTorch builds single files for sm_89 besides, which does not make it an L4's."""
    return bool(units) and 2 * sum(arch in unit for unit in units) >= len(units)


def _partial_units(libraries: Sequence[JudgedLibrary]) -> Iterator[Problem]:
    for library in libraries:
        if library.ours and library.partial:
            counts = ", ".join(f"{count} lack {name}" for name, count in library.partial)
            message = f"not every translation unit is built for every architecture: of {library.containers}, {counts}"
            hint = "kernels of those run from another architecture's code, or not at all"
            yield Problem(Level.WARNING, library.path, message, hint)


def _missing_gpu_code(facts: Facts, policy: Policy, asked: Sequence[str]) -> Iterator[Problem]:
    was_read = bool(facts.libraries or facts.tags or facts.wheels)
    if facts.has_gpu_code or not was_read:
        return
    wanted = policy.wants_gpu_code and bool(policy.architectures or asked)
    if wanted or not facts.wheels:
        level = Level.ERROR if wanted else Level.NOTE
        yield Problem(level, facts.target, "there is no GPU code in it", "it was built for the CPU alone" if wanted else "")


def _gpus(libraries: Sequence[Library], gpus: Mapping[str, Capability], chooses_itself: bool) -> dict[str, Gpu]:
    units = {library.path: running_units(library) for library in libraries}
    general = {library.path for library in libraries if not _is_for_one_gpu(library)} or units.keys()
    return {model: _gpu(units, general, capability, chooses_itself) for model, capability in gpus.items()}


def _gpu(units: Mapping[str, Counter[Unit]], general: Collection[str], gpu: Capability, chooses_itself: bool) -> Gpu:
    choices = {path: library_choice(counts, gpu, chooses_itself=chooses_itself) for path, counts in units.items()}
    # Vendors' wheels have libraries with a stub of GPU code for one old architecture beside the one that matters.
    modes = [choice.mode for path, choice in choices.items() if chooses_itself or path in general]
    mode = best(modes) if chooses_itself else worst(modes)
    deciding = most_common(choice for choice in choices.values() if choice.mode is mode)
    rank = RANK[mode]
    less = sum(count for counts in units.values() for unit, count in counts.items() if RANK[choose(unit, gpu).mode] > rank)
    return Gpu(
        capability=gpu,
        by=deciding,
        libraries={path: choice.mode for path, choice in choices.items()},
        less=less,
        of=sum(counts.total() for counts in units.values()),
    )


def _is_for_one_gpu(library: Library) -> bool:
    """Made of "a" and "f" variants alone, as FlashAttention 3 for sm_90a: its package chooses it on that GPU and no other."""
    return all(arch.variant for kind in (Kind.SASS, Kind.PTX) for arch in library.amounts(kind))
