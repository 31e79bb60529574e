"""Ignore rules, as the engines read a .dockerignore (moby/patternmatcher) and walk a context by it (tonistiigi/fsutil)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from arrstack.errors import ConfigError
from arrstack.recipes.patterns import NAME_CHARACTER, Matcher, PatternError, Token, clean, tokens_of
from arrstack.recipes.words import BYTES, SPACE

LONGEST_LINE = 65_535
LARGEST = 1 << 20
"""Bytes of an ignore file."""
CLASSES = {"d": "[0-9]", "D": "[^0-9]", "s": r"[\t\n\f\r ]", "S": r"[^\t\n\f\r ]", "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]"}
"""What Go's regular expressions take `\\d` and its like for: moby hands a backslash on to them."""
NO_BYTE = "[\ufffd\udc80-\udcff]"


@dataclass(frozen=True)
class Pattern:
    """One rule, cleaned. `exception`: it began with `!`, and brings back what earlier rules left out."""

    text: str
    exception: bool

    def matches(self, path: str) -> bool:
        match self._kind:
            case "exact":
                return path == self.text
            case "prefix":
                return path.startswith(self.text[:-2])
            case "suffix":
                suffix = self.text[2:]
                return path.endswith(suffix) or (suffix.startswith("/") and path == suffix[1:])
        return self._compiled[1].matches(path)

    @property
    def _kind(self) -> str:
        return self._compiled[0]

    @cached_property
    def _compiled(self) -> tuple[str, Matcher]:
        return compiled(self.text)

    @property
    def without_last_star(self) -> str:
        return self.text.removesuffix("/**").removesuffix("/*")

    @property
    def is_plain(self) -> bool:
        """Whether a folder that holds nothing of it is known without a look inside."""
        return not set("*[]?^\\") & set(self.without_last_star)


def compiled(pattern: str) -> tuple[str, Matcher]:
    """What kind of match a pattern is, and the matcher of those that need one. Raises PatternError.

    The kinds are moby's, oddities included: `**` at the beginning makes it a comparison of ends, so `**.pyc` and `**~` hold
    for every name with that end, and `a**b` means `a`, any folders, `b`.
    """
    kind = "exact"
    tokens: list[Token] = []
    at = step = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if pattern.startswith("**", at - 1):
            at += 2 if pattern[at + 1 : at + 2] == "/" else 1
            if at >= len(pattern):
                kind, tokens = ("prefix", tokens) if kind == "exact" else ("regexp", [*tokens, Token(".", many=True)])
            else:
                kind = "regexp"
                tokens.append(Token("", folders=True))
            kind = "suffix" if step == 0 else kind
        elif char in "*?":
            kind = "regexp"
            tokens.append(Token(NAME_CHARACTER, many=char == "*"))
        elif char in "[\\":
            kind = "regexp"
            text, at = class_or_escape(pattern, at)
            tokens.append(Token(text))
        else:
            kind = "regexp" if char == "]" else kind
            tokens.append(Token(NO_BYTE if BYTES.match(char) or char == "\ufffd" else re.escape(char)))
        step += 1
    return kind, Matcher(tokens)


def class_or_escape(pattern: str, at: int) -> tuple[str, int]:
    """The class or escaped character that begins before `at`, as Go's regexp reads it, and where it ends."""
    if pattern[at - 1] == "\\":
        return escaped(pattern[at]), at + 1
    negated = pattern[at] == "^"
    at += negated
    inside = ""
    while pattern[at] != "]":
        char = pattern[at]
        if char in "*?" or pattern.startswith("[:", at):
            raise PatternError(f"docker does not read '{pattern[at : at + 2]}' in a class as such: put a backslash before it")
        if char == "\\":
            at += 1
            char = escaped(pattern[at])
            if char in ("[^0-9]", r"[^\t\n\f\r ]", "[^0-9A-Za-z_]"):
                raise PatternError(f"\\{pattern[at]} does not stand in a class")
            inside += char[1:-1] if char in CLASSES.values() else char
        else:
            inside += char if char == "-" else re.escape(char)
        at += 1
    text = f"[{'^' if negated else ''}{inside}]"
    try:
        re.compile(text)
    except re.error:
        raise PatternError("a range of its class runs backwards") from None
    return text, at + 1


