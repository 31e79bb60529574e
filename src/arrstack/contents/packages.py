"""Pure: what package managers write down -> packages. What is not of the form is passed over: anybody may have written it.

Sources: deb-control(5) and dpkg's status file; machine-readable debian/copyright files, version 1.0; the PyPA's "Core metadata
specifications" 2.4 and "Recording installed projects"; os-release(5).
"""

import csv
import email.parser
import posixpath
import re
from collections.abc import Iterator, Mapping

from arrstack.artifacts.files import normal_path
from arrstack.contents.inventory import Distribution, Kind, Package

LONGEST_LICENCE = 120
"""Characters of a licence's name: some authors put its whole text there."""
MOST_LICENCES = 40
_FIELD = re.compile(r"^([!-9;-~]+):[ \t]*(.*)$")
_SOURCE = re.compile(r"(\S+)(?: \(([^)]*)\))?")
_LICENCE = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE | re.IGNORECASE)
_COMMON_LICENCE = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")
_CLASSIFIER = "License :: "
_UNSAID = ("", "unknown", "none", "license", "dual license")


def stanzas(text: str) -> Iterator[Mapping[str, str]]:
    """The paragraphs of a control file, each field by its name; of one that goes on over several lines the first alone."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if match := _FIELD.match(line):
            fields.setdefault(match[1], match[2].strip())
        elif not line.strip() and fields:
            yield fields
            fields = {}
    if fields:
        yield fields


def debian_packages(status: str) -> list[Package]:
    """The installed packages of a dpkg status file, or of one file of `status.d` as distroless images have them."""
    found = []
    for fields in stanzas(status):
        name, version = fields.get("Package", ""), fields.get("Version", "")
        if not name or not version or not fields.get("Status", "install ok installed").endswith(" installed"):
            continue
        source = _SOURCE.fullmatch(fields.get("Source", "")) or _SOURCE.fullmatch(name)
        found.append(
            Package(
                Kind.DEBIAN,
                name,
                version,
                fields.get("Architecture", ""),
                source[1] if source else name,
                (source[2] if source else "") or version,
                section=fields.get("Section", ""),
            )
        )
    return found


def debian_licences(text: str) -> tuple[str, ...]:
    """The short names in a copyright file; of one that no machine reads the common licences that it refers to."""
    machine_readable = text.lstrip().startswith(("Format:", "Format-Specification:"))
    names = (machine_readable and _LICENCE.findall(text)) or _COMMON_LICENCE.findall(text)
    return tuple(sorted({name.strip()[:LONGEST_LICENCE] for name in names})[:MOST_LICENCES])


def python_package(path: str, text: str) -> Package | None:
    """The package whose METADATA or PKG-INFO stands at that path; None where it names none."""
    headers = email.parser.HeaderParser().parsestr(text)
    name, version = str(headers.get("Name", "")).strip(), str(headers.get("Version", "")).strip()
    if not name or not version:
        return None
    classifiers = [str(each) for each in headers.get_all("Classifier", [])]
    licences = _python_licences(str(headers.get("License-Expression", "")), str(headers.get("License", "")), classifiers)
    return Package(Kind.PYTHON, name, version, licences=licences, where=posixpath.dirname(posixpath.dirname(path)))


def _python_licences(expression: str, text: str, classifiers: list[str]) -> tuple[str, ...]:
    """As the package states them: the expression, else the classifiers, else the free text where that is short."""
    if expression.strip():
        return (expression.strip()[:LONGEST_LICENCE],)
    named = {each.rpartition(" :: ")[2] for each in classifiers if each.startswith(_CLASSIFIER)} - {"OSI Approved"}
    if named:
        return tuple(sorted(name[:LONGEST_LICENCE] for name in named))
    line = text.strip()
    return (line,) if line.lower() not in _UNSAID and len(line) <= LONGEST_LICENCE and "\n" not in line else ()


def recorded_paths(record: str, text: str) -> Iterator[str]:
    """The paths in a wheel's RECORD, which stands at the path `record`, from the root of the target."""
    site = posixpath.dirname(posixpath.dirname(record))
    rows = csv.reader(text.splitlines())
    while True:
        try:
            row = next(rows, None)
        except csv.Error:
            continue
        if row is None:
            return
        if row and row[0]:
            yield normal_path(posixpath.normpath(posixpath.join("/", site, row[0])))


def normal_name(name: str) -> str:
    """A Python package's name as every spelling of it means (PEP 503): `Ruamel.YAML` is `ruamel-yaml`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distribution(text: str) -> Distribution:
    """From an os-release file."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    values = {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
    return Distribution(
        values.get("ID", ""), values.get("VERSION_ID", ""), values.get("VERSION_CODENAME", ""), values.get("PRETTY_NAME", "")
    )
