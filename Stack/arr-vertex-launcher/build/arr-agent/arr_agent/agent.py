"""The agent as a child process: its output passes through and is judged, signals reach it, and it ends in time."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from arr_agent.key import SecretError, with_key
from arr_agent.polls import Polls
from arr_agent.settings import BAD_SETTING, ENDED, SettingError, read_settings, tell

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LEFT = 5.0
"""Seconds after the agent's end for which what it started may go on."""


class Agent:
    """The running agent. It is in a process group of its own, which goes with it: wandb has a process of its own too."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], grace: float) -> None:
        """Starts it. It gets the signals that this process gets, also those that come while it is being started, and has `grace` seconds
        from the first."""
        self.grace = grace
        self.timer: threading.Timer | None = None
        early: list[int] = []
        for each in SIGNALS:
            signal.signal(each, lambda received, _: early.append(received))
        self.child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=dict(environment), start_new_session=True
        )  # fmt: skip
        for each in SIGNALS:
            signal.signal(each, lambda received, _: self.ask(received))
        for received in early:
            self.ask(received)
        threading.Thread(target=self.clear, daemon=True).start()

    def clear(self) -> None:
        """Ends what outlives the agent: it would hold the pipe that is read to its end."""
        self.child.wait()
        time.sleep(LEFT)
        self.kill()

    def ask(self, received: int = signal.SIGTERM) -> None:
        """Asks the agent to end, and makes it after the grace."""
        if self.child.poll() is None:
            self.child.send_signal(received)
        if self.timer is None:
            self.timer = threading.Timer(self.grace, self.kill)
            self.timer.daemon = True
            self.timer.start()

    def kill(self) -> None:
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def watch(self, polls: Polls) -> str:
        """Passes the agent's output on until it ends, and asks it to end when it cannot go on. Why, or an empty string."""
        reason = ""
        assert self.child.stdout is not None
        for line in self.child.stdout:
            print(line, end="", flush=True)
            if not reason and (reason := polls.verdict(line, time.monotonic())):
                self.ask()
        return reason

    def status(self) -> int:
        """Its exit status; 128 + N for signal N."""
        status = self.child.wait()
        self.kill()  # what it left behind
        return status if status >= 0 else 128 - status


def main(arguments: Sequence[str], environment: Mapping[str, str], command: Sequence[str]) -> int:
    """Runs the agent, `command` with these arguments. The exit status; the package's text says which."""
    try:
        settings = read_settings(environment)
        agent = Agent([*command, *arguments], with_key(environment, settings.secret), settings.grace)
    except SettingError as error:
        tell(str(error))
        return BAD_SETTING
    except SecretError as error:
        tell(f"ended, because {error}")
        return ENDED
    reason = agent.watch(Polls(settings.polls))
    status = agent.status()
    if reason:
        tell(f"ended, because {reason}")
        return ENDED
    return status
