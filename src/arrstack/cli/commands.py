"""The command line: arguments -> one call -> exit status."""

import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
import typer.exceptions

from arrstack import __version__
from arrstack.cli import session
from arrstack.cli.cache import app as cache_app
from arrstack.cli.forms import note, plan_form, status_form, why_form
from arrstack.cli.session import (
    NoEngine,
    current_bases,
    find_engine,
    folders,
    loaded,
    machine_setup,
    output,
    prepared,
    print_json,
    registry,
    waiting_updates,
)
from arrstack.errors import ArrstackError, ConfigError, MachineError, RegistryError, VerificationError
from arrstack.machine.process import Processes
from arrstack.model import State, short
from arrstack.recipes.config import LoadedStack
from arrstack.recipes.inputs import differences
from arrstack.recipes.tiers import read
from arrstack.wheels import fetched, given_wheels

HELP = "Build PyTorch from source for exactly your GPUs, and three images on top. What is proven unchanged is not built again."


class Commands(typer.core.TyperGroup):
    """The commands; what Ctrl-C ends reaches `main` as Abort, where typer would answer with the status alone."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=HELP,
    rich_markup_mode=None,
)

INTERRUPTED = 130


def show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"arrstack {__version__}")
        raise typer.Exit


@app.callback()
def options(
    stack: Annotated[
        Path | None, typer.Option(envvar="ARRSTACK_STACK", help="The stack file; default: stack.toml here, else the project's.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(envvar="ARRSTACK_PROFILE", help="How the stack is built; default: the stack file's.")
    ] = None,
    engine: Annotated[str, typer.Option(envvar="ARRSTACK_ENGINE", help="auto, buildah or docker.")] = "auto",
    registry: Annotated[
        str | None,
        typer.Option(envvar="ARRSTACK_REGISTRY", help="oci:DIRECTORY or HOST[:PORT][/PREFIX]; default: a directory of yours."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_setup: Annotated[bool, typer.Option("--no-setup", help="Install nothing; say what is missing.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show every log line.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", envvar="NO_COLOR", help="No colours.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    here = Path("stack.toml")
    stack = stack or (here if here.exists() else Path(__file__).parents[3] / here)
    session.settings = session.Settings(stack, profile, engine, registry, yes, no_setup, verbose, no_color)


Json = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
TierName = Annotated[str | None, typer.Argument(metavar="[TIER]", help="Only this tier and those it stands on.")]


@app.command("plan")
def plan_command(
    tier: TierName = None,
    compile_plan: Annotated[str, typer.Option(help="auto, or none for the ordinary compile.")] = "auto",
    wheels: Annotated[list[str], typer.Option(metavar="DIR|REF", help="Take these wheels instead of compiling.")] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Show what launch would do and why; change nothing."""
    show_plan(tier, compile_plan, wheels, False, as_json)


def show_plan(tier: str | None, compile_plan: str, wheels: list[str], force: bool, as_json: bool) -> None:
    from arrstack.launch.launch import refuse_unknown
    from arrstack.machine.resources import Machine

    stack = loaded()
    with given_wheels(wheels) as given:
        plan = prepared(
            stack, tier, NoEngine(session.settings.engine), given, force, compile_plan, Machine.here().jobs()[0]
        ).plan()
    if as_json:
        print_json(plan_form(plan))
    else:
        output(False).plan(plan)
    try:
        refuse_unknown(plan)
    except RegistryError as error:  # the plan says it already: one JSON document, and the sentence beside it
        output(False).error(error)
        raise typer.Exit(error.status) from None


