"""The fourth room: shows a verification's report to a person. Only the console and the command line import this."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from arrstack.artifacts.files import Level, Problem
from arrstack.text import visible
from arrstack.verify.compat import Mode
from arrstack.verify.facts import Amount
from arrstack.verify.report import JudgedLibrary, Report

_BAR_CELLS = 16
_WIDE, _COLUMNS = 100, 60
"""Columns of what is no terminal, and of the table beside its longest path."""
_PROBLEMS_SHOWN = 200
_LIBRARIES_SHOWN = 500
_STYLES = {Mode.NATIVE: "green", Mode.LOWER_MINOR: "yellow", Mode.PTX: "yellow", Mode.NO: "red"}
_MARKS = {Level.ERROR: ("✗", "red"), Level.WARNING: ("!", "yellow"), Level.NOTE: ("·", "dim")}


def render(report: Report, width: int = _WIDE) -> RenderableType:
    """One line for each GPU, first; a table of what is in it, what it needs, the findings, the verdict; wheel by wheel. The table is a list
    where `width`, the terminal's columns, is too narrow for it: no path is broken."""
    wheels = [Group(_title(wheel), render(wheel, width)) for wheel in report.wheels]
    parts: list[RenderableType] = [*wheels, *([_title(report)] if wheels else [])]
    parts += [_answer(report, model) for model in report.gpus]
    if report.asked and not report.gpus and not wheels:
        parts.append(Text(f"{', '.join(report.asked)}: there is no GPU code in it"))
    if report.libraries:
        longest = max(len(library.path) for library in report.libraries[:_LIBRARIES_SHOWN])
        parts.append(_census(report) if longest + _COLUMNS <= width else _listed(report))
    if report.needs:
        needs = "   ".join(f"{name} {visible(version)}" for name, version in report.needs.items())
        parts.append(Text(f"needs  {needs}", style="dim"))
    if report.cpu_capabilities:
        parts.append(Text(f"CPU kernels for {', '.join(report.cpu_capabilities)}", style="dim"))
    parts += [_problem(problem) for problem in report.problems[:_PROBLEMS_SHOWN]]
    if len(report.problems) > _PROBLEMS_SHOWN:
        parts.append(Text(f"and {len(report.problems) - _PROBLEMS_SHOWN} more findings: --json shows all", style="dim"))
    parts.append(Text(visible(report.verdict), style="bold green" if report.passed else "bold red"))
    return Group(*parts)


def _title(report: Report) -> Text:
    return Text(visible(report.target), style="bold")


def _answer(report: Report, model: str) -> Text:
    return Text(report.answer(model), style=_STYLES[report.gpus[model].mode])


def _census(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, title=_title(report), title_justify="left")
    table.add_column("library", overflow="fold")
    table.add_column("architecture")
    table.add_column("entries", justify="right")
    table.add_column("MB", justify="right")
    table.add_column("")
    for library in report.libraries[:_LIBRARIES_SHOWN]:
        _add_library(table, library)
    if len(report.libraries) > _LIBRARIES_SHOWN:
        table.add_row(f"and {len(report.libraries) - _LIBRARIES_SHOWN} more: --json shows all", "", "", "", "")
    return table


def _listed(report: Report) -> RenderableType:
    """The census as a list: a library's path, and below it what it holds."""
    lines = [_title(report)]
    for library in report.libraries[:_LIBRARIES_SHOWN]:
        lines.append(_path(library))
        for name, amount in _rows(library):
            lines.append(Text(f"  {_label(library, name)}, {amount.entries} entries, {amount.bytes / 1e6:.1f} MB"))
        lines += [Text(f"  {name} missing", style="bold red") for name in library.missing]
    if len(report.libraries) > _LIBRARIES_SHOWN:
        lines.append(Text(f"and {len(report.libraries) - _LIBRARIES_SHOWN} more: --json shows all"))
    return Group(*lines)


def _rows(library: JudgedLibrary) -> list[tuple[str, Amount]]:
    rows = [(arch.sm, amount) for arch, amount in library.sm.items()]
    rows += [(f"{arch.compute} (PTX)", amount) for arch, amount in library.ptx.items()]
    return rows + [(f"{arch.sm} (LTO IR)", amount) for arch, amount in library.lto_ir.items()]


def _label(library: JudgedLibrary, name: str) -> str:
    return f"{name} not asked for" if name.split(" ")[0] in library.extra else name


def _path(library: JudgedLibrary) -> Text:
    shown = visible(library.path)
    return Text(shown) if library.ours else Text(f"{shown} (not judged)", style="dim")


def _add_library(table: Table, library: JudgedLibrary) -> None:
    rows, path = _rows(library), _path(library)
    largest = max((amount.bytes for _, amount in rows), default=1) or 1
    for number, (name, amount) in enumerate(rows):
        is_extra = name.split(" ")[0] in library.extra
        label = Text(_label(library, name), style="yellow" if is_extra else "green" if library.ours else "")
        table.add_row(path if number == 0 else "", label, str(amount.entries), f"{amount.bytes / 1e6:.1f}", _bar(amount, largest))
    for name in library.missing:
        table.add_row("" if rows else path, Text(f"{name} missing", style="bold red"), "0", "", "")


def _bar(amount: Amount, largest: int) -> Text:
    eighths = max(1, round(amount.bytes / largest * _BAR_CELLS * 8))
    whole, rest = divmod(eighths, 8)
    return Text("█" * whole + ("" if rest == 0 else "▏▎▍▌▋▊▉"[rest - 1]), style="cyan")


def _problem(problem: Problem) -> Text:
    mark, style = _MARKS[problem.level]
    text = Text(f"{mark} ", style=style)
    text.append(visible(f"{problem.path}: {problem.message}"))
    if problem.hint:
        text.append(f"  → {visible(problem.hint)}", style="dim")
    return text
