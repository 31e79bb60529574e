"""What ran when: steps, their parts, and the chart that is shown after a launch."""

import io

import pytest
from rich.console import Console

from arrstack.cli.console import Output
from arrstack.cli.timeline import Span, Timeline, bar, covered_seconds
from arrstack.model import Event, EventKind

PHASE, MARKER, LOG, DONE = EventKind.PHASE, EventKind.MARKER, EventKind.LOG, EventKind.DONE


def launched() -> Timeline:
    """A launch of 1000 s: a wheel in two marked parts, then two checks beside each other."""
    found = Timeline()
    for now, kind, step, text in [
        (20, PHASE, "base/torch", "log: x"),
        (25, LOG, "base/torch", "a line"),
        (120, MARKER, "base/torch", "CHONK: [15%] CMake patches applied 💎 Diamond ▰▱ [100s]"),
        (820, MARKER, "base/torch", "CHONK: [70%] PyTorch MUHNCHED! ♦️ Ruby"),
        (822, PHASE, "base/torch", "built in 802 s"),
        (823, DONE, "base/torch", "published"),
        (830, PHASE, "base/works.py", "check"),
        (831, PHASE, "base/clean.sh", "check"),
        (850, DONE, "base/clean.sh", "passed"),
        (1000, DONE, "base/works.py", "passed"),
    ]:
        found.feed(Event(kind, step, text), float(now))
    return found


def test_a_part_has_the_name_of_what_ends_it_and_what_is_short_is_left_out() -> None:
    spans = launched().spans(1000.0)
    assert spans == [
        Span("base/torch", 20.0, 823.0),
        Span("CMake patches applied", 20.0, 120.0, part=True),
        Span("PyTorch MUHNCHED!", 120.0, 820.0, part=True),
        Span("base/works.py", 830.0, 1000.0),
        Span("base/clean.sh", 831.0, 850.0),
    ]


def test_a_short_step_has_a_line_and_what_did_not_run_has_none() -> None:
    found = Timeline()
    for now, kind, step in [
        (0, PHASE, "base"),
        (999, DONE, "base"),
        (999, PHASE, "app"),
        (1000, DONE, "app"),
        (1000, DONE, "top"),
    ]:
        found.feed(Event(kind, step, "x"), float(now))
    assert [span.name for span in found.spans(1000.0)] == ["base", "app"], "top is only said to be reused"


def test_a_bar_stands_where_its_time_is_and_is_never_empty() -> None:
    assert bar(Span("a", 0, 50), 100, 10) == "█████     "
    assert bar(Span("a", 50, 100, part=True), 100, 10) == "     ░░░░░"
    assert bar(Span("a", 99.9, 100), 100, 10) == "         █"
    assert bar(Span("a", 100, 100), 100, 10) == "         █"


def test_what_runs_beside_another_counts_once() -> None:
    spans = [Span("b", 50.0, 90.0), Span("a", 0.0, 60.0), Span("part", 0.0, 60.0, part=True), Span("c", 100.0, 110.0)]
    assert covered_seconds([*spans, Span("d", 0.0, 9.0)], ["a", "b", "c", "part"]) == 100.0
    assert covered_seconds(spans, []) == 0.0


def test_the_chart_says_where_the_time_went_and_what_would_shorten_it() -> None:
    out = Output(False, False, False)
    out.console = Console(file=io.StringIO(), width=200, soft_wrap=True)
    out.timeline(launched(), ["base/torch"], 2)
    text = out.console.file.getvalue()  # type: ignore[attr-defined]
    assert text.splitlines()[0] == "17 min:"
    assert "    PyTorch MUHNCHED!" in text
    assert "80% of it in steps that compile, with 2 jobs: more cores shorten these alone" in text


@pytest.mark.parametrize("columns", [100, 60, 20])
def test_the_chart_has_no_more_than_the_terminal_s_columns(columns: int) -> None:
    out = Output(False, False, False)
    out.console = Console(file=io.StringIO(), width=columns, soft_wrap=True, force_terminal=True, color_system=None)
    out.timeline(launched(), [], 2)
    lines = out.console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(len(line) <= columns for line in lines), lines
    assert lines[1].startswith("  b")


def test_a_launch_of_one_step_needs_no_chart() -> None:
    out = Output(False, False, False)
    out.console = Console(file=io.StringIO(), width=200)
    out.timeline(Timeline(), [], 2)
    assert out.console.file.getvalue() == ""  # type: ignore[attr-defined]
