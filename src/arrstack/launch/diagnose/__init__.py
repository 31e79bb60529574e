"""Pure: a failed build's log -> its cause and a remedy.

`lines` takes off what builders put before a line, `table` knows the failures, this module chooses among those that a log speaks of.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from re import Match

from arrstack.launch.diagnose.lines import Heard, Said, read_lines, useful_tail
from arrstack.launch.diagnose.rules import Book, Rule, Weight
from arrstack.launch.diagnose.table import RULES

__all__ = ["Diagnosis", "diagnose", "read_lines", "useful_tail"]

_FIRST, _LAST = 20, 20
"""Hits of one rule that are kept: its first and its last ones. Those between tell nothing new."""


@dataclass(frozen=True)
class Diagnosis:
    """`line` is the line of the log that tells, `number` its place (from 1), `rule` the name in table.py.

    `guess`: no rule knows the line, it only looks like an error, or the build went on after it; the log's last lines may tell more.
    """

    cause: str
    remedy: str
    line: str
    number: int
    rule: str
    guess: bool = False


@dataclass(frozen=True)
class _Hit:
    rule: Rule
    said: Said
    match: Match[str]

    def diagnosis(self, overcome: bool, failed: str) -> Diagnosis:
        """`failed` is the line that names the command which failed."""
        does, instead = self.rule.already
        remedy = instead if does and re.search(does, failed, re.IGNORECASE) else self.rule.remedy
        words = defaultdict(str, {name: (text or "").strip() for name, text in self.match.groupdict().items()})
        cause, remedy = (" ".join(text.format_map(words).replace(" ()", "").split()) for text in (self.rule.cause, remedy))
        return Diagnosis(
            cause.rstrip(" :"), remedy, self.said.text, self.said.number, self.rule.name, overcome or self.rule.group == "echo"
        )


def diagnose(lines: Iterable[str]) -> Diagnosis | None:
    """The cause that a log's lines tell; None where no rule knows it. Takes time linear in the log.

    `diagnose(["#9 3.1 g++: fatal error: Killed signal terminated program cc1plus"]).rule` is `memory`.
    """
    heard = Heard()
    hits = _hits(heard.listen(lines))
    grades = [_grade(hit, heard) for hit in hits]
    best = max(grades, default=_NONE)
    if best == _NONE:
        return None
    candidates = [hit for hit, grade in zip(hits, grades, strict=True) if grade == best]
    chosen = candidates[0] if best in (_CERTAIN, _GENERAL) else candidates[-1]
    cause = _brought_about_by(chosen, hits, heard)
    return (cause or next(hit for hit in candidates if hit.rule is chosen.rule)).diagnosis(best == _OVERCOME, heard.failed)


@cache
def _book() -> Book:
    return Book(RULES)


def _hits(said: Iterable[Said]) -> list[_Hit]:
    """For each line the first rule that fits, in the log's order."""
    book = _book()
    first: dict[str, list[_Hit]] = defaultdict(list)
    last: dict[str, deque[_Hit]] = defaultdict(lambda: deque(maxlen=_LAST))
    for each in said:
        if found := book.find(each.text):
            rule, match = found
            kept = first[rule.name] if len(first[rule.name]) < _FIRST else last[rule.name]
            kept.append(_Hit(rule, each, match))
    return sorted((hit for kept in (*first.values(), *last.values()) for hit in kept), key=lambda hit: hit.said.number)


_CERTAIN, _ERROR, _GENERAL, _ECHO, _SOFT, _OVERCOME, _NONE = range(6, -1, -1)


def _grade(hit: _Hit, heard: Heard) -> int:
    """How likely a hit is the cause. Of the certain and the general the first counts: what follows comes of it; else the last: it was not overcome."""
    weight = hit.rule.weight
    if weight is Weight.CERTAIN and not hit.said.soft:
        return _CERTAIN
    minor = hit.said.soft or weight is Weight.PASSING
    if hit.said.number < max(heard.steps[-1], heard.edge if minor else 0):
        return _NONE if hit.said.soft else _OVERCOME
    if hit.said.soft:
        return _SOFT
    return {Weight.GENERAL: _GENERAL, Weight.ECHO: _ECHO}.get(weight, _ERROR)


def _brought_about_by(hit: _Hit, hits: Sequence[_Hit], heard: Heard) -> _Hit | None:
    """The failure before this one in its step that its rule names as its cause: the first line of the last such rule."""
    step = heard.step_of(hit.said.number)
    causes = [other for other in hits if other.rule.group in hit.rule.follows and step <= other.said.number < hit.said.number]
    return next((other for other in causes if other.rule is causes[-1].rule), None)
