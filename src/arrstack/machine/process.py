"""The only place that starts a subprocess."""

import os
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from arrstack.errors import BuildError, MachineError

T = TypeVar("T")
R = TypeVar("R")
CHUNK = 1 << 16
LONGEST_LINE = 1 << 16
"""Bytes of a line without an end that are held in memory; the log gets all of them in any case."""


GLANCE = 0.1
"""Seconds between two looks whether a command that says nothing is still wanted."""

stopping: ContextVar[threading.Event | None] = ContextVar("stopping", default=None)
"""Where a thread works beside others (together.py): once it is set, the command that the thread reads from is ended."""


class Stopped(Exception):
    """What this thread did is no longer wanted: another one failed, or a person ended the launch."""


class Outcome(Generic[T, R]):
    """A generator to loop over, and afterwards what it returned; leaving the block closes it.

    with Outcome(engine.build(step, reference, log)) as lines:
        for line in lines:
            print(line)
    built = lines.value
    """

    value: R

    def __init__(self, generator: Generator[T, None, R]):
        self.generator = generator

    def __enter__(self) -> "Outcome[T, R]":
        return self

    def __exit__(self, *_: object) -> None:
        self.generator.close()

    def __iter__(self) -> Iterator[T]:
        self.value = yield from self.generator


@dataclass(frozen=True)
class Finished:
    status: int
    output: str
    errors: str


class Failed(BuildError):
    """A command ended with a status other than 0."""

    def __init__(self, argv: Sequence[str], status: int, errors: str = ""):
        told = errors.strip().splitlines()[-1:] or [f"status {status}"]
        super().__init__(f"{' '.join(argv)[:200]} failed: {told[0]}")
        self.argv, self.exit_status, self.errors = list(argv), status, errors


class Processes:
    """Starts commands with one environment. Effects that need a process take one of these as an argument."""

    def __init__(self, environment: Mapping[str, str] | None = None):
        self.environment = dict(os.environ if environment is None else environment)

    def which(self, name: str) -> str | None:
        return shutil.which(name, path=self.environment.get("PATH"))

    def run(
        self,
        argv: Sequence[str],
        check: bool = True,
        cwd: Path | None = None,
        interactive: bool = False,
        text: str | None = None,
        seconds: float | None = None,
    ) -> Finished:
        """Runs a command to its end and returns what it printed (nothing for an interactive one, which has the
        terminal). Raises Failed for a status other than 0 where `check`, MachineError where it does not exist or takes
        longer than `seconds`."""
        pipe = None if interactive else subprocess.PIPE
        feed = {} if interactive else {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        try:
            done = subprocess.run(
                argv,
                env=self.environment,
                cwd=cwd,
                stdout=pipe,
                stderr=pipe,
                text=True,
                errors="replace",
                timeout=seconds,
                **feed,
            )
        except FileNotFoundError:
            raise MachineError(f"{argv[0]} is not installed") from None
        except subprocess.TimeoutExpired:
            raise MachineError(f"{argv[0]} did not answer within {seconds} s") from None
        if check and done.returncode:
            raise Failed(argv, done.returncode, done.stderr or "")
        return Finished(done.returncode, done.stdout or "", done.stderr or "")

    def stream(self, argv: Sequence[str], log: BinaryIO | None = None, cwd: Path | None = None) -> Generator[str, None, int]:
        """Runs a command and yields its lines as they come, standard output and errors together.

        `log` gets the very bytes. Returns the exit status. Closing the generator ends the command and its children.
        """
        try:
            child = subprocess.Popen(
                argv,
                env=self.environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise MachineError(f"{argv[0]} is not installed") from None
        assert child.stdout is not None
        try:
            rest = b""
            while chunk := read(child.stdout.fileno(), stopping.get()):
                if log:
                    log.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace").rstrip("\r")
                if len(rest) > LONGEST_LINE:
                    rest = rest[-LONGEST_LINE:]
            if rest:
                yield rest.decode(errors="replace")
            return child.wait()
        finally:
            if log:
                log.flush()
            end(child)


def read(descriptor: int, stop: threading.Event | None) -> bytes:
    """What a pipe holds, when it holds something; nothing at its end. Raises Stopped when `stop` is set before."""
    while stop and not select.select([descriptor], [], [], GLANCE)[0]:
        if stop.is_set():
            raise Stopped
    return os.read(descriptor, CHUNK)


def end(child: "subprocess.Popen[bytes]") -> None:
    """Ends a command and its process group: asks first, then insists."""
    for kind, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 10)):
        if child.poll() is not None:
            break
        try:
            os.killpg(child.pid, kind)
            child.wait(seconds)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    if child.stdout:
        child.stdout.close()
