"""The main job: plan, then build, verify and publish what changed, bottom tier first."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from arrstack.engines import Runner
from arrstack.errors import ArrstackError, BuildError
from arrstack.launch import plan as planning
from arrstack.launch.estimate import BASE_SECONDS, base_step, bases_to_make, compile_seconds
from arrstack.launch.parallel import together
from arrstack.launch.plan import Facts, Plan, TierPlan, refuse_unknown
from arrstack.launch.proof import Proof
from arrstack.launch.recheck import Recheck
from arrstack.launch.record import read_record
from arrstack.launch.steps import Steps
from arrstack.launch.tier import TierBuild
from arrstack.machine.memory import Kind, Memory
from arrstack.model import Action, Event, EventKind, Image
from arrstack.recipes.config import LoadedStack
from arrstack.recipes.tiers import Recipe, Wheels
from arrstack.registry import Registry

IMAGE = "image"
"""The part of a tier that is its image."""


class Description(Protocol):
    """What stands beside an image in the registry: its bill of materials."""

    def attach(self, tier: str, image: Image, source: str) -> Iterator[str]:
        """Attaches it; a line for each document. `source` is the image as something on disk. Raises ArrstackError."""

    def is_complete(self, tier: str, image: Image) -> bool:
        """Whether an image has it already. Raises ArrstackError."""


@dataclass(frozen=True)
class Launch:
    """One launch: a plan, carried out. Every effect is in what it is given: the builder of `steps`, the runner, the registry."""

    stack: LoadedStack
    recipes: Mapping[str, Recipe]
    """By tier, bottom first."""
    registry: Registry
    facts: Facts
    steps: Steps
    runner: Runner | None
    certificates: Path | None = None
    given_wheels: Wheels | None = None
    description: Description | None = None
    images: dict[str, Image] = field(default_factory=dict)
    """The tiers that are finished."""

    def plan(self) -> Plan:
        """What will be done and why. Asks the registry; changes nothing."""
        return plan_of(self.stack, self.recipes, self.registry, self.facts, self.steps.builder.name)

    def run(self, plan: Plan) -> Generator[Event, None, None]:
        """Carries the plan out, each tier on what came out below it. Raises what stops it; a new run goes on."""
        refuse_unknown(plan)
        self.steps.tidy()
        for number, tier in enumerate(plan.tiers):
            decided = self.decide(tier)
            if decided.action is Action.REUSE and decided.answer.image:
                if decided.unproved:
                    recheck = Recheck(self.stack, self.registry, self.steps, Proof(self.stack, self.steps, self.runner))
                    yield from recheck.of(self.recipes[tier.name].tier, decided.answer.image, decided.unproved)
                self.images[tier.name] = decided.answer.image
                yield from self.describe(tier, decided.answer.image)
                yield Event(EventKind.DONE, tier.name, "reused")
                continue
            waiting = [self.recipes[each.name] for each in plan.tiers[number + 1 :] if each.action is not Action.REUSE]
            early = [self.work(recipe).build_early() for recipe in waiting if recipe.independent_stages]
            yield from together([self.build(decided), *early], 1 + len(early))
        move_tags(self.stack, self.registry, self.images)

    def part(self, plan: Plan, name: str) -> Generator[Event, None, None]:
        """One part of the plan's last tier: a wheel of it by its name, or IMAGE. What the part stands on must be published: nothing
        else is built, and no tag is moved. Raises BuildError where it is not, ConfigError where there is no such part.

            work.part(work.plan(), "torch")
        """
        refuse_unknown(plan)
        *below, tier = plan.tiers
        for each in below:
            if each.action is not Action.REUSE or not each.answer.image:
                raise BuildError(
                    f"{tier.name} stands on {each.name}, which is not published", f"`arrstack launch {each.name}` builds it"
                )
            self.images[each.name] = each.answer.image
        self.steps.tidy()
        work, missing = self.work(self.recipes[tier.name]), [each.wheel.name for each in tier.wheels if not each.answer.image]
        if tier.action is Action.REUSE:
            yield Event(EventKind.DONE, tier.name, "reused")
        elif name != IMAGE:
            yield from work.wheel(tier.wheels, name)
        elif missing:
            raise BuildError(
                f"{tier.name} stands on the wheel {missing[0]}, which is not published", f"`--only {missing[0]}` builds it"
            )
        else:
            yield from self.build(tier)

    def decide(self, tier: TierPlan) -> TierPlan:
        """A tier that follows its parent is decided when that is finished: the same content means the same key."""
        if tier.action is not Action.FOLLOWS:
            return tier
        recipe = self.recipes[tier.name].planned
        parent = self.images[recipe.parent] if recipe.parent else None
        decided = planning.tier_plan(recipe, parent, False, self.facts)
        refuse_unknown(Plan(self.stack.profile_name, self.steps.builder.name, self.registry.name, (decided,)))
        return decided

    def build(self, tier: TierPlan) -> Generator[Event, None, None]:
        """One tier: its wheels, its image, the proof that it is what was asked for, and then the registry."""
        work = self.work(self.recipes[tier.name])
        with work.sources() as sources:
            wheels = yield from work.wheels(sources)
            stages = yield from work.stages()
            reference = yield from work.image(tier, sources, wheels | stages)
        yield from Proof(self.stack, self.steps, self.runner).of(work.recipe.tier, reference)
        self.steps.builder.offer(reference)
        self.images[tier.name] = yield from self.steps.publish(tier.name, tier.name, tier.tag, reference)
        yield from self.describe(tier, self.images[tier.name], reference)

    def describe(self, tier: TierPlan, image: Image, reference: str = "") -> Generator[Event, None, None]:
        """What belongs beside an image, where it is not there yet. It never ends a launch: the image is proved and published."""
        remedy, step = f"`arrstack sbom {tier.name} --attach` attaches it", f"{tier.name}/sbom"
        try:
            if self.description is None or self.description.is_complete(tier.name, image):
                return
            with self.steps.scratch() as folder:
                source = self.registry.reference(tier.name, tier.tag)
                if not source.startswith("oci:"):
                    if not reference or self.runner is None:  # to fetch an image for it alone is a person's choice
                        yield Event(EventKind.LOG, tier.name, f"no bill of materials is attached: {remedy}")
                        return
                    source = self.runner.layout(reference, folder)
                began = self.steps.clock()
                yield Event(EventKind.PHASE, step, "bill of materials", 0.0, remaining=self.facts.estimates.get(step))
                for line in self.description.attach(tier.name, image, source):
                    yield Event(EventKind.LOG, step, line)
                with self.steps.writing:
                    self.steps.memory.remember(step, self.steps.clock() - began)
            yield Event(EventKind.DONE, step, "attached")
        except ArrstackError as error:
            yield Event(EventKind.WARNING, tier.name, f"no bill of materials was attached: {error.message}; {remedy}")
            yield Event(EventKind.DONE, step, "not attached")

    def work(self, recipe: Recipe) -> TierBuild:
        """The builds of a tier, on its parent where that is finished."""
        parent = self.images.get(recipe.tier.parent or "")
        lookup, estimates = self.registry.lookup, self.facts.estimates
        return TierBuild(self.stack, recipe, self.steps, lookup, parent, self.certificates, self.given_wheels, estimates)


def plan_of(stack: LoadedStack, recipes: Mapping[str, Recipe], registry: Registry, facts: Facts, engine: str) -> Plan:
    """The plan of a stack; it needs no engine, only its name."""
    tiers = [recipe.planned for recipe in recipes.values()]
    return planning.plan(tiers, facts, stack.profile_name, engine, registry.name)


def compiles(stack: LoadedStack, plan: Plan) -> bool:
    """Whether carrying the plan out compiles wheels, or may: those of a tier that follows another are not known yet."""
    follows = any(tier.key is None and stack.tier(tier.name).wheels for tier in plan.work)
    return follows or any(not wheel.answer.image for tier in plan.work for wheel in tier.wheels)


def estimates(stack: LoadedStack, jobs: int, measured: Mapping[str, float]) -> dict[str, float]:
    """Step -> seconds: what was measured here, else what stack.toml and the records of earlier compiles say, with so many jobs."""
    stated = {base_step(name): BASE_SECONDS for name in stack.profile.bases}
    for tier in stack.tiers:
        stated[tier.name] = tier.seconds
        for wheel in tier.wheels:
            stated[f"{tier.name}/{wheel.name}"] = compile_seconds(wheel, read_record(stack.record(wheel)), jobs)
    return stated | dict(measured)


def bases_here(stack: LoadedStack, recipes: Iterable[Recipe], memory: Memory) -> dict[str, tuple[str, ...]]:
    """Tier -> the steps that make base images for it, as far as this machine remembers what it has made, for any stack."""
    made = memory.noted(Kind.IMAGE).union(*(other.noted(Kind.IMAGE) for other in memory.others()))
    return bases_to_make(stack, recipes, made)


def misplaced(stack: LoadedStack, registry: Registry, images: Mapping[str, Image]) -> dict[str, Image]:
    """The tiers whose profile's tag does not name their image yet."""
    published = {name: registry.lookup(name, stack.profile.tag).image for name in images}
    return {name: image for name, image in images.items() if (at := published[name]) is None or at.digest != image.digest}


def move_tags(stack: LoadedStack, registry: Registry, images: Mapping[str, Image]) -> None:
    """Moves the profile's tag of every tier, last of all and only where it is not there yet."""
    for name, image in misplaced(stack, registry, images).items():
        registry.move_tag(name, stack.profile.tag, image)
