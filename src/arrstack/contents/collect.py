"""From a target to its inventory: every file once, as a stream, nothing unpacked to disk."""

import hashlib
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from arrstack.artifacts.blob import BlobError
from arrstack.artifacts.deflate import in_order
from arrstack.artifacts.files import File, Item, Level, Link, Problem, Source
from arrstack.artifacts.layers import merge_layers
from arrstack.artifacts.layout import OciLayout, StoredImage
from arrstack.artifacts.wheel import WheelFile
from arrstack.contents import packages as reading
from arrstack.contents.inventory import Distribution, Inventory, Kind, Package, Part
from arrstack.contents.owners import Owners, TooMany, list_owner, normalised
from arrstack.contents.savings import Savings
from arrstack.contents.summary import Seen, summary
from arrstack.model import LABEL_CREATED
from arrstack.verify.elf import MAGIC as ELF_MAGIC
from arrstack.verify.facts import Library as LibraryFacts
from arrstack.verify.header_index import HeaderIndex
from arrstack.verify.library import is_interesting, read_library

MAX_STATUS = 64 << 20
MAX_METADATA = 1 << 20
MAX_WHEELS = 1000
MAX_SOURCES = 50
LONGEST_INSTRUCTIONS = 400
_ENGINES_WORDS = re.compile(r"^/bin/sh( -c( #\(nop\) )?)?")
_ENGINES_NAMES = re.compile(r"(?<=COPY )(?:dir|file|multi):[0-9a-f]{64} in |(?<=ADD )(?:dir|file|multi):[0-9a-f]{64} in ")
_SETTINGS = ("LABEL ", "ENV ", "CMD ", "ENTRYPOINT ", "ARG ", "USER ", "WORKDIR ", "EXPOSE ", "STOPSIGNAL ", "VOLUME ", "SHELL ")
_METADATA = (".dist-info/METADATA", ".egg-info/PKG-INFO")
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")


@dataclass
class _Part:
    """A part while it is read."""

    name: str
    made_by: str = ""
    stored: int = 0
    files: int = 0
    bytes: int = 0
    all_bytes: int = 0

    def finished(self) -> Part:
        return Part(self.name, self.made_by, self.stored, self.files, self.bytes, max(0, self.all_bytes - self.bytes))


@dataclass
class _Collection:
    """What has been found so far; `here` is the part that is being read."""

    parts: list[_Part]
    here: int = 0
    seen: list[Seen] = field(default_factory=list)
    libraries: list[LibraryFacts] = field(default_factory=list)
    packages: dict[str, Package] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    licences: dict[str, tuple[str, ...]] = field(default_factory=dict)
    doc_links: dict[str, str] = field(default_factory=dict)
    owners: Owners = field(default_factory=Owners)
    savings: Savings = field(default_factory=Savings)
    problems: list[Problem] = field(default_factory=list)
    sources_lists: list[tuple[str, str]] = field(default_factory=list)
    distribution: Distribution = field(default_factory=Distribution)

    def note(self, layer: int, size: int) -> None:
        self.here = layer
        self.parts[layer].all_bytes += size

    def take(self, items: Iterator[Item]) -> None:
        for item in items:
            match item:
                case Problem():
                    self.problems.append(item)
                case Link():
                    self._link(item)
                case File():
                    self._file(item)

    def _link(self, link: Link) -> None:
        if link.path.startswith("usr/share/doc/") and link.path.count("/") == 3:
            self.doc_links[posixpath.basename(link.path)] = posixpath.basename(link.target.rstrip("/"))

    def _file(self, file: File) -> None:
        try:
            digest = self._content(file)
        except BlobError as error:
            self.problems.append(Problem(Level.ERROR, file.path, str(error)))
            digest = b""
        except TooMany as error:
            self.problems.append(Problem(Level.ERROR, file.path, f"{error}: the others were not looked at"))
            digest = b""
        self.parts[self.here].files += 1
        self.parts[self.here].bytes += file.size
        self.savings.note(file)
        self.seen.append(Seen(file.path, file.size, self.here, digest))

    def _content(self, file: File) -> bytes:
        """Reads a file once, and keeps what it tells; the digest of its bytes. Raises BlobError and TooMany."""
        if is_interesting(file.path, file.head):
            return self._library(file)
        if reader := self._reader(file.path):
            blob = file.open()
            reader(file.path, blob.read(0, MAX_STATUS).decode("utf-8", "replace"))
            return _digest(in_order(blob))
        return _digest(file.chunks())

    def _library(self, file: File) -> bytes:
        blob = file.open()
        facts, problems = read_library(file.path, blob)
        self.libraries.append(facts)
        self.problems += problems
        if file.head.startswith(ELF_MAGIC):
            self.savings.note_sections(file.path, blob)
        return _digest(in_order(blob))

    def _reader(self, path: str) -> Callable[[str, str], None] | None:
        """What reads a text that says something of the packages; None for every other file."""
        if path == "var/lib/dpkg/status" or path.startswith("var/lib/dpkg/status.d/"):
            return self._debian_status
        if path.startswith("var/lib/dpkg/info/") and path.endswith(".list"):
            return self._debian_list
        if path.startswith("usr/share/doc/") and path.endswith("/copyright") and path.count("/") == 4:
            return self._debian_copyright
        if path.endswith(_METADATA):
            return self._python_metadata
        if path.endswith(".dist-info/RECORD"):
            return self._python_record
        if path == "etc/apt/sources.list" or (
            path.startswith("etc/apt/sources.list.d/") and len(self.sources_lists) < MAX_SOURCES
        ):
            return self._sources_list
        return self._os_release if path in _OS_RELEASE else None

    def _debian_status(self, path: str, text: str) -> None:
        if not path.endswith(".md5sums"):
            self.packages |= {package.key: package for package in reading.debian_packages(text)}

    def _debian_list(self, path: str, text: str) -> None:
        self.owners.own(list_owner(path), (line[:4096] for line in text.splitlines()))

    def _debian_copyright(self, path: str, text: str) -> None:
        self.licences[path.split("/")[3]] = reading.debian_licences(text)

    def _python_metadata(self, path: str, text: str) -> None:
        if package := reading.python_package(path, text[:MAX_METADATA]):
            named = normalised(package)
            self.packages[named.key] = named
            self.metadata[named.key] = path

    def _python_record(self, path: str, text: str) -> None:
        name = posixpath.basename(posixpath.dirname(path)).partition("-")[0]
        self.owners.own(f"{Kind.PYTHON.value} {reading.normal_name(name)}", reading.recorded_paths(path, text))

    def _sources_list(self, path: str, text: str) -> None:
        self.sources_lists.append((path, text[:MAX_METADATA]))

    def _os_release(self, path: str, text: str) -> None:
        self.distribution = reading.distribution(text)


