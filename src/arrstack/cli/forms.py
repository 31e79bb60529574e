"""The documented JSON forms (docs/guide/json.md), as plain data: what the commands print with --json."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arrstack.launch.plan import Plan
from arrstack.machine.memory import Launched
from arrstack.model import LABEL_CREATED, LABEL_WHEELS, Answer, Change, Image, Inputs
from arrstack.recipes.config import Archive, LoadedStack
from arrstack.recipes.inputs import differences
from arrstack.registry import Registry

if TYPE_CHECKING:
    from arrstack.gcp.prices import Bill
    from arrstack.launch.diagnose import Diagnosis


def plan_form(plan: Plan) -> dict[str, Any]:
    tiers = []
    for tier in plan.tiers:
        entry: dict[str, Any] = {"name": tier.name, "inputs": tier.inputs.digest, "key": tier.key}
        if tier.wheels:
            entry["compile"] = {w.wheel.distribution: w.key for w in tier.wheels}
        entry |= {
            "state": tier.answer.state.value,
            "action": tier.action.value,
            "reasons": [{"leaf": change.leaf, "change": change.kind} for change in tier.changes],
            "estimate_seconds": round(tier.estimate_seconds),
            "checks_due": bool(tier.unproved),
        }
        tiers.append(entry)
    return {"profile": plan.profile, "engine": plan.engine, "registry": plan.registry, "tiers": tiers}


def cost_form(expected: "Bill") -> dict[str, Any]:
    return {
        "minutes": round(expected.minutes, 1),
        "machine": expected.price.machine,
        "price_per_minute": expected.price.dollars,
        "dollars": None if expected.dollars is None else round(expected.dollars, 2),
        "at_least": expected.at_least,
        "source": expected.price.source,
    }


def log_form(step: str, line: str) -> dict[str, Any]:
    """A line that a program says, as an event."""
    return {"kind": "log", "step": step, "text": line}


def why_form(tier: str, answer: Answer, changes: tuple[Change, ...]) -> dict[str, Any]:
    return {
        "tier": tier,
        "published": answer.image.digest if answer.image else None,
        "note": note(answer.image),
        "differences": [{"leaf": c.leaf, "change": c.kind, "published": c.old, "working_tree": c.new} for c in changes],
    }


def note(image: Image | None) -> str:
    """What is special about an image: wheels that were not compiled here."""
    return image.labels.get(LABEL_WHEELS, "") if image else ""


def age_seconds(built: str | None, now: datetime) -> int | None:
    """Seconds since an image was built, by its label; None where that is no date with a zone: anybody may have written it."""
    try:
        return round((now - datetime.fromisoformat(built or "")).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def status_form(
    stack: LoadedStack,
    registry: Registry,
    running: str,
    now: datetime,
    inputs: Mapping[str, Inputs],
    last: Launched | None = None,
    updates: Callable[[Image], int] | None = None,
) -> dict[str, Any]:
    """`inputs` are the working tree's, by tier; `updates` counts the security updates that wait for an image; None leaves them out. Ages are seconds."""
    tiers = []
    for tier in stack.tiers:
        answer = registry.lookup(tier.name, stack.profile.tag)
        image, own = answer.image, inputs.get(tier.name)
        built = image.labels.get(LABEL_CREATED) if image else None
        entry: dict[str, Any] = {
            "name": tier.name,
            "state": answer.state.value,
            "reason": answer.reason,
            "digest": image.digest if image else None,
            "built": built,
            "age_seconds": age_seconds(built, now),
            "size": image.size if image else None,
            "note": note(image),
            "differs": len(differences(image.inputs, own)) if image and image.inputs and own else None,
        }
        if updates:
            entry["security_updates"] = updates(image) if image else None
        tiers.append(entry)
    return {
        "profile": stack.profile_name,
        "registry": registry.name,
        "archive": archive_form(stack.profile.archive, now) if stack.profile.archive else None,
        "running": running or None,
        "last_launch": None if last is None else {name: value or None for name, value in vars(last).items()},
        "tiers": tiers,
    }


def archive_form(archive: Archive, now: datetime) -> dict[str, Any]:
    age = (now.date() - datetime.fromisoformat(archive.date).date()).days
    return {"suite": archive.suite, "date": archive.date, "age_days": age}


def diagnosis_form(log: Path, found: "Diagnosis | None") -> dict[str, Any]:
    if found is None:
        return {"log": str(log), "cause": None}
    return {"log": str(log), "cause": found.cause, "remedy": found.remedy, "line": found.line, "number": found.number}
