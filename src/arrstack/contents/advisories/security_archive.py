"""What the distribution's security archive mends: packages that are newer there, and the CVEs that their own changelogs name.

Source: the Debian repository format (`Packages`). Ubuntu's archive has the same form.
"""

import io
import lzma
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from arrstack.contents.advisories.assessment import Asked, Coverage, Update, Vulnerability
from arrstack.contents.advisories.changelog import changelog_in, cves_between
from arrstack.contents.advisories.debian_version import DebianVersion
from arrstack.contents.advisories.sources_list import MOST_ARCHIVES, Archive, archives
from arrstack.contents.inventory import Inventory, Kind, Package
from arrstack.errors import RegistryError

Fetch = Callable[[str, int], bytes]
"""(address, most bytes) -> what it answers. Raises RegistryError."""
LARGEST_INDEX = 64 << 20
LARGEST_INDEX_TEXT = 1 << 30
LARGEST_PACKAGE = 48 << 20
MOST_TRIED = 3
"""Packages of one source that are fetched for its changelog: of some the folder is a link to another's."""
NAME = "distribution's security archive"
UNNAMED = "unnamed"
"""What an update mends, where its changelog cannot be read: it counts as one."""
_FIELDS = (b"Package:", b"Version:", b"Source:", b"Filename:", b"Size:", b"SHA256:")
_SOURCE = re.compile(r"(\S+)(?: \(([^)]*)\))?")


@dataclass(frozen=True)
class Offered:
    """A package of the archive: its source package, and where its file is."""

    name: str
    version: str
    source: str
    source_version: str
    url: str
    size: int
    sha256: str


def security_archives(inventory: Inventory) -> list[Archive]:
    """Those that the image's own lists name: no other is asked."""
    named = [each for path, text in inventory.sources_lists for each in archives(path, text)]
    return list(dict.fromkeys(each for each in named if each.is_security))[:MOST_ARCHIVES]


def ask(inventory: Inventory, named: list[Archive], fetch: Fetch) -> Asked:
    """Asks each archive for its index, and for the changelog of what is newer there. Raises RegistryError where an index does not come.

    ask(inventory, security_archives(inventory), downloader(os.environ, trusted=False)).found
    """
    installed = [package for package in inventory.packages if package.kind is Kind.DEBIAN and is_supported(package)]
    sources = {package.source for package in installed}
    offers = [offer for archive in named for offer in _offers(archive, fetch) if offer.source in sources]
    found: list[Vulnerability] = []
    updates: list[Update] = []
    for source, packages in _older(installed, offers).items():
        newest = max((offer for offer in offers if offer.source == source), key=lambda offer: DebianVersion(offer.source_version))
        available, oldest = newest.source_version, min((each.source_version for each in packages), key=DebianVersion)
        text = _changelog([each for each in offers if (each.source, each.source_version) == (source, available)], fetch)
        ids = [UNNAMED] if text is None else cves_between(text, oldest, available)
        summary = "a security update whose changelog could not be read" if text is None else ""
        found += [Vulnerability(each, source, oldest, available, NAME, summary=summary) for each in ids]
        updates.append(Update(source, tuple(package.name for package in packages), oldest, available, text is not None))
    known = frozenset(package.key for package in installed)
    return Asked(tuple(found), tuple(updates), _coverage(named, updates, len(installed)), known)


def is_supported(package: Package) -> bool:
    """Whether it is of the part of the distribution that gets security updates: sections of another part have its name before them
    (`non-free/libs`)."""
    return "/" not in package.section


def _coverage(named: list[Archive], updates: list[Update], count: int) -> Coverage:
    suites = ", ".join(archive.suite for archive in named)
    unread = [update.source for update in updates if not update.read]
    limits = "It tells what is mended there, and nothing of what nobody has mended yet. A CVE counts where a changelog names it."
    if unread:
        limits += f" The changelogs of {', '.join(unread)} could not be read: each counts as one."
    return Coverage(f"{NAME} ({suites})", count, limits)


def _older(installed: list[Package], offers: list[Offered]) -> dict[str, list[Package]]:
    """Source package -> the installed packages of it that are older than the archive's."""
    newest: dict[str, str] = {}
    for offer in offers:
        if offer.name not in newest or DebianVersion(newest[offer.name]) < DebianVersion(offer.version):
            newest[offer.name] = offer.version
    found: dict[str, list[Package]] = {}
    for package in installed:
        if package.name in newest and DebianVersion(package.version) < DebianVersion(newest[package.name]):
            found.setdefault(package.source, []).append(package)
    return found


def _offers(archive: Archive, fetch: Fetch) -> Iterator[Offered]:
    root = archive.url.rstrip("/")
    for component in archive.components:
        index = f"{root}/dists/{archive.suite.rstrip('/')}/{component}/binary-amd64/Packages.xz"
        for fields in _paragraphs(fetch(index, LARGEST_INDEX), index):
            name, version, file = fields.get("Package", ""), fields.get("Version", ""), fields.get("Filename", "")
            if name and version and ".." not in file and not file.startswith("/"):
                match = _SOURCE.fullmatch(fields.get("Source", "")) or _SOURCE.fullmatch(name)
                source, source_version = (match[1], match[2] or version) if match else (name, version)
                said = fields.get("Size", "")
                size = int(said) if re.fullmatch("[0-9]{1,15}", said) else LARGEST_PACKAGE + 1
                yield Offered(name, version, source, source_version, f"{root}/{file}", size, fields.get("SHA256", ""))


def _paragraphs(data: bytes, where: str) -> Iterator[Mapping[str, str]]:
    """Of an index those fields that are used. Raises RegistryError for what is none, or unpacks to more than any index is."""
    fields: dict[str, str] = {}
    count = 0
    try:
        with lzma.open(io.BytesIO(data)) as lines:
            while line := lines.readline(1 << 20):
                count += len(line)
                if count > LARGEST_INDEX_TEXT:
                    raise RegistryError(f"{where} unpacks to more than {LARGEST_INDEX_TEXT >> 20} MiB")
                if line == b"\n":
                    yield fields
                    fields = {}
                elif line.startswith(_FIELDS):
                    name, _, value = line.decode("utf-8", "replace").partition(":")
                    fields[name] = value.strip()
    except (lzma.LZMAError, EOFError) as error:
        raise RegistryError(f"{where} is no index of packages: {error}") from None
    yield fields


def _changelog(offers: list[Offered], fetch: Fetch) -> str | None:
    """A source package's changelog, out of the smallest of its packages that has one; None where none can be had."""
    for offer in sorted(offers, key=lambda offer: offer.size)[:MOST_TRIED]:
        if offer.size > LARGEST_PACKAGE:
            return None
        try:
            data = fetch(offer.url, offer.size)
        except RegistryError:
            continue
        text = changelog_in(data, offer.name) if sha256(data).hexdigest() == offer.sha256 else None
        if text is not None:
            return text
    return None
