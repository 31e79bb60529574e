"""What is in a binary: the GPU architectures, read from the files themselves, without a GPU.

Four rooms, one direction: facts (`collect`), policy (`policy`), verdict (`judge`, `report`), show (`arrstack.cli.verify_view`).
May not: run what it reads, follow a path out of its target, raise for what stands in a file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from arrstack.artifacts.files import Level, Problem, Source
from arrstack.artifacts.open import open_target
from arrstack.errors import ConfigError, VerificationError
from arrstack.verify.collect import collect
from arrstack.verify.deep import Disassembler, foreign_instructions
from arrstack.verify.facts import Facts
from arrstack.verify.gpus import find_gpus, load_gpus
from arrstack.verify.header_index import HeaderIndex
from arrstack.verify.judge import judge
from arrstack.verify.policy import Policy, load_policy
from arrstack.verify.report import Report

__all__ = ["Disassembler", "Level", "Policy", "Problem", "Report", "Source", "load_policy", "require_pass", "verify"]


def verify(
    target: str | Path | Source,
    archs: Sequence[str] | None = None,
    policy: Policy | None = None,
    disassemble: Disassembler | None = None,
    gpus: Sequence[str] = (),
) -> Report:
    """The census of a target, held to a policy.

    `target` is the path of a wheel, a directory, a library, or `oci:DIR:TAG`; or a `Source`. `archs` replaces the policy's list
    ("8.9", "sm_89", "9.0a", "8.9+PTX"), and asks for GPU code. `gpus` are models ("L4") or capabilities ("8.9") that must run it;
    without a list or a policy nothing else is asked.
    With `disassemble`, a library or directory on disk is also searched for instructions beyond the CPU's baseline.
    What is wrong with a target is in the report. Raises ConfigError (status 2) where it does not exist, or a list makes no sense.

        verify("dist/torch-2.6.0-cp311-cp311-linux_x86_64.whl", gpus=["L4"]).answer("L4")
        # "L4 (sm_89): runs, by sm_86 code"
    """
    asked = find_gpus(gpus)
    policy = policy or (load_policy().for_gpus() if asked else load_policy())
    if archs is not None:
        policy = policy.for_architectures(archs, wants_gpu_code=bool(archs))
    source = open_target(target, HeaderIndex) if isinstance(target, str | Path) else target
    facts = collect(source)
    deep = list(_search_deeply(source, facts, disassemble, policy)) if disassemble else []
    return judge(facts, policy, asked or load_gpus(), asked=tuple(asked), more=deep)


def _search_deeply(source: Source, facts: Facts, disassemble: Disassembler, policy: Policy) -> Iterator[Problem]:
    if source.kind not in ("library", "directory"):
        raise ConfigError(f"{source.name}: --deep needs files on disk", "unpack it, and name the directory")
    for wheel in facts.wheels:
        yield Problem(Level.WARNING, wheel.target, "not searched for instructions: --deep needs files on disk", "unpack it")
    for library in facts.libraries:
        if library.elf and library.elf.machine == "x86-64":
            on_disk = source.name if source.kind == "library" else str(Path(source.name, library.path))
            yield from foreign_instructions(library.path, on_disk, disassemble, policy.deep_kernels)


def require_pass(report: Report) -> None:
    """Raises VerificationError (status 4) where the report is a failure, with its most important reasons in the message."""
    if report.passed:
        return
    reasons = [f"{name} is missing in {', '.join(paths)}" for name, paths in report.missing.items()]
    reasons += [f"{name} is in {', '.join(paths)}, and nobody asked for it" for name, paths in report.extra.items()]
    reasons += [f"it does not run on {model}" for model in report.unfit]
    reasons += [f"{problem.path}: {problem.message}" for problem in report.errors]
    reasons += [f"{wheel.target}: {wheel.verdict.partition('  ')[2]}" for wheel in report.wheels if not wheel.passed]
    more = f" (and {len(reasons) - 5} more)" if len(reasons) > 5 else ""
    raise VerificationError(f"{report.target}: {'; '.join(reasons[:5])}{more}", "arrstack verify TARGET shows all of it")
