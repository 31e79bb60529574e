"""The commands that say what an image holds: sbom, vulnerabilities, report."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arrstack.cli.look import published_reference
from arrstack.cli.options import DryRun, Json, session_of
from arrstack.cli.session import Session
from arrstack.cli.streams import print_json
from arrstack.errors import ConfigError, MachineError, VerificationError

if TYPE_CHECKING:
    from arrstack.artifacts.files import Source

Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="A tier, oci:DIR:TAG, docker://REF, a directory (of wheels, too) or a wheel.")
]
OutputFile = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it to a file.")]


@contextlib.contextmanager
def opened(session: Session, target: str) -> "Iterator[Source]":
    """The files of a target. Raises ConfigError where there is none of that name, RegistryError where it cannot be fetched."""
    from arrstack.artifacts.open import open_target
    from arrstack.wheels import fetched

    with fetched(target, lambda tier: published_reference(session, tier), session.processes) as place:
        yield open_target(place)


def is_tier(session: Session, target: str) -> bool:
    """Whether a target is a tier's name, and nothing on disk."""
    if ":" in target or Path(target).exists():
        return False
    return any(tier.name == target for tier in session.stack.tiers)


def name_of(target: str) -> str:
    """What an image is called in its bill: no path of this machine, which another's would differ by."""
    place = target.removeprefix("docker://")
    if place.startswith("oci:"):
        return place.rpartition("/")[2].partition(":")[2] or "image"
    return place.rstrip("/").rpartition("/")[2] or "files"


def sbom(
    context: typer.Context,
    target: Target,
    output: OutputFile = None,
    attach: Annotated[
        bool, typer.Option("--attach", help="Attach it to the tier's image in the registry (OCI referrer).")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Say whether exactly this is attached to the tier's image.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Print an image's bill of materials: CycloneDX 1.6, as JSON."""
    from arrstack.contents import attached
    from arrstack.contents.collect import take_inventory

    session = session_of(context)
    if (attach or check) and not is_tier(session, target):
        raise ConfigError(f"{target} is not a tier: --attach and --check are for an image of the registry", "name a tier")
    with opened(session, target) as source:
        document = attached.make(take_inventory(source), name_of(target))
    if not (output or attach or check):
        print(document, end="")
        return
    done = {"target": target, "bytes": len(document.encode()), "file": str(output) if output else None, "dry_run": dry_run}
    if output and not dry_run:
        write(output, document)
    if attach or check:
        image = session.published(target)
        done["held"] = attached.held(session.registry, target, image, document).value
        if attach and not dry_run and done["held"] != attached.Held.SAME:
            done["attached"] = attached.attach(session.registry, target, image, document)
    out = session.output(as_json)
    if as_json:
        print_json(done)
    else:
        out.say(told(done, dry_run))
    if check and done["held"] != attached.Held.SAME and "attached" not in done:
        raise VerificationError(
            f"{target}: {'another bill' if done['held'] == attached.Held.OTHER else 'no bill'} is attached to the image",
            f"`arrstack sbom {target} --attach` attaches this one",
        )


def told(done: dict[str, object], dry_run: bool) -> str:
    """What was done with a bill, in a line."""
    would = "would be " if dry_run else ""
    parts = [f"{would}written to {done['file']}"] if done["file"] else []
    if "held" in done:
        same = done["held"] == "same"
        parts.append("the registry holds it" if same else f"{would}attached" if dry_run or "attached" in done else "not attached")
    return f"{done['target']}: bill of materials, {done['bytes']} bytes: {', '.join(parts)}"


def write(path: Path, text: str) -> None:
    """Raises MachineError where the file cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror}", "name another file with -o") from None
