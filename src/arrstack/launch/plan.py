"""Pure: inputs x what the registry says -> plan."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from arrstack.errors import UNANSWERED, RegistryError
from arrstack.model import LABEL_CHECKS, Action, Answer, Change, Image, Inputs, Lookup, State
from arrstack.recipes.config import LoadedStack, Wheel
from arrstack.recipes.inputs import differences, key, part, stands_on
from arrstack.recipes.tiers import TierInputs

Estimates = Mapping[str, float]
"""Step -> seconds it takes: measured here where it ran before, else what stack.toml says."""

PROOF, BILL = "proof", "sbom"
"""What comes after a tier's build in its launch, as parts of its name: census and checks together, and the bill of materials."""
NO_BASE = "repair the connection or the login to its registry, correct its name in the stack file, or take another --profile"
"""What to do where a base image is not there, or cannot be asked for."""
PARENT = "parent"
"""The leaf that stands for what a tier is built on."""
NEVER = Change("image", None, "never built")
UNTOLD = Change("image", "an image that does not say its inputs", "never compared")
UNREAD = Change("image", "an image that cannot be read", "never compared")
"""Why a tier is built whose inputs cannot be compared with those of a published image."""


@dataclass(frozen=True)
class WheelPlan:
    wheel: Wheel
    key: str | None
    answer: Answer

    @property
    def tag(self) -> str:
        return f"{self.wheel.name}-wheel-{self.key[:24]}" if self.key else ""


@dataclass(frozen=True)
class TierPlan:
    """What happens with one tier, and why. `key` is None until the parent's content is known."""

    name: str
    inputs: Inputs
    key: str | None
    answer: Answer
    action: Action
    changes: tuple[Change, ...]
    wheels: tuple[WheelPlan, ...] = ()
    estimate_seconds: float = 0.0
    unproved: str = ""
    """The digest of checks that are new or changed since the image passed its own: they run on it as it is. '' for none."""

    @property
    def tag(self) -> str:
        return f"key-{self.key[:24]}" if self.key else ""


@dataclass(frozen=True)
class Plan:
    profile: str
    engine: str
    registry: str
    tiers: tuple[TierPlan, ...]

    @property
    def unknown(self) -> tuple[TierPlan, ...]:
        """The tiers of which the registry could not say whether they exist."""
        return tuple(
            t for t in self.tiers if t.answer.state is State.UNKNOWN or any(w.answer.state is State.UNKNOWN for w in t.wheels)
        )

    @property
    def images(self) -> dict[str, Image]:
        """The tiers that are present, by name."""
        return {tier.name: tier.answer.image for tier in self.tiers if tier.answer.image}

    @property
    def unproved(self) -> tuple[TierPlan, ...]:
        """The tiers that are there and have checks which their images did not pass yet."""
        return tuple(t for t in self.tiers if t.unproved)

    @property
    def work(self) -> tuple[TierPlan, ...]:
        return tuple(t for t in self.tiers if t.action is not Action.REUSE)


