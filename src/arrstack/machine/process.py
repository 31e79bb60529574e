"""The only place that starts a subprocess."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Generic, Protocol, TypeVar

from arrstack.errors import BuildError, MachineError

T = TypeVar("T")
R = TypeVar("R")
CHUNK = 1 << 16
LONGEST_LINE = 1 << 16
"""Bytes of a line without an end that are held in memory; the log gets all of them in any case."""

GLANCE = 0.1
"""Seconds between two looks whether a command that says nothing is still wanted."""

stopping: ContextVar[threading.Event | None] = ContextVar("stopping", default=None)
"""Where a thread works beside others: once it is set, the command that the thread reads from is ended."""


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


@contextlib.contextmanager
def installed(program: str) -> Iterator[None]:
    """Around the start of a program. Raises MachineError where it does not exist."""
    try:
        yield
    except FileNotFoundError:
        raise MachineError(f"{program} is not installed") from None


def asked_to_end(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)


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
        longer than `seconds`, Stopped where what this thread does is no longer wanted."""
        pipe = None if interactive else subprocess.PIPE
        stop = None if interactive else stopping.get()
        with reading(text, interactive) as stdin, installed(argv[0]):
            child = subprocess.Popen(
                argv,
                env=self.environment,
                cwd=cwd,
                stdin=stdin,
                stdout=pipe,
                stderr=pipe,
                text=True,
                errors="replace",
                start_new_session=stop is not None,
            )
        with child:
            output, errors = communicated(child, argv[0], seconds, stop)
        if check and child.returncode:
            raise Failed(argv, child.returncode, errors or "")
        return Finished(child.returncode, output or "", errors or "")

    def stream(
        self, argv: Sequence[str], log: BinaryIO | None = None, cwd: Path | None = None, text: str | None = None
    ) -> Generator[str, None, int]:
        """Runs a command and yields its lines as they come, standard output and errors together. It reads `text`, or nothing.

        `log` gets the very bytes. Returns the exit status. Closing the generator ends the command and its children.
        """
        with reading(text, False) as stdin, installed(argv[0]):
            child = subprocess.Popen(
                argv,
                env=self.environment,
                cwd=cwd,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
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

    def attached(self, argv: Sequence[str], errors: "Filter | None" = None, end: Callable[[int], None] = asked_to_end) -> int:
        """Runs a command with this process's own standard input, output and errors; returns its status. `errors` sees what it writes to
        standard error, as it comes, and says what of it is handed on. Ctrl-C is the command's: it has it from the terminal too, and ends as it
        wishes. So is SIGTERM: `end` hands it on, and gets the command's process. Raises MachineError where it does not exist."""
        running: list[int] = []
        asked: list[int] = []

        def hand_on(number: int, _: object) -> None:
            asked.append(number)
            for process in running:
                end(process)

        # Before it runs: it may have the terminal's Ctrl-C, or be asked to end, before Popen is back. A handler, unlike SIG_IGN, is not inherited.
        before = signal.signal(signal.SIGINT, lambda *_: None), signal.signal(signal.SIGTERM, hand_on)
        try:
            with installed(argv[0]):
                child = subprocess.Popen(argv, env=self.environment, stderr=subprocess.PIPE if errors else None)
            running.append(child.pid)
            if asked:
                end(child.pid)
            with child:
                if errors and child.stderr:
                    while chunk := os.read(child.stderr.fileno(), CHUNK):
                        write_all(sys.stderr.fileno(), errors.feed(chunk))
                status = child.wait()
            if errors:
                write_all(sys.stderr.fileno(), errors.end(status))
            return status if status >= 0 else 128 - status
        finally:
            for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
                signal.signal(number, handler)

    def watch(self, argv: Sequence[str], tell: Callable[[int], None], every: float = 0.5) -> Finished:
        """Runs a command that says nothing until its end, and tells every so many seconds what it has read by then, in bytes.

        Raises Failed for a status other than 0, MachineError where it does not exist. Whatever interrupts this ends the command.
        """
        with installed(argv[0]):
            child = subprocess.Popen(
                argv,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        with child:
            try:
                while True:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        output, errors = child.communicate(timeout=every)
                        break
                    tell(bytes_read(child.pid))
            finally:
                end(child)
        if child.returncode:
            raise Failed(argv, child.returncode, errors)
        return Finished(0, output, errors)


class Filter(Protocol):
    """What decides which bytes of a stream are handed on."""

    def feed(self, data: bytes) -> bytes:
        """What of all bytes until now may be handed on."""

    def end(self, status: int) -> bytes:
        """The rest, once the command has ended with that status."""


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def bytes_read(process: int) -> int:
    """What a process has read until now, from files and sockets (proc_pid_io(5)); 0 where it has ended."""
    try:
        return int(Path(f"/proc/{process}/io").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


@contextlib.contextmanager
def reading(text: str | None, interactive: bool) -> Iterator[IO[str] | int | None]:
    """What a command reads: the terminal, nothing, or a text. That stands in a file: a pipe would have to be filled while the
    output is read, which `communicate` does not go on with after a pause."""
    if interactive or text is None:
        yield None if interactive else subprocess.DEVNULL
        return
    with tempfile.TemporaryFile("w+") as file:
        file.write(text)
        file.seek(0)
        yield file


def communicated(
    child: "subprocess.Popen[str]", name: str, seconds: float | None, stop: threading.Event | None
) -> tuple[str, str]:
    """What a command prints until its end. Raises MachineError after `seconds`, Stopped when `stop` is set before; the
    command is ended then, and whenever this is interrupted."""
    limit = None if seconds is None else time.monotonic() + seconds
    try:
        while True:
            left = None if limit is None else max(limit - time.monotonic(), 0.0)
            try:
                return child.communicate(timeout=left if stop is None else GLANCE if left is None else min(GLANCE, left))
            except subprocess.TimeoutExpired:
                if stop and stop.is_set():
                    raise Stopped from None
                if limit is not None and time.monotonic() >= limit:
                    raise MachineError(f"{name} did not answer within {seconds} s") from None
    except BaseException:
        if stop:
            end(child)  # with its group
        else:
            child.kill()
        raise


def read(descriptor: int, stop: threading.Event | None) -> bytes:
    """What a pipe holds, when it holds something; nothing at its end. Raises Stopped when `stop` is set before."""
    while stop and not select.select([descriptor], [], [], GLANCE)[0]:
        if stop.is_set():
            raise Stopped
    return os.read(descriptor, CHUNK)


def end(child: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
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
