"""Shows vulnerabilities to a person."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from arrstack.contents.advisories.assessment import Assessment, Vulnerability
from arrstack.text import counted, visible

SHOWN = 500
_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "", "": "dim"}


def render(found: Assessment) -> RenderableType:
    """The vulnerabilities, the worst first; packages with a newer version; what was left out; what was asked, and its limits."""
    parts: list[RenderableType] = [_table(found)] if found.found else []
    for update in found.updates:
        mark = "" if update.read else " (its changelog could not be read)"
        parts.append(Text(visible(f"newer: {update.source} {update.installed} -> {update.available}{mark}")))
    for each in found.ignored:
        one = each.vulnerability
        parts.append(Text(visible(f"left out until {each.until}: {one.id} of {one.package}: {each.reason}"), style="dim"))
    parts += [Text(visible(f"over, counts again: {line}"), style="yellow") for line in found.expired]
    for source in found.coverage:
        parts.append(Text(visible(f"asked: {source.source}, {source.packages} packages. {source.limits}"), style="dim"))
    if found.unasked:
        parts.append(Text(f"{found.unasked} packages no source knows about: nothing can be said of them", style="yellow"))
    count, fixable = len(found.found), len(found.fixable)
    named = counted(count, "vulnerability", "vulnerabilities")
    verdict = f"{named}, {fixable} of them mended in a newer version" if count else "none is known to what was asked"
    parts.append(Text(verdict, style="bold red" if count else "bold green"))
    return Group(*parts)


def _table(found: Assessment) -> Table:
    table = Table("severity", "which", "package", "installed", "mended in", box=None, pad_edge=False)
    for each in found.found[:SHOWN]:
        table.add_row(*_row(each), style=_STYLES[each.severity])
    if len(found.found) > SHOWN:
        table.add_row("", f"and {len(found.found) - SHOWN} more: --json shows all")
    return table


def _row(each: Vulnerability) -> list[Text]:
    texts = (each.severity or "unrated", each.id, each.package, each.installed, each.fixed or "not yet")
    return [Text(visible(text)) for text in texts]
