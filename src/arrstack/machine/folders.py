"""What this machine remembers between launches: where things stand, how long steps took, who is launching."""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from arrstack.errors import MachineError


@dataclass(frozen=True)
class Folders:
    """The XDG base directories (freedesktop.org, basedir-spec 0.8), each with the product's own folder."""

    cache: Path
    state: Path
    data: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Folders":
        home = Path(environment.get("HOME") or "/")
        defaults = {"XDG_CACHE_HOME": ".cache", "XDG_STATE_HOME": ".local/state", "XDG_DATA_HOME": ".local/share"}
        return cls(*(Path(environment.get(name) or home / default) / "arrstack" for name, default in defaults.items()))

    @property
    def registry(self) -> Path:
        return self.data / "registry"

    def log(self, step: str, now: datetime) -> Path:
        """A new log's path for a step."""
        folder = self.state / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{re.sub(r'[^a-z0-9.-]+', '-', step)}.log"

    # -- how long steps took

    def durations(self) -> dict[str, float]:
        """Step -> seconds of its last run here that did the whole work. A file that is not ours to read counts as empty: it only estimates."""
        try:
            told = json.loads((self.state / "durations.json").read_text())
            return {str(step): float(seconds) for step, seconds in told.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def remember(self, step: str, seconds: float) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        temporary = self.state / "durations.json.new"
        temporary.write_text(json.dumps(self.durations() | {step: round(seconds, 1)}, indent=1, sort_keys=True))
        temporary.replace(self.state / "durations.json")

    # -- who is launching

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Held while a launch works. The kernel frees it with the process. Raises MachineError where another holds it."""
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            lock = (self.state / "launch.lock").open("a+")
        except OSError as error:
            raise MachineError(
                f"{self.state} cannot be written: {error.strerror}", "set XDG_STATE_HOME to a folder of yours"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MachineError(
                    f"another launch is running: {self.running() or 'it just began'}",
                    "wait for it, or end it; it resumes where it was",
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()}: {what}")
            lock.flush()
            try:
                yield
            finally:
                lock.truncate(0)

    def running(self) -> str:
        """What holds the lock now; '' for nothing."""
        try:
            with (self.state / "launch.lock").open("r+") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return lock.read().strip()
        except OSError:
            pass
        return ""