def take_inventory(source: Source) -> Inventory:
    """What is in an image, a directory or a wheel. A directory of wheels, as `pip download` makes it, is read wheel by wheel.

    What cannot be read becomes a problem of the inventory. Raises ArrstackError of the source.

        take_inventory(open_target("oci:registry:arr-trainer:latest", HeaderIndex)).packages
    """
    if isinstance(source, OciLayout):
        return _of_image(source)
    found = _Collection([_Part(source.name, stored=source.open().size if isinstance(source, WheelFile) else 0)])
    found.take(_wheels_apart(source, found))
    _drop_empty_parts(found)
    return _finished(found, source, "", "", {})


def _drop_empty_parts(found: _Collection) -> None:
    """Beside wheels a directory need not have files of its own."""
    kept = [number for number, part in enumerate(found.parts) if part.files] or [0]
    places = {number: place for place, number in enumerate(kept)}
    found.parts = [found.parts[number] for number in kept]
    found.seen = [file._replace(part=places[file.part]) for file in found.seen]


def _wheels_apart(source: Source, found: _Collection) -> Iterator[Item]:
    """A source's items without its wheels, each of which becomes a part of the collection when it is met."""
    for item in source.items():
        if not isinstance(item, File) or not item.path.endswith(".whl") or len(found.parts) > MAX_WHEELS:
            yield item
            continue
        found.parts.append(_Part(item.path, stored=item.size))
        found.here = len(found.parts) - 1
        found.take(WheelFile(item.path, item.open, HeaderIndex).items())
        found.here = 0


def _of_image(source: OciLayout) -> Inventory:
    try:
        image = source.image()
    except BlobError as error:
        empty = _Collection([_Part(source.name)], problems=[Problem(Level.ERROR, source.name, str(error))])
        return _finished(empty, source, "", "", {})
    made = _made_by(image)
    parts = [_Part(layer.digest, text, layer.size) for layer, text in zip(image.layers, made, strict=True)]
    found = _Collection(parts or [_Part(source.name)])
    found.take(merge_layers([layer.layer for layer in image.layers], found.note))
    run = image.config.get("config")
    labels = run.get("Labels") if isinstance(run, dict) else None
    texts = {str(name): str(text) for name, text in labels.items()} if isinstance(labels, dict) else {}
    # The config's own date is the same for every image of this product, so that no build's time changes a layer.
    return _finished(found, source, image.digest, texts.get(LABEL_CREATED) or str(image.config.get("created") or ""), texts)


def _made_by(image: StoredImage) -> list[str]:
    """The instructions of each layer, by the config's history; "" where that does not fit the layers (it is optional).

    An engine that makes one layer of a stage lists its instructions as empty, before the one that ends the layer.
    """
    history = image.config.get("history")
    made: list[str] = []
    here: list[str] = []
    for step in history if isinstance(history, list) else []:
        if isinstance(step, dict):
            here.append(str(step.get("created_by") or ""))
            if not step.get("empty_layer"):
                made.append(_instructions(here))
                here = []
    return made if len(made) == len(image.layers) else [""] * len(image.layers)


def _instructions(texts: list[str]) -> str:
    """Those that write files, without what an engine puts before them."""
    plain = [_ENGINES_NAMES.sub("", _ENGINES_WORDS.sub("", text)).strip() for text in texts]
    return "; ".join(text for text in plain if text and not text.startswith(_SETTINGS))[:LONGEST_INSTRUCTIONS]


def _finished(found: _Collection, source: Source, digest: str, created: str, labels: Mapping[str, str]) -> Inventory:
    licences = found.licences | {
        name: found.licences[target] for name, target in found.doc_links.items() if target in found.licences
    }
    told = [
        replace(package, licences=licences.get(package.name, ())) if package.kind is Kind.DEBIAN else package
        for package in found.packages.values()
    ]
    for package in told:
        found.owners.own_folders(package)
    sums = summary(found.seen, found.libraries, told, found.owners, found.metadata)
    return Inventory(
        target=source.name,
        kind=source.kind,
        digest=digest,
        created=created,
        labels=labels,
        distribution=found.distribution,
        parts=tuple(part.finished() for part in found.parts),
        packages=sums.packages,
        libraries=sums.libraries,
        cells=sums.cells,
        duplicates=sums.duplicates,
        savings=found.savings.result(sums.duplicates),
        problems=tuple(found.problems),
        files=len(found.seen),
        sources_lists=tuple(found.sources_lists),
    )


def _digest(chunks: Iterator[bytes]) -> bytes:
    hashed = hashlib.sha256()
    for chunk in chunks:
        hashed.update(chunk)
    return hashed.digest()
