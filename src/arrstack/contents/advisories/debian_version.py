"""Pure: Debian's order of versions. Source: deb-version(7), "Sorting algorithm"."""

import functools
import re

_PARTS = re.compile(r"(\D*)(\d*)", re.ASCII)


@functools.total_ordering
class DebianVersion:
    """`DebianVersion("1:2.0~rc1-1") < DebianVersion("1:2.0-1")`. Any text is a version: what is none sorts as it is written."""

    def __init__(self, text: str) -> None:
        self.text = text
        epoch, colon, rest = text.partition(":")
        number, upstream = (
            (int(epoch), rest) if colon and epoch.isascii() and epoch.isdecimal() and len(epoch) < 10 else (0, text)
        )
        main, dash, revision = upstream.rpartition("-")
        parts = (main, revision) if dash else (upstream, "")
        self.key = (number, *(_key(part) for part in parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DebianVersion) and self.key == other.key

    def __lt__(self, other: "DebianVersion") -> bool:
        return self.key < other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _key(part: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Text and number in turn. A tilde sorts before the end, the end before letters, letters before all else; a part that is absent is 0."""
    found = []
    for text, digits in _PARTS.findall(part or "0"):
        order = tuple(
            -1 if each == "~" else ord(each) if each.isascii() and each.isalpha() else ord(each) + 0x110000 for each in text
        )
        found.append(((*order, 0), int(digits[-1000:] or "0")))
    return tuple(found)
