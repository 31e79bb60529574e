"""The commands that only look: plan, why, status, verify, diagnose."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arrstack.cli.completion import gpus
from arrstack.cli.cost import PricePerMinute, expected_bill, how_many
from arrstack.cli.forms import cost_form, diagnosis_form, note, plan_form, status_form, why_form
from arrstack.cli.options import CompilePlan, GivenWheels, Json, OneTier, TierName, opened, session_of
from arrstack.cli.session import BuildOptions, Session
from arrstack.cli.streams import print_json
from arrstack.errors import UNANSWERED, ArrstackError, ConfigError, RegistryError, VerificationError
from arrstack.model import Action, Image, Inputs, State, short
from arrstack.recipes.inputs import differences

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.gcp.prices import Bill


def plan(
    context: typer.Context,
    tier: TierName = None,
    compile_plan: CompilePlan = "auto",
    wheels: GivenWheels = [],  # noqa: B006
    price_per_minute: PricePerMinute = 0,
    as_json: Json = False,
) -> None:
    """Show what launch would do and why; change nothing."""
    session, _ = opened(context, as_json)
    jobs, _ = how_many(session, "auto")
    with session.given_wheels(wheels) as given:
        show_plan(
            session,
            BuildOptions(tier=tier, compile_plan=compile_plan, wheels=given, jobs=jobs, price_per_minute=price_per_minute),
            as_json,
        )


def show_plan(session: Session, options: BuildOptions, as_json: bool) -> "Bill | None":
    """Shows a plan, and returns what it may cost. Ends with the status of RegistryError where something is unknown."""
    from arrstack.launch.plan import refuse_unknown

    decided = session.plan(options)
    if not as_json:
        refuse_unknown(decided)  # before a table of what could not be asked
    expected = expected_bill(session, options, decided)
    if as_json:
        print_json(plan_form(decided) | ({"cost": cost_form(expected)} if expected else {}))
        with beside(session):  # the plan says it already
            refuse_unknown(decided)
        return expected
    session.output().plan(decided)
    if expected:
        session.output().say(str(expected))
    return expected


@contextmanager
def beside(session: Session) -> Iterator[None]:
    """What ends a command that has shown its one JSON document: the sentence stands beside it, and the status is the error's."""
    try:
        yield
    except ArrstackError as error:
        session.output().error(error)
        raise typer.Exit(error.status) from None


def why(context: typer.Context, tier: OneTier, as_json: Json = False) -> None:
    """Show what differs from the published image."""
    session, out = opened(context, as_json)
    options = BuildOptions(tier=tier)
    recipe, tag = session.recipes(options)[-1], session.stack.profile.tag
    answer = session.registry.lookup(tier, tag)
    if answer.state is State.UNKNOWN:
        raise RegistryError(f"{tier}:{tag} cannot be asked for: {answer.reason}", answer.remedy or UNANSWERED)
    published = answer.image.inputs if answer.image else None
    changes = differences(published, recipe.planned.inputs) if published else ()
    if as_json:
        print_json(why_form(tier, answer, changes))
        return
    if not answer.image:
        out.say(f"{tier} was never published as {tier}:{tag}: `arrstack launch {tier}` builds it")
        return
    special = f" ({note(answer.image)})" if note(answer.image) else ""
    named = f"{tier}:{tag}, {short(answer.image.digest)}{special},"
    if not published:
        out.say(f"{named} does not say what it was made of: it cannot be compared")
    elif changes:
        out.say(f"{named} differs from the working tree in {len(changes)} input{'s' if len(changes) > 1 else ''}:")
        out.changes(tier, changes)
    else:
        out.say(f"{named} {unchanged(session.plan(options).tiers[-1].action, recipe.tier.parent)}")


def unchanged(action: Action, parent: str | None) -> str:
    """What is to be said of an image whose own inputs are those of the tree."""
    if action is Action.REUSE:
        return "is what the working tree makes: a launch reuses it"
    if action is Action.FOLLOWS:
        return f"has the working tree's own inputs, but stands on {parent}, which is to be built: `arrstack why {parent}`"
    return f"has the working tree's own inputs, but stands on another {parent or 'base'} than a launch would build it on"


