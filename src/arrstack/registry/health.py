"""Whether a registry directory is whole, and what to do where it is not.

A loss of power, a full disk or a person can damage any of its files. What an index names is looked at blob by blob, by digest.
Repairing forgets the tags of damaged images, so that a launch makes them anew, and keeps every other.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from arrstack.registry.attachments import is_tag_of_digest
from arrstack.registry.documents import Descriptor, decoded
from arrstack.registry.files import read_regular, write_durably
from arrstack.registry.layout import LARGEST_INDEX, MARK, Corrupt, Layout, named

ENTRY = re.compile(rb'\{[^{}]*"annotations"\s*:\s*\{[^{}]*\}\s*\}')
"""One image in an index that cannot be read as a whole, as this product writes it."""


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it should be: a file of the directory or an image's name, and what is wrong."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} {self.why}"


UNMARKED = Damage("oci-layout", "is missing or damaged")


class Mark(msgspec.Struct):
    imageLayoutVersion: str  # noqa: N815


def check(layout: Layout) -> list[Damage]:
    """All that is damaged in a registry directory; every blob is read. Raises Corrupt for a folder of something else,
    OSError where it cannot be read."""
    if not layout.in_use():
        return []
    layout.require_ours()
    entries, found = outside(layout)
    whole: dict[str, bool] = {}
    for name, descriptor in sorted(entries.items()):
        if why := damage_of(layout, name, descriptor, whole):
            found.append(Damage(name, why))
    return found


def outside(layout: Layout) -> tuple[dict[str, Descriptor], list[Damage]]:
    """The images that an index names, as far as it can be read, and what is wrong with the two files that stand outside
    of the blobs."""
    found = [] if has_mark(layout) else [UNMARKED]
    try:
        return layout.entries(), found
    except FileNotFoundError:
        return {}, [*found, Damage("index.json", "is missing")] if layout.blobs.exists() else found
    except (OSError, ValueError) as error:
        return salvaged(layout), [*found, Damage("index.json", f"is damaged: {error}")]


def has_mark(layout: Layout) -> bool:
    try:
        decoded(read_regular(layout.root / "oci-layout", LARGEST_INDEX), Mark)
    except (OSError, ValueError):
        return False
    return True


def salvaged(layout: Layout) -> dict[str, Descriptor]:
    """What can still be read of a damaged index, as far as the images are there."""
    try:
        data = read_regular(layout.root / "index.json", LARGEST_INDEX)
    except OSError:
        return {}
    found: dict[str, Descriptor] = {}
    for text in ENTRY.findall(data):
        try:
            found |= named([decoded(text, Descriptor)])
        except ValueError:
            continue
    return {name: entry for name, entry in found.items() if name and not damage_of(layout, name, entry, {}, by_size=True)}


def damage_of(layout: Layout, name: str, descriptor: Descriptor, whole: dict[str, bool], by_size: bool = False) -> str:
    """What is wrong with an image; '' for nothing. `whole` remembers the blobs that were read already; `by_size` compares
    the layers' sizes alone."""
    try:
        for part in [] if by_size else layout.parts(descriptor):
            if part.digest not in whole:
                whole[part.digest] = layout.whole(part)
            if not whole[part.digest]:
                raise Corrupt(f"blob {part.digest} is missing or damaged")
        repository, _, tag = name.partition(":")
        if not is_tag_of_digest(tag):
            layout.image(repository, descriptor)
    except (Corrupt, OSError) as error:
        return f"is damaged: {error}"
    return ""


def heal(layout: Layout) -> list[str]:
    """Makes the two files outside of the blobs anew where they are damaged, under the caller's lock; a line for each. The
    damaged index stays beside the new one. Raises OSError."""
    entries, found = outside(layout)
    told = [f"{layout.root}: {each}; it is made anew" for each in found]
    if any(each.what == "oci-layout" for each in found):
        write_durably(layout.root / "oci-layout", MARK)
    if any(each.what == "index.json" for each in found):
        index = layout.root / "index.json"
        if index.is_file():
            index.replace(layout.root / "index.json.damaged")
        layout.write_index(entries)
        told.append(f"{layout.root}: {len(entries)} images of the damaged index are still known")
    return told


def repair(layout: Layout, say: Callable[[str], None]) -> list[Damage]:
    """Makes a directory whole: forgets damaged images and removes damaged blobs. Returns what was damaged.

    Raises Corrupt for a folder of something else, OSError.
    """
    if not layout.in_use():
        return []
    layout.require_ours()
    marked = has_mark(layout)  # who writes makes a mark
    with layout.writing():
        found = list(dict.fromkeys([*([] if marked else [UNMARKED]), *check(layout)]))
        for line in heal(layout):
            say(line)
        entries = layout.entries()
        damaged = {each.what for each in found}
        whole = {name: entry for name, entry in entries.items() if name not in damaged}
        for name in sorted(entries.keys() - whole.keys()):
            remove_damaged(layout, entries[name])
        layout.write_index(whole)
    return found


def remove_damaged(layout: Layout, descriptor: Descriptor) -> None:
    """The blobs of an image that are not what they should be, so that the next push sends them again."""
    try:
        parts = layout.parts(descriptor)
    except (Corrupt, OSError):
        parts = [descriptor]
    for part in parts:
        path = layout.path(part.digest)
        if (path.exists() or path.is_symlink()) and not layout.whole(part):
            path.unlink()
