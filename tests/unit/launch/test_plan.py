"""Reuse what is present, rebuild what is not, let what stands on it follow."""

from collections.abc import Callable

import pytest

from arrstack.errors import RegistryError
from arrstack.launch.plan import Facts, TierInputs, plan, refuse_unknown, tier_plan, wheel_plans
from arrstack.model import LABEL_INPUTS, Action, Answer, State
from arrstack.recipes.config import LoadedStack, Wheel
from arrstack.recipes.tiers import read
from tests.conftest import ClaimingRegistry

TIERS = {
    "one": "ARG BASE\nFROM ${BASE}\nRUN 1\n",
    "two": "ARG BASE\nFROM ${BASE}\nRUN 2\n",
    "three": "ARG BASE\nFROM ${BASE}\nRUN 3\n",
}
WHEELS = """\
ARG BASE
FROM ${BASE} AS tools
RUN tools
FROM tools AS torch-builder
RUN torch
FROM scratch AS torch-wheel
COPY --from=torch-builder / /
FROM tools AS vision-builder
COPY --from=torch-wheel / /
RUN vision
FROM scratch AS vision-wheel
COPY --from=vision-builder / /
FROM ${BASE}
COPY --from=torch-wheel / /
COPY --from=vision-wheel / /
RUN image
"""


def actions(stack: LoadedStack, claims: ClaimingRegistry) -> dict[str, Action]:
    return {tier.name: tier.action for tier in decide(stack, claims).tiers}


def decide(stack: LoadedStack, claims: ClaimingRegistry):  # type: ignore[no-untyped-def]
    return plan([recipe.planned for recipe in read(stack, {})], Facts(claims), "p", "e", "r")


def publish_all(stack: LoadedStack, claims: ClaimingRegistry) -> None:
    """Claims every tier as a launch would have published it."""
    while True:
        tier = next((t for t in decide(stack, claims).tiers if t.action is Action.REBUILD), None)
        if tier is None:
            return
        import json

        labels = {LABEL_INPUTS: json.dumps(dict(tier.inputs.leaves))}
        claims.claim(tier.name, tier.tag, f"content-of-{tier.key}", labels)
        claims.claim(tier.name, "latest", f"content-of-{tier.key}", labels)


def test_on_an_empty_registry_the_first_is_rebuilt_and_the_others_follow(
    write_stack: Callable[..., LoadedStack], claims: ClaimingRegistry
) -> None:
    assert actions(write_stack(TIERS), claims) == {"one": Action.REBUILD, "two": Action.FOLLOWS, "three": Action.FOLLOWS}


def test_what_is_present_is_reused(write_stack: Callable[..., LoadedStack], claims: ClaimingRegistry) -> None:
    stack = write_stack(TIERS)
    publish_all(stack, claims)
    assert set(actions(stack, claims).values()) == {Action.REUSE}


def test_a_change_rebuilds_its_tier_and_names_the_leaf(write_stack: Callable[..., LoadedStack], claims: ClaimingRegistry) -> None:
    publish_all(write_stack(TIERS), claims)
    stack = write_stack(TIERS | {"two": "ARG BASE\nFROM ${BASE}\nRUN 2 and more\n"})
    assert actions(stack, claims) == {"one": Action.REUSE, "two": Action.REBUILD, "three": Action.FOLLOWS}
    assert [change.leaf for change in decide(stack, claims).tiers[1].changes] == ["image/RUN 1"]


def test_a_parent_that_comes_out_the_same_leaves_its_children_valid(
    write_stack: Callable[..., LoadedStack], claims: ClaimingRegistry
) -> None:
    stack = write_stack(TIERS)
    publish_all(stack, claims)
    one, two = decide(stack, claims).tiers[:2]
    again = claims.claim("one", "another-key", one.answer.image.content_id)
    decided = tier_plan(read(stack, {})[1].planned, again, False, Facts(claims))
    assert (decided.key, decided.action) == (two.key, Action.REUSE)


