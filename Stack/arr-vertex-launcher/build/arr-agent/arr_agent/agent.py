"""The agent as a child process: its output passes through, its polls are judged, signals reach it."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from arr_agent.polls import Polls
from arr_agent.settings import SettingError, read_settings

COMMAND = ("wandb", "launch-agent")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
ENDED, BAD_SETTING, NO_PROGRAM = 1, 2, 127
"""Exit statuses of this program's own."""


def tell(message: str) -> None:
    print(f"arr-agent: {message}", file=sys.stderr, flush=True)


def end(agent: "subprocess.Popen[str]", grace: float) -> None:
    """Asks the agent to end, and makes it after `grace` seconds."""
    agent.terminate()
    try:
        agent.wait(grace)
    except subprocess.TimeoutExpired:
        agent.kill()


def watch(agent: "subprocess.Popen[str]", polls: Polls) -> str:
    """Passes the agent's output on until it ends. Why it is to be ended before, or an empty string."""
    assert agent.stdout is not None
    for line in agent.stdout:
        print(line, end="", flush=True)
        reason = polls.verdict(line, time.monotonic())
        if reason:
            return reason
    return ""


def start(arguments: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    """The running agent, which gets the signals that this process gets, also those that come while it is being started.

    Raises FileNotFoundError where there is no such program.
    """
    early: list[int] = []
    for each in SIGNALS:
        signal.signal(each, lambda received, _: early.append(received))
    # A line that is buffered is read too late.
    unbuffered = {**environment, "PYTHONUNBUFFERED": "1"}
    agent = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, errors="replace", env=unbuffered)
    for each in SIGNALS:
        signal.signal(each, lambda received, _: agent.send_signal(received))
    for received in early:
        agent.send_signal(received)
    return agent


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs the agent with these arguments. The exit status; the package's text says which."""
    try:
        settings = read_settings(environment)
        agent = start(arguments, environment)
    except SettingError as error:
        tell(str(error))
        return BAD_SETTING
    except FileNotFoundError:
        tell(f"there is no program {COMMAND[0]}: wandb[launch] is not installed, or not on PATH")
        return NO_PROGRAM
    reason = watch(agent, Polls(settings.polls))
    if reason:
        tell(f"ended, because {reason}")
        end(agent, settings.grace)
        return ENDED
    status = agent.wait()
    return status if status >= 0 else 128 - status
