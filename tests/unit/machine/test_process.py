"""Commands that run to their end, or are ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from arrstack.errors import MachineError
from arrstack.machine.process import Failed, Processes, Stopped, stopping


def test_a_command_s_output_errors_and_status_are_told() -> None:
    told = Processes().run(["sh", "-c", "cat; echo wrong >&2; exit 3"], check=False, text="given\n")
    assert (told.status, told.output, told.errors) == (3, "given\n", "wrong\n")
    with pytest.raises(Failed, match="wrong"):
        Processes().run(["sh", "-c", "echo wrong >&2; exit 3"])


def test_a_command_that_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(MachineError, match=r"sleep did not answer within 0\.2 s"):
        Processes().run(["sleep", "60"], seconds=0.2)
    assert time.monotonic() - began < 10


def test_a_command_that_is_no_longer_wanted_is_ended_with_its_children() -> None:
    """As a push is, when the launch fails elsewhere: it does not wait for the push."""
    stop = threading.Event()
    token = stopping.set(stop)
    threading.Timer(0.3, stop.set).start()
    try:
        began = time.monotonic()
        with pytest.raises(Stopped):
            Processes().run(["sh", "-c", f"sleep 61.{os.getpid()} & wait"])
        assert time.monotonic() - began < 10
    finally:
        stopping.reset(token)
    lines = Processes().run(["sh", "-c", "ps -eo args"], check=False).output
    assert f"sleep 61.{os.getpid()}" not in [line.strip() for line in lines.splitlines()]


def test_much_input_and_output_pass_while_somebody_may_stop_it() -> None:
    token = stopping.set(threading.Event())
    try:
        text = "line\n" * 200_000
        assert Processes().run(["sh", "-c", "sleep 0.3; cat"], text=text).output == text
    finally:
        stopping.reset(token)


def test_ctrl_c_is_for_the_command_that_has_the_terminal() -> None:
    command = ["sh", "-c", "trap 'echo caught; exit 7' INT; echo ready; sleep 9 & wait"]
    program = f"import sys; from arrstack.machine.process import Processes; sys.exit(Processes().attached({command!r}))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stdout and run.stdout.readline() == "ready\n"
        os.killpg(run.pid, signal.SIGINT)
        assert run.stdout.readline() == "caught\n"
        assert run.wait(20) == 7


def test_what_a_copy_reads_is_told_while_it_runs(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 5_000_000)
    told: list[int] = []
    Processes().watch(["sh", "-c", f"cat {tmp_path}/large >/dev/null; sleep 0.3"], told.append, every=0.05)
    assert told


def test_a_watched_command_that_fails_is_told_with_its_last_word() -> None:
    with pytest.raises(Failed, match="no such image"):
        Processes().watch(["sh", "-c", "echo no such image >&2; exit 3"], lambda _: None)
