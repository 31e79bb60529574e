"""Pure: wheels -> the pages of a package index, as files for any web server, or for pip and uv by file://.

Sources: the simple repository API (packaging.python.org: PEP 503 for HTML, PEP 691 for JSON, PEP 700 for sizes).
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

API = "1.1"
ROOT = "simple"
HTML, JSON = "index.html", "index.v1_json"
"""The names for a page of each kind that PEP 691 shows for servers that choose by the file's extension."""


@dataclass(frozen=True)
class IndexedWheel:
    """A wheel beside the index: its file name, its SHA-256 in hexadecimal, its size in bytes."""

    file: str
    sha256: str
    size: int

    @property
    def project(self) -> str:
        """The normalized name (PEP 503): `IndexedWheel("A.B-1-py3-none-any.whl", ...).project == "a-b"`."""
        return re.sub(r"[-_.]+", "-", self.file.partition("-")[0]).lower()

    @property
    def version(self) -> str:
        return [*self.file.split("-"), ""][1]


def pages(wheels: Iterable[IndexedWheel]) -> dict[str, str]:
    """Path beside the wheels -> text: `simple/index.html`, `simple/torch/index.html`, and each as JSON."""
    projects: dict[str, list[IndexedWheel]] = {}
    for wheel in sorted(wheels, key=lambda wheel: wheel.file):
        projects.setdefault(wheel.project, []).append(wheel)
    links = [f'<a href="{name}/">{name}</a>' for name in projects]
    listed: dict[str, object] = {"projects": [{"name": name} for name in projects]}
    made = {f"{ROOT}/{HTML}": _html("Wheels", links), f"{ROOT}/{JSON}": _json(listed)}
    for name, held in projects.items():
        made[f"{ROOT}/{name}/{HTML}"] = _html(name, [_link(wheel) for wheel in held])
        made[f"{ROOT}/{name}/{JSON}"] = _json(
            {"name": name, "versions": sorted({wheel.version for wheel in held}), "files": [_file(wheel) for wheel in held]}
        )
    return made


def _address(wheel: IndexedWheel) -> str:
    return f"../../{quote(wheel.file)}"


def _link(wheel: IndexedWheel) -> str:
    return f'<a href="{_address(wheel)}#sha256={wheel.sha256}">{html.escape(wheel.file)}</a>'


def _file(wheel: IndexedWheel) -> dict[str, object]:
    return {"filename": wheel.file, "url": _address(wheel), "hashes": {"sha256": wheel.sha256}, "size": wheel.size}


def _html(title: str, links: Iterable[str]) -> str:
    head = f'<meta charset="utf-8">\n<meta name="pypi:repository-version" content="{API}">\n<title>{title}</title>'
    body = "<br>\n".join(links)
    return f"<!DOCTYPE html>\n<html>\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n"


def _json(document: Mapping[str, object]) -> str:
    return json.dumps({"meta": {"api-version": API}, **document}, indent=1) + "\n"
