"""One instruction of a Dockerfile: its flags and words, as BuildKit's parser splits a line (line_parsers.go)."""

import json
import re
from dataclasses import dataclass
from typing import NoReturn

from arrstack.recipes.words import SPACE, SPACES

BLANK = re.compile(r"[\t\v\f\r ]+")
LISTS = frozenset({"ADD", "COPY", "EXPOSE", "FROM", "VOLUME"})
"""What splits its words at white space, quotes or not: how much of it there is between them says nothing."""
JSON_OR_LIST = frozenset({"ADD", "COPY", "VOLUME"})
JSON_OR_TEXT = frozenset({"CMD", "ENTRYPOINT", "RUN", "SHELL"})
PAIRS = frozenset({"ENV", "LABEL"})


class SyntaxProblem(Exception):
    """The text is no Dockerfile; BuildKit refuses it too."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


@dataclass(frozen=True)
class Heredoc:
    """A here-document: `content` is its lines as they are, `expand` says that its name was not quoted."""

    name: str
    content: str
    chomp: bool
    expand: bool


@dataclass(frozen=True)
class Instruction:
    """One instruction as it is written, before anything is expanded.

    `text` is all of it that can reach an image: no comments, no blank lines, here-documents included. `value` are its words;
    of ENV and LABEL names and values in turn; of a shell form its text. `trigger` is what an ONBUILD holds.
    """

    name: str
    text: str
    line: int
    flags: tuple[str, ...]
    value: tuple[str, ...]
    is_json: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    trigger: "Instruction | None" = None

    def flag(self, name: str) -> str | None:
        """The value of --NAME=VALUE, or None."""
        prefix = f"--{name}="
        return next((flag.removeprefix(prefix) for flag in self.flags if flag.startswith(prefix)), None)


def parsed(line: str, start: int, escape: str) -> Instruction:
    """A whole line as an instruction. Raises SyntaxProblem for what its words may not be."""
    words = BLANK.split(line.strip(SPACE), maxsplit=1)
    name = words[0].upper()
    flags, written, rest = flags_of(words[1], escape) if len(words) == 2 else ((), "", "")
    rest = rest.strip(SPACE)
    if name == "ONBUILD":
        trigger = parsed(rest, start, "\\") if rest else None  # BuildKit reads it anew, with the usual escape
        return Instruction(name, joined(name, written, rest), start, flags, (trigger.name,) if trigger else (), trigger=trigger)
    if name in JSON_OR_LIST and array_with_a_tail(rest):
        raise SyntaxProblem(start, f"{name}: something stands behind the array, which older engines do not read: remove it")
    listed = json_words(rest, start) if name in JSON_OR_LIST | JSON_OR_TEXT or name == "HEALTHCHECK" else None
    if name == "HEALTHCHECK":
        value, is_json = health(rest, start)
    elif listed is not None:
        value, is_json = tuple(listed), True
    else:
        value, is_json = values(name, rest, start, escape), False
    text = " ".join(BLANK.split(rest)) if name in LISTS and not is_json else rest
    return Instruction(name, joined(name, written, text), start, flags, value, is_json)


def joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def values(name: str, rest: str, start: int, escape: str) -> tuple[str, ...]:
    if not rest:
        return ()
    if name in PAIRS:
        return pairs(name, rest, start, escape)
    if name == "ARG":
        return tuple(quoted(rest, escape))
    return tuple(BLANK.split(rest)) if name in LISTS else (rest,)


def health(rest: str, start: int) -> tuple[tuple[str, ...], bool]:
    """HEALTHCHECK's kind and what follows it, which may be JSON."""
    kind = re.split(f"[{SPACE}]", rest, maxsplit=1)[0]
    command = rest[len(kind) :].strip(SPACE)
    listed = json_words(command, start)
    words = [kind, *(listed if listed is not None else [command])]
    return tuple(word for word in words if word or listed is not None), listed is not None


def json_words(rest: str, start: int) -> list[str] | None:
    """The words of a JSON array; None for what is none, which is then read as plain text."""
    if not rest.startswith("["):
        return None
    try:
        found = json.loads(rest, parse_constant=no_constant, parse_int=float)
    except RecursionError:
        raise SyntaxProblem(start, "the array is nested too deep") from None
    except ValueError:
        return None
    if not all(isinstance(word, str) for word in found):
        raise SyntaxProblem(start, "an array may hold nothing but text in double quotes")
    return [re.sub("[\ud800-\udfff]", "\ufffd", word) for word in found]


def array_with_a_tail(rest: str) -> bool:
    """Whether something stands behind a JSON array: older engines drop it, newer ones read all of it as plain words."""
    try:
        return rest.startswith("[") and json.JSONDecoder().raw_decode(rest)[1] < len(rest)
    except (ValueError, RecursionError):
        return False


def no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def pairs(name: str, rest: str, start: int, escape: str) -> tuple[str, ...]:
    """Names and values of ENV and LABEL: `NAME=VALUE ...`, or the old form `NAME text`."""
    words = quoted(rest, escape)
    if words and "=" not in words[0]:
        old = BLANK.split(rest, maxsplit=1)
        if len(old) < 2:
            raise SyntaxProblem(start, f"{name} needs a name and a value")
        return tuple(old)
    found: list[str] = []
    for word in words:
        if "=" not in word:
            raise SyntaxProblem(start, f"{name}: '{word}' is not of the form NAME=VALUE")
        found += word.split("=", 1)
    return tuple(found)


def quoted(text: str, escape: str) -> list[str]:
    """Words at white space outside quotes; quotes and escapes stay."""
    words: list[str] = []
    at, end = 0, len(text)
    while at < end:
        if text[at] in SPACES:
            at += 1
            continue
        word, quote = "", ""
        while at < end and (quote or text[at] not in SPACES):
            char = text[at]
            if char == escape and quote != "'":
                # An escape at the very end is dropped; elsewhere it stays, with the character behind it.
                word += text[at : at + 2] if at + 1 < end else ""
                at += 2
                continue
            if char in "'\"" and quote in ("", char):
                quote = "" if quote else char
            word += char
            at += 1
        words.append(word)
    return [word for word in words if word]


def flags_of(rest: str, escape: str) -> tuple[tuple[str, ...], str, str]:
    """The flags at the head of an instruction's words, how they are written, and what follows them.

    BuildKit reads flags byte by byte, each as a character: one that is no ASCII never is a path there.
    """
    data = rest.encode("utf-8", "surrogateescape").decode("latin-1")
    flags: list[str] = []
    written: list[str] = []
    at, end = 0, len(data)
    while True:
        while at < end and data[at] in SPACES:
            at += 1
        if data[at : at + 2] != "--":
            break
        start = at
        word, at = flag_at(data, at, escape)
        written.append(as_text(data[start:at]))
        if word == "--":
            break
        flags.append(word)
    return tuple(flags), " ".join(written), as_text(data[at:])


def as_text(data: str) -> str:
    return data.encode("latin-1").decode("utf-8", "surrogateescape")


def flag_at(data: str, at: int, escape: str) -> tuple[str, int]:
    """A flag without its quotes, and where it ends."""
    word, quote = "", ""
    while at < len(data) and (quote or data[at] not in SPACES):
        char = data[at]
        at += 1
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == escape:
            word += data[at : at + 1]
            at += 1
        else:
            word += char
    return word, at
