"""Steps beside each other: one stream of events, results in order, and the first error ends the rest."""

import os
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from arrstack.errors import BuildError
from arrstack.launch.parallel import UNREAD, together
from arrstack.machine.process import Processes
from arrstack.model import Event, EventKind

Step = Generator[Event, None, str]


def command(script: str) -> Step:
    """A step as the engines have them: a command's lines as events, its status at the end."""
    lines = Processes().stream(["sh", "-c", script])
    try:
        while True:
            yield Event(EventKind.LOG, script, next(lines))
    except StopIteration as end:
        return f"status {end.value}"
    finally:
        lines.close()


def finished(steps: Generator[Event, None, list[str]]) -> tuple[list[str], list[str]]:
    """The events' texts and the results."""
    texts = []
    try:
        while True:
            texts.append(next(steps).text)
    except StopIteration as end:
        return texts, end.value


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("at_once", [1, 2, 3, 8])
def test_results_come_in_order_and_no_event_is_lost(at_once: int) -> None:
    steps = [command("echo a; sleep 0.2; echo b"), command("echo c; exit 3"), command("seq 5000")]
    texts, results = finished(together(steps, at_once))
    assert results == ["status 0", "status 3", "status 0"]
    assert sorted(texts) == sorted(["a", "b", "c", *map(str, range(1, 5001))])
    numbers = [text for text in texts if text.isdigit()]
    assert numbers == [str(n) for n in range(1, 5001)]


def test_nothing_is_done_at_once() -> None:
    assert finished(together([], 2)) == ([], [])


def test_they_really_run_beside_each_other(tmp_path: Path) -> None:
    """Each waits for what the other writes."""
    meet = "touch {0}/{1}; until [ -e {0}/{2} ]; do sleep 0.02; done"
    steps = [command(meet.format(tmp_path, "one", "two")), command(meet.format(tmp_path, "two", "one"))]
    assert finished(together(steps, 2))[1] == ["status 0", "status 0"]


def test_no_more_than_asked_for_run_at_a_time() -> None:
    now, most, lock = 0, 0, threading.Lock()

    def step() -> Step:
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
        time.sleep(0.05)
        yield Event(EventKind.LOG, "step")
        with lock:
            now -= 1
        return ""

    finished(together([step() for _ in range(6)], 2))
    assert most == 2


def failing(begun: Callable[[], bool]) -> Step:
    while not begun():
        time.sleep(0.02)
    yield Event(EventKind.LOG, "failing", "now")
    raise BuildError("this one fails")


def test_the_first_error_ends_the_others_and_their_silent_commands(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    silent = command(f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 300")
    later = tmp_path / "later"
    began = time.monotonic()
    with pytest.raises(BuildError, match="this one fails"):
        finished(together([silent, failing(pid.exists), command(f"touch {later}")], 2))
    assert time.monotonic() - began < 20
    assert not alive(int(pid.read_text()))
    assert not later.exists()


def test_closing_ends_all_of_them(tmp_path: Path) -> None:
    steps = together([command(f"echo $$ > {tmp_path}/{n}; echo up; sleep 300") for n in "ab"], 2)
    assert {next(steps).text, next(steps).text} == {"up"}
    steps.close()
    assert not any(alive(int((tmp_path / n).read_text())) for n in "ab")


def test_what_ends_a_step_ends_those_inside_it(tmp_path: Path) -> None:
    """The inner steps say nothing: only a look at the outer ones tells that they are not wanted."""
    pids = [tmp_path / name for name in "ab"]

    def nested() -> Step:
        yield from together([command(f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 300") for pid in pids], 2)
        return ""

    began = time.monotonic()
    with pytest.raises(BuildError, match="this one fails"):
        finished(together([nested(), failing(lambda: all(pid.exists() for pid in pids))], 2))
    assert time.monotonic() - began < 20
    assert not any(alive(int(pid.read_text())) for pid in pids)


def test_who_reads_slowly_makes_the_steps_wait_and_can_still_stop() -> None:
    said = 0

    def talker() -> Step:
        nonlocal said
        for said in range(1, 20 * UNREAD):
            yield Event(EventKind.LOG, "talker", str(said))
        return ""

    steps = together([talker(), talker()], 2)
    next(steps)
    time.sleep(0.5)
    assert said < 2 * UNREAD + 10
    steps.close()
