"""What a rule is: the words of one kind of failure, its cause and a remedy. table.py holds them all."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Weight(IntEnum):
    """How much a rule's words say about why the build ended, ascending."""

    ECHO = 0
    """A line that looks like an error, and no more is known of it."""
    GENERAL = 1
    """What stopped, not why; or what comes of another failure."""
    PASSING = 2
    """Ended the build unless it went on: downloads and imports are tried again or done without."""
    ERROR = 3
    """Ended the build, unless a later step of it began."""
    CERTAIN = 4
    """Ended the build wherever it stands: the machine, or a clock."""


@dataclass(frozen=True)
class Rule:
    """`says`: expressions, of which a line meets one, in any case. Their named groups go into `cause` and `remedy` as {NAME}.

    `follows`: groups of rules whose failure brings this one about: where one stands before it in the same step, that is the cause.
    `builders`: those whose words these are, where they are not a program's that runs in any. `lines`: real lines, which the tests read.
    """

    name: str
    group: str
    weight: Weight
    says: Sequence[str]
    cause: str
    remedy: str
    lines: Sequence[str]
    follows: Sequence[str] = ()
    builders: Sequence[str] = ()
    already: tuple[str, str] = ("", "")
    """An expression, and the remedy that takes the other's place where the command that failed meets it: what it does already
    is no advice."""


class Book:
    """Rules, and which of them a line can meet at all: to try every expression on every line of a log takes minutes."""

    def __init__(self, rules: Sequence[Rule]):
        self._rules = rules
        self._compiled: dict[_Place, re.Pattern[str]] = {}
        self._places: dict[str, list[_Place]] = {"": []}
        needles = {(rule, form): needle(text) for rule, each in enumerate(rules) for form, text in enumerate(each.says)}
        frequent = Counter(gram for text in needles.values() for gram in _grams(text))
        for place, text in needles.items():
            gram = min(sorted(_grams(text)), key=frequent.__getitem__, default="")
            self._places.setdefault(gram, []).append(place)

    def find(self, text: str) -> tuple[Rule, re.Match[str]] | None:
        """The first rule that a line meets, and how."""
        grams = _grams(text.lower())
        grams.add("")
        for place in sorted(place for gram in self._places.keys() & grams for place in self._places[gram]):
            if found := self._expression(place).search(text):
                return self._rules[place[0]], found
        return None

    def _expression(self, place: "_Place") -> re.Pattern[str]:
        if place not in self._compiled:
            self._compiled[place] = re.compile(self._rules[place[0]].says[place[1]], re.IGNORECASE)
        return self._compiled[place]


_Place = tuple[int, int]
"""A rule's number and its expression's."""
_GRAM = 4


def _grams(text: str) -> set[str]:
    return {text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1)}


def needle(expression: str) -> str:
    """The longest run of plain characters that every match of a regular expression holds, in lower case; "" where it has none.

    `needle(r"^No space (left)? on [Dd]evice")` is `no space `: classes, choices and what may be repeated or left out are passed over.
    """
    return max(_runs(expression, 0)[0], key=len).lower()


def _runs(expression: str, at: int) -> tuple[list[str], int]:
    """The runs of plain characters of the group that begins at `at`, and where it ends. A choice has none."""
    runs, run, choice = [""], "", False
    while at < len(expression) and expression[at] != ")":
        character, plain, inner = expression[at], "", list[str]()
        if character == "\\":
            at += 1
            plain = "" if expression[at].isalnum() else expression[at]
        elif character == "[":
            at = expression.index("]", at + 2)
        elif character == "(":
            opens = _OPENS.match(expression, at)
            inner, at = _runs(expression, opens.end() if opens else at + 1)
            inner = inner if opens and opens["kept"] is not None else []
        elif character == "|":
            choice = True
        elif character not in ".^$":
            plain = character
        at += 1
        if repeated := _REPEATS.match(expression, at):
            at = repeated.end()
            runs.append(run + plain if repeated[0] == "+" else run)
            run = ""
            inner = inner if repeated[0] == "+" else []
        elif plain:
            run += plain
        else:
            runs.append(run)
            run = ""
        runs += inner
    return ([""] if choice else [*runs, run]), at


_OPENS = re.compile(r"\((?:(?P<kept>\?:|\?P<\w+>|(?!\?))|\?(?:<?[!=]))")
_REPEATS = re.compile(r"[?*+]|\{\d+(?:,\d*)?\}")
