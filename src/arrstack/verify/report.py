"""The third room's result: what came of facts that were held to a policy, as values and as JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from arrstack.artifacts.files import Level, Problem
from arrstack.verify.compat import Capability, Choice, Mode
from arrstack.verify.entries import Arch
from arrstack.verify.facts import Amount, Package
from arrstack.verify.needs import ptx_release
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

    `by` is what the driver takes in most of the units that decide it. `libraries` says the mode for each library; of the `of`
    translation units `less` run in a worse way than `mode`, or not at all. A vendor's library may hold each architecture in a
    container of its own and choose by itself: there, `less` says nothing.
    """

    capability: Capability
    by: Choice
    libraries: Mapping[str, Mode]
    less: int
    of: int

    @property
    def mode(self) -> Mode:
        return self.by.mode

    @property
    def sm(self) -> str:
        return Arch(self.capability[0] * 10 + self.capability[1]).sm


@dataclass(frozen=True)
class Report:
    """The result of a verification. `passed` is false where something is missing or extra, where one of the GPUs that were
    `asked` for does not run it, where a problem is an error, and where one of the `wheels` that lie in it is not passed."""

    target: str
    source: str
    policy: Policy
    libraries: tuple[JudgedLibrary, ...]
    elf_files: int
    gpus: Mapping[str, Gpu]
    asked: tuple[str, ...]
    packages: tuple[Package, ...]
    needs: Mapping[str, str]
    cpu_capabilities: tuple[str, ...]
    problems: tuple[Problem, ...]
    wheels: tuple["Report", ...] = ()

    @property
    def missing(self) -> dict[str, list[str]]:
        """Architecture to the libraries of ours that lack it."""
        return _by_architecture((name, library.path) for library in self.libraries for name in library.missing)

    @property
    def extra(self) -> dict[str, list[str]]:
        """Architecture to the libraries of ours that hold it though nobody asked."""
        return _by_architecture((name, library.path) for library in self.libraries for name in library.extra)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.level is Level.ERROR]

    @property
    def unfit(self) -> list[str]:
        """The GPUs that were asked for and do not run it."""
        return [model for model in self.asked if model in self.gpus and self.gpus[model].mode is Mode.NO]

    @property
    def passed(self) -> bool:
        own = not (self.missing or self.extra or self.errors or self.unfit)
        return own and all(wheel.passed for wheel in self.wheels)

    def answer(self, model: str) -> str:
        """Whether and how it runs on a GPU: "L4 (sm_89): runs, by sm_86 code"."""
        gpu = self.gpus[model]
        return f"{model} ({gpu.sm}): {self._how(gpu)}{self._exceptions(gpu)}"

    def _how(self, gpu: Gpu) -> str:
        cpu = self.needs.get("cpu", "x86-64")
        host = "" if "x86-64" in cpu.split(", ") else f", on a machine with an {cpu} processor"
        if gpu.mode is Mode.NO or gpu.by.arch is None:
            return "does not run"
        if gpu.mode is Mode.PTX:
            driver = f"{gpu.by.arch.compute}; the driver must be that of {ptx_release(gpu.by.isa, self.policy)} or newer"
            return f"runs, by PTX {gpu.by.isa[0]}.{gpu.by.isa[1]} compiled at first use{host} ({driver})"
        return f"runs, by {gpu.by.arch.sm} code{host}"

    def _exceptions(self, gpu: Gpu) -> str:
        otherwise = [path for path, mode in gpu.libraries.items() if mode is not gpu.mode]
        if otherwise:
            return f" (otherwise in {len(otherwise)} of {len(gpu.libraries)} libraries)"
        judged = any(library.ours for library in self.libraries)
        return f" (less for {gpu.less} of {gpu.of} units)" if judged and 0 < gpu.less < gpu.of else ""

    @property
    def verdict(self) -> str:
        """What was judged and what came of it, in one sentence."""
        wanted = ", ".join([arch.sm for arch in self.policy.architectures] + [arch.compute for arch in self.policy.ptx])
        if failed := [wheel.target for wheel in self.wheels if not wheel.passed]:
            return f"FAIL  {len(failed)} of {len(self.wheels)} wheels in it: {', '.join(failed)}"
        if self.errors:
            more = f" (and {len(self.errors) - 1} more errors)" if self.errors[1:] else ""
            return f"FAIL  {self.errors[0].path}: {self.errors[0].message}{more}"
        if self.unfit:
            return f"FAIL  does not run on {', '.join(self.unfit)}"
        if self.missing or self.extra:
            missing, extra = ", ".join(self.missing) or "none", ", ".join(self.extra) or "none"
            return f"FAIL  not exactly the list asked for, {wanted or 'no GPU code'}: missing: {missing}; not asked for: {extra}"
        return f"PASS  {self._passing(wanted)}"

    def _passing(self, wanted: str) -> str:
        if self.wheels and not self.libraries:
            return f"each of the {len(self.wheels)} wheels in it"
        if not self.libraries:
            return "there is no GPU code in it, and none was asked for"
        if self.asked and not self.policy.is_exact:
            return f"runs on {', '.join(self.asked)}"
        if not any(library.ours for library in self.libraries):
            return "reported, not judged: a vendor's libraries"
        return f"exactly {wanted}"

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
                "is_exact": self.policy.is_exact,
                "strict": self.policy.strict,
            },
            "libraries": [_library_dict(library, self.gpus) for library in self.libraries],
            "elf_files": self.elf_files,
            "asked": list(self.asked),
            "answers": {model: self.answer(model) for model in self.gpus},
            "gpus": {model: gpu.mode.value for model, gpu in self.gpus.items()},
            "partly": {model: {"units": gpu.less, "of": gpu.of} for model, gpu in self.gpus.items() if 0 < gpu.less < gpu.of},
            "packages": [{"name": package.name, "path": package.path, **dict(package.versions)} for package in self.packages],
            "needs": dict(self.needs),
            "cpu_capabilities": list(self.cpu_capabilities),
            "missing": self.missing,
            "extra": self.extra,
            "problems": [_problem_dict(problem) for problem in self.problems],
            "wheels": [wheel.as_dict() for wheel in self.wheels],
            "verdict": "pass" if self.passed else "fail",
            "reason": self.verdict.partition("  ")[2],
        }


def _problem_dict(problem: Problem) -> dict[str, str]:
    return {"level": problem.level.value, "path": problem.path, "message": problem.message, "hint": problem.hint}


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


def _by_architecture(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, path in pairs:
        found.setdefault(name, []).append(path)
    return found
