"""One tier: its wheels, the stages that need not wait for the tier below, its image."""

import contextlib
import json
import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arrstack.engines import IMAGES
from arrstack.errors import ArrstackError, BuildError, ConfigError, RegistryError
from arrstack.launch import plan as planning
from arrstack.launch.estimate import BASE_SECONDS, base_step, known_rows
from arrstack.launch.parallel import together
from arrstack.launch.plan import TierPlan, WheelPlan
from arrstack.launch.progress import Progress
from arrstack.launch.record import costs, text_of
from arrstack.launch.shared_cache import SharedCache
from arrstack.launch.steps import Steps
from arrstack.model import (
    LABEL_ARCHS,
    LABEL_CHECKS,
    LABEL_COMPILED,
    LABEL_CREATED,
    LABEL_INPUTS,
    LABEL_KEY,
    LABEL_VERSION,
    LABEL_WHEELS,
    BuildStep,
    Compiled,
    Event,
    EventKind,
    Image,
    Lookup,
    State,
    compiled_label,
)
from arrstack.recipes.config import LoadedStack, Wheel
from arrstack.recipes.inputs import folded
from arrstack.recipes.tiers import Recipe, Wheels


@dataclass(frozen=True)
class Sources:
    """A recipe and its context as files, as they were read; `folder` also holds what is made for the builds."""

    folder: Path
    context: Path