def status(
    context: typer.Context,
    updates: Annotated[
        bool, typer.Option("--updates", help="Also ask how many security updates wait (takes some seconds).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what is published, what changed, what runs. Each tier's digest, age and size; how the last launch went."""
    session, out = opened(context, as_json)
    count = (lambda image: updates_of(session, image, out)) if updates else None
    last = session.memory.launched()
    form = status_form(
        session.stack, session.registry, session.folders.running(), datetime.now(UTC), tree_inputs(session, out), last, count
    )
    if as_json:
        print_json(form)
    else:
        out.status(form, last)
    if any(tier["state"] == State.UNKNOWN for tier in form["tiers"]):  # each says its reason in the table
        raise typer.Exit(RegistryError.status)


def tree_inputs(session: Session, out: "Output") -> dict[str, Inputs]:
    """The working tree's inputs by tier; none where a recipe is broken, which keeps nobody from seeing what is published."""
    try:
        return {recipe.tier.name: recipe.planned.inputs for recipe in session.recipes(BuildOptions(every=True))}
    except ConfigError as error:
        out.say(f"what changed since cannot be told: {error.message}")
        return {}


def updates_of(session: Session, image: Image, out: "Output") -> int:
    from arrstack.launch.updates import waiting_updates

    engine = session.engine(out, silent=True)
    return waiting_updates(engine, session.bring(image, engine), session.certificates)


def diagnose(
    context: typer.Context,
    log: Annotated[Path | None, typer.Argument(metavar="[LOG]", help="Default: that of the step that failed last here.")] = None,
    as_json: Json = False,
) -> None:
    """Name the cause of a failed build. And the remedy, from its log."""
    from arrstack.launch.diagnose import diagnose as find
    from arrstack.launch.diagnose import read_lines, useful_tail
    from arrstack.launch.outcome import last_failed

    session, last = session_of(context), deque[str](maxlen=200)
    named, log = log, log or last_failed(session.memory, session.folders)
    try:
        with log.open(encoding="utf-8", errors="replace", newline="\n") as file:
            cause = find(_kept(read_lines(file), last))
    except OSError as error:
        hint = f"name another log: they are in {session.folders.logs}"
        raise ConfigError(f"{log} cannot be read: {error.strerror}", hint) from None
    if as_json:
        print_json(diagnosis_form(log, cause))
    else:
        out = session.output()
        if not named and not cause:
            out.say(f"log {log}")
        if cause:
            out.say(f"{log}:{cause.number}: {cause.line}")
            out.say(f"cause: {cause.cause}")
        if cause and cause.remedy:
            out.say(f"remedy: {cause.remedy}")
        if cause is None or cause.guess:
            out.say(f"{'that is a guess' if cause else 'no rule knows this failure'}; the last lines:")
            for line in useful_tail(last):
                out.say(f"  {line}")
    raise typer.Exit(0 if cause else 1)


def _kept(lines: Iterable[str], last: deque[str]) -> Iterator[str]:
    """The lines, of which `last` keeps the last ones: a log may be a pipe, which is read once."""
    for line in lines:
        last.append(line)
        yield line


def verify(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A wheel, directory, library, oci:DIR:TAG, docker://REF, or a tier.")
    ],
    archs: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="The architectures that must be in it: 7.5,8.0,8.9; default: the profile's."),
    ] = None,
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=gpus,
            help="Will it run on this one? L4, 'RTX 4090', or 8.9. May be given more than once.",
        ),
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Also look for CPU instructions beyond the baseline (objdump).")] = False,
    as_json: Json = False,
) -> None:
    """Prove which GPUs a binary runs on. It needs no GPU."""
    from arrstack.cli.verify_view import render
    from arrstack.verify import load_policy
    from arrstack.verify import verify as judge
    from arrstack.wheels import fetched

    session = session_of(context)
    listed = [word for word in re.split(r"[,; ]+", archs) if word] if archs is not None else None
    if archs is not None and not listed:
        raise ConfigError(f"--archs '{archs}' names no architecture", "for example --archs 8.0,8.9")
    policy = None
    if listed is None and not gpu and (wanted := profile_architectures(session)) is not None:
        policy = load_policy().for_architectures(wanted, wants_gpu_code=False)
    disassemble = session.processes.stream if deep else None
    with fetched(target, lambda tier: published_reference(session, tier), session.processes) as source:
        report = judge(source, listed, policy, disassemble, gpu or ())
    if as_json:
        print_json(report.as_dict() | {"target": target})
    else:
        console = session.output().console
        console.print(render(report, console.width))
    if not report.passed:
        raise typer.Exit(VerificationError.status)


def profile_architectures(session: Session) -> tuple[str, ...] | None:
    """The chosen profile's list; None (the `full` profile's five) where it has no GPU or there is no stack here."""
    try:
        return session.stack.profile.archs or None
    except ConfigError:
        if session.options.profile:
            raise
        return None


def published_reference(session: Session, tier: str) -> str:
    """The reference of a tier's published image. Raises ConfigError where that is neither a tier nor published."""
    try:
        session.stack.tier(tier)
    except ConfigError:
        raise ConfigError(
            f"{tier}: no such file, directory or tier",
            "name a wheel, a directory, a library, oci:DIR:TAG, docker://REF, or a tier",
        ) from None
    session.published(tier)
    return session.registry.reference(tier, session.stack.profile.tag)
