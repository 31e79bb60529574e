"""Word expansion in a Dockerfile: quotes, escapes and `$NAME` in all its forms.

The rules are those of BuildKit's shell lexer (moby/buildkit, frontend/dockerfile/shell). Buildah reads words by an older
copy of it, which knows fewer forms and always escapes with a backslash (openshift/imagebuilder, shell_parser.go): the
class `Dialect` holds what differs.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from arrstack.recipes.substitution import WordError, replaced, trimmed

SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))))
"""White space as Go's unicode.IsSpace has it."""
SPACE = "".join(sorted(SPACES))
BYTES = re.compile("[\udc80-\udcff]")
"""Bytes that are no UTF-8, as Python holds them (PEP 383); Go reads each as U+FFFD."""
SPECIAL = "@*#?-$!"
"""Parameters of a shell that are one character and have no value here (POSIX, 2.5.2)."""

Lookup = Callable[[str], str | None]
"""A variable's value, or None where it is not set. May raise `Undecided`."""


class Undecided(Exception):
    """The value of a variable is not known from the recipe alone."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Dialect:
    """What one engine's lexer does otherwise. `plain`: the old lexer, with `:-` and `:+` only."""

    escape: str = "\\"
    plain: bool = False


def unset(name: str) -> str | None:
    """The lookup that knows no variable."""
    return None


def expand(word: str, lookup: Lookup, dialect: Dialect = Dialect()) -> str:
    """A word without its quotes and with its variables' values.

    `expand("${A:-x}", {}.get)` is `x`. Raises WordError for a word that the engine refuses, and what `lookup` raises.
    """
    return _Lexer(word, lookup, dialect).whole()[0]


def split(line: str, raw_quotes: bool = False, raw_escapes: bool = False) -> list[str]:
    """The words of a line, at white space outside quotes; variables stay as they are. What is `raw` stays too.

    Raises WordError for quotes that are not closed.
    """
    return _Lexer(line, unset, Dialect(), raw_quotes, raw_escapes, keep_unset=True).whole()[1]


