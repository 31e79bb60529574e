"""The commands that hand on what a launch made: wheels, export, push."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arrstack.cli.completion import destinations
from arrstack.cli.options import Json, OneTier, TierName, opened
from arrstack.cli.session import BuildOptions, Session
from arrstack.cli.streams import print_json
from arrstack.errors import ConfigError
from arrstack.model import short

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.launch.wheelhouse import PublishedWheel, Written


def wheels(
    context: typer.Context,
    tier: TierName = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the working tree's wheels there, with their sums, records and a package index."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the compiled wheels, or write them as files. With --to: those of the working tree, with an index from which pip and uv install."""
    from arrstack.launch.wheelhouse import published, wanted, write

    session, out = opened(context, as_json)
    recipes = session.recipes(BuildOptions(tier=tier))
    if to:
        session.be_patient(out)
    held = published(session.stack, recipes, session.registry)
    written = write(wanted(recipes, held), session.registry, to.absolute(), session.processes) if to else None
    if as_json:
        print_json(wheels_form(session, held, written))
    elif written:
        tell_written(out, written)
    else:
        list_wheels(session, out, held)


def wheels_form(session: Session, held: "list[PublishedWheel]", written: "Written | None") -> dict[str, Any]:
    """The documented form (docs/guide/json.md)."""
    listed = [
        {
            "tier": wheel.tier,
            "name": wheel.name,
            "distribution": wheel.distribution,
            "version": wheel.version,
            "architectures": None if wheel.architectures is None else list(wheel.architectures),
            "key": wheel.key,
            "current": wheel.current,
            "created": wheel.created,
            "size": wheel.image.size,
            "digest": wheel.image.digest,
        }
        for wheel in held
    ]
    form: dict[str, Any] = {"profile": session.stack.profile_name, "registry": session.registry.name, "wheels": listed}
    if written:
        needs = {name: list(packages) for name, packages in written.needs.items()}
        form |= {"folder": str(written.folder), "files": [path.name for path in written.files], "needs": needs}
    return form


def list_wheels(session: Session, out: "Output", held: "list[PublishedWheel]") -> None:
    from arrstack.text import size

    if not any(tier.wheels for tier in session.stack.tiers):
        out.say("this stack compiles no wheels")
    elif not held:
        out.say(f"{session.registry.name} holds no wheel of this stack: `arrstack launch` compiles what the stack file names")
    if not held:
        return
    rows = [
        [
            wheel.distribution,
            wheel.version or "",
            wheel.key,
            "not said" if wheel.architectures is None else " ".join(wheel.architectures) or "no GPU",
            size(wheel.image.size),
            wheel.created[:16].replace("T", " "),
            "" if wheel.current else "not this tree's",
        ]
        for wheel in held
    ]
    out.table(["wheel", "version", "key", "architectures", "size", "built (UTC)", ""], rows)
    out.say("`arrstack wheels --to DIR` writes this tree's as files")


def tell_written(out: "Output", written: "Written") -> None:
    """The files, what else their libraries load, and the two ways to install them."""
    from arrstack.text import size

    for path in written.files:
        out.say(f"{path}  {size(path.stat().st_size)}")
    needs = sorted({package for packages in written.needs.values() for package in packages})
    if needs:
        out.say(
            f"their libraries load those of the distribution's packages {', '.join(needs)}: install these where you install the wheels"
        )
    names = " ".join(written.needs)
    out.say("to install them, in a virtual environment (`python3 -m venv FOLDER`, then `source FOLDER/bin/activate`):")
    out.say(f"  python3 -m pip install {' '.join(str(path) for path in written.files if path.suffix == '.whl')}")
    out.say(f"  uv pip install --index file://{written.folder}/simple {names}")


def export(
    context: typer.Context,
    tier: OneTier,
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DEST",
            autocompletion=destinations,
            help="docker, podman, docker-archive:FILE, oci-archive:FILE, or HOST/NAME:TAG.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Copy an image to Docker, podman, a file, a registry."""
    from arrstack.cli.copies import shown
    from arrstack.launch.export import Destination
    from arrstack.launch.export import export as send

    session, out = opened(context, as_json)
    session.stack.tier(tier)
    to = Destination.parse(destination, tier, session.stack.profile.tag)
    session.be_patient(out)
    image = session.published(tier)
    place = session.folders.scratch() if to.is_daemon else temporary()
    with place as scratch, shown(out) as tell:
        sent = send(image, session.registry, to, session.processes, scratch, tell)
    if as_json:
        print_json({"tier": tier, "image": image.digest, "destination": sent.destination, "digest": sent.digest})
        return
    out.say(f"{tier} {short(image.digest)} is in {sent.destination}")
    out.say(f"digest {sent.digest}")
    if sent.use:
        out.say(f"to use it: `{sent.use}`")


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder for what is small, which needs no cache that can be written."""
    with tempfile.TemporaryDirectory(prefix="arrstack-") as folder:
        yield Path(folder)


def push(
    context: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="[TIER] REGISTRY", help="A registry as --registry names it: HOST[:PORT]/PREFIX.")
    ],
    as_json: Json = False,
) -> None:
    """Copy what is published to another registry. Images and wheels of TIER and those it stands on, or of all; nothing is built."""
    from arrstack.cli.copies import shown
    from arrstack.engines.compression import require_layers
    from arrstack.launch.push import items
    from arrstack.launch.push import push as send
    from arrstack.launch.wheelhouse import published
    from arrstack.registry import WORKING, connect

    if len(words) > 2:
        raise ConfigError(f"{words[2]}: one word too many", "`arrstack push [TIER] HOST[:PORT]/PREFIX`")
    session, out = opened(context, as_json)
    tier, place = words[0] if len(words) == 2 else None, words[-1]
    tiers, layers = session.stack.up_to(tier), require_layers(session.options.layers, "")
    target = connect(place, session.environment, WORKING, out.say)
    session.be_patient(out)
    recipes = session.recipes(BuildOptions(tier=tier))
    held = [wheel for wheel in published(session.stack, recipes, session.registry) if wheel.current]
    wanted = items([session.published(each.name) for each in tiers], held)
    with temporary() as scratch, shown(out) as tell:
        pushed = send(wanted, session.stack.profile.tag, session.registry, target, session.processes, scratch, tell, layers)
    if as_json:
        rows = [{"name": each.name, "digest": each.digest, "copied": each.copied} for each in pushed]
        print_json({"registry": target.name, "tag": session.stack.profile.tag, "images": rows})
        return
    for each in pushed:
        out.say(f"{'copied' if each.copied else 'was there'}  {each.name}  {each.digest}")
    out.say(f"`arrstack launch --registry {place}` finds them there")
