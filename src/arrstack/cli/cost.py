"""What a launch takes: jobs on the machine that builds, and in Google Cloud what that costs."""

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arrstack.cli.session import BuildOptions, Session
from arrstack.errors import ConfigError

if TYPE_CHECKING:
    from arrstack.gcp.prices import Bill
    from arrstack.launch.plan import Plan


def finite(dollars: float) -> float:
    """Raises ConfigError for `nan` and `inf`: nothing is dearer than they are, so that no limit would hold."""
    if not math.isfinite(dollars):
        raise ConfigError(f"{dollars} is no number of dollars")
    return dollars


def dollars(what: str) -> Any:
    """An option that takes dollars; `what` is its help, which names the default."""
    return typer.Option(min=0, metavar="DOLLARS", callback=finite, show_default=False, help=what)


PricePerMinute = Annotated[
    float, dollars("A minute of Cloud Build's machine, where you know it; default: the stack file's, else the table's.")
]
MaxCost = Annotated[
    float, dollars("Begin nothing in Cloud Build that may cost more, or of which that is not known; default: the stack file's.")
]


def how_many(session: Session, jobs: str) -> tuple[int, int]:
    """Compile jobs, and builds beside each other: what this machine allows, or one of those that build elsewhere. `jobs` is a number or
    `auto`."""
    from arrstack.machine.resources import Machine

    if not session.elsewhere:
        machine = Machine.here()
        count = machine.jobs()[0] if jobs == "auto" else at_least_one(jobs)
        return count, machine.parallel_builds(count)
    from arrstack.cli.cloud import PARALLEL_BUILDS, machine_of
    from arrstack.gcp.wanted import cores_of

    return cores_of(machine_of(session)[0]) if jobs == "auto" else at_least_one(jobs), PARALLEL_BUILDS


def at_least_one(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise ConfigError(f"--jobs {text}: a number from 1 on, or auto")
    return int(text)


def expected_bill(session: Session, options: BuildOptions, plan: "Plan") -> "Bill | None":
    """What carrying the plan out may cost; None where nobody is paid for it: no work, or this machine's."""
    if not session.elsewhere or not plan.work:
        return None
    from arrstack.cli.cloud import machine_of
    from arrstack.gcp.prices import bill, price

    machine, private = machine_of(session)
    of = price(machine, private, options.price_per_minute or session.stack.stack.cloud.price_per_minute)
    return bill([tier.estimate_seconds for tier in plan.work], of, at_least=not knows_all(session, plan))


def knows_all(session: Session, plan: "Plan") -> bool:
    """Whether all of the plan's compiles have an estimate: GPU code has none until a record, or a build that was measured, has some."""
    from arrstack.launch.estimate import knows_gpu_code
    from arrstack.launch.record import read_record

    compiled = [(tier.name, each.wheel) for tier in plan.work for each in tier.wheels if not each.answer.image]
    measured = session.memory.durations(len(session.stack.profile.archs))
    unmeasured = [wheel for tier, wheel in compiled if f"{tier}/{wheel.name}" not in measured]
    if not unmeasured or not session.stack.profile.archs:
        return True
    return knows_gpu_code(read_record(session.stack.record(wheel)) for wheel in unmeasured if wheel.record)


def refuse_dearer(session: Session, options: BuildOptions, expected: "Bill | None") -> None:
    """Raises ConfigError where the limit, a flag's or the stack file's, does not hold or cannot be told."""
    if expected:
        from arrstack.gcp.prices import refuse_dearer as refuse

        refuse(expected, options.max_cost or session.stack.stack.cloud.max_cost)
