"""Vulnerabilities from a database in a file: OSV's form, as one JSON file, a folder of them, or the zip of an ecosystem (`all.zip`).

Source: the OSV schema 1.7. A package matches by name and ecosystem; a version by `versions`, else by the events of its ranges.
"""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from packaging.version import InvalidVersion, Version

from arrstack.contents.advisories.assessment import Asked, Coverage, Vulnerability
from arrstack.contents.advisories.debian_version import DebianVersion
from arrstack.contents.inventory import Inventory, Kind, Package
from arrstack.contents.packages import normal_name
from arrstack.errors import ConfigError

LARGEST_ENTRY = 16 << 20
MOST_ENTRIES = 1_000_000
SEVERITY_OF = {"critical": "critical", "high": "high", "moderate": "medium", "medium": "medium", "low": "low"}


class PackageName(msgspec.Struct):
    ecosystem: str = ""
    name: str = ""


class Range(msgspec.Struct):
    type: str = ""
    events: list[dict[str, str]] = []


class Affected(msgspec.Struct):
    package: PackageName | None = None
    ranges: list[Range] = []
    versions: list[str] = []


class Entry(msgspec.Struct):
    """What of an entry of the database counts; other fields are passed over."""

    id: str
    aliases: list[str] = []
    upstream: list[str] = []
    summary: str = ""
    withdrawn: str | None = None
    affected: list[Affected] = []
    database_specific: dict[str, object] | None = None


def ask(inventory: Inventory, path: Path) -> Asked:
    """Holds every package against every entry. Raises ConfigError where there is no database at that path."""
    wanted = _wanted(inventory)
    found: list[Vulnerability] = []
    ecosystems: set[str] = set()
    count = 0
    for data in _documents(path):
        try:
            entry = msgspec.json.decode(data, type=Entry)
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"{path}: an entry is none of OSV's: {str(error)[:120]}", "take the database as OSV gives it"
            ) from None
        count += 1
        if entry.withdrawn:
            continue
        for affected in entry.affected:
            name = affected.package or PackageName()
            ecosystems.add(name.ecosystem)
            for package in wanted.get((name.ecosystem, _spelled(name)), ()):
                if (fixed := _affects(affected, package)) is not None:
                    found.append(_told(entry, package, fixed, path.name))
    if not count:
        raise ConfigError(f"{path} holds no entry of a database", "name OSV's all.zip, a folder or a JSON file")
    known = frozenset(package.key for (ecosystem, _), each in wanted.items() if ecosystem in ecosystems for package in each)
    limits = f"{count} entries, of {', '.join(sorted(filter(None, ecosystems))[:8]) or 'nothing'}; as old as the file is."
    return Asked(tuple(found), (), Coverage(f"OSV database {path.name}", len(known), limits), known)


def _spelled(name: PackageName) -> str:
    return normal_name(name.name) if name.ecosystem == "PyPI" else name.name


def _wanted(inventory: Inventory) -> Mapping[tuple[str, str], list[Package]]:
    """(ecosystem, name) -> packages. A distribution is named with and without its release; its source packages count."""
    found: dict[tuple[str, str], list[Package]] = {}
    system = inventory.distribution
    for package in inventory.packages:
        if package.kind is Kind.PYTHON:
            names = [("PyPI", package.name)]
        else:
            base = system.id.capitalize()
            names = [
                (ecosystem, package.source) for ecosystem in (base, f"{base}:{system.version}", f"{base}:{system.version}:LTS")
            ]
        for name in names:
            found.setdefault(name, []).append(package)
    return found


def _affects(affected: Affected, package: Package) -> str | None:
    """The version that mends it, "" where none does; None where the package's version is not affected."""
    version = package.source_version if package.kind is Kind.DEBIAN else package.version
    order: Callable[[str], DebianVersion | Version] = DebianVersion if package.kind is Kind.DEBIAN else _python_version
    try:
        here = order(version)
        for each in affected.ranges:
            if each.type in ("ECOSYSTEM", "SEMVER") and (fixed := _within(each, here, order)) is not None:
                return fixed
    except InvalidVersion:
        pass
    listed = affected.versions and (version in affected.versions or version.partition("+")[0] in affected.versions)
    return "" if listed else None


def _within(affected: Range, here: DebianVersion | Version, order: Callable[[str], DebianVersion | Version]) -> str | None:
    """By the events in their order: after `introduced`, before `fixed`, up to `last_affected`."""
    inside = False
    for event in affected.events:
        if "introduced" in event:
            inside = inside or event["introduced"] == "0" or not here < order(event["introduced"])  # type: ignore[operator]
        elif "fixed" in event:
            if inside and here < order(event["fixed"]):  # type: ignore[operator]
                return event["fixed"]
            inside = False
        elif "last_affected" in event:
            if inside and not order(event["last_affected"]) < here:  # type: ignore[operator]
                return ""
            inside = False
    return "" if inside else None


def _python_version(text: str) -> Version:
    return Version(text.partition("+")[0])


def _told(entry: Entry, package: Package, fixed: str, source: str) -> Vulnerability:
    names = [entry.id, *entry.aliases, *entry.upstream]
    cve = next((name for name in names if name.startswith("CVE-")), entry.id)
    said = str((entry.database_specific or {}).get("severity", "")).lower()
    name = package.source if package.kind is Kind.DEBIAN else package.name
    version = package.source_version if package.kind is Kind.DEBIAN else package.version
    return Vulnerability(cve, name, version, fixed, source, SEVERITY_OF.get(said, ""), entry.summary)


# -- files


def _documents(path: Path) -> Iterator[bytes]:
    """The bytes of each entry. Raises ConfigError."""
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*.json"))[:MOST_ENTRIES]:
                yield from _split(_limited(file.stat().st_size, str(file), file.read_bytes))
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist()[:MOST_ENTRIES]:
                    if info.filename.endswith(".json"):
                        yield from _split(_limited(info.file_size, info.filename, lambda info=info: archive.read(info)))  # type: ignore[misc]
        else:
            yield from _split(_limited(path.stat().st_size, str(path), path.read_bytes))
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(
            f"{path} cannot be read as a database: {error}", "name OSV's all.zip, a folder or a JSON file"
        ) from None


def _limited(size: int, name: str, read: Callable[[], bytes]) -> bytes:
    if size > LARGEST_ENTRY:
        raise ConfigError(f"{name}: an entry of {size} bytes", "name OSV's all.zip, a folder or a JSON file")
    return read()


def _split(data: bytes) -> Iterator[bytes]:
    """A document with one entry, or a list of them."""
    if not data.lstrip().startswith(b"["):
        yield data
        return
    try:
        yield from (bytes(each) for each in msgspec.json.decode(data, type=list[msgspec.Raw]))
    except (ValueError, RecursionError):
        yield data