class _Words:
    """The words of a text so far, split as it goes."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.current = ""

    def split(self, text: str) -> None:
        for char in text:
            if char not in SPACES:
                self.current += char
            elif self.current:
                self.words.append(self.current)
                self.current = ""

    def raw(self, text: str) -> None:
        self.current += text

    def all(self) -> list[str]:
        return [*self.words, self.current] if self.current else self.words


class _Lexer:
    def __init__(
        self,
        word: str,
        lookup: Lookup,
        dialect: Dialect,
        raw_quotes: bool = False,
        raw_escapes: bool = False,
        keep_unset: bool = False,
    ) -> None:
        self.text = BYTES.sub("\ufffd", word).removeprefix("\ufeff")  # Go's scanner skips a byte order mark
        self.at = 0
        self.lookup, self.dialect = lookup, dialect
        self.raw_quotes, self.raw_escapes, self.keep_unset = raw_quotes, raw_escapes, keep_unset

    def whole(self) -> tuple[str, list[str]]:
        return self._until("", self.raw_escapes)

    def _peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def _next(self) -> str:
        char = self._peek()
        self.at += 1
        return char

    def _until(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        """The text up to `stop` (none: the end), expanded, and its words."""
        before, self.raw_escapes = self.raw_escapes, raw_escapes
        parts: list[str] = []
        words = _Words()
        while char := self._peek():
            if char == stop:
                self.at += 1
                self.raw_escapes = before
                return "".join(parts), words.all()
            if char == "$":
                found = self._dollar()
                words.split(found)
            elif char in "'\"" or (char == "<" and not self.dialect.plain):
                found = self._single() if char == "'" else self._double() if char == '"' else self._angle()
                words.raw(found)
            else:
                found = self._plain_or_escaped(words)
            parts.append(found)
        if stop:
            raise WordError(f"'{stop}' is missing")
        self.raw_escapes = before
        return "".join(parts), words.all()

    def _plain_or_escaped(self, words: _Words) -> str:
        char = self._next()
        if char != self.dialect.escape:
            words.split(char)
            return char
        escaped = (char if self.raw_escapes else "") + self._next()
        words.raw(escaped)
        return escaped

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise WordError("a single quote is not closed")
        found = self.text[self.at : end + 1]
        self.at = end + 1
        return found if self.raw_quotes else found[1:-1]

    def _double(self) -> str:
        parts = [self._next() if self.raw_quotes else self._next()[1:]]
        while char := self._peek():
            if char == '"':
                self.at += 1
                return "".join(parts) + (char if self.raw_quotes else "")
            parts.append(self._dollar() if char == "$" else self._in_double())
        raise WordError("a double quote is not closed")

    def _in_double(self) -> str:
        char = self._next()
        if char != self.dialect.escape:
            return char
        kept = char if self.raw_escapes else ""
        following = self._peek()
        if not following:
            return kept
        # All other escapes in double quotes stay as they are.
        return kept + (self._next() if following in ('"', "$", self.dialect.escape) else char)

    def _angle(self) -> str:
        """`<<` and the white space behind it, which belongs to the mark of a here-document."""
        found = self._next()
        if self._peek() != "<":
            return found
        found += self._next()
        while self._peek() and self._peek() in "\t\r ":
            found += self._next()
        return found

    def _name(self) -> str:
        first = self._peek()
        if first.isdecimal():
            longest = 1 if self.dialect.plain else len(self.text)
            return self._take(str.isdecimal, longest)
        if first and first in SPECIAL and not self.dialect.plain:
            return self._next()
        return self._take(lambda char: char.isalpha() or char.isdecimal() or char == "_", len(self.text))

    def _take(self, wanted: Callable[[str], bool], most: int) -> str:
        start = self.at
        while self.at - start < most and self.at < len(self.text) and wanted(self.text[self.at]):
            self.at += 1
        return self.text[start : self.at]

    def _value(self, name: str, written: str) -> str:
        value = self.lookup(name) if name else None
        return written if value is None and self.keep_unset else value or ""

    def _dollar(self) -> str:
        self.at += 1
        if self._peek() != "{":
            name = self._name()
            return self._value(name, f"${name}") if name else "$"
        self.at += 1
        if not self.dialect.plain and self._peek() in ("", "{", "}", ":"):
            raise WordError("bad substitution" if self._peek() else "'}' is missing")
        name = self._name()
        operator = self._next()
        if operator == "}":
            return self._value(name, f"${{{name}}}")
        if operator == ":":
            operator += self._next()
        if self.dialect.plain and operator not in (":-", ":+"):
            raise WordError(f"buildah does not know ${{{name}{operator}...}}")
        if operator == "/":
            return self._replaced(name)
        if operator in ("-", "+", "?", "#", "%", ":-", ":+", ":?"):
            return self._modified(name, operator)
        raise WordError(f"${{{name}{operator}...}} is no substitution" if operator else "'}' is missing")

    def _modified(self, name: str, operator: str) -> str:
        word = self._until("}", raw_escapes=operator in ("#", "%"))[0]
        value = self.lookup(name)
        if value is None and self.keep_unset:
            return f"${{{name}{operator}{word}}}"
        is_set = value is not None and (value != "" or operator[0] != ":")
        match operator[-1]:
            case "-":
                return (value or "") if is_set else word
            case "+":
                return word if is_set else ""
            case "?":
                if not is_set:
                    raise WordError(f"{name}: {word or 'is not allowed to be unset or empty'}")
                return value or ""
        return trimmed(value or "", word, operator)

    def _replaced(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self.at += everywhere
        pattern = self._until("/", True)[0]
        replacement = self._until("}", True)[0]
        value = self.lookup(name)
        if value is None and self.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return replaced(value or "", pattern, replacement, everywhere)
