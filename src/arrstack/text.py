"""Text for a person. That of someone else, what a log, a label, a tag, a path or a server says, is shown, never executed."""

import re

_UNSEEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: escape sequences, and what begins or ends a line
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\u2800"  # no ink
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0d\ufeff\ufff0-\ufffb"  # zero width, direction, line separators
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff"  # no character at all: a byte that is not UTF-8 arrives as one
    "]|(?<![\u2190-\u2bff\u3030\u303d\U0001f000-\U0001faff])[\ufe0e\ufe0f]"  # as a symbol's form they are seen
)
"""Unicode's general categories Cc, Cf (but for the few that draw a mark), Zl, Zp and Cs, and its Default_Ignorable_Code_Point
(DerivedCoreProperties.txt)."""
_ESCAPED_BYTES = range(0xDC80, 0xDD00)
"""Where PEP 383 (`surrogateescape`) puts the bytes 0x80 to 0xff."""


def visible(text: str) -> str:
    """One line of foreign text, with every character that draws nothing as its escape: `visible("a\\x1b[2J")` is `a\\x1b[2J`, seven
    characters. A tab becomes a space, a newline becomes `\\n`: no text makes a line of its own."""
    return _UNSEEN.sub(_escape, text)


def visible_lines(text: str, indent: str = "  ") -> str:
    """A message of several lines. Every line after the first is indented, so that none looks like a line of ours."""
    return f"\n{indent}".join(visible(line) for line in text.split("\n"))


def visible_json(document: str) -> str:
    """A JSON document with the same characters as JSON's own escapes (RFC 8259, section 7). Its value stays the same.

    The white space between its tokens may be blanks and newlines.
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(found[0]), document)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = whole / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def counted(count: int, one: str, many: str = "") -> str:
    """counted(2, "day") == "2 days"; `many` is a plural that is not made by an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def size(count: int) -> str:
    """Bytes as a person says them."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit in ("B", "KiB") else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] == "\t":
        return " "
    if found[0] in "\n\r":
        return "\\n" if found[0] == "\n" else "\\r"
    if code in _ESCAPED_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
