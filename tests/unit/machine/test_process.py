"""Commands that run to their end, or are ended."""

import os
import threading
import time

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
