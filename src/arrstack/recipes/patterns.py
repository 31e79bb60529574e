"""Patterns of paths, as Go's filepath.Match has them: COPY reads `*`, `?`, `[a-z]` and a backslash before either by it.

`Matcher` is what these and ignore rules are made into. It never backtracks for long: with more than two stars all states of
the pattern are followed at once, so the time is linear in the path's length.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

META = frozenset("*?[")
NAME_CHARACTER = "[^/]"
"""What `*` and `?` stand for: any character of a name, a line break too."""
FEW = 2
"""Stars up to which a regular expression is tried, which is quick in C and at worst quadratic."""


class PatternError(ValueError):
    """The pattern is malformed; the engines refuse it too. The message says what is wrong."""


@dataclass(frozen=True)
class Token:
    """A part of a pattern. `character` is a regular expression for one character; `many`: any number of these; `folders`: `(.*/)?`."""

    character: str
    many: bool = False
    folders: bool = False

    @property
    def expression(self) -> str:
        return "(?:.*/)?" if self.folders else self.character + "*" if self.many else self.character


class Matcher:
    """Whether a whole path is what a sequence of tokens stands for.

    `Matcher(tokens_of("*.py")).matches("a.py")` is true.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tuple(tokens)

    def matches(self, path: str) -> bool:
        if sum(token.many or token.folders for token in self.tokens) <= FEW:
            return self._expression.fullmatch(path) is not None
        return self._automaton.matches(path)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile("".join(token.expression for token in self.tokens))

    @cached_property
    def _automaton(self) -> "_Automaton":
        return _Automaton(self.tokens)


class _Automaton:
    """All states of a pattern at once, each a bit: state n stands before part n."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.parts: list[Token] = []
        skips: dict[int, int] = {}
        for token in tokens:
            if token.folders:  # any characters and a slash, or nothing at all
                skips[len(self.parts)] = len(self.parts) + 2
                self.parts += [Token(".", many=True), Token("/")]
            else:
                self.parts.append(token)
        self.closures = [0] * (len(self.parts) + 1)
        for state in range(len(self.parts), -1, -1):
            reached = 1 << state
            if state < len(self.parts) and self.parts[state].many:
                reached |= self.closures[state + 1]
            if state in skips:
                reached |= self.closures[skips[state]]
            self.closures[state] = reached
        self.steps: dict[str, tuple[int, int]] = {}

    def _step(self, char: str) -> tuple[int, int]:
        """The states that a character leads on from, and those that it may stay in."""
        if char not in self.steps:
            on = stay = 0
            for state, part in enumerate(self.parts):
                if re.fullmatch(part.character, char):
                    on |= 0 if part.many else 1 << state
                    stay |= 1 << state if part.many else 0
            self.steps[char] = on, stay
        return self.steps[char]

    def _closed(self, states: int) -> int:
        closed = 0
        while states:
            lowest = states & -states
            closed |= self.closures[lowest.bit_length() - 1]
            states ^= lowest
        return closed

    def matches(self, path: str) -> bool:
        states = self.closures[0]
        for char in path:
            on, stay = self._step(char)
            states = self._closed((states & on) << 1 | states & stay)
            if not states:
                return False
        return bool(states >> len(self.parts) & 1)


def has_meta(path: str) -> bool:
    """Whether COPY looks a path up as a pattern; a backslash takes the meaning of what follows it."""
    return bool(META & set(re.sub(r"\\.", "", path, flags=re.DOTALL)))


def tokens_of(pattern: str) -> list[Token]:
    """A pattern of filepath.Match. Raises PatternError where it is malformed."""
    tokens: list[Token] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if not (tokens and tokens[-1].many):
                tokens.append(Token(NAME_CHARACTER, many=True))
        elif char == "?":
            tokens.append(Token(NAME_CHARACTER))
        elif char == "[":
            text, at = character_class(pattern, at)
            tokens.append(Token(text))
        else:
            if char == "\\":
                char = pattern[at : at + 1]
                at += 1
                if not char:
                    raise PatternError("nothing follows its last backslash")
            tokens.append(Token(re.escape(char)))
    return tokens


def character_class(pattern: str, at: int) -> tuple[str, int]:
    """The class behind the `[` before `at`, as a regular expression, and where it ends. Raises PatternError."""
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges = ""
    members = 0
    while not (members and pattern[at : at + 1] == "]"):
        low, at = class_member(pattern, at)
        high = low
        if pattern[at] == "-":
            high, at = class_member(pattern, at + 1)
        members += 1
        if low <= high:  # one that runs backwards holds nothing
            ranges += f"{re.escape(low)}-{re.escape(high)}"
    if not ranges:
        return (r"[\s\S]" if negated else r"[^\s\S]"), at + 1
    return f"[{'^' if negated else ''}{ranges}]", at + 1


def class_member(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at : at + 1]
    if char in ("-", "]"):
        raise PatternError(f"a class holds '{char}' without a backslash before it")
    if char == "\\":
        at += 1
        char = pattern[at : at + 1]
    if not char or at + 1 >= len(pattern):
        raise PatternError("its '[' is not closed")
    return char, at + 1


def clean(path: str) -> str:
    """A path without `.`, doubled slashes, and `..` where something stands before it, as Go's filepath.Clean."""
    rooted = path.startswith("/")
    kept: list[str] = []
    for part in path.split("/"):
        if part == ".." and kept and kept[-1] != "..":
            kept.pop()
        elif part not in ("", ".") and not (part == ".." and rooted):
            kept.append(part)
    return ("/" if rooted else "") + "/".join(kept) or "."
