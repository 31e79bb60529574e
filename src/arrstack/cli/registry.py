"""`arrstack registry`: whether a registry directory is whole, and making it so."""

import typer

from arrstack.cli.options import Command, Group, Json, session_of
from arrstack.cli.session import Session
from arrstack.cli.streams import print_json
from arrstack.errors import ConfigError, RegistryError
from arrstack.registry import OciDirectory

app = typer.Typer(cls=Group, rich_markup_mode=None, help="Whether a registry directory is whole; mending it.")


def directory_of(session: Session) -> OciDirectory:
    """Raises ConfigError where the registry is a server."""
    registry = session.plain_registry()
    if not isinstance(registry, OciDirectory):
        raise ConfigError(f"{registry.name} is a server, which looks after itself", "name a directory with --registry")
    return registry


def is_whole(directory: OciDirectory) -> str:
    """What is said where nothing is damaged: also that nothing is there, as a name may be a wrong one."""
    return f"{directory.name} is whole" if directory.layout.in_use() else f"nothing was published to {directory.name} yet"


@app.command(cls=Command)
def check(context: typer.Context, as_json: Json = False) -> None:
    """Read every file of the registry directory and name what is damaged; change nothing."""
    session = session_of(context)
    directory, out = directory_of(session), session.output(as_json)
    found = directory.check()
    if as_json:
        print_json({"registry": directory.name, "damaged": [{"what": each.what, "why": each.why} for each in found]})
    for each in () if as_json else found:
        out.say(str(each))
    if not as_json:
        out.say(
            f"{directory.name}: {len(found)} damaged; `arrstack registry repair` forgets them" if found else is_whole(directory)
        )
    if found:
        raise typer.Exit(RegistryError.status)


@app.command(cls=Command)
def repair(context: typer.Context, as_json: Json = False) -> None:
    """Forget damaged images and remove damaged files, so that a launch makes them anew; whole images stay."""
    session = session_of(context)
    directory, out = directory_of(session), session.output(as_json)
    with session.folders.alone("registry repair"):
        found = directory.repair(out.say)
    if as_json:
        print_json({"registry": directory.name, "repaired": [{"what": each.what, "why": each.why} for each in found]})
        return
    for each in found:
        out.say(str(each))
    out.say(f"{directory.name}: {len(found)} repaired or forgotten" if found else is_whole(directory))
