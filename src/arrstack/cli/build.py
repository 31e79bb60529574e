"""The command that builds: launch."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from arrstack.cli import training
from arrstack.cli.cost import MaxCost, PricePerMinute, expected_bill, how_many, refuse_dearer
from arrstack.cli.forms import plan_form
from arrstack.cli.look import beside, show_plan
from arrstack.cli.options import CompilePlan, DryRun, GivenWheels, Json, TierName, opened
from arrstack.cli.record import recorder
from arrstack.cli.run import run_image
from arrstack.cli.session import BuildOptions, Session
from arrstack.cli.shell import after_failure
from arrstack.cli.streams import json_text
from arrstack.errors import BuildError, ConfigError
from arrstack.recipes.config import LoadedStack, Tier

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.engines import Builder, Runner
    from arrstack.launch.plan import Plan


def launch(
    context: typer.Context,
    tier: TierName = None,
    dry_run: DryRun = False,
    force: Annotated[bool, typer.Option("--force", help="Rebuild TIER (or all) though it exists; wheels are kept.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Move the archive's date to today, for TIER or all.")] = False,
    jobs: Annotated[str, typer.Option(metavar="N|auto", help="Compile jobs; auto: what cores and memory allow.")] = "auto",
    compile_plan: CompilePlan = "auto",
    wheels: GivenWheels = [],  # noqa: B006
    only: Annotated[
        str,
        typer.Option(
            metavar="PART", help="One part of TIER: a wheel's name, or image. What it stands on must be there; no tag moves."
        ),
    ] = "",
    record: Annotated[
        str,
        typer.Option(
            metavar="MACHINE[@DIGEST]",
            help="Keep a record of each build with what it publishes: this machine's type, the builder image's digest, what it took.",
        ),
    ] = "",
    shell_on_failure: Annotated[
        bool,
        typer.Option("--shell-on-failure", help="Where a step fails: a shell in its file system before the command that failed."),
    ] = False,
    price_per_minute: PricePerMinute = 0,
    max_cost: MaxCost = 0,
    run_trainer: Annotated[bool, typer.Option("--run", help="Run the trainer's image on this machine afterwards.")] = False,
    gpus: training.Gpus = "",
    submit: training.Submit = False,
    where: training.Where = False,
    queue: training.Queue = "",
    entity: training.Entity = "",
    machine_type: training.MachineType = "",
    gpu: training.Gpu = "",
    on_demand: training.OnDemand = False,
    detach: training.Detach = False,
    arguments: training.Arguments = "",
    as_json: Json = False,
) -> None:
    """Build, verify and publish what changed. It resumes what was interrupted."""
    session, out = opened(context, as_json)
    asked = training.Asked(
        submit=submit,
        where=where,
        queue=queue,
        entity=entity,
        machine=machine_type,
        gpu=gpu,
        gpus=gpus,
        on_demand=on_demand,
        detach=detach,
        arguments=arguments,
    )
    if shell_on_failure and as_json:
        raise ConfigError("--shell-on-failure with --json: both want standard output", "give one of them")
    refuse(
        dry_run,
        {"--shell-on-failure": shell_on_failure, "--refresh": refresh, "--run": run_trainer, "--submit": submit and not where},
        only,
        tier,
    )
    job = training.chosen(session, asked, run_trainer)
    if where:
        training.where(session, asked, trained_tier(session.stack), out)
        return
    if run_trainer and gpus:  # said before a build of hours, and not after it
        session.engine(out, silent=True).require_gpu()
    count, beside = how_many(session, jobs)
    with session.given_wheels(wheels) as replaced:
        options = BuildOptions(
            tier=tier,
            compile_plan=compile_plan,
            wheels=replaced,
            force=force,
            jobs=count,
            parallel_builds=beside,
            only=only,
            price_per_minute=price_per_minute,
            record=record,
            max_cost=max_cost,
        )
        check(session, options)
        if refresh:
            session = move_date(session, tier)
        if dry_run:
            rehearse(session, options, as_json)
            return
        try:
            carry_out(session, options, out, jobs, as_json)
        except BuildError as error:
            if not shell_on_failure:
                raise
            after_failure(session, error, out)
            raise typer.Exit(error.status) from None
    if job:
        training.submit(session, asked, job, trained_tier(session.stack), out)
    if run_trainer:
        raise typer.Exit(run_here(session, gpus, out))


def rehearse(session: Session, options: BuildOptions, as_json: bool) -> None:
    """`--dry-run`: the plan, and whether the launch would begin at its cost."""
    expected = show_plan(session, options, as_json)
    with beside(session):
        refuse_dearer(session, options, expected)


def run_here(session: Session, gpus: str, out: "Output") -> int:
    """Runs the trainer's image on this machine; its exit status."""
    from arrstack.engines import RunOptions

    given = RunOptions(certificates=session.certificates, gpus=gpus)
    return run_image(session, trained_tier(session.stack), [], given, out)


