"""The fourth room: shows a verification's report to a person. Only the console and the command line import this."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from arrstack.artifacts.files import Level, Problem
from arrstack.text import visible
from arrstack.verify.compat import Mode
from arrstack.verify.facts import Amount
from arrstack.verify.report import Gpu, JudgedLibrary, Report

_BAR_CELLS = 16
_STYLES = {
    Mode.NATIVE: "green",
    Mode.LOWER_MINOR: "yellow",
    Mode.PTX: "yellow",
    Mode.NO: "red",
}
_MODE_WORDS = {
    Mode.NATIVE: "native machine code",
    Mode.LOWER_MINOR: "machine code of a lower minor version",
    Mode.PTX: "compiled from PTX at first use",
    Mode.NO: "does not run",
}
_MARKS = {Level.ERROR: ("✗", "red"), Level.WARNING: ("!", "yellow"), Level.NOTE: ("·", "dim")}


def render(report: Report) -> RenderableType:
    """One table for what is in it, one line for each way GPUs run it, the findings, the verdict."""
    parts: list[RenderableType] = []
    if report.libraries:
        parts += [_census(report), _gpus(report)]
    if report.needs:
        parts.append(
            Text(visible("needs  " + "   ".join(f"{name} {version}" for name, version in report.needs.items())), style="dim")
        )
    if report.cpu_capabilities:
        parts.append(Text(f"CPU kernels for {', '.join(report.cpu_capabilities)}", style="dim"))
    parts += [_problem(problem) for problem in report.problems]
    return Group(*parts, _verdict(report))


def _census(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, title=Text(visible(report.target), style="bold"), title_justify="left")
    table.add_column("library", overflow="fold")
    table.add_column("architecture")
    table.add_column("entries", justify="right")
    table.add_column("MB", justify="right")
    table.add_column("")
    for library in report.libraries:
        _add_library(table, library, report)
    return table


def _add_library(table: Table, library: JudgedLibrary, report: Report) -> None:
    rows = [(arch.sm, amount) for arch, amount in library.sm.items()]
    rows += [(f"{arch.compute} (PTX)", amount) for arch, amount in library.ptx.items()]
    rows += [(f"{arch.sm} (LTO IR)", amount) for arch, amount in library.lto_ir.items()]
    largest = max((amount.bytes for _, amount in rows), default=1) or 1
    shown = visible(library.path)
    path = Text(shown) if library.ours else Text(f"{shown} (not judged)", style="dim")
    for number, (name, amount) in enumerate(rows):
        is_extra = name.split(" ")[0] in library.extra
        label = Text(
            f"{name} not asked for" if is_extra else name, style="yellow" if is_extra else "green" if library.ours else ""
        )
        table.add_row(path if number == 0 else "", label, str(amount.entries), f"{amount.bytes / 1e6:.1f}", _bar(amount, largest))
    for name in library.missing:
        table.add_row("" if rows else path, Text(f"{name} missing", style="bold red"), "0", "", "")


def _bar(amount: Amount, largest: int) -> Text:
    eighths = max(1, round(amount.bytes / largest * _BAR_CELLS * 8))
    whole, rest = divmod(eighths, 8)
    return Text("█" * whole + ("" if rest == 0 else "▏▎▍▌▋▊▉"[rest - 1]), style="cyan")


def _gpus(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for mode in Mode:
        models = {model: gpu for model, gpu in report.gpus.items() if gpu.mode is mode}
        if models:
            judged = any(library.ours for library in report.libraries)
            names = (_model(model, gpu, judged) for model, gpu in models.items())
            table.add_row(Text(_MODE_WORDS[mode], style=_STYLES[mode]), ", ".join(names))
    return table


def _model(model: str, gpu: Gpu, judged: bool) -> str:
    better = sum(mode is not gpu.mode for mode in gpu.libraries.values())
    if better:
        return f"{model} (otherwise in {better} of {len(gpu.libraries)} libraries)"
    return f"{model} (less for {gpu.less} of {gpu.of} units)" if judged and 0 < gpu.less < gpu.of else model


def _problem(problem: Problem) -> Text:
    mark, style = _MARKS[problem.level]
    text = Text(f"{mark} ", style=style)
    text.append(visible(f"{problem.path}: {problem.message}"))
    if problem.hint:
        text.append(visible(f"  → {problem.hint}"), style="dim")
    return text


def _verdict(report: Report) -> Text:
    wanted = ", ".join(arch.sm for arch in report.policy.architectures) or "no GPU code"
    if not report.passed:
        missing = ", ".join(report.missing) or "none"
        extra = ", ".join(report.extra) or "none"
        return Text(f"FAIL  wanted {wanted}; missing: {missing}; not asked for: {extra}", style="bold red")
    if not report.libraries:
        return Text("PASS  there is no GPU code in it, and none was asked for", style="bold green")
    if not any(library.ours for library in report.libraries):
        return Text("PASS  reported, not judged: a vendor's libraries", style="bold green")
    return Text(f"PASS  exactly {wanted}", style="bold green")
