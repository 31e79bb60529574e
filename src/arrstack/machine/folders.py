"""Where the product keeps its things on this machine, and who works with them now."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from arrstack.errors import MachineError
from arrstack.machine.locks import Held, held, holder, scratch, sweep
from arrstack.machine.memory import Memory


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
        named = {
            name: Path(environment.get(name, "")) for name in defaults
        }  # a relative one is to be ignored, says the specification
        found = (named[name] if named[name].is_absolute() else home / default for name, default in defaults.items())
        return cls(*(folder / "arrstack" for folder in found))

    @property
    def registry(self) -> Path:
        return self.data / "registry"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def log(self, step: str, now: datetime) -> Path:
        """A new log's path for a step."""
        self.logs.mkdir(parents=True, exist_ok=True)
        return self.logs / f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{re.sub(r'[^a-z0-9.-]+', '-', step.lower())}.log"

    def memory(self, stack: Path, profile: str) -> Memory:
        """What this machine remembers of a profile of the stack in that file."""
        return Memory.of(self.state, stack, profile)

    # -- who is launching

    def _lock(self, work: str) -> Path:
        """Beside what it guards: two launches with one cache keep apart, whatever their other folders are."""
        return self.cache / f"{work}.lock"

    @contextlib.contextmanager
    def alone(self, what: str, work: str = "launch") -> Iterator[None]:
        """Held by a launch, and by what must not meet one: `prune`, `registry repair`. The kernel frees it with the process.

        Another kind of `work` has a lock of its own: the compiler cache may move while a launch fills it. Raises MachineError
        where another holds it.
        """
        try:
            self.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(
                f"{self.cache} cannot be written: {error.strerror}", "set XDG_CACHE_HOME to a folder of yours"
            ) from None
        try:
            with held(self._lock(work), f"process {os.getpid()}: {what}"):
                yield
        except Held:
            raise MachineError(
                f"another one is at work: {self.running(work) or 'it just ended'}",
                "wait for it, or end it; it resumes where it was",
            ) from None

    def running(self, work: str = "launch") -> str:
        """What holds the lock now; '' for nothing."""
        return holder(self._lock(work))

    # -- folders of one step

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for one step; where this process is killed, a later launch sweeps it."""
        return scratch(self.cache)

    def sweep(self) -> None:
        """Removes what steps of launches that were killed left behind."""
        sweep(self.cache)
