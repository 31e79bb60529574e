"""Reads a Dockerfile's text into instructions, byte for byte as BuildKit's parser does (frontend/dockerfile/parser).

What is no UTF-8 is held as Python holds it (PEP 383), so nothing of the file is lost. Nothing is expanded here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from arrstack.recipes.instruction import Heredoc, Instruction, SyntaxProblem, parsed
from arrstack.recipes.substitution import WordError
from arrstack.recipes.words import SPACE, split

LONGEST_LINE = 65_535
"""Bytes of a line that Go's bufio.Scanner takes: BuildKit refuses a longer one, buildah drops the rest of the file."""
DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*")
HEREDOC = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)")
WITH_HEREDOCS = frozenset({"ADD", "COPY", "RUN"})


@dataclass(frozen=True)
class Source:
    """A Dockerfile's instructions, its parser directives as `name=value`, and its escape character."""

    instructions: tuple[Instruction, ...]
    directives: tuple[str, ...]
    escape: str


def read(text: str) -> Source:
    """Reads a Dockerfile's text. Raises SyntaxProblem with the line, counted from 1."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self.lines = text.removeprefix("\ufeff").split("\n")
        if self.lines[-1] == "":
            self.lines.pop()
        self.at = 0
        self.escape = "\\"
        self.directives: dict[str, str] = {}
        self.in_head = True

    def read(self) -> Source:
        instructions = []
        while self.at < len(self.lines):
            line = self._code().lstrip(SPACE)
            start = self.at
            if self.in_head:
                self._directive(line)
            if line and not line.startswith("#"):
                instructions.append(self._instruction(self._continued(line), start))
        return Source(tuple(instructions), tuple(f"{n}={v}" for n, v in self.directives.items()), self.escape)

    def _line(self) -> str:
        """The next line without its end: a carriage return before it does not count, as for the engines."""
        line = self.lines[self.at]
        self.at += 1
        if len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE:
            raise SyntaxProblem(self.at, f"the line is longer than {LONGEST_LINE} bytes")
        return line.rstrip("\r")

    def _code(self) -> str:
        """A line outside here-documents."""
        line = self._line()
        if self.lines[self.at - 1].endswith("\r\r"):
            raise SyntaxProblem(self.at, "the line ends with two carriage returns, of which buildah keeps one: remove them")
        return line

    def _directive(self, line: str) -> None:
        """Parser directives: comments of the form `# name=value` before anything else."""
        found = DIRECTIVE.fullmatch(line[1:].lstrip(SPACE)) if line.startswith("#") else None
        name = found[1].lower() if found else ""
        if not found or name not in ("syntax", "escape", "check"):
            self.in_head = False
            return
        if name in self.directives:
            raise SyntaxProblem(self.at, f"there are two directives '{name}'")
        if name == "escape":
            if found[2] not in ("\\", "`"):
                raise SyntaxProblem(self.at, f"the escape character is \\ or `, not {found[2]}")
            self.escape = found[2]
        self.directives[name] = found[2]

    def _continued(self, line: str) -> str:
        """A line with those that continue it; comments and blank lines between them are left out."""
        mark = re.escape(self.escape)
        continues = re.compile(rf"(?:(?<!{mark})|^){mark}[ \t]*\Z")
        whole = ""
        while True:
            found = continues.search(line)
            whole += line[: found.start()] if found else line
            if not found:
                return whole
            while self.at < len(self.lines):
                line = self._code()
                bare = line.lstrip(SPACE)
                if bare and not bare.startswith("#"):
                    break
            else:
                return whole

    def _instruction(self, line: str, start: int) -> Instruction:
        found = parsed(line, start, self.escape)
        inner = found.trigger or found
        if inner.name not in WITH_HEREDOCS or inner.is_json or "<<" not in line:
            return found
        heredocs = tuple(self._heredoc(mark, start) for mark in heredoc_marks(line, start))
        if not heredocs:
            return found
        bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in heredocs)
        trigger = found.trigger and replace(found.trigger, text=found.trigger.text + bodies, heredocs=heredocs)
        return replace(found, text=found.text + bodies, heredocs=heredocs, trigger=trigger)

    def _heredoc(self, mark: Heredoc, start: int) -> Heredoc:
        content = ""
        while self.at < len(self.lines):
            line = self._line()
            if (line.lstrip("\t") if mark.chomp else line) == mark.name:
                return Heredoc(mark.name, content, mark.chomp, mark.expand)
            content += self.lines[self.at - 1] + "\n"
        raise SyntaxProblem(start, f"the here-document has no end: a line that is {mark.name}")


def heredoc_marks(line: str, start: int) -> Iterator[Heredoc]:
    """The here-documents that a line opens, in order, still empty."""
    try:
        words = split(line, raw_quotes=True, raw_escapes=True)
    except WordError:
        return
    for word in words:
        try:
            mark = heredoc(word)
        except WordError as error:
            raise SyntaxProblem(start, f"{word}: {error}") from None
        if mark:
            yield mark


def heredoc(word: str) -> Heredoc | None:
    """What a word such as `<<-"EOF"` or `3<<EOF` opens; None for another word. Raises WordError for open quotes."""
    found = HEREDOC.fullmatch(word)
    if not found or not found[3]:
        return None
    names, raw = split(found[3]), split(found[3], raw_quotes=True)
    if len(names) != 1 or len(raw) != 1:
        return None
    quotes = [sum(text.count(quote) for quote in "'\"") for text in (names[0], raw[0])]
    return Heredoc(names[0], "", found[2] == "-", quotes[0] == quotes[1])
