"""What is in a binary: the GPU architectures, read from the files themselves, without a GPU.

Four rooms, one direction: facts (`collect`), policy (`policy`), verdict (`report`), show (`arrstack.cli.verify_view`).
"""

from collections.abc import Sequence
from pathlib import Path

from arrstack.artifacts.files import Level, Problem, Source
from arrstack.artifacts.layers import ImageLayers, Layer, LayeredImage
from arrstack.errors import ConfigError, VerificationError
from arrstack.verify.collect import collect
from arrstack.verify.compat import load_gpus
from arrstack.verify.deep import Disassembler, foreign_instructions
from arrstack.verify.policy import Policy, load_policy
from arrstack.verify.report import Report, judge
from arrstack.verify.sources import open_target

__all__ = [
    "Disassembler",
    "ImageLayers",
    "Layer",
    "LayeredImage",
    "Level",
    "Policy",
    "Problem",
    "Report",
    "Source",
    "load_policy",
    "require_pass",
    "verify",
]


def verify(
    target: str | Path | Source,
    archs: Sequence[str] | None = None,
    policy: Policy | None = None,
    disassemble: Disassembler | None = None,
) -> Report:
    """The census of a target, held to a policy.

    `target` is the path of a wheel, a directory, a library, or `oci:DIR:TAG`; or a `Source`, such as `LayeredImage` of an image
    that a registry or an engine holds. `archs` replaces the policy's list ("8.9", "sm_89", "9.0a", "8.9+PTX"), and asks for GPU
    code. With `disassemble`, a library or directory on disk is also searched for instructions beyond the CPU's baseline.
    What is wrong with a target is in the report. Raises ConfigError (status 2) where it does not exist, or a list makes no sense.
    """
    policy = policy or load_policy()
    if archs is not None:
        policy = policy.for_architectures(archs, wants_gpu_code=bool(archs))
    source = open_target(target) if isinstance(target, str | Path) else target
    facts = collect(source)
    deep: list[Problem] = []
    if disassemble:
        if source.kind not in ("library", "directory"):
            raise ConfigError(f"{source.name}: --deep needs files on disk", "unpack it, and name the directory")
        for library in facts.libraries:
            if library.elf and library.elf.machine == "x86-64":
                on_disk = source.name if source.kind == "library" else str(Path(source.name, library.path))
                deep += foreign_instructions(library.path, on_disk, disassemble, policy.deep_kernels)
    return judge(facts, policy, load_gpus(), tuple(deep))


def require_pass(report: Report) -> None:
    """Raises VerificationError (status 4) where the report is a failure, with its most important reasons in the message."""
    if report.passed:
        return
    reasons = [f"{name} is missing in {', '.join(paths)}" for name, paths in report.missing.items()]
    reasons += [f"{name} is in {', '.join(paths)}, and nobody asked for it" for name, paths in report.extra.items()]
    reasons += [f"{problem.path}: {problem.message}" for problem in report.problems if problem.level is Level.ERROR]
    more = f" (and {len(reasons) - 5} more)" if len(reasons) > 5 else ""
    raise VerificationError(f"{report.target}: {'; '.join(reasons[:5])}{more}", "arrstack verify TARGET shows all of it")