@app.command()
def launch(
    tier: TierName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan only.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Rebuild TIER (or all) though it exists; wheels are kept.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Move the archive's date to today, for TIER or all.")] = False,
    jobs: Annotated[str, typer.Option(metavar="N|auto", help="Compile jobs; auto: what cores and memory allow.")] = "auto",
    compile_plan: Annotated[str, typer.Option(help="auto, or none for the ordinary compile.")] = "auto",
    wheels: Annotated[list[str], typer.Option(metavar="DIR|REF", help="Take these wheels instead of compiling.")] = [],  # noqa: B006
    run_trainer: Annotated[bool, typer.Option("--run", help="Run a few steps in the trainer's image afterwards.")] = False,
    as_json: Json = False,
) -> None:
    """Build, verify and publish what changed; resume what was interrupted."""
    from arrstack.launch.launch import refuse_unknown
    from arrstack.machine.resources import Machine

    stack = loaded()
    if refresh and dry_run:
        raise ConfigError("--refresh writes to stack.toml, --dry-run changes nothing", "give one of them")
    if refresh:
        from arrstack.recipes.refresh import refresh as move_date

        move_date(stack, tier, datetime.now(UTC).date())
        stack = loaded()
    if dry_run:
        show_plan(tier, compile_plan, wheels, force, as_json)
        return
    out = output(as_json)
    machine = Machine.here()
    automatic, explained = machine.jobs()
    count = automatic if jobs == "auto" else at_least_one(jobs)
    with given_wheels(wheels) as given:
        # What needs no engine is decided without one: nothing to do is answered at once.
        planned = prepared(stack, tier, NoEngine(session.settings.engine), given, force, compile_plan, count)
        plan = planned.plan()
        if not as_json:
            out.plan(plan)
        refuse_unknown(plan)
        if plan.work:
            setup = machine_setup(out.say, out.ask)
            setup.known(session.settings.engine)
            setup.preflight(machine, any(not w.answer.image for t in plan.tiers for w in t.wheels), stack.profile.disk_gib)
            engine = find_engine(out.say, out.ask)
            out.say(f"jobs: {count} ({explained})" if jobs == "auto" else f"jobs: {count}, as asked")
            with folders().alone(f"launch of {session.settings.stack}"):
                work = prepared(stack, tier, engine, given, force, compile_plan, count, machine.beside(count))
                told = out.follow(work.run(work.plan()))
                if not as_json:
                    out.timeline(told, [f"{t.name}/{w.name}" for t in stack.tiers for w in t.wheels], count)
        else:
            planned.finish(plan)
            if as_json:
                print_json(plan_form(plan))
    if run_trainer:
        raise typer.Exit(run_image(stack, trained_tier(stack), [], {}, out))


