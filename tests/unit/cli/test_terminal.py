"""What a person sees on a real terminal of 100, 60 and 20 columns."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

import pytest

from tests.conftest import ROOT

WIDTHS = (100, 60, 20)


def seen(columns: int, *arguments: str, cwd: Path = ROOT) -> str:
    """What the product writes on a terminal of so many columns, without its control sequences."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        os.chdir(cwd)
        # COLUMNS is stronger than the terminal, and what runs the tests may have set it.
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        os.execve(sys.executable, [sys.executable, "-m", "arrstack", *arguments], environment | {"TERM": "xterm"})
    told = b""
    try:
        while chunk := os.read(terminal, 65536):
            told += chunk
    except OSError:  # how the end of a terminal is told
        pass
    os.waitpid(process, 0)
    os.close(terminal)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", WIDTHS)
def test_status_breaks_no_word_that_one_would_copy(columns: int, own_folders: Path) -> None:
    told = seen(columns, "status")
    lines = told.splitlines()
    assert lines[0] == "stack stack.toml, profile cpu"
    assert f"registry oci:{own_folders}/xdg_data_home/arrstack/registry" in lines, "the terminal wraps a line, never the product"
    for tier in ("arr-pytorch-base", "arr-ml-stack", "arr-trainer", "arr-vertex-launcher"):
        (line,) = [line for line in lines if line.startswith(tier)]
        assert columns >= 60 or line == tier, "too narrow for a table: a list"
    assert lines[-1] == "no launch yet"


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_plan_has_a_line_for_each_thing_whatever_the_width(columns: int) -> None:
    lines = seen(columns, "plan", "--stack", "examples/small/stack.toml").splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("  ") and not line.startswith("   ")] == [
        ["rebuild", "small-base"],
        ["follows", "small-tools"],
        ["follows", "small-app"],
        ["follows", "small-agent"],
    ]
    assert lines.count("           never built here") == 4
    assert re.fullmatch(r"about \d+ (s|min) for 4 of 4 tiers", lines[-1])


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_command_in_a_sentence_is_on_one_line_to_paste(columns: int) -> None:
    lines = seen(columns, "--profile", "cpu", "why", "arr-trainer").splitlines()
    assert any("`arrstack --profile cpu launch arr-trainer`" in line for line in lines)
