"""The main job: plan, then build, verify and publish what changed, bottom tier first."""

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from arrstack.engines import IMAGES, Engine
from arrstack.engines.local import bring
from arrstack.errors import ArrstackError, BuildError, RegistryError, VerificationError
from arrstack.launch import plan as planning
from arrstack.launch.bases import bring_base
from arrstack.launch.diagnose import diagnose, useful_tail
from arrstack.launch.parallel import together
from arrstack.launch.plan import Plan, TierPlan, WheelPlan
from arrstack.launch.progress import Progress
from arrstack.launch.record import read_record
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes
from arrstack.model import (
    LABEL_INPUTS,
    LABEL_KEY,
    LABEL_WHEELS,
    Action,
    BuildStep,
    Event,
    EventKind,
    Image,
    State,
)
from arrstack.recipes.config import LoadedStack
from arrstack.recipes.inputs import folded
from arrstack.recipes.tiers import Recipe, Wheels
from arrstack.registry import Registry, ask_for

Steps = Generator[Event, None, Image]
"""Yields what happens and returns the image that came out."""


@dataclass(frozen=True)
class Launch:
    """One launch's parts. Effects stand here and nowhere below: the engine, the registry, the clock."""

    stack: LoadedStack
    recipes: Mapping[str, Recipe]
    engine: Engine | None
    """None where nothing is built: a plan only names the engine."""
    engine_name: str
    registry: Registry
    folders: Folders
    processes: Processes
    jobs: int
    beside: int = 1
    """How many builds or checks may run beside each other: what memory allows where each takes `jobs` compilers'."""
    certificates: Path | None = None
    wheels: Wheels | None = None
    force: frozenset[str] = frozenset()
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    images: dict[str, Image] = field(default_factory=dict)
    """The tiers that are finished, by name."""
    writing: threading.Lock = field(default_factory=threading.Lock)
    """Held by the step that writes to the registry or to what the machine remembers: one at a time."""
    making_base: threading.Lock = field(default_factory=threading.Lock)

    def plan(self) -> Plan:
        """What will be done and why. Asks the registry; changes nothing."""
        context = planning.Context(
            self.registry.lookup, lambda base: ask_for(base, self.processes.environment), self.estimates(), self.force
        )
        tiers = [recipe.planned for recipe in self.recipes.values()]
        return planning.plan(tiers, context, self.stack.profile_name, self.engine_name, self.registry.name)

    @property
    def _engine(self) -> Engine:
        assert self.engine is not None, "a launch without an engine only plans"
        return self.engine

    def estimates(self) -> dict[str, float]:
        stated: dict[str, float] = {}
        for tier in self.stack.tiers:
            stated[tier.name] = tier.seconds
            stated |= {f"{tier.name}/{w.name}": w.cpu_seconds / self.jobs for w in tier.wheels}
        return stated | self.folders.durations()

    def run(self, plan: Plan) -> Generator[Event, None, None]:
        """Carries the plan out, tier by tier, each on what came out below it. Raises what stops it; a new run goes on."""
        refuse_unknown(plan)
        self._engine.tidy()
        for left in self.folders.cache.glob("step-*"):  # by a launch that was killed
            shutil.rmtree(left, ignore_errors=True)
        for number, tier in enumerate(plan.tiers):
            decided = self.decide(tier)
            if decided.action is Action.REUSE and decided.answer.image:
                self.images[tier.name] = decided.answer.image
                yield Event(EventKind.DONE, tier.name, "reused")
                continue
            waiting = [self.recipes[each.name] for each in plan.tiers[number + 1 :] if each.action is not Action.REUSE]
            later = [self.ahead(recipe) for recipe in waiting if recipe.apart]
            yield from together([self.build(decided), *later], 1 + len(later))
        self.point_all()

    def finish(self, plan: Plan) -> None:
        """Where every tier is present only a tag may be left to move: a launch that was killed before its end."""
        self.images.update({tier.name: tier.answer.image for tier in plan.tiers if tier.answer.image})
        self.point_all()

    def decide(self, tier: TierPlan) -> TierPlan:
        """A tier that follows its parent is decided when that is finished: the same content means the same key."""
        if tier.action is not Action.FOLLOWS:
            return tier
        recipe = self.recipes[tier.name].planned
        parent = self.images[recipe.parent] if recipe.parent else None
        decided = planning.tier_plan(
            recipe, parent, False, planning.Context(self.registry.lookup, estimates=self.estimates(), force=self.force)
        )
        refuse_unknown(Plan(self.stack.profile_name, self.engine_name, self.registry.name, (decided,)))
        return decided

    def build(self, tier: TierPlan) -> Generator[Event, None, None]:
        """One tier: its wheels, its image, the proof that it is what was asked for, and then the registry."""
        recipe = self.recipes[tier.name]
        with self.scratch() as folder:
            staged = recipe.write_to(Path(folder))
            contexts = yield from self.wheel_contexts(recipe, staged, Path(folder))
            contexts |= yield from self.stages(recipe)
            step = self.step(recipe, staged, tier.name, contexts=contexts, labels=self.labels(tier))
            reference = yield from self.execute(
                step, built_name(tier.name, tier.tag), Progress(tier.name, expected=tier.estimate_seconds)
            )
            yield from self.verify(recipe, reference)
            self._engine.offer(reference)
        self.images[tier.name] = yield from self.publish(tier.name, tier.name, tier.tag, reference)

    def publish(self, step: str, repository: str, tag: str, reference: str) -> Steps:
        """An image of the engine's into the registry, one at a time."""
        with self.writing:
            image = self.registry.publish(repository, tag, lambda to, compress: self._engine.push(reference, to, compress))
        yield Event(EventKind.DONE, step, f"published {self.registry.reference(repository, tag)}")
        return image

    def scratch(self) -> "tempfile.TemporaryDirectory[str]":
        """A folder for one step, where the next launch finds it if this one is killed."""
        self.folders.cache.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="step-", dir=self.folders.cache)

    # -- wheels

    def wheel_contexts(self, recipe: Recipe, staged: Path, folder: Path) -> Generator[Event, None, dict[str, str]]:
        """What replaces the stages that make wheels: published images, or the folder of --wheels."""
        if self.wheels:
            return {table.stage: str(self.wheel_folder(table.distribution, folder / table.stage)) for table in recipe.tier.wheels}
        finished: dict[str, Image] = {}
        while ready := self.next_wheels(recipe, finished):
            finished |= {plan.wheel.stage: plan.answer.image for plan in ready if plan.answer.image}
            missing = [plan for plan in ready if not plan.answer.image]
            contexts = {stage: self.bring(image) for stage, image in finished.items()}
            images = yield from together([self.compile(recipe, plan, staged, contexts) for plan in missing], self.beside)
            finished |= {plan.wheel.stage: image for plan, image in zip(missing, images, strict=True)}
        return {stage: self.bring(image) for stage, image in finished.items()}

    def next_wheels(self, recipe: Recipe, finished: Mapping[str, Image]) -> list[WheelPlan]:
        """The wheels that stand on finished ones only."""
        plans = planning.wheel_plans(recipe.planned, planning.Context(self.registry.lookup), finished)
        for plan in plans:
            if plan.answer.state is State.UNKNOWN:
                raise RegistryError(f"whether {recipe.tier.name}:{plan.tag} exists cannot be told: {plan.answer.reason}")
        return [plan for plan in plans if plan.wheel.stage not in finished and plan.key]

    def wheel_folder(self, distribution: str, folder: Path) -> Path:
        assert self.wheels is not None
        folder.mkdir()
        for path in self.wheels.files(distribution):
            shutil.copy(path, folder)
        return folder

    def compile(self, recipe: Recipe, plan: WheelPlan, staged: Path, contexts: Mapping[str, str]) -> Steps:
        """One wheel, published at once: it survives whatever fails later. `contexts` are the wheels that are finished."""
        wheel, name = plan.wheel, f"{recipe.tier.name}/{plan.wheel.name}"
        table = next(table for table in recipe.tier.wheels if table.name == wheel.name)
        step = self.step(recipe, staged, name, contexts=contexts, labels=self.dated({LABEL_KEY: plan.key or ""}))
        record = self.stack.root / table.record
        step = replace(
            step,
            target=wheel.stage,
            args={**step.args, wheel.key_arg: (plan.key or "")[:24]},
            secrets={**step.secrets, **({"record": record} if record.is_file() else {})},  # it orders the work, no more
        )
        progress = Progress(name, table.milestones, read_record(record), self.estimates().get(name, 0.0), self.jobs)
        reference = yield from self.execute(step, built_name(recipe.tier.name, plan.tag), progress)
        return (yield from self.publish(name, recipe.tier.name, plan.tag, reference))

    # -- what need not wait for the tier below

    def stages(self, recipe: Recipe) -> Generator[Event, None, dict[str, str]]:
        """The stages of a tier that do not stand on the one below (what it downloads), each kept in the engine's store."""
        kept = stage_names(recipe)
        for stage, reference in kept.items():
            if not self._engine.has(reference):
                name = f"{recipe.tier.name}/{stage}"
                with self.scratch() as folder:
                    staged = recipe.write_to(Path(folder))
                    step = replace(self.step(recipe, staged, name, contexts={}, labels={}), target=stage)
                    yield from self.execute(step, reference, Progress(name, expected=self.estimates().get(name, 0.0)))
        return kept

    def ahead(self, recipe: Recipe) -> Generator[Event, None, None]:
        """A later tier's own stages, beside an earlier tier. It only saves time: what fails is tried again in its turn."""
        try:
            yield from self.stages(recipe)
        except ArrstackError as error:
            yield Event(EventKind.WARNING, recipe.tier.name, f"will be tried again in its turn: {error.message.splitlines()[0]}")

    # -- one engine build

    def step(self, recipe: Recipe, staged: Path, name: str, contexts: Mapping[str, str], labels: Mapping[str, str]) -> BuildStep:
        """The engine's build of a tier: every base and the parent in the engine's store, every argument by its value."""
        args = dict(recipe.args)
        for argument, base in self.stack.profile.bases.items():
            if argument in args:
                state = self.stack.profile.archive.state(recipe.tier.name)
                with self.making_base:  # two steps may want the same one at the same time
                    args[argument] = bring_base(base, state, self._engine, self.processes, self.folders)
        if recipe.tier.parent in self.images:
            args[recipe.tier.base_arg] = self.bring(self.images[recipe.tier.parent])
        if "MAX_JOBS" in recipe.dockerfile.declared:
            args["MAX_JOBS"] = str(self.jobs)
        secrets = {"ca": self.certificates} if self.certificates else {}
        return BuildStep(name, staged, staged.with_name("Dockerfile"), args, contexts=contexts, labels=labels, secrets=secrets)

    def labels(self, tier: TierPlan) -> dict[str, str]:
        found = self.dated(
            {LABEL_INPUTS: json.dumps(dict(folded(tier.inputs).leaves), sort_keys=True), LABEL_KEY: tier.key or ""}
        )
        if "wheels" in tier.inputs.leaves:
            found[LABEL_WHEELS] = "prebuilt wheels, not compiled here"
        return found

    def dated(self, labels: Mapping[str, str]) -> dict[str, str]:
        """With the time of the build, which the image itself does not hold: the same content has the same date."""
        return {**labels, "org.opencontainers.image.created": self.now().isoformat(timespec="seconds")}

    def bring(self, image: Image) -> str:
        return bring(image, self.registry, self._engine)

    def execute(self, step: BuildStep, reference: str, progress: Progress) -> Generator[Event, None, str]:
        """Runs one engine build: every line an event, the bytes in a log, the duration remembered."""
        path = self.folders.log(step.name, self.now())
        began = self.clock()
        yield Event(EventKind.PHASE, step.name, f"log: {path}", 0.0, remaining=progress.expected or None)
        with path.open("wb", buffering=0) as log:  # who follows it sees each line when it comes
            lines = self._engine.build(step, reference, log)
            try:
                while True:
                    yield progress.feed(next(lines), self.clock() - began)
            except StopIteration as end:
                built: str = end.value
            except BuildError as error:
                raise explain(error, path) from None
            finally:
                lines.close()
        if progress.ordinary:
            with self.writing:
                self.folders.remember(step.name, self.clock() - began)
        yield Event(EventKind.PHASE, step.name, f"built in {self.clock() - began:.0f} s")
        return built

    # -- verification

    def verify(self, recipe: Recipe, reference: str) -> Generator[Event, None, None]:
        """The census of a tier that holds compiled wheels, and the tier's `checks/` inside the finished image.

        Raises VerificationError: nothing was published yet.
        """
        checks = self.stack.root / recipe.tier.recipe / "checks"
        programs = sorted(p for p in checks.glob("*") if p.suffix in (".py", ".sh")) if checks.is_dir() else []
        steps = [self.check(recipe.tier.name, program, reference) for program in programs]
        yield from together([*([self.census(recipe.tier.name, reference)] if recipe.tier.wheels else []), *steps], self.beside)

    def check(self, tier: str, program: Path, reference: str) -> Generator[Event, None, None]:
        """One program of `checks/` in a container of the image."""
        step = f"{tier}/{program.name}"
        yield Event(EventKind.PHASE, step, "check")
        interpreter = "python" if program.suffix == ".py" else "bash"
        seen, mounts = {"PROFILE": self.stack.profile_name}, {program.parent.resolve(): "/checks"}
        lines = self._engine.run(reference, [interpreter, f"/checks/{program.name}"], seen, mounts, None)
        told: list[str] = []
        try:
            while True:
                line = next(lines)
                told = [*told[-40:], line]
                yield Event(EventKind.LOG, step, line)
        except StopIteration as end:
            status = end.value
        finally:
            lines.close()
        if status:
            raise VerificationError(
                f"{tier}: the check {program.name} failed:\n" + "\n".join(f"  {line}" for line in useful_tail(told)),
                f"the image was not published; it is {reference} in the engine's store. `launch -v {tier}` shows all that the check says",
            )
        yield Event(EventKind.DONE, step, "passed")

    def census(self, tier: str, reference: str) -> Generator[Event, None, None]:
        """Reads the image's files: exactly the profile's GPU architectures, and libraries that will load."""
        # A plan, which most launches are, does without: the census takes a twentieth of a second to import.
        from arrstack.verify import Level, load_policy, require_pass
        from arrstack.verify import verify as verification

        step = f"{tier}/census"
        yield Event(EventKind.PHASE, step, "of the image's libraries")
        with self.scratch() as folder:
            self._engine.push(reference, f"oci:{folder}:image", False)
            archs = self.stack.profile.archs
            policy = load_policy().for_architectures(archs, wants_gpu_code=bool(archs))
            report = verification(f"oci:{folder}:image", policy=policy)
        for problem in report.problems:
            kind = EventKind.WARNING if problem.level is not Level.NOTE else EventKind.LOG
            yield Event(kind, step, f"{problem.path}: {problem.message}")
        require_pass(report)
        yield Event(EventKind.DONE, step, "passed")

    # -- tags

    def point_all(self) -> None:
        """Moves the profile's tag of every tier, last of all and only where it is not there yet."""
        tag = self.stack.profile.tag
        for name, image in self.images.items():
            held = self.registry.lookup(name, tag).image
            if held is None or held.digest != image.digest:
                self.registry.move_tag(name, tag, image)


