"""The commands that say what an image holds: sbom, vulnerabilities, report."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arrstack.cli.completion import tiers
from arrstack.cli.look import published_reference
from arrstack.cli.options import DryRun, Json, session_of
from arrstack.cli.session import Session
from arrstack.cli.streams import print_json
from arrstack.errors import ConfigError, MachineError, RegistryError, VerificationError
from arrstack.text import size

if TYPE_CHECKING:
    from arrstack.artifacts.files import Source
    from arrstack.contents.advisories.assessment import Assessment
    from arrstack.contents.inventory import Inventory
    from arrstack.contents.report.compile import Compile

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET", help="A tier, oci:DIR:TAG, docker://REF, a directory (of wheels, too) or a wheel.", autocompletion=tiers
    ),
]
HOLDS_PACKAGES = re.compile(r"layer \d+|.*\.whl|(?:.*/)?[^/]+\.dist-info/METADATA|var/lib/dpkg/status.*", re.DOTALL)
"""What of a target says which packages are in it; without it "none is known" would be no answer."""
OutputFile = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it to a file.")]

Osv = Annotated[
    Path | None,
    typer.Option("--osv", metavar="FILE", help="A database of OSV's: all.zip of an ecosystem, a folder, a JSON file."),
]
IgnoreFile = Annotated[
    Path | None,
    typer.Option("--ignore", metavar="FILE", help="What is left out, with reasons and dates (docs/guide/contents.md)."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Do not ask the distribution's security archive.")]


@contextlib.contextmanager
def target_files(session: Session, target: str) -> "Iterator[Source]":
    """The files of a target. Raises ConfigError where there is none of that name, RegistryError where it cannot be fetched."""
    from arrstack.artifacts.open import open_target
    from arrstack.verify.header_index import HeaderIndex
    from arrstack.wheels import fetched

    with fetched(target, lambda tier: published_reference(session, tier), session.processes) as place:
        yield open_target(place, HeaderIndex)


def inventory_of(session: Session, target: str) -> "Inventory":
    """What is in a target."""
    from arrstack.contents.collect import take_inventory

    with target_files(session, target) as source:
        return take_inventory(source)


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
    name = place.rstrip("/").rpartition("/")[2]
    return "files" if name in ("", ".", "..") else name


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
    """Print an image's bill of materials. CycloneDX 1.6, as JSON."""
    from arrstack.contents import attached

    session = session_of(context)
    if (attach or check) and not is_tier(session, target):
        raise ConfigError(f"{target} is not a tier: --attach and --check are for an image of the registry", "name a tier")
    inventory = inventory_of(session, target)
    image = session.published(target) if is_tier(session, target) else None
    if image:  # a copy that was fetched may have another manifest
        inventory = replace(inventory, digest=image.digest)
    document = attached.make(inventory, name_of(target))
    if not (output or attach or check):
        print(document, end="")
        return
    done = {"target": target, "bytes": len(document.encode()), "file": str(output) if output else None, "dry_run": dry_run}
    if output and not dry_run:
        write(output, document)
    if image and (attach or check):
        done["held"] = attached.held(session.registry, target, image, document).value
        if attach and not dry_run and done["held"] != attached.Held.SAME:
            done["attached"] = attached.attach(session.registry, target, image, document)
    if as_json:
        print_json(done)
    else:
        session.output().say(told(done, dry_run))
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


def report(
    context: typer.Context,
    target: Target,
    against: Annotated[
        str, typer.Option(metavar="OTHER", help="Compare it with another image, or with a folder of wheels (pip download).")
    ] = "",
    output: OutputFile = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The record of the compile; default: what is known of the tier's, for this profile."),
    ] = None,
    vulnerable: Annotated[
        bool, typer.Option("--vulnerabilities", help="Also ask for vulnerabilities, as the command of that name does.")
    ] = False,
    osv: Osv = None,
    ignore: IgnoreFile = None,
    as_json: Json = False,
) -> None:
    """Write an HTML page of what is in an image. Sizes, GPU code, packages, vulnerabilities, the compile."""
    from arrstack.contents.form import assessment_form, inventory_form
    from arrstack.contents.report.comparison import compare
    from arrstack.contents.report.page import Beside, render

    if ignore and not (vulnerable or osv):
        raise ConfigError("--ignore without --vulnerabilities or --osv", "give one of them: what is left out counts there alone")
    session = session_of(context)
    compiled = compile_shown(session, target, record)
    inventory = inventory_of(session, target)
    other = replace(inventory_of(session, against), target=name_of(against)) if against else None
    comparison = compare(inventory, other) if other else None
    assessment = assessed(session, inventory, osv, ignore, not vulnerable) if vulnerable or osv else None
    if as_json:
        known = {"vulnerabilities": assessment_form(target, assessment)} if assessment else {}
        print_json(inventory_form(target, inventory, comparison) | known)
        return
    name = name_of(target)
    path = output or Path(f"{name.replace(':', '-')}.html")
    beside = Beside(comparison, assessment, compiled, steps_of(session, target), origin_shown(session, target))
    write(path, render(inventory, name, beside))
    session.output().say(f"{path}: {size(inventory.bytes)} in {len(inventory.packages)} packages; open it in a browser")


