"""What a plan says of its cost in Google Cloud, and when a launch does not begin."""

from pathlib import Path

import msgspec
import pytest

from arrstack.cli.cost import expected_bill, how_many, refuse_dearer
from arrstack.cli.forms import cost_form
from arrstack.cli.session import BuildOptions, Options, Session
from arrstack.errors import ConfigError
from arrstack.launch.plan import Plan, TierPlan, WheelPlan
from arrstack.machine.resources import Machine
from arrstack.model import Action, Answer, Inputs, State
from arrstack.recipes.config import Wheel, load
from tests.conftest import ROOT

TORCH = load(ROOT / "stack.toml").tiers[0].wheels[0]


def session(tmp_path: Path, engine: str = "cloudbuild", profile: str = "cpu", pool: str = "") -> Session:
    options = Options(stack=ROOT / "stack.toml", profile=profile, engine=engine, project="my-project", worker_pool=pool)
    return Session(options, {"XDG_STATE_HOME": str(tmp_path)})


def plan(seconds: float, action: Action = Action.REBUILD, wheel: Wheel = TORCH) -> Plan:
    wheels = (WheelPlan(wheel, "key", Answer(State.ABSENT)),)
    tier = TierPlan("arr-pytorch-base", Inputs({}), "key", Answer(State.ABSENT), action, (), wheels, seconds)
    return Plan("cpu", "cloudbuild", "google", (tier,))


def test_what_is_built_on_this_machine_costs_nothing_that_is_told(tmp_path: Path) -> None:
    assert expected_bill(session(tmp_path, "buildah"), BuildOptions(), plan(60)) is None


def test_nothing_to_build_costs_nothing(tmp_path: Path) -> None:
    assert expected_bill(session(tmp_path), BuildOptions(), plan(60, Action.REUSE)) is None


def test_the_pools_machine_has_no_known_price(tmp_path: Path) -> None:
    told = str(expected_bill(session(tmp_path), BuildOptions(), plan(600)))
    assert told.startswith("about 10 machine minutes on c3-standard-176: price not known")


def test_the_users_price_is_taken(tmp_path: Path) -> None:
    told = str(expected_bill(session(tmp_path), BuildOptions(price_per_minute=0.5), plan(600)))
    assert told == "about 10 machine minutes on c3-standard-176: about $5.00 ($0.5 a minute, as given)"


def test_without_a_pool_it_is_cloud_builds_own_machine_and_its_price(tmp_path: Path) -> None:
    told = str(expected_bill(session(tmp_path, pool="none"), BuildOptions(), plan(600)))
    assert told.startswith("about 10 machine minutes on e2-highcpu-8: about $0.16")


def test_gpu_code_without_a_record_of_any_makes_it_a_lower_bound(tmp_path: Path) -> None:
    unknown = msgspec.structs.replace(TORCH, record="")
    told = str(expected_bill(session(tmp_path, profile="full"), BuildOptions(), plan(600, wheel=unknown)))
    assert told.startswith("at least 10 machine minutes")
    assert str(expected_bill(session(tmp_path, profile="full"), BuildOptions(), plan(600))).startswith("about 10 machine minutes")


def test_a_build_that_was_measured_there_is_no_lower_bound(tmp_path: Path) -> None:
    here = session(tmp_path, profile="full")
    here.memory.remember("arr-pytorch-base/torch", 900.0)
    unknown = msgspec.structs.replace(TORCH, record="")
    assert str(expected_bill(here, BuildOptions(), plan(600, wheel=unknown))).startswith("about 10 machine minutes")


def test_what_was_measured_on_this_machine_is_no_measure_of_another(tmp_path: Path) -> None:
    session(tmp_path, "buildah").memory.remember("arr-pytorch-base/torch", 900.0)
    assert session(tmp_path).memory.durations() == {}


@pytest.mark.parametrize(("pool", "jobs", "count"), [("", "auto", 176), ("none", "auto", 8), ("", "3", 3)])
def test_jobs_are_the_machines_that_builds(tmp_path: Path, pool: str, jobs: str, count: int) -> None:
    assert how_many(session(tmp_path, pool=pool), jobs)[0] == count


def test_jobs_on_this_machine_are_what_it_allows(tmp_path: Path) -> None:
    assert how_many(session(tmp_path, "buildah"), "auto")[0] == Machine.here().jobs()[0]


@pytest.mark.parametrize("options", [BuildOptions(max_cost=1), BuildOptions(max_cost=4, price_per_minute=0.5)])
def test_a_launch_over_the_limit_or_of_unknown_price_does_not_begin(tmp_path: Path, options: BuildOptions) -> None:
    here = session(tmp_path)
    with pytest.raises(ConfigError):
        refuse_dearer(here, options, expected_bill(here, options, plan(600)))


def test_a_launch_within_the_limit_begins(tmp_path: Path) -> None:
    here, options = session(tmp_path), BuildOptions(max_cost=6, price_per_minute=0.5)
    refuse_dearer(here, options, expected_bill(here, options, plan(600)))


def test_the_form_has_null_for_what_nobody_said(tmp_path: Path) -> None:
    bill = expected_bill(session(tmp_path), BuildOptions(), plan(600))
    assert bill is not None
    form = cost_form(bill)
    assert (form["minutes"], form["machine"], form["dollars"], form["price_per_minute"]) == (10.0, "c3-standard-176", None, None)
