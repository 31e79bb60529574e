"""An inventory, and what else is known of an image, as one HTML page that needs no network.

Every text of the image goes through `visible` and the template's escapes; the page's own policy (Content-Security-Policy) lets nothing run
but the one script in it, by its digest.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from arrstack import __version__
from arrstack.contents.advisories.assessment import Assessment, Vulnerability
from arrstack.contents.inventory import Cell, Inventory, Kind, Library, Part
from arrstack.contents.packages import normal_name
from arrstack.contents.report.comparison import Comparison, code_bytes
from arrstack.contents.report.compile import Compile
from arrstack.model import compiled_in, short
from arrstack.text import duration, size, visible

MOST_ROWS = 3000
SMALLEST_CELL = 2000
"""A cell below this share of the whole (1 / SMALLEST_CELL) is drawn with its like as one."""


@dataclass(frozen=True)
class Beside:
    """What is known besides the files: each None or empty where it is not."""

    comparison: Comparison | None = None
    assessment: Assessment | None = None
    compile: Compile | None = None
    steps: Sequence[tuple[str, float]] = ()
    """The steps of the last launch on this machine, and how many seconds each took."""
    provenance: str = ""
    """A sentence on how the image's origin was checked."""


@dataclass(frozen=True)
class Row:
    """A library of the census: its bytes by architecture."""

    library: Library
    cells: tuple[tuple[int, float], ...]


def render(inventory: Inventory, name: str, beside: Beside) -> str:
    """The page: the same for the same image and the same knowledge.

    Path("report.html").write_text(render(take_inventory(source), "arr-trainer", Beside()))
    """
    script, style = _asset("report.js"), _asset("report.css")
    return _template().render(
        inventory=inventory,
        name=name,
        beside=beside,
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '{_digest(script)}'",
        data=Markup(_data(inventory, beside)),
        census=census(inventory),
        code=code_bytes(inventory),
        packages=inventory.packages[:MOST_ROWS],
        compiled=compiled_in(inventory.labels),
        part_name=_part_name,
        parts=_listed(inventory),
        largest_part=max([1, *(part.bytes for part in inventory.parts)]),
        vulnerable=grouped(beside.assessment.found) if beside.assessment else [],
        ours=frozenset(normal_name(each.distribution) for each in compiled_in(inventory.labels)),
    )


@cache
def _template() -> Template:
    """The page's template: to compile it takes longer than to fill it."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "size": size,
        "duration": duration,
        "short": short,
        "percent": _percent,
        "signed": _signed,
        "seconds": _seconds,
    }
    return environment.from_string(_asset("report.html.j2"))


@dataclass(frozen=True)
class Group:
    """The vulnerabilities of a package that one version mends, as one source says."""

    package: str
    installed: str
    fixed: str
    source: str
    found: tuple[Vulnerability, ...]


def grouped(found: Sequence[Vulnerability]) -> list[Group]:
    """In the order of the worst of each."""
    groups: dict[tuple[str, str, str, str], list[Vulnerability]] = {}
    for each in found:
        groups.setdefault((each.package, each.installed, each.fixed, each.source), []).append(each)
    return [Group(*key, tuple(members)) for key, members in groups.items()]


def _listed(inventory: Inventory) -> list[tuple[int, Part]]:
    """The layers in their order; wheels, which have none, by size."""
    numbered = list(enumerate(inventory.parts))
    return numbered if inventory.kind == "image" else sorted(numbered, key=lambda item: -item[1].bytes)


def census(inventory: Inventory) -> list[Row]:
    """The libraries with device code, the largest amount of it first. A cell: its bytes, and how dark it is (0 to 1)."""
    found = [library for library in inventory.libraries if library.code]
    largest = max((amount.bytes for library in found for amount in library.code.values()), default=1) or 1
    found.sort(key=lambda library: (-sum(amount.bytes for amount in library.code.values()), library.path))

    def cell(library: Library, architecture: str) -> tuple[int, float]:
        amount = library.code.get(architecture)
        return (amount.bytes, (amount.bytes / largest) ** 0.5) if amount else (0, 0.0)

    return [Row(library, tuple(cell(library, name) for name in inventory.architectures)) for library in found]


def _shown(value: object) -> object:
    """What the template prints: text of the image without anything that draws nothing."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.001 else "under 0.1%" if share else "0%"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _signed(count: int) -> str:
    return f"{'+' if count > 0 else '−' if count < 0 else ''}{size(abs(count))}"


def _asset(name: str) -> str:
    return resources.files("arrstack.contents.report").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """As a policy names a script (CSP level 3, "hash-source")."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _data(inventory: Inventory, beside: Beside) -> str:
    """What the script draws, as JSON that may stand in a script element: no `<` in it."""
    document = {
        "parts": [
            {"name": _part_name(number, part), "made": visible(part.made_by), "stored": part.stored, "bytes": part.bytes}
            for number, part in enumerate(inventory.parts)
        ],
        "numbered": inventory.kind == "image" and len(inventory.parts) > 1,
        "cells": _cells(inventory),
        "compile": _compile(beside.compile) if beside.compile else None,
    }
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _cells(inventory: Inventory) -> list[list[object]]:
    """[part, name, colour, bytes, files]; what is too small to be seen is one cell of its part and colour."""
    ours = {normal_name(each.distribution) for each in compiled_in(inventory.labels)}
    smallest = inventory.bytes / SMALLEST_CELL
    drawn: list[list[object]] = []
    rest: dict[tuple[int, str], tuple[int, int, int]] = {}
    for cell in inventory.cells:
        colour = _colour(cell, ours)
        if cell.bytes >= smallest:
            drawn.append([cell.part, _cell_name(cell), colour, cell.bytes, cell.files])
        else:
            count, held, files = rest.get((cell.part, colour), (0, 0, 0))
            rest[cell.part, colour] = count + 1, held + cell.bytes, files + cell.files
    for (part, colour), (count, held, files) in rest.items():
        if held:
            drawn.append([part, f"{count} smaller", colour, held, files])
    return drawn


def _part_name(number: int, part: Part) -> str:
    if part.name.startswith("sha256:"):
        return "the base" if number == 0 and not part.made_by else short(part.name)
    name = part.name.rpartition("/")[2]
    return visible("-".join(name.split("-")[:2]) if name.endswith(".whl") else name)


def _cell_name(cell: Cell) -> str:
    """Without its kind, which the colour says, and without the one architecture that nearly all have."""
    name = cell.owner.partition(" ")[2] if cell.is_package else cell.owner
    return visible(name.removesuffix(":amd64").removesuffix(":all"))


def _colour(cell: Cell, ours: set[str]) -> str:
    if not cell.is_package:
        return "files"
    kind, _, name = cell.owner.partition(" ")
    if kind == Kind.DEBIAN:
        return "deb"
    return "ours" if name in ours else "python"


def _compile(found: Compile) -> dict[str, object]:
    return {
        "names": [visible(edge.name) for edge in found.edges],
        "replays": [
            {
                "jobs": replay.jobs,
                "seconds": round(replay.seconds, 2),
                "bound": round(replay.bound, 2),
                "bars": [
                    [bar.edge, bar.lane, round(bar.begin, 2), round(bar.end - bar.begin, 2), int(bar.decides)]
                    for bar in replay.bars
                    if bar.end > bar.begin
                ],
            }
            for replay in found.replays
        ],
    }
