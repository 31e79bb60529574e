"""Pure: what is wanted against what was found.

difference(Resource(Kind.ACCOUNT, "a@p", "builds", "gcloud ...", {"state": "enabled"}), Found(None)).verdict  # Verdict.MISSING
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """In the order in which they are made: what comes later needs what comes before."""

    SERVICE = "service"
    ACCOUNT = "service account"
    REPOSITORY = "repository"
    BUCKET = "bucket"
    ROLE = "role"
    QUOTA = "quota"
    POOL = "worker pool"
    BUILDER = "builder image"
    """Named in the recipes' files, and nothing of the project's: `apply` makes none."""


@dataclass(frozen=True)
class Resource:
    """One thing that a project must have. `wants` are its fields that matter, `makes` those that only its making needs; `command` makes it, or
    makes it so."""

    kind: Kind
    name: str
    reason: str
    command: str
    wants: Mapping[str, Any] = field(default_factory=dict)
    makes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What there is of a resource: its fields, None where it is not there; or why that cannot be told."""

    has: Mapping[str, Any] | None = None
    unknown: str = ""


class Verdict(StrEnum):
    OK = "ok"
    MISSING = "missing"
    DIFFERENT = "different"
    WAITS = "waits"
    """It was asked for, and Google has not said yes yet."""
    UNPINNED = "unpinned"
    """It is named by a tag, which may move: whoever keeps the recipes decides."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """A resource, and what is to be done about it: nothing where the verdict is OK."""

    resource: Resource
    verdict: Verdict
    detail: str = ""

    @property
    def todo(self) -> bool:
        return self.verdict in (Verdict.MISSING, Verdict.DIFFERENT)


def differences(resources: Sequence[Resource], found: Callable[[Resource], Found]) -> tuple[Row, ...]:
    """Each resource with its verdict. Unknown is neither missing nor there: nothing is made on its account."""
    return tuple(difference(resource, found(resource)) for resource in resources)


def difference(resource: Resource, found: Found) -> Row:
    if found.unknown:
        return Row(resource, Verdict.UNKNOWN, found.unknown)
    if found.has is None:
        return Row(resource, Verdict.MISSING)
    if resource.kind is Kind.QUOTA:
        return quota_row(resource, found.has)
    other = [name for name, value in resource.wants.items() if found.has.get(name) != value]
    if not other:
        return Row(resource, Verdict.OK, shown(resource))
    told = "; ".join(f"{name} {plain(found.has.get(name))}, wanted {plain(resource.wants[name])}" for name in other)
    return Row(resource, Verdict.DIFFERENT, told)


def quota_row(resource: Resource, has: Mapping[str, Any]) -> Row:
    """A quota may be larger than is wanted; what was asked for and not granted is waited for."""
    wants, granted, asked = resource.wants["processors"], has["processors"], has.get("asked") or 0
    told = f"{granted} granted, {wants} wanted"
    if granted >= wants:
        return Row(resource, Verdict.OK, told)
    return (
        Row(resource, Verdict.WAITS, f"{told}, {asked} asked for") if asked >= wants else Row(resource, Verdict.DIFFERENT, told)
    )


def shown(resource: Resource) -> str:
    """The fields that say more than the name does."""
    if resource.kind is Kind.ROLE:
        return ""
    plain_ones = ((name, value) for name, value in resource.wants.items() if isinstance(value, (str, int)) and value)
    return ", ".join(f"{name} {value}" for name, value in plain_ones if value is not True)


def plain(value: Any) -> str:
    return (
        "none"
        if value in (None, "", {}, [], ())
        else json.dumps(value, sort_keys=True)
        if isinstance(value, (dict, list))
        else str(value)
    )
