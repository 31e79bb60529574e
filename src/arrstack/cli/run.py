"""`arrstack run`: a container of a tier's published image, by the flags that docker has."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arrstack.cli.completion import tiers
from arrstack.cli.forms import log_form
from arrstack.cli.options import session_of
from arrstack.cli.place import works_on
from arrstack.cli.session import Session
from arrstack.cli.streams import json_text
from arrstack.errors import ConfigError
from arrstack.machine.process import Outcome

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.engines import RunOptions

CONTEXT = {"allow_extra_args": True, "allow_interspersed_args": False}
"""The words behind TIER are the container's, whatever they look like."""


def run(
    context: typer.Context,
    tier: Annotated[
        str,
        typer.Argument(
            metavar="TIER [COMMAND...]", help="A tier of the stack, and a command in place of its own.", autocompletion=tiers
        ),
    ],
    env: Annotated[
        list[str],
        typer.Option("--env", "-e", metavar="NAME[=VALUE]", help="A variable for the container; NAME alone takes the host's."),
    ] = [],  # noqa: B006
    volume: Annotated[
        list[str], typer.Option("--volume", "-v", metavar="HOST:CONTAINER[:ro]", help="A folder or file of this machine.")
    ] = [],  # noqa: B006
    workdir: Annotated[str, typer.Option("--workdir", "-w", metavar="FOLDER", help="Where the command begins.")] = "",
    gpus: Annotated[str, typer.Option(metavar="all|N", help="GPUs for the container; with the docker engine.")] = "",
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="As docker's; standard input is always open.")] = False,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="A terminal; default: where this is one.")] = False,
) -> None:
    """Run a container of a tier's image. Its own command, or the words behind TIER."""
    from arrstack.engines import RunOptions

    session = session_of(context)
    session.stack.tier(tier)
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if tty and not is_terminal:
        raise ConfigError("--tty: standard input and output are no terminal", "leave it out")
    if sys.stderr.isatty():  # beside what the program says
        session.output(aside=True).say(works_on(session.stack))
    command = context.args[1:] if context.args[:1] == ["--"] else context.args
    variables = named_variables(env, session.environment)
    if is_terminal and (term := session.environment.get("TERM")):
        variables = {"TERM": term} | variables
    options = RunOptions(variables, volumes(volume), workdir, gpus, is_terminal, session.certificates)
    raise typer.Exit(run_image(session, tier, command, options, session.output()))


def named_variables(given: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """NAME=VALUE, or NAME for the host's value. Raises ConfigError where that is not set."""
    named = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals and name not in environment:
            raise ConfigError(f"--env {name}: the variable is not set here", "give NAME=VALUE")
        named[name] = value if equals else environment[name]
    return named


def volumes(given: Sequence[str]) -> tuple[str, ...]:
    """HOST:CONTAINER[:OPTIONS], the host's part absolute. Raises ConfigError where it is not there, or the other is no path."""
    found = []
    for item in given:
        host, _, rest = item.partition(":")
        if not rest.startswith("/"):
            raise ConfigError(f"--volume {item}: HOST:CONTAINER[:ro], CONTAINER an absolute path", "for example -v ./data:/data")
        path = Path(host).expanduser().absolute()
        if not path.exists():
            raise ConfigError(f"--volume {item}: there is no {path}", "make it first")
        found.append(f"{path}:{rest}")
    return tuple(found)


def run_image(session: Session, tier: str, argv: Sequence[str], options: "RunOptions", out: "Output") -> int:
    """The exit status of a container of the published image; for JSON each line that it says is an event."""
    session.be_patient(out)
    image = session.published(tier)
    engine = session.engine(out, silent=True)
    reference = session.bring(image, engine)
    if not out.as_json:
        sys.stdout.flush()
        return engine.attach(reference, argv, options)
    with Outcome(engine.run(reference, argv, options.env, {}, options.certificates)) as lines:
        for line in lines:
            print(json_text(log_form(tier, line)), flush=True)
    return lines.value
