"""Options that several commands take, each declared once, and where the global ones may stand."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from arrstack.cli.completion import tiers
from arrstack.cli.place import works_on
from arrstack.cli.session import Session
from arrstack.errors import ArrstackError, MachineError

if TYPE_CHECKING:
    from arrstack.cli.console import Output

Json = Annotated[bool, typer.Option("--json", help="Print JSON (docs/guide/json.md).")]
TierName = Annotated[
    str | None, typer.Argument(metavar="[TIER]", help="Only this tier and those it stands on.", autocompletion=tiers)
]
OneTier = Annotated[str, typer.Argument(metavar="TIER", help="A tier of the stack.", autocompletion=tiers)]
CompilePlan = Annotated[str, typer.Option(help="auto, or none for the ordinary compile.")]
GivenWheels = Annotated[list[str], typer.Option(metavar="DIR|REF", help="Take these wheels instead of compiling.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")]


LONGEST = 1000
"""Characters of a command's first sentence."""
PATHS = {"stack", "signing_key", "trusted_key"}
"""The global options that name files."""


def session_of(context: typer.Context) -> Session:
    """The call's session: the group's callback made it."""
    session = context.find_object(Session)
    assert session is not None
    return session


def opened(context: typer.Context, as_json: bool) -> "tuple[Session, Output]":
    """The call's session and its console, which says first what the command works on."""
    session = session_of(context)
    out = session.output(as_json)
    if not as_json:
        out.say(works_on(session.stack))
    return session, out


def words(said: Mapping[str, object]) -> tuple[str, ...]:
    """Global options with values, as they are typed: `words({"stack": "a.toml", "yes": True}) == ("--stack", "a.toml")`."""
    return tuple(
        word
        for name, value in said.items()
        if isinstance(value, str | Path)
        for word in (f"--{name.replace('_', '-')}", str(value))
    )


class Group(typer.core.TyperGroup):
    """Commands, each with its first sentence as a whole: it is wrapped where the terminal is narrow, and not cut."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])  # alone it shows what there is: that is no error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, command.get_short_help_str(LONGEST)) for name, command in commands if command and not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Command(typer.core.TyperCommand):
    """A command that also takes the global options, so that they may stand behind its name, and that tells errors."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), *self._global_options(ctx)]

    def _global_options(self, ctx: Any) -> list[Any]:
        own = {name for param in self.params for name in param.opts}
        options = [copy.copy(p) for p in ctx.find_root().command.params if isinstance(p, typer.core.TyperOption)]
        for option in options:
            option.hidden = True
        return [option for option in options if not own.intersection(option.opts)]

    def invoke(self, ctx: Any) -> Any:
        values = {option.name: ctx.params.pop(option.name, None) for option in self._global_options(ctx)}
        said = {name: value for name, value in values.items() if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")}
        session = session_of(ctx)
        if said:
            typed = session.options.typed + words(said)
            for name in PATHS & said.keys():  # typer makes paths for its own functions' parameters alone
                said[name] = Path(said[name])
            session = ctx.obj = Session(replace(session.options, typed=typed, **said), session.environment)
        try:
            return super().invoke(ctx)
        except ArrstackError as error:
            failure = error
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            failure = MachineError(
                f"{where}{error.strerror or error}", "see to space, rights and limits here; a new launch goes on"
            )
        session.output(bool(ctx.params.get("as_json"))).error(failure)
        raise typer.Exit(failure.status)
