"""What is known of an image's vulnerabilities, as values, and what a person decided to leave out."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

import msgspec

from arrstack.errors import ConfigError

SEVERITIES = ("critical", "high", "medium", "low", "")
"""The worst first; "" where the source says none."""


@dataclass(frozen=True)
class Vulnerability:
    """One of a package: `fixed` is the version that mends it, "" where there is none yet; `source` says who says so."""

    id: str
    package: str
    installed: str
    fixed: str
    source: str
    severity: str = ""
    summary: str = ""


@dataclass(frozen=True)
class Update:
    """A newer version of a source package in the distribution's security archive, and what its changelog names."""

    source: str
    packages: tuple[str, ...]
    installed: str
    available: str
    read: bool
    """Whether the changelog between the two could be read."""


@dataclass(frozen=True)
class Coverage:
    """What was asked, how many packages it knows about, and what it cannot tell."""

    source: str
    packages: int
    limits: str


@dataclass(frozen=True)
class Asked:
    """What one source said; `known` are the keys of the packages that it knows about."""

    found: tuple[Vulnerability, ...]
    updates: tuple[Update, ...]
    coverage: Coverage
    known: frozenset[str]


@dataclass(frozen=True)
class Ignored:
    """A vulnerability that a person decided to live with, why, and until when."""

    vulnerability: Vulnerability
    reason: str
    until: date


@dataclass(frozen=True)
class Assessment:
    """`found` is what counts, the worst first; `unasked` the packages that no source knows about."""

    found: tuple[Vulnerability, ...]
    ignored: tuple[Ignored, ...]
    updates: tuple[Update, ...]
    coverage: tuple[Coverage, ...]
    unasked: int
    expired: tuple[str, ...] = ()
    """Lines of the ignore file whose date is over: what they name counts again."""

    @property
    def fixable(self) -> tuple[Vulnerability, ...]:
        return tuple(each for each in self.found if each.fixed)


class Rule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An entry of the ignore file. `id` and `package` are patterns (fnmatch)."""

    id: str
    reason: str
    until: date
    package: str = "*"


class RuleFile(msgspec.Struct, forbid_unknown_fields=True):
    ignore: list[Rule] = []


def rules_in(text: str, name: str) -> list[Rule]:
    """The rules of an ignore file. Raises ConfigError, also for a rule without a reason.

    [[ignore]]
    id = "CVE-2026-1234"
    package = "libfoo*"
    reason = "the affected server is not in the image"
    until = 2027-03-01
    """
    try:
        rules = msgspec.convert(tomllib.loads(text), RuleFile).ignore
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(
            f"{name}: {error}", "each [[ignore]] has id, reason and until = YYYY-MM-DD; package may be there"
        ) from None
    for rule in rules:
        if not rule.reason.strip() or not rule.id.strip("*? "):
            raise ConfigError(
                f"{name}: the rule for '{rule.id}' has no reason, or names every vulnerability", "say which, and why"
            )
    return rules


def assess(
    found: Iterable[Vulnerability],
    updates: Sequence[Update],
    coverage: Sequence[Coverage],
    unasked: int,
    rules: Sequence[Rule],
    today: date,
) -> Assessment:
    """What counts today. The same vulnerability of a package, told by two sources, counts once: by the one that knows more."""
    merged: dict[tuple[str, str], Vulnerability] = {}
    for each in found:
        key = (each.id, each.package)
        merged[key] = better(merged[key], each) if key in merged else each
    counted, ignored = [], []
    for each in sorted(merged.values(), key=order):
        rule = next((rule for rule in rules if today <= rule.until and names(rule, each)), None)
        if rule:
            ignored.append(Ignored(each, rule.reason, rule.until))
        else:
            counted.append(each)
    over = tuple(f"{rule.id} of {rule.package}: until {rule.until}" for rule in rules if rule.until < today)
    return Assessment(tuple(counted), tuple(ignored), tuple(updates), tuple(coverage), unasked, over)


def names(rule: Rule, vulnerability: Vulnerability) -> bool:
    return fnmatchcase(vulnerability.id, rule.id) and fnmatchcase(vulnerability.package, rule.package)


def better(one: Vulnerability, other: Vulnerability) -> Vulnerability:
    """The one that knows a fix, else a severity; with the other's severity where it has none."""
    first, second = sorted((one, other), key=lambda each: (not each.fixed, SEVERITIES.index(each.severity)))
    return _with_severity(first, second)


def _with_severity(first: Vulnerability, second: Vulnerability) -> Vulnerability:
    severity, summary = first.severity or second.severity, first.summary or second.summary
    return Vulnerability(first.id, first.package, first.installed, first.fixed, first.source, severity, summary)


def order(vulnerability: Vulnerability) -> tuple[int, bool, str, str]:
    return SEVERITIES.index(vulnerability.severity), not vulnerability.fixed, vulnerability.package, vulnerability.id