@dataclass(frozen=True)
class Facts:
    """What the decisions about a stack may ask."""

    lookup: Lookup
    ask_for: Callable[[str], Answer] = lambda _: Answer(State.PRESENT)
    """What its registry says of a base image."""
    estimates: Estimates = field(default_factory=dict)
    bases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Tier -> the steps that make base images for it, which are not on this machine yet."""
    passed: Callable[[str, str], bool] = lambda _, __: False
    """Whether an image, by its digest, passed checks, by theirs, since it was published."""
    force: frozenset[str] = frozenset()
    """Tiers to rebuild though they exist."""


def wheel_plans(tier: TierInputs, facts: Facts, finished: Mapping[str, Image] | None = None) -> tuple[WheelPlan, ...]:
    """The compile keys of a tier's published stages, as far as what each stands on is known, and what is there.

    `finished` are the wheels that this launch has already made, by stage.
    """
    stages = [wheel.stage for wheel in tier.wheels]
    known: dict[str, Image] = dict(finished or {})
    plans = []
    for wheel in tier.wheels:
        below = stands_on(tier.dockerfile, wheel.stage, stages)
        if not all(stage in known for stage in below):
            plans.append(WheelPlan(wheel, None, Answer(State.ABSENT)))
            continue
        compile_key = key(part(tier.inputs, tier.dockerfile, wheel.stage, stages), [known[stage].content_id for stage in below])
        wheel_plan = WheelPlan(wheel, compile_key, Answer(State.ABSENT))
        wheel_plan = WheelPlan(wheel, compile_key, facts.lookup(tier.name, wheel_plan.tag))
        if wheel_plan.answer.image and wheel_plan.answer.state is State.PRESENT:
            known.setdefault(wheel.stage, wheel_plan.answer.image)
        plans.append(wheel_plan)
    return tuple(plans)


def tier_plan(tier: TierInputs, parent: Image | None, follows: bool, facts: Facts) -> TierPlan:
    """Decides one tier. `parent` is the image that it stands on; `follows` says that this one is still to be built."""
    if follows:
        changes = (Change(PARENT, "published", "rebuilt"), *changed(tier, facts))
        return TierPlan(
            tier.name,
            tier.inputs,
            None,
            Answer(State.ABSENT),
            Action.FOLLOWS,
            changes,
            estimate_seconds=estimate(tier, (), facts),
        )
    name = key(tier.inputs, [parent.content_id] if parent else [])
    unasked = TierPlan(tier.name, tier.inputs, name, Answer(State.ABSENT), Action.REBUILD, ())
    answer = facts.lookup(tier.name, unasked.tag)
    if answer.state is State.PRESENT and tier.name not in facts.force:
        due = unproved(tier, answer.image, facts)
        return TierPlan(tier.name, tier.inputs, name, answer, Action.REUSE, (), wheel_plans(tier, facts), unproved=due)
    for base in tier.bases if answer.state is not State.UNKNOWN else ():
        base_answer = facts.ask_for(base)
        if base_answer.state is not State.PRESENT:
            reason = f"its base image {base} is {base_answer.state}: {base_answer.reason or 'no such image'}"
            answer = Answer(State.UNKNOWN, reason=reason, remedy=NO_BASE)
    wheels = wheel_plans(tier, facts)
    changes = (Change("--force", None, "asked for"),) if answer.state is State.PRESENT else changed(tier, facts)
    if answer.state is State.ABSENT and not changes:
        changes = (Change(PARENT, "another image", parent.content_id if parent else "none"),)
    return TierPlan(tier.name, tier.inputs, name, answer, Action.REBUILD, changes, wheels, estimate(tier, wheels, facts))


def unproved(tier: TierInputs, image: Image | None, facts: Facts) -> str:
    """The digest of the tier's checks, where the image that is there did not pass these. One that does not say which it passed is
    of an earlier arrstack, and is let be."""
    said = image.labels.get(LABEL_CHECKS) if image else None
    if image is None or said is None or not tier.checks or said == tier.checks or facts.passed(image.digest, tier.checks):
        return ""
    return tier.checks


def changed(tier: TierInputs, facts: Facts) -> tuple[Change, ...]:
    """Why a tier is built: the leaves that differ from the published image's, or that there is none."""
    answer = facts.lookup(tier.name, tier.tag)
    if answer.state is State.UNKNOWN:
        return (UNREAD,)
    published = answer.image.inputs if answer.image else None
    if published is None:
        return (NEVER if answer.image is None else UNTOLD,)
    return differences(published, tier.inputs)


def estimate(tier: TierInputs, wheels: Iterable[WheelPlan], facts: Facts) -> float:
    """Seconds for the tier's own build and what comes after it, each wheel that is not there, and each base image that is to be made."""
    missing = [f"{tier.name}/{w.wheel.name}" for w in wheels if w.answer.state is State.ABSENT]
    after = [f"{tier.name}/{PROOF}", f"{tier.name}/{BILL}"]
    return sum(facts.estimates.get(step, 0.0) for step in [tier.name, *missing, *facts.bases.get(tier.name, ()), *after])


def refuse_unknown(plan: Plan) -> None:
    """Unknown never starts a compile and never skips one. Raises RegistryError."""
    for tier in plan.unknown:
        asked = [tier.answer, *(wheel.answer for wheel in tier.wheels)]
        unknown = next(answer for answer in asked if answer.state is State.UNKNOWN)
        raise RegistryError(
            f"{tier.name} cannot be decided: {unknown.reason}",
            unknown.remedy or UNANSWERED,
        )


def plan(tiers: Sequence[TierInputs], facts: Facts, profile: str, engine: str, registry: str) -> Plan:
    """Decides every tier, bottom first: reuse what is present, rebuild what is not, and let what stands on a rebuilt
    tier follow it, since only the finished parent's content decides whether a child must be built."""
    decided: dict[str, TierPlan] = {}
    for tier in tiers:
        below = decided.get(tier.parent) if tier.parent else None
        follows = below is not None and below.action is not Action.REUSE
        decided[tier.name] = tier_plan(tier, below.answer.image if below else None, follows, facts)
    return Plan(profile, engine, registry, tuple(decided.values()))


def compiles(stack: LoadedStack, plan: Plan) -> bool:
    """Whether carrying the plan out compiles wheels, or may: those of a tier that follows another are not known yet."""
    follows = any(tier.key is None and stack.tier(tier.name).wheels for tier in plan.work)
    return follows or any(not wheel.answer.image for tier in plan.work for wheel in tier.wheels)
