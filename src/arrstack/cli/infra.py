"""`arrstack infra`: what a Google Cloud project needs for builds there; what it has; making the rest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arrstack.cli.options import Command, Group, Json, session_of
from arrstack.cli.session import Session
from arrstack.cli.streams import print_json
from arrstack.errors import ConfigError, RegistryError

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.gcp.difference import Resource, Row
    from arrstack.gcp.infra import Infra

INCOMPLETE = 1
"""Exit status of a check that found something missing."""
Member = Annotated[
    str,
    typer.Option(
        envvar="ARRSTACK_MEMBER", metavar="MEMBER", help="Who launches (user:me@example.com): their roles are wanted too."
    ),
]
app = typer.Typer(cls=Group, rich_markup_mode=None, help="What Google Cloud lacks for builds; making it.")


@app.command(cls=Command)
def check(context: typer.Context, member: Member = "", as_json: Json = False) -> None:
    """Say what the project has and what it lacks, each with the command that mends it; change nothing."""
    session = session_of(context)
    out = session.output(as_json)
    infra, resources = wanted_by(session, out, member)
    rows = [*infra.check(resources), *builder_images(session)]
    tell(session, out, rows, as_json)
    end(rows)


@app.command(cls=Command)
def plan(context: typer.Context, member: Member = "", as_json: Json = False) -> None:
    """Say what `apply` would make or change, and which builder images have no digest; change nothing."""
    session = session_of(context)
    out = session.output(as_json)
    infra, resources = wanted_by(session, out, member)
    rows = [*infra.check(resources), *builder_images(session)]
    tell(session, out, [row for row in rows if row.verdict.value != "ok"], as_json)
    if any(row.verdict.value == "unknown" for row in rows):
        raise typer.Exit(RegistryError.status)


@app.command(cls=Command)
def apply(context: typer.Context, member: Member = "", as_json: Json = False) -> None:
    """Make what the project lacks. Nothing is deleted; it can be run again after any failure."""
    session = session_of(context)
    out = session.output(as_json)
    infra, resources = wanted_by(session, out, member)
    question = f"Set up project {session.google.project} in {session.google.region} for builds?"
    if not (session.options.yes or out.ask(question)):
        raise ConfigError("nothing was changed: nobody said yes", "give --yes; `arrstack infra plan` says what would be made")
    rows = list(infra.apply(resources))
    tell(session, out, rows, as_json)
    if any(row.verdict.value not in ("ok", "waits") for row in rows):
        raise typer.Exit(RegistryError.status)


def wanted_by(session: Session, out: "Output", member: str) -> "tuple[Infra, tuple[Resource, ...]]":
    """The project's side as the stack file wants it."""
    from arrstack.gcp.api import Api
    from arrstack.gcp.infra import Infra
    from arrstack.gcp.wanted import wanted

    if member and not member.partition(":")[2]:
        raise ConfigError(
            f"--member {member}: it takes KIND:NAME", "user:me@example.com, group:us@example.com, serviceAccount:..."
        )
    names, profiles = session.google, session.stack.stack.profiles.values()
    sccache = any(profile.compiler_cache == "sccache" for profile in profiles)
    api = Api(names.project, session.environment, out.say)
    return Infra(api, names), wanted(names, [profile.tag for profile in profiles], member, sccache)


def builder_images(session: Session) -> "list[Row]":
    """The images of others that the stack's builds run in. None where the stack is not in a project that can be built elsewhere."""
    from arrstack.cli.cloud import BUILD_FILE, uploaded
    from arrstack.gcp.builder_images import pins, used_by

    stack = session.stack
    files = [path for tier in stack.tiers if (path := stack.root / tier.recipe / BUILD_FILE).is_file()]
    return pins(used_by(uploaded(stack), files)) if files else []


def tell(session: Session, out: "Output", rows: "Sequence[Row]", as_json: bool) -> None:
    """The rows, each that is not in order with the command that mends it, on a line of its own to be copied."""
    names = session.google
    if as_json:
        print_json({"project": names.project, "region": names.region, "rows": [form(row) for row in rows]})
        return
    out.say(f"project {names.project}, region {names.region}")
    width = max((len(row.resource.kind) for row in rows), default=0)
    for row in rows:
        out.say(f"{row.verdict:9} {row.resource.kind:{width}} {row.resource.name}{f': {row.detail}' if row.detail else ''}")
        if row.verdict.value != "ok":
            out.say(f"          {row.resource.reason}")
            out.say(f"          {row.resource.command}")
    lacking = sum(row.todo for row in rows)
    out.say(f"{lacking} of {len(rows)} to be made: `arrstack infra apply`" if lacking else "nothing to be made")


def form(row: "Row") -> dict[str, Any]:
    """The documented form of a row (docs/guide/json.md)."""
    resource = row.resource
    return {
        "kind": resource.kind.value,
        "name": resource.name,
        "verdict": row.verdict.value,
        "detail": row.detail,
        "reason": resource.reason,
        "command": None if row.verdict.value == "ok" else resource.command,
    }


def end(rows: "Sequence[Row]") -> None:
    """Ends a check: with 3 where something could not be asked, with 1 where something is missing or different."""
    if any(row.verdict.value == "unknown" for row in rows):
        raise typer.Exit(RegistryError.status)
    if any(row.todo for row in rows):
        raise typer.Exit(INCOMPLETE)