def at_least_one(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise ConfigError(f"--jobs {text}: a number from 1 on, or auto")
    return int(text)


def trained_tier(stack: LoadedStack) -> str:
    return next((t.name for t in stack.tiers if t.trains), stack.tiers[-1].name)


@app.command()
def why(tier: Annotated[str, typer.Argument(metavar="TIER")], as_json: Json = False) -> None:
    """Show the leaves that differ between the published image and the working tree."""
    stack = loaded()
    recipe = read(stack, {"COMPILE_PLAN": "auto"}, None, stack.up_to(tier))[-1]
    answer = registry().lookup(tier, stack.profile.tag)
    if answer.state is State.UNKNOWN:
        raise RegistryError(f"{tier}:{stack.profile.tag} cannot be asked for: {answer.reason}")
    published = answer.image.inputs if answer.image else None
    changes = differences(published, recipe.planned.inputs) if published else ()
    if as_json:
        print_json(why_form(tier, answer, changes))
        return
    out = output(False)
    if not answer.image:
        out.say(f"{tier}:{stack.profile.tag} is not published")
    elif not published:
        out.say(f"{tier}:{stack.profile.tag} carries no inputs to compare with")
    else:
        special = f" ({note(answer.image)})" if note(answer.image) else ""
        out.say(f"{tier}:{stack.profile.tag} {short(answer.image.digest)}{special}; leaves that differ: {len(changes)}")
        out.changes(changes)


@app.command()
def status(
    updates: Annotated[
        bool, typer.Option("--updates", help="Also ask how many security updates wait (takes some seconds).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show each tier's image: digest, age, size, and what is running."""
    stack, out = loaded(), output(as_json)
    count = (lambda image: waiting_updates(stack, image, out)) if updates else None
    form = status_form(stack, registry(), folders().running(), datetime.now(UTC), count)
    if as_json:
        print_json(form)
    else:
        out.status(form)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    tier: Annotated[str, typer.Argument(metavar="TIER")],
    env: Annotated[
        list[str],
        typer.Option("--env", "-e", metavar="NAME[=VALUE]", help="A variable for the container; NAME alone takes the host's."),
    ] = [],  # noqa: B006
) -> None:
    """Run a container of the tier: its own command, or the one after --."""
    stack = loaded()
    stack.tier(tier)
    named = {}
    for item in env:
        name, equals, value = item.partition("=")
        if not equals and name not in os.environ:
            raise ConfigError(f"--env {name}: the variable is not set here", "give NAME=VALUE")
        named[name] = value if equals else os.environ[name]
    raise typer.Exit(run_image(stack, tier, context.args, named, output(False)))


def run_image(stack: LoadedStack, tier: str, argv: list[str], env: dict[str, str], out: Any) -> int:
    from arrstack.machine.resources import certificates

    image = registry().lookup(tier, stack.profile.tag)
    if image.state is State.UNKNOWN:
        raise RegistryError(f"whether {tier}:{stack.profile.tag} exists cannot be told: {image.reason}")
    if image.image is None:
        raise ConfigError(
            f"{tier}:{stack.profile.tag} is {image.state.value} in {registry().name}", f"`arrstack launch {tier}` builds it"
        )
    engine = find_engine(lambda _: None, out.ask)
    work = prepared(stack, None, engine, None, False, "auto", 1)
    reference = work.bring(image.image)
    if sys.stdin.isatty() and sys.stdout.isatty():
        return int(engine.interactive(reference, argv, env, certificates(os.environ)))
    lines = engine.run(reference, argv, env, {}, certificates(os.environ))
    try:
        while True:
            print(next(lines), flush=True)
    except StopIteration as end:
        return int(end.value)
    finally:
        lines.close()


@app.command()
def diagnose(log: Annotated[Path, typer.Argument(metavar="LOG")], as_json: Json = False) -> None:
    """Name the cause and the remedy of a failed build's log."""
    from arrstack.launch.diagnose import diagnose as find

    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            found = find(file)
    except OSError as error:
        raise ConfigError(f"{log} cannot be read: {error.strerror}") from None
    if as_json:
        print_json(
            {"log": str(log), "cause": found.cause, "remedy": found.remedy, "line": found.line, "number": found.number}
            if found
            else {"log": str(log), "cause": None}
        )
    elif found:
        out = output(False)
        out.say(f"{log}:{found.number}: {found.line}")
        out.say(f"cause: {found.cause}")
        out.say(f"remedy: {found.remedy}")
    else:
        output(False).say(f"{log}: no known cause; its last lines tell more")
    raise typer.Exit(0 if found else 1)


@app.command()
def verify(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A wheel, directory, library, oci:DIR:TAG, docker://REF, or a tier.")
    ],
    archs: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="The architectures that must be in it: 7.5,8.0,8.9; default: the profile's."),
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Also look for CPU instructions beyond the baseline (objdump).")] = False,
    as_json: Json = False,
) -> None:
    """Prove which GPU architectures are in a binary, and that it will run. Needs no GPU."""
    from arrstack.cli.verify_view import render
    from arrstack.verify import load_policy
    from arrstack.verify import verify as judge

    listed = [word for word in re.split(r"[,; ]+", archs) if word] if archs is not None else None
    if archs is not None and not listed:
        raise ConfigError(f"--archs '{archs}' names no architecture", "for example --archs 8.0,8.9")
    wanted = None if listed is not None else profile_architectures()
    policy = load_policy() if wanted is None else load_policy().for_architectures(wanted, wants_gpu_code=False)
    disassemble = (lambda argv: (line.encode() for line in Processes().stream(argv))) if deep else None
    with fetched(target, published) as source:
        report = judge(source, listed, policy, disassemble)
    if as_json:
        print_json(report.as_dict() | {"target": target})
    else:
        output(False).console.print(render(report))
    if not report.passed:
        raise typer.Exit(VerificationError.status)


def profile_architectures() -> tuple[str, ...] | None:
    """The chosen profile's list; None (the `full` profile's five) where it has no GPU or there is no stack here."""
    try:
        return loaded().profile.archs or None
    except ConfigError:
        if session.settings.profile:
            raise
        return None


def published(name: str) -> str:
    """The reference of a tier's published image. Raises ConfigError where that is neither a tier nor published."""
    try:
        stack = loaded()
        stack.tier(name)
    except ConfigError:
        raise ConfigError(
            f"{name}: no such file, directory or tier",
            "name a wheel, a directory, a library, oci:DIR:TAG, docker://REF, or a tier",
        ) from None
    answer = registry().lookup(name, stack.profile.tag)
    if answer.state is State.UNKNOWN:
        raise RegistryError(f"{name} cannot be asked for: {answer.reason}")
    if answer.image is None:
        raise ConfigError(
            f"{name}:{stack.profile.tag} is not published in {registry().name}", f"`arrstack launch {name}` builds it"
        )
    return registry().reference(name, stack.profile.tag)


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what no tag, key or child needs: old build directories, images, logs."""
    from arrstack.cli.console import size
    from arrstack.launch.prune import prune as remove

    stack, out = loaded(), output(as_json)
    engine = find_engine(out.say, out.ask)
    launch = prepared(stack, None, engine, None, False, "auto", 1)
    plan = launch.plan()
    keep = {tier.name: frozenset([tier.tag, *(wheel.tag for wheel in tier.wheels)]) for tier in plan.tiers}
    with folders().alone("prune"):
        references = current_bases(stack) | launch.kept()
        removed = remove([tier.name for tier in stack.tiers], registry(), engine, folders(), keep, references, dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "removed": [{"what": each.what, "bytes": each.bytes} for each in removed]})
        return
    for each in removed:
        out.say(f"{'would remove' if dry_run else 'removed'} {each.what}{f', {size(each.bytes)}' if each.bytes else ''}")
    out.say(f"{len(removed)} things, {size(sum(each.bytes for each in removed))}" if removed else "nothing to remove")


app.add_typer(cache_app, name="cache")

GLOBAL_VALUES = ("--stack", "--profile", "--engine", "--registry")
GLOBAL_FLAGS = ("--yes", "--no-setup", "-v", "--verbose", "--no-color")


def hoisted(argv: Sequence[str]) -> list[str]:
    """The arguments with global options first, so that they may also stand behind the command; what follows -- stays."""
    end = argv.index("--") if "--" in argv else len(argv)
    own, rest = argv[:end], argv[end:]
    front: list[str] = []
    back: list[str] = []
    words = iter(own)
    for word in words:
        if word in GLOBAL_VALUES:
            front += [word, *(value for value in [next(words, None)] if value is not None)]
        elif word in GLOBAL_FLAGS or word.startswith(tuple(f"{name}=" for name in GLOBAL_VALUES)):
            front.append(word)
        else:
            back.append(word)
    return [*front, *back, *rest]


def main() -> None:
    """Runs the command line; every error of a user's making ends in one sentence and its class's status."""
    from arrstack.cli.console import replace_what_cannot_be_encoded

    replace_what_cannot_be_encoded()
    try:
        sys.exit(app(hoisted(sys.argv[1:]) or ["--help"], prog_name="arrstack", standalone_mode=False))
    except ArrstackError as error:
        output("--json" in sys.argv).error(error)
        sys.exit(error.status)
    except typer.exceptions.TyperException as error:
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        output(False).error(ConfigError(str(error), f"see `arrstack {command} --help`" if command else "see `arrstack --help`"))
        sys.exit(ConfigError.status)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        told = MachineError(f"{where}{error.strerror or error}", "see to space, rights and limits here; a new launch goes on")
        output("--json" in sys.argv).error(told)
        sys.exit(told.status)
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted: a new launch goes on where this one stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
