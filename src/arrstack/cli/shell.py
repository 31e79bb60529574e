"""`arrstack shell STEP`: a shell where a step failed, in the file system as it was before the command that failed."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from arrstack.cli.completion import steps
from arrstack.cli.options import opened
from arrstack.cli.session import BuildOptions, Session
from arrstack.errors import BuildError, ConfigError, MachineError
from arrstack.machine.memory import Kind

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.engines import Engine
    from arrstack.launch.stopping import Reached

SHELL = ["/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh"]
LARGEST_TAIL = 200


def shell(
    context: typer.Context,
    step: Annotated[
        str,
        typer.Argument(
            metavar="[STEP]",
            autocompletion=steps,
            help="TIER, TIER/WHEEL or TIER/STAGE; default: the step that failed last here.",
        ),
    ] = "",
    before: Annotated[
        int | None,
        typer.Option(
            metavar="LINE", help="Stop before the instruction at this line of the recipe; default: the one that failed."
        ),
    ] = None,
) -> None:
    """Open a shell where a step failed. In its file system, as it was before that command."""
    session, out = opened(context, as_json=False)
    raise typer.Exit(open_shell(session, step or failed_step(session), before, out))


def steps_of(session: Session) -> list[str]:
    """All steps that a launch of this stack may have, but for checks and bases."""
    found = []
    for recipe in session.recipes(BuildOptions(every=True)):
        tier = recipe.tier
        found += [tier.name, *(f"{tier.name}/{name}" for name in [*(w.name for w in tier.wheels), *recipe.independent_stages])]
    return found


def failed_step(session: Session) -> str:
    """The step that failed last on this machine, by its log's name. Raises ConfigError where none did, or it was no build."""
    from arrstack.launch.outcome import last_failed

    if not session.memory.failed():
        raise ConfigError("no step of this stack and profile has failed here", f"name a step: {', '.join(steps_of(session))}")
    log = last_failed(session.memory, session.folders).name
    named = [step for step in steps_of(session) if log.endswith(f"-{step.replace('/', '-')}.log")]
    if not named:
        raise ConfigError(f"the log {log} is of no step with a recipe", f"name a step: {', '.join(steps_of(session))}")
    return max(named, key=len)


def failed_words(session: Session, step: str) -> str:
    """What the engine said that it was doing when the step failed; "" where the last failure was another's."""
    from arrstack.engines.command import failed_command
    from arrstack.launch.outcome import last_failed

    try:
        log = last_failed(session.memory, session.folders)
        if failed_step(session) == step:
            return failed_command(log.read_text(errors="replace").splitlines()[-LARGEST_TAIL:])
    except (ConfigError, OSError):
        pass
    return ""


def open_shell(session: Session, step: str, before: int | None, out: "Output") -> int:
    """The status of a shell in the step's state. Raises ConfigError where there is no such step or it is finished already."""
    from arrstack.launch.stopping import Reached, Stopping, cut_before

    if step not in steps_of(session):
        raise ConfigError(f"there is no step '{step}'", f"its steps: {', '.join(steps_of(session))}")
    if session.elsewhere:
        raise ConfigError(
            "a step of Cloud Build's is not on this machine", "`arrstack shell` with --engine buildah builds it here"
        )
    tier, _, part = step.partition("/")
    options = BuildOptions(tier=tier, force=not part)
    recipe = session.recipes(options)[-1]
    wheel = next((each for each in recipe.tier.wheels if each.name == part), None)
    cut = cut_before(recipe.dockerfile, wheel.stage if wheel else part, failed_words(session, step), before)
    session.be_patient(out)
    engine = session.engine(out)
    builder = Stopping(session.local_builder(engine), step, cut)
    work = session.launch(options, builder, None)
    with session.folders.alone(f"shell in {step}"):
        try:
            # A stage is built on the way to its tier's image.
            out.follow(work.part(work.plan(), part if wheel else "image"))
        except Reached as reached:
            return enter(session, engine, reached, out)
    raise builder.finished()


def enter(session: Session, engine: "Engine", reached: "Reached", out: "Output") -> int:
    """The status of the shell. The state is removed afterwards."""
    from arrstack.engines import RunOptions

    session.memory.note(Kind.IMAGE, reached.reference)  # `prune` removes it where this process is killed
    cut, terminal = reached.cut, sys.stdin.isatty() and sys.stdout.isatty()
    out.say(f"before line {cut.instruction.line} of {cut.stage.name}; what comes next there:")
    out.say(f"  {reached.command()[:2000]}")
    volumes = []
    for name, target in cut.cache_mounts(reached.given).items():
        try:
            volumes.append(f"{engine.cache_mount(name)}:{target}")
        except MachineError as error:
            out.say(f"without the cache mount {target}: {error.message}")
    sys.stdout.flush()
    variables = cut.variables(reached.given)
    try:
        return engine.attach(
            reached.reference, SHELL, RunOptions(variables, volumes, terminal=terminal, certificates=session.certificates)
        )
    finally:
        engine.remove(frozenset([reached.reference]), unnamed=False)


def after_failure(session: Session, error: BuildError, out: "Output") -> None:
    """`launch --shell-on-failure`: the error first, then the shell; what cannot be opened is said, and the error stays what it is."""
    out.error(error)
    try:
        open_shell(session, failed_step(session), None, out)
    except (ConfigError, BuildError, MachineError) as failure:
        out.error(failure)
