"""Pure: an inventory, an assessment and a comparison in their documented JSON forms (docs/guide/json.md)."""

from typing import Any

from arrstack.contents.advisories.assessment import Assessment, Vulnerability
from arrstack.contents.inventory import Inventory, Library, Package
from arrstack.contents.report.comparison import Comparison


def inventory_form(target: str, inventory: Inventory, comparison: Comparison | None = None) -> dict[str, Any]:
    """What `report --json` prints. Sizes are bytes."""
    found: dict[str, Any] = {
        "target": target,
        "kind": inventory.kind,
        "digest": inventory.digest or None,
        "created": inventory.created or None,
        "distribution": inventory.distribution.name or None,
        "stored": inventory.stored,
        "bytes": inventory.bytes,
        "files": inventory.files,
        "parts": [
            {"name": p.name, "made_by": p.made_by, "stored": p.stored, "bytes": p.bytes, "hidden": p.hidden, "files": p.files}
            for p in inventory.parts
        ],
        "packages": [package_form(package) for package in inventory.packages],
        "libraries": [library_form(library) for library in inventory.libraries if library.code],
        "savings": [
            {"kind": each.kind, "bytes": each.bytes, "files": each.files, "largest": dict(each.largest)}
            for each in inventory.savings
        ],
        "duplicates": [{"bytes": each.size, "wasted": each.wasted, "paths": list(each.paths)} for each in inventory.duplicates],
        "problems": [{"level": each.level.value, "path": each.path, "message": each.message} for each in inventory.problems],
    }
    return found | ({"against": comparison_form(comparison)} if comparison else {})


def package_form(package: Package) -> dict[str, Any]:
    return {
        "kind": package.kind.value,
        "name": package.name,
        "version": package.version,
        "architecture": package.architecture or None,
        "source": package.source or None,
        "licences": list(package.licences),
        "files": package.files,
        "bytes": package.bytes,
    }


def library_form(library: Library) -> dict[str, Any]:
    code = {name: {"entries": amount.entries, "bytes": amount.bytes} for name, amount in library.code.items()}
    return {"path": library.path, "bytes": library.size, "owner": library.owner or None, "code": code}


def comparison_form(comparison: Comparison) -> dict[str, Any]:
    return {
        "target": comparison.other.target,
        "stored": comparison.other.stored,
        "bytes": comparison.other.bytes,
        "fetched": comparison.fetched,
        "stored_ratio": comparison.stored_ratio,
        "bytes_ratio": comparison.bytes_ratio,
        "code": {name: {"here": ours, "there": others} for name, (ours, others) in comparison.code().items()},
        "differences": [
            {"name": e.name, "here": e.version, "there": e.other_version, "bytes": e.bytes, "other_bytes": e.other_bytes}
            for e in comparison.differences
        ],
        "left_out": comparison.left_out,
    }


def assessment_form(target: str, found: Assessment) -> dict[str, Any]:
    """What `vulnerabilities --json` prints."""
    return {
        "target": target,
        "found": [vulnerability_form(each) for each in found.found],
        "ignored": [
            vulnerability_form(each.vulnerability) | {"reason": each.reason, "until": each.until.isoformat()}
            for each in found.ignored
        ],
        "expired": list(found.expired),
        "updates": [
            {"source": e.source, "packages": list(e.packages), "installed": e.installed, "available": e.available, "read": e.read}
            for e in found.updates
        ],
        "coverage": [{"source": each.source, "packages": each.packages, "limits": each.limits} for each in found.coverage],
        "unasked": found.unasked,
    }


def vulnerability_form(each: Vulnerability) -> dict[str, Any]:
    return {
        "id": each.id,
        "package": each.package,
        "installed": each.installed,
        "fixed": each.fixed or None,
        "severity": each.severity or None,
        "source": each.source,
        "summary": each.summary,
    }
