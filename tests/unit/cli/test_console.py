"""What stays on a terminal above the live lines."""

import io

import pytest
from rich.console import Console

from arrstack.cli.console import LiveView
from arrstack.model import Event, EventKind


@pytest.mark.parametrize(
    ("verbose", "stays"), [(False, ["t: check", "t: no RPATH"]), (True, ["t: check", "a line [1/2]", "t: no RPATH"])]
)
def test_warnings_stay_on_a_terminal_and_every_line_where_that_is_asked_for(verbose: bool, stays: list[str]) -> None:
    written = io.StringIO()
    view = LiveView(Console(file=written, force_terminal=True, color_system=None, width=100), verbose)
    for event in (
        Event(EventKind.PHASE, "t", "check", 0.0),
        Event(EventKind.LOG, "t", "a line [1/2]"),
        Event(EventKind.WARNING, "t", "no RPATH"),
    ):
        view.feed(event)
    assert written.getvalue().splitlines() == stays
