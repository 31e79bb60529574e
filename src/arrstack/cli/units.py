"""Pure: text as rich's console takes it."""

import re

from rich import markup

from arrstack.text import visible

CHUNK = re.compile(r"`[^`]*`\S*|\S+")
"""What stays on one line: a word, a command in backticks."""
INDENT = "  "
NARROWEST = 40
"""Columns of a terminal below which a sentence has too few words on a line: it is left to the terminal."""


def folded(text: str, width: int) -> list[str]:
    """A sentence in lines of at most `width` characters, where a break helps: no word and no command in backticks is broken, and
    what is too long for any line stays behind what stands before it. What begins with a blank is a row or a command: left as it is.

    folded("there is nothing that one has to do here now", 40)    # ["there is nothing that one has to do here", "  now"]
    """
    if len(text) <= width or width < NARROWEST or text.startswith(" "):
        return [text]
    lines = [""]
    for chunk in CHUNK.findall(text):
        longer = f"{lines[-1]} {chunk}" if lines[-1] else chunk
        breaks = lines[-1].strip() and len(longer) > width >= len(INDENT) + len(chunk)
        lines[-1:] = [lines[-1], INDENT + chunk] if breaks else [longer]
    return lines


def escape(text: str) -> str:
    """One line of text for the console: neither the terminal nor rich's markup takes any of it as a command."""
    return markup.escape(visible(text))