def built_name(tier: str, tag: str) -> str:
    """The reference in the engine's store of what a launch builds."""
    return f"{IMAGES}{tier}:{tag}"


def stage_names(recipe: Recipe) -> dict[str, str]:
    """The stages of a tier that do not stand on the one below, by the references under which the engine keeps them."""
    return {stage: built_name(recipe.tier.name, tag) for stage, tag in recipe.apart.items()}


def kept_stages(recipes: Iterable[Recipe]) -> frozenset[str]:
    """References of what the next launch will want of the stages that do not stand on the tier below."""
    return frozenset(reference for recipe in recipes for reference in stage_names(recipe).values())


def refuse_unknown(plan: Plan) -> None:
    """Unknown never starts a compile and never skips one. Raises RegistryError."""
    for tier in plan.unknown:
        reason = tier.answer.reason or next((w.answer.reason for w in tier.wheels if w.answer.reason), "")
        raise RegistryError(
            f"{tier.name} cannot be decided: {reason}",
            "repair the connection or the login, or name another with --registry",
        )


def explain(error: BuildError, log: Path) -> BuildError:
    """The engine's error with the log's last useful lines, the cause where it is known, and where the log is."""
    with log.open(encoding="utf-8", errors="replace") as file:
        cause = diagnose(file)
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - (1 << 16), 0))
        tail = useful_tail(file.read().decode(errors="replace").splitlines())
    message = "\n".join([error.message, *(f"  {line[:300]}" for line in tail), f"log: {log}"])
    if cause:
        return BuildError(f"{message}\ncause: {cause.cause}", cause.remedy)
    return BuildError(message, error.hint)
