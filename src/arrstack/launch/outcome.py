"""How a launch went, remembered for whoever asks later: `status`, and `diagnose` without a log."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from arrstack.errors import ArrstackError, ConfigError
from arrstack.machine.folders import Folders
from arrstack.machine.memory import Launched, Memory


@contextlib.contextmanager
def remembered(memory: Memory, now: Callable[[], datetime]) -> Iterator[None]:
    """Around a launch: whatever ends it is noted, and raised again."""

    def at() -> str:
        return now().isoformat(timespec="seconds")

    memory.began(at())
    before = memory.failed()
    try:
        yield
    except ArrstackError as error:
        log = memory.failed()
        memory.ended("failed", at(), error.message.splitlines()[0].rstrip(":"), log if log != before else "")
        raise
    except BaseException:
        memory.ended("interrupted", at())
        raise
    memory.ended("done", at())


def last_failed(memory: Memory, folders: Folders) -> Path:
    """The log of the step that failed last. Raises ConfigError where none did, or it is gone."""
    name = memory.failed()
    if not name:
        raise ConfigError("no step of this stack and profile has failed here", f"name a log: they are in {folders.logs}")
    path = folders.logs / name
    if not path.is_file():
        raise ConfigError(f"the log of the last failure is gone: {path}", f"name another: they are in {folders.logs}")
    return path


def sentence(last: Launched | None, running: str, since: Callable[[str], str]) -> str:
    """The last launch in a sentence; `since` says how long ago a time was."""
    if last is None:
        return "no launch yet"
    if last.result == "failed":
        cause = "; `arrstack diagnose` names the cause" if last.log else ""
        return f"the last launch failed {since(last.ended)} ago: {last.detail}{cause}"
    if last.result == "interrupted":
        return f"the last launch was interrupted {since(last.ended)} ago: `arrstack launch` goes on"
    if last.result == "done":
        return f"the last launch was done {since(last.ended)} ago"
    return "" if running else f"the launch that began {since(last.began)} ago was killed: `arrstack launch` goes on"