def compile_shown(session: Session, target: str, record: Path | None) -> "Compile | None":
    """The compile of the record that was named, else of the first of the tier's wheels of which something is known, as this profile compiles
    it here. Raises ConfigError."""
    from arrstack.contents.report.compile import compile_of
    from arrstack.launch.estimate import known_rows
    from arrstack.launch.record import Row, costs, pieces

    if record is not None:
        try:
            return compile_of(record.read_text(encoding="utf-8"), record.name)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"{record} cannot be read: {why}", "name a record of edges, or none") from None
    for wheel in session.stack.tier(target).wheels if is_tier(session, target) else ():
        if rows := known_rows(session.stack, session.memory, f"{target}/{wheel.name}", wheel):
            made = pieces(costs(rows), len(session.stack.profile.archs)).items()
            return compile_of("".join(Row(seconds, 0.0, 0, 0.0, 0, "", name).line for name, seconds in made), wheel.name)
    return None


def origin_shown(session: Session, target: str) -> str:
    """Who vouches for a tier's image, in a few words; "" for another target."""
    if not is_tier(session, target):
        return ""
    from arrstack.cli.provenance import origin

    return f"provenance: {origin(session, session.plain_registry(), target, session.published(target))}"


def steps_of(session: Session, target: str) -> list[tuple[str, float]]:
    """The steps of a tier's last launch on this machine, and how many seconds each took."""
    if not is_tier(session, target):
        return []
    durations = session.memory.durations()
    return [(step, seconds) for step, seconds in sorted(durations.items()) if step.partition("/")[0] == target]


def vulnerabilities(
    context: typer.Context,
    target: Target,
    osv: Osv = None,
    ignore: IgnoreFile = None,
    offline: Offline = False,
    fixable: Annotated[bool, typer.Option("--fixable", help="Only those that a newer version mends decide the status.")] = False,
    as_json: Json = False,
) -> None:
    """Name an image's known vulnerabilities. And the packages that no source knows about. Status 4 where any counts."""
    from arrstack.cli.contents_view import render
    from arrstack.contents.form import assessment_form

    session = session_of(context)
    inventory = inventory_of(session, target)
    require_packages(inventory)
    found = assessed(session, inventory, osv, ignore, offline)
    if as_json:
        print_json(assessment_form(target, found))
    else:
        session.output().console.print(render(found))
    if found.fixable if fixable else found.found:
        raise typer.Exit(VerificationError.status)


def require_packages(inventory: "Inventory") -> None:
    """Nothing is said to be well of what was not read. Raises VerificationError for what may hold packages and cannot be read, RegistryError where no
    package is known."""
    from arrstack.artifacts.files import Level

    errors = [each for each in inventory.problems if each.level is Level.ERROR]
    for each in errors:
        if HOLDS_PACKAGES.fullmatch(each.path):
            raise VerificationError(
                f"{inventory.target}: {each.path}: {each.message}", "fetch it again, or take it out of the folder"
            )
    if not inventory.packages:
        why = f": {errors[0].path}: {errors[0].message}" if errors else ""
        raise RegistryError(
            f"{inventory.target}: there is no package in it, of which anything could be asked{why}",
            "name an image, a wheel, or a folder of wheels",
        )


def assessed(session: Session, inventory: "Inventory", osv: Path | None, ignore: Path | None, offline: bool) -> "Assessment":
    """What all sources that may be asked say. Raises RegistryError where an archive does not answer, ConfigError for a bad file."""
    from arrstack.contents.advisories import osv as database
    from arrstack.contents.advisories.assessment import assess, rules_in
    from arrstack.contents.advisories.security_archive import ask, security_archives
    from arrstack.registry.download import downloader

    rules = rules_in(read_text(ignore), str(ignore)) if ignore else []
    archives = [] if offline else security_archives(inventory)
    asked = [ask(inventory, archives, downloader(session.environment, trusted=False))] if archives else []
    asked += [database.ask(inventory, osv)] if osv else []
    if not asked:
        raise RegistryError(
            f"{inventory.target}: nothing can be said of its vulnerabilities: "
            + ("no source may be asked" if offline else "its lists name no security archive"),
            "name a database with --osv (docs/guide/contents.md)",
        )
    known = frozenset[str]().union(*(each.known for each in asked))
    return assess(
        [each for source in asked for each in source.found],
        [update for source in asked for update in source.updates],
        [source.coverage for source in asked],
        sum(package.key not in known for package in inventory.packages),
        rules,
        datetime.now(UTC).date(),
    )


def read_text(path: Path) -> str:
    """Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