def escaped(char: str) -> str:
    """A character behind a backslash as Go's regular expressions read it. Raises PatternError for what is none there."""
    if char in CLASSES:
        return CLASSES[char]
    if char.isascii() and char.isalnum():
        raise PatternError(f"docker reads \\{char} as a regular expression does: write {char} alone")
    return re.escape(char)


class IgnoreRules:
    """The rules of an ignore file; the last pattern that matches decides. `IgnoreRules("*.md").ignored("a.md", ())` is true."""

    def __init__(self, text: str, path: Path | None = None):
        self.patterns: list[Pattern] = []
        for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            where = f"{path or '.dockerignore'}:{number}"
            if len(raw) > LONGEST_LINE:
                raise ConfigError(f"{where}: the line is longer than {LONGEST_LINE} bytes")
            line = raw.removesuffix("\r")
            if line.startswith("#") or not line.strip(SPACE):
                continue
            try:
                self.patterns.append(pattern_of(line))
            except PatternError as error:
                raise ConfigError(f"{where}: this is no pattern: {error}") from None
        exceptions = [pattern for pattern in self.patterns if pattern.exception]
        self.exceptions = tuple(pattern.without_last_star + "/" for pattern in exceptions)
        self.only_plain_exceptions = all(pattern.is_plain for pattern in exceptions)

    def matches(self, path: str, parent: Sequence[bool] | None = None) -> tuple[bool, list[bool]]:
        """Whether the context lacks a path, and which patterns matched it. `parent` is that list for the folder it is in.

        A pattern is asked only where its answer could change something; what held for a folder holds below it.
        """
        ignored = False
        matched: list[bool] = []
        for number, pattern in enumerate(self.patterns):
            held = bool(parent and parent[number])
            if not held and pattern.exception == ignored:
                held = pattern.matches(path)
            matched.append(held)
            if held:
                ignored = not pattern.exception
        return ignored, matched

    def ignores(self, path: str) -> bool:
        """Whether the context lacks this path."""
        parent: list[bool] | None = None
        ignored = False
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            ignored, parent = self.matches("/".join(parts[:depth]), parent)
        return ignored

    def may_keep_below(self, folder: str) -> bool:
        """Whether an engine looks into an ignored folder: for the sake of an exception that could hold inside."""
        if not self.exceptions:
            return False
        return not self.only_plain_exceptions or any(pattern.startswith(folder + "/") for pattern in self.exceptions)


def pattern_of(line: str) -> Pattern:
    """A line of an ignore file as a rule. Raises PatternError."""
    text = line.strip(SPACE)
    exception = text.startswith("!")
    text = text.removeprefix("!").strip(SPACE)
    if not text:
        raise PatternError("nothing follows the '!'")
    text = clean(text)
    text = text[1:] if len(text) > 1 and text.startswith("/") else text
    tokens_of(text)
    compiled(text)
    return Pattern(text, exception)


def ignore_file(dockerfile: Path, root: Path) -> Path | None:
    """The one that BuildKit takes: DOCKERFILE.dockerignore beside the recipe, else .dockerignore in the context."""
    candidates = (dockerfile.with_name(dockerfile.name + ".dockerignore"), root / ".dockerignore")
    return next((path for path in candidates if path.is_file()), None)


def rules_of(path: Path | None) -> IgnoreRules:
    """What an ignore file says; None: nothing is ignored. Raises ConfigError."""
    if path is None:
        return IgnoreRules("")
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ConfigError(f"{path} is larger than {LARGEST} bytes: that is no ignore file")
    return IgnoreRules(data.decode("utf-8", "surrogateescape"), path)
