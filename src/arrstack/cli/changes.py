"""Pure: what differs between two trees of inputs, as a person reads it."""

import difflib
import re

from arrstack.launch.plan import NEVER, PARENT
from arrstack.model import Change, short

DIGEST = re.compile(r"\b(?:sha256:)?[0-9a-f]{64}\b")
LONGEST = 60
"""Characters of a value that stands in a line; longer ones, and those of several lines, are shown as a diff."""


def in_a_line(change: Change) -> str:
    """A change in one line: `changed image/file app.py: 4f1c... -> 9a0b...`, digests at twelve digits."""
    if change == NEVER:
        return "never built here"
    if change.leaf == PARENT and change.new == "rebuilt":
        return "stands on a tier that is built first; if that comes out the same, this one is reused"
    old, new = ("nothing" if value is None else clipped(shortened(value)) for value in (change.old, change.new))
    return f"{change.kind} {change.leaf}: {new if change.old is None else f'{old} -> {new}'}"


def in_full(change: Change) -> list[str]:
    """A change in lines: values that are texts as a diff of their lines."""
    old, new = (shortened(value or "") for value in (change.old, change.new))
    if max(len(old), len(new)) <= LONGEST and "\n" not in old + new:
        return [in_a_line(change)]
    lines = difflib.unified_diff(broken(old), broken(new), n=1, lineterm="")
    return [f"{change.kind} {change.leaf}:", *(f"  {line}" for line in list(lines)[2:] if not line.startswith("@@"))]


def broken(text: str) -> list[str]:
    """The lines of an instruction; one long line at the places where a shell's or a flag's part begins."""
    return [line for whole in text.splitlines() for line in re.split(r"(?<=&&) | (?=--|&&|\|\| )", whole)]


def shortened(text: str) -> str:
    return DIGEST.sub(lambda found: short(found[0]), text)


def clipped(text: str) -> str:
    text = " ".join(text.split("\n"))
    return text if len(text) <= 80 else text[:77] + "..."