@dataclass(frozen=True)
class TierBuild:
    """The builds of one tier. `parent` is the finished image that it stands on, if it stands on one and that is finished."""

    stack: LoadedStack
    recipe: Recipe
    steps: Steps
    lookup: Lookup
    parent: Image | None = None
    certificates: Path | None = None
    given_wheels: Wheels | None = None
    estimates: Mapping[str, float] | None = None
    shared_cache: SharedCache | None = None

    @contextlib.contextmanager
    def sources(self) -> Iterator[Sources]:
        """The tier's files for as long as it is built. Raises ConfigError where they are others by now than were read."""
        with self.steps.scratch() as folder:
            yield Sources(folder, self.recipe.write_to(folder))

    # -- wheels

    def wheels(self, sources: Sources) -> Generator[Event, None, dict[str, str]]:
        """What replaces the stages that make wheels: published images, or folders of the wheels that were given."""
        if self.given_wheels:
            wheels = self.recipe.tier.wheels
            return {wheel.stage: str(self._folder_of(wheel.distribution, sources.folder / wheel.stage)) for wheel in wheels}
        finished: dict[str, Image] = {}
        while ready := self._next_wheels(finished):
            finished |= {plan.wheel.stage: plan.answer.image for plan in ready if plan.answer.image}
            missing = [plan for plan in ready if not plan.answer.image]
            contexts = {stage: self.steps.available(image) for stage, image in finished.items()}
            compiles = [self._compile(plan, sources, contexts) for plan in missing]
            images = yield from together(compiles, self.steps.parallel_builds)
            finished |= {plan.wheel.stage: image for plan, image in zip(missing, images, strict=True)}
        return {stage: self.steps.available(image) for stage, image in finished.items()}

    def wheel(self, plans: Sequence[WheelPlan], name: str) -> Generator[Event, None, None]:
        """One wheel, on those that are published. Raises ConfigError where the tier has none of that name, BuildError where one
        that it stands on is missing."""
        found = {plan.wheel.name: plan for plan in plans}
        if not (plan := found.get(name)):
            known = ", ".join([*found, "image"])
            raise ConfigError(f"{self.recipe.tier.name} has no part '{name}'", f"its parts: {known}")
        step = f"{self.recipe.tier.name}/{name}"
        if plan.answer.image:
            yield Event(EventKind.DONE, step, "reused")
            return
        if not plan.key:
            first = ", ".join(each.wheel.name for each in plans if each.key and not each.answer.image)
            raise BuildError(f"{step} stands on a wheel that is not published", f"build it first: {first}")
        contexts = {each.wheel.stage: self.steps.available(each.answer.image) for each in plans if each.answer.image}
        with self.sources() as sources:
            yield from self._compile(plan, sources, contexts)

    def _next_wheels(self, finished: Mapping[str, Image]) -> list[WheelPlan]:
        """The wheels that stand on finished ones only."""
        plans = planning.wheel_plans(self.recipe.planned, planning.Facts(self.lookup), finished)
        for plan in plans:
            if plan.answer.state is State.UNKNOWN:
                raise RegistryError(f"whether {self.recipe.tier.name}:{plan.tag} exists cannot be told: {plan.answer.reason}")
        return [plan for plan in plans if plan.wheel.stage not in finished and plan.key]

    def _folder_of(self, distribution: str, folder: Path) -> Path:
        assert self.given_wheels is not None
        folder.mkdir()
        for path in self.given_wheels.files(distribution):
            shutil.copy(path, folder)
        return folder

    def _compile(self, plan: WheelPlan, sources: Sources, contexts: Mapping[str, str]) -> Generator[Event, None, Image]:
        """One wheel, published at once: it survives whatever fails later. `contexts` are the wheels that are finished."""
        tier, wheel = self.recipe.tier, plan.wheel
        name = f"{tier.name}/{wheel.name}"
        rows = known_rows(self.stack, self.steps.memory, name, wheel)
        record = sources.folder / f"{wheel.name}.tsv"
        record.write_text(text_of(rows), encoding="utf-8")
        step = yield from self._step(
            name,
            sources,
            target=wheel.stage,
            args={wheel.key_arg: (plan.key or "")[:24]},
            contexts=contexts,
            labels={LABEL_KEY: plan.key or "", **self._described(wheel)},
            secrets={"record": record} if rows else {},  # it orders the work, no more
        )
        progress = Progress(
            name, wheel.milestones, costs(rows), self._estimate(name), self.steps.jobs, len(self.stack.profile.archs)
        )
        reference = yield from self.steps.build(step, built_name(tier.name, plan.tag), progress)
        return (yield from self.steps.publish(name, tier.name, plan.tag, reference))

    def _described(self, wheel: Wheel) -> dict[str, str]:
        """What `wheels` lists without reading the wheel."""
        version = self.recipe.args.get(wheel.version_arg)
        return {LABEL_ARCHS: " ".join(self.stack.profile.archs)} | ({LABEL_VERSION: version} if version else {})

    # -- what need not wait for the tier below

    def stages(self) -> Generator[Event, None, dict[str, str]]:
        """The stages of a tier that do not stand on the one below (what it downloads), each kept by the builder, where it
        keeps such."""
        wanted = stage_names(self.recipe) if self.steps.builder.keeps_stages else {}
        for stage, reference in wanted.items():
            if not self.steps.builder.holds(reference):
                name = f"{self.recipe.tier.name}/{stage}"
                with self.sources() as sources:
                    step = yield from self._step(name, sources, target=stage)
                    yield from self.steps.build(step, reference, Progress(name, expected=self._estimate(name)))
        return wanted

    def build_early(self) -> Generator[Event, None, None]:
        """The same beside an earlier tier. It only saves time: what fails is tried again in its turn."""
        try:
            yield from self.stages()
        except ArrstackError as error:
            first = error.message.splitlines()[0]
            yield Event(EventKind.WARNING, self.recipe.tier.name, f"will be tried again in its turn: {first}")

    # -- the image

    def image(self, plan: TierPlan, sources: Sources, contexts: Mapping[str, str]) -> Generator[Event, None, str]:
        """The tier's image, not yet proved. `contexts` replace its stages."""
        step = yield from self._step(plan.name, sources, contexts=contexts, labels=self._labels(plan))
        progress = Progress(plan.name, expected=self._estimate(plan.name))
        return (yield from self.steps.build(step, built_name(plan.name, plan.tag), progress))

    def _labels(self, plan: TierPlan) -> dict[str, str]:
        inputs = json.dumps(dict(folded(plan.inputs).leaves), sort_keys=True)
        labels = {LABEL_INPUTS: inputs, LABEL_KEY: plan.key or "", LABEL_CHECKS: self.recipe.planned.checks}
        if "wheels" in plan.inputs.leaves:
            labels[LABEL_WHEELS] = "prebuilt wheels, not compiled here"
        elif self.recipe.planned.wheels:
            labels[LABEL_COMPILED] = compiled_label(self._compiled())
        return labels

    def _compiled(self) -> Iterator[Compiled]:
        """What the tier's wheels are made of. Their arguments share a prefix with `version-arg`: TORCH_VERSION, TORCH_SOURCE, TORCH_PIN."""
        args, keys = self.recipe.args, planning.wheel_plans(self.recipe.planned, planning.Facts(self.lookup))
        for plan in keys:
            wheel = plan.wheel
            prefix = wheel.version_arg.removesuffix("_VERSION")
            source, pin = args.get(f"{prefix}_SOURCE", ""), args.get(f"{prefix}_PIN", "")
            architectures = args.get(self.recipe.tier.archs_arg, "")
            yield Compiled(wheel.distribution, args.get(wheel.version_arg, ""), source, pin, plan.key or "", architectures)

    def _estimate(self, step: str) -> float:
        return (self.estimates or {}).get(step, 0.0)

    def _step(
        self,
        name: str,
        sources: Sources,
        target: str = "",
        args: Mapping[str, str] | None = None,
        contexts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        secrets: Mapping[str, Path] | None = None,
    ) -> Generator[Event, None, BuildStep]:
        """A build of the tier: every base and the parent at hand, every argument by its value.

        What has labels is published, and gets the time of its build, which the image itself does not hold: the same content has the
        same date. The time is told last: bases may take minutes to make.
        """
        bases = yield from self._bases()
        arguments = {**self.recipe.args, **bases, **(args or {})}
        if "MAX_JOBS" in self.recipe.dockerfile.declared:
            arguments["MAX_JOBS"] = str(self.steps.jobs)
        created = {LABEL_CREATED: self.steps.now().isoformat(timespec="seconds")} if labels else {}
        cache = self.shared_cache if self.recipe.uses_shared_cache(target) else None
        return BuildStep(
            name,
            sources.context,
            sources.context.with_name("Dockerfile"),
            arguments,
            target,
            {**(contexts or {}), **(cache.contexts(sources.folder) if cache else {})},
            {**(labels or {}), **created},
            {**({"ca": self.certificates} if self.certificates else {}), **(cache.secrets if cache else {}), **(secrets or {})},
            *self.recipe.mounts(arguments, target),
        )

    def _bases(self) -> Generator[Event, None, dict[str, str]]:
        archive = self.stack.profile.archive_state(self.recipe.tier.name)
        bases: dict[str, str] = {}
        for name, base in self.stack.profile.bases.items():
            if self.recipe.stands_on_base(name):
                expected = self._estimate(base_step(name)) or BASE_SECONDS
                bases[name] = yield from self.steps.base(name, base, archive, expected)
        if self.parent:
            bases[self.recipe.tier.base_arg] = self.steps.available(self.parent)
        return bases


def built_name(tier: str, tag: str) -> str:
    """The reference under which a builder keeps what a launch builds."""
    return f"{IMAGES}{tier}:{tag}"


def stage_names(recipe: Recipe) -> dict[str, str]:
    """The stages of a tier that do not stand on the one below, by the references under which the builder keeps them."""
    return {stage: built_name(recipe.tier.name, tag) for stage, tag in recipe.independent_stages.items()}


def wanted_stages(recipes: Iterable[Recipe]) -> frozenset[str]:
    """References of what the next launch will want of these stages."""
    return frozenset(reference for recipe in recipes for reference in stage_names(recipe).values())