def test_force_rebuilds_what_is_there(write_stack: Callable[..., LoadedStack], claims: ClaimingRegistry) -> None:
    stack = write_stack(TIERS)
    publish_all(stack, claims)
    tiers = [recipe.planned for recipe in read(stack, {})]
    forced = plan(tiers, Facts(claims, force=frozenset({"two"})), "p", "e", "r")
    assert [tier.action for tier in forced.tiers] == [Action.REUSE, Action.REBUILD, Action.FOLLOWS]


def test_unknown_is_neither_absent_nor_present(write_stack: Callable[..., LoadedStack]) -> None:
    stack = write_stack(TIERS)
    decided = plan(
        [r.planned for r in read(stack, {})], Facts(lambda *_: Answer(State.UNKNOWN, reason="no route")), "p", "e", "r"
    )
    assert decided.tiers[0].answer.state is State.UNKNOWN
    assert decided.unknown
    with pytest.raises(RegistryError, match="one cannot be decided: no route") as told:
        refuse_unknown(decided)
    assert "the connection" in told.value.hint


def test_of_a_base_image_that_cannot_be_asked_for_the_stack_s_registry_is_not_blamed(
    write_stack: Callable[..., LoadedStack],
) -> None:
    tiers = [recipe.planned for recipe in read(write_stack(TIERS), {})]
    nowhere = Facts(lambda *_: Answer(State.ABSENT), lambda _: Answer(State.UNKNOWN, reason="no route"))
    with pytest.raises(RegistryError, match=r"its base image .* is unknown: no route") as told:
        refuse_unknown(plan(tiers, nowhere, "p", "e", "r"))
    assert "another --profile" in told.value.hint and "--registry" not in told.value.hint


def test_what_is_to_be_done_of_an_unknown_image_is_what_its_registry_says(write_stack: Callable[..., LoadedStack]) -> None:
    answer = Answer(State.UNKNOWN, reason="not signed", remedy="sign it")
    tiers = [recipe.planned for recipe in read(write_stack(TIERS), {})]
    with pytest.raises(RegistryError) as told:
        refuse_unknown(plan(tiers, Facts(lambda *_: answer), "p", "e", "r"))
    assert told.value.hint == "sign it"


def with_wheels(stack: LoadedStack) -> TierInputs:
    planned = read(stack, {})[0].planned
    wheels = (
        Wheel(name="torch", distribution="torch", stage="torch-wheel", key_arg="TK", version_arg="TV"),
        Wheel(name="vision", distribution="torchvision", stage="vision-wheel", key_arg="VK", version_arg="VV"),
    )
    return TierInputs(planned.name, None, planned.dockerfile, planned.inputs, "latest", wheels)


def test_a_wheel_on_an_unknown_wheel_has_no_key_yet(write_stack: Callable[..., LoadedStack], claims: ClaimingRegistry) -> None:
    torch, vision = wheel_plans(with_wheels(write_stack({"t": WHEELS})), Facts(claims))
    assert torch.key and vision.key is None
    claims.claim("t", torch.tag, "torch-content")
    assert all(found.key for found in wheel_plans(with_wheels(write_stack({"t": WHEELS})), Facts(claims)))


def test_a_change_of_the_image_or_of_one_wheel_leaves_the_others_alone(
    write_stack: Callable[..., LoadedStack], claims: ClaimingRegistry
) -> None:
    def keys(text: str) -> list[str | None]:
        return [found.key for found in wheel_plans(with_wheels(write_stack({"t": text})), Facts(claims))]

    (torch, _) = wheel_plans(with_wheels(write_stack({"t": WHEELS})), Facts(claims))
    claims.claim("t", torch.tag, "torch-content")
    before = keys(WHEELS)
    assert keys(WHEELS.replace("RUN image", "RUN another image")) == before
    vision_changed = keys(WHEELS.replace("RUN vision", "RUN another vision"))
    assert vision_changed[0] == before[0] and vision_changed[1] != before[1]
    assert keys(WHEELS.replace("RUN tools", "RUN other tools"))[0] != before[0]