def refuse(dry_run: bool, changes: Mapping[str, bool], only: str, tier: str | None) -> None:
    """Raises ConfigError for options that do not go together; `changes` are those that change something."""
    if dry_run and (given := [flag for flag, value in changes.items() if value]):
        raise ConfigError(f"{given[0]} with --dry-run, which changes nothing", "give one of them")
    if only and not tier:
        raise ConfigError(f"--only {only} without a tier", "name the tier that it is a part of")


def check(session: Session, options: BuildOptions) -> None:
    """Whatever is wrong with recipes and options is told before anything changes. Raises ConfigError."""
    from arrstack.launch.setup import require_engine

    require_engine(session.options.engine)
    recipes = session.recipes(options)
    if options.only:
        require_part(recipes[-1].tier, options.only)
    _ = session.registry


def require_part(tier: Tier, name: str) -> None:
    """Raises ConfigError where a tier has no such part: a dry run says so too."""
    from arrstack.launch.launch import IMAGE

    parts = [*(wheel.name for wheel in tier.wheels), IMAGE]
    if name not in parts:
        raise ConfigError(f"{tier.name} has no part '{name}'", f"its parts: {', '.join(parts)}")


def carry_out(session: Session, options: BuildOptions, out: "Output", jobs: str, as_json: bool) -> None:
    """Plans and, where there is work, prepares the machine and does it. What needs no engine is decided without one: nothing
    to do is answered at once."""
    from arrstack.launch.outcome import remembered
    from arrstack.launch.plan import refuse_unknown
    from arrstack.launch.tags import misplaced, move_tags

    session.be_patient(out)
    plan = session.plan(options)
    refuse_unknown(plan)
    expected = expected_bill(session, options, plan)
    if not as_json:
        out.plan(plan)
    if expected:
        out.say(str(expected))
    refuse_dearer(session, options, expected)
    if not plan.work and not plan.unproved:
        # Only a tag may be left to move: of a launch that was killed before its end.
        if not options.only and misplaced(session.stack, session.registry, plan.images):
            with session.folders.alone(f"launch of {session.options.stack}"):
                move_tags(session.stack, session.registry, plan.images)
        if as_json:  # on one line: a job's may follow
            print(json_text(plan_form(plan)))
        return
    builder, runner = prepared(session, options, plan, out, jobs)
    with session.folders.alone(f"launch of {session.options.stack}"), remembered(session.memory, lambda: datetime.now(UTC)):
        work = session.launch(options, builder, runner, recorder(session, options.record))
        timeline = out.follow(work.part(work.plan(), options.only) if options.only else work.run(work.plan()))
        if not as_json:
            out.timeline(timeline, [f"{t.name}/{w.name}" for t in session.stack.tiers for w in t.wheels], options.jobs)
            if not options.only:
                tell_next(session, out)


def tell_next(session: Session, out: "Output") -> None:
    """What people do with the images, as commands to paste that work here: docs/guide/use.md."""
    tier = trained_tier(session.stack)
    daemon = session.setup(out).present("docker") is not None
    place = "docker" if daemon else "podman" if session.processes.which("podman") else f"oci-archive:{tier}.tar"
    compiled = any(each.wheels for each in session.stack.tiers)
    does = any(recipe.dockerfile.starts_something for recipe in session.recipes(BuildOptions(tier=tier)))
    out.say("next:")
    for words in (
        *([f"run {tier}"] if does else []),
        f"export {tier} {place}",
        "wheels --to dist" if compiled else "push HOST/PREFIX",
    ):
        out.say(f"  {out.command} {words}")


def prepared(session: Session, options: BuildOptions, plan: "Plan", out: "Output", jobs: str) -> "tuple[Builder, Runner | None]":
    """What builds, and what proves it on this machine, where anything does."""
    if session.elsewhere:
        from arrstack.cli.cloud import cloud_builder

        return cloud_builder(session, options, jobs, out), None
    from arrstack.launch.plan import compiles
    from arrstack.machine.resources import Machine

    machine, setup = Machine.here(), session.setup(out)
    here = compiles(session.stack, plan) and not session.by_buildx
    setup.preflight(machine, here, session.stack.profile.disk_gib)
    engine = session.engine(out)
    if not session.stack_is_own:
        out.say(f"{session.stack.path} is not this checkout's own: what its recipes say runs {engine.rights}")
    # Of one part the others may be built on other machines.
    shared = bool(options.only) and not session.registry_is_here
    builder = replace(session.local_builder(engine), shares_bases=shared)
    if builder.maker:
        out.say(f"builds: {builder.maker.version()}")
    out.say(f"jobs: {options.jobs} ({machine.jobs()[1] if jobs == 'auto' else 'as asked'})")
    return builder, builder


def move_date(session: Session, tier: str | None) -> Session:
    """`--refresh`: the archive's date in stack.toml is today's; the session of the new file."""
    from arrstack.recipes.refresh import refresh

    refresh(session.stack, tier, datetime.now(UTC).date())
    return Session(session.options, session.environment)


def trained_tier(stack: LoadedStack) -> str:
    return next((tier.name for tier in stack.tiers if tier.trains), stack.up_to(None)[-1].name)
