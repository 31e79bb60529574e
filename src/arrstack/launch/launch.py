"""The main job: plan, then build, verify and publish what changed, bottom tier first."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arrstack.engines import Runner
from arrstack.errors import BuildError
from arrstack.launch import plan as planning
from arrstack.launch.beside import Beside, Description
from arrstack.launch.parallel import together
from arrstack.launch.plan import Facts, Plan, TierPlan, refuse_unknown
from arrstack.launch.proof import Proof
from arrstack.launch.recheck import Recheck
from arrstack.launch.shared_cache import SharedCache
from arrstack.launch.steps import Steps
from arrstack.launch.tags import move_tags
from arrstack.launch.tier import TierBuild
from arrstack.model import Action, Event, EventKind, Image
from arrstack.recipes.config import LoadedStack
from arrstack.recipes.tiers import Recipe, Wheels
from arrstack.registry import Registry

IMAGE = "image"
"""The part of a tier that is its image."""


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
    shared_cache: SharedCache | None = None
    images: dict[str, Image] = field(default_factory=dict)
    """The tiers that are finished."""

    def plan(self) -> Plan:
        """What will be done and why. Asks the registry; changes nothing."""
        tiers = [recipe.planned for recipe in self.recipes.values()]
        return planning.plan(tiers, self.facts, self.stack.profile_name, self.steps.builder.name, self.registry.name)

    def run(self, plan: Plan) -> Generator[Event, None, None]:
        """Carries the plan out, each tier on what came out below it. Raises what stops it; a new run goes on."""
        refuse_unknown(plan)
        self.steps.tidy()
        for number, tier in enumerate(plan.tiers):
            decided = self.decide(tier)
            if decided.action is Action.REUSE:
                yield from self.reuse(decided)
                continue
            waiting = [self.recipes[each.name] for each in plan.tiers[number + 1 :] if each.action is not Action.REUSE]
            early = [self.work(recipe).build_early() for recipe in waiting if recipe.independent_stages]
            yield from together([self.build(decided), *early], 1 + len(early))
        move_tags(self.stack, self.registry, self.images)

    def decide(self, tier: TierPlan) -> TierPlan:
        """A tier that follows its parent is decided when that is finished: the same content means the same key."""
        if tier.action is not Action.FOLLOWS:
            return tier
        recipe = self.recipes[tier.name].planned
        parent = self.images[recipe.parent] if recipe.parent else None
        decided = planning.tier_plan(recipe, parent, False, self.facts)
        refuse_unknown(Plan(self.stack.profile_name, self.steps.builder.name, self.registry.name, (decided,)))
        return decided

    def reuse(self, tier: TierPlan) -> Generator[Event, None, None]:
        """A tier that is there: checks that its image did not pass yet run on it as it is."""
        image = tier.answer.image
        assert image is not None, "only what is present is reused"
        if tier.unproved:
            recheck = Recheck(self.stack, self.registry, self.steps, Proof(self.stack, self.steps, self.runner))
            yield from recheck.of(self.recipes[tier.name].tier, image, tier.unproved)
        self.images[tier.name] = image
        yield from self.describe(tier, image)
        yield Event(EventKind.DONE, tier.name, "reused")

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
        """What belongs beside an image, where it is not there yet."""
        if self.description:
            yield from Beside(self.registry, self.steps, self.runner, self.description).of(tier, image, reference)

    def work(self, recipe: Recipe) -> TierBuild:
        """The builds of a tier, on its parent where that is finished."""
        parent = self.images.get(recipe.tier.parent or "")
        lookup, estimates = self.registry.lookup, self.facts.estimates
        given = (parent, self.certificates, self.given_wheels, estimates, self.shared_cache)
        return TierBuild(self.stack, recipe, self.steps, lookup, *given)

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
