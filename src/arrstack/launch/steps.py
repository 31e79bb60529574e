"""One build at a time: its events, its log, how long it took, its image in the registry."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from arrstack.engines import IMAGES, Builder
from arrstack.errors import ArchiveError, BuildError, VerificationError
from arrstack.launch.diagnose import diagnose, read_lines, useful_tail
from arrstack.launch.estimate import base_step
from arrstack.launch.progress import COST, Progress
from arrstack.launch.record import SHIPPED_ARCHS, Row, for_archs, later, rows_of
from arrstack.launch.recorder import Recorder, Took
from arrstack.machine.folders import Folders
from arrstack.machine.memory import Kind, Memory
from arrstack.machine.process import Outcome
from arrstack.model import BuildStep, Event, EventKind, Image
from arrstack.recipes.config import Base

TAIL_BYTES = 1 << 18
Explained = BuildError | VerificationError | ArchiveError


@dataclass(frozen=True)
class Steps:
    """Carries out the steps of a launch by its builder, and remembers what was made."""

    builder: Builder
    folders: Folders
    memory: Memory
    jobs: int = 1
    parallel_builds: int = 1
    """How many builds or checks may run beside each other: what memory allows where each takes `jobs` compilers'."""
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    recorder: Recorder | None = None
    """Keeps with each thing that is published what its build took."""
    writing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    """Held by the step that writes to the registry or to what the machine remembers: one at a time."""

    def build(self, step: BuildStep, reference: str, progress: Progress) -> Generator[Event, None, str]:
        """Runs one build: every line an event, the bytes in a log, the duration remembered. Raises BuildError."""
        with self.writing:
            self.memory.note(Kind.MOUNT, *step.cache_mounts)
        return (yield from self._logged(step.name, lambda log: self.builder.build(step, reference, log), progress))

    def _logged(
        self, name: str, run: Callable[[BinaryIO], Generator[str, None, str]], progress: Progress
    ) -> Generator[Event, None, str]:
        """What makes an image of the builder's store, with its log. Raises what it raises, explained."""
        path = self.folders.log(name, self.now())
        with self.writing:
            self.memory.note(Kind.LOG, path.name)
        began = self.clock()
        yield Event(EventKind.PHASE, name, f"log: {path}", 0.0, remaining=progress.expected or None)
        watched = self.recorder.watching() if self.recorder else nullcontext(None)
        ended = False
        with path.open("wb", buffering=0) as log, watched as peaks:  # who follows the log sees each line when it comes
            try:
                with Outcome(run(log)) as lines:
                    for line in lines:
                        event = progress.feed(line, self.clock() - began)
                        if not line.startswith(COST):  # it is kept, not shown
                            yield event
                    ended = True
            except (BuildError, VerificationError, ArchiveError) as error:
                with self.writing:
                    self.memory.fail(path.name)
                raise explain(error, path) from None
            finally:  # what an interrupted compile made is known too
                self._keep(name, for_archs(progress.made, SHIPPED_ARCHS, of=progress.archs or SHIPPED_ARCHS), ended)
        if self.recorder and peaks:
            self.recorder.note(lines.value, Took(self.clock() - began, peaks, progress.cache))
        with self.writing:
            self.memory.note(Kind.IMAGE, lines.value)
            if progress.ordinary:
                self.memory.remember(name, self.clock() - began, progress.archs)
        yield Event(EventKind.PHASE, name, f"built in {self.clock() - began:.0f} s", 100.0)
        return lines.value

    def _keep(self, name: str, made: list[Row], ended: bool) -> None:
        """What a step said of its edges; what cannot be kept orders no later compile, and harms nothing else."""
        if made:
            before = rows_of(self.memory.edges(name))
            whole = ended and 2 * len({row.name for row in made}) >= len({row.name for row in before})
            with suppress(OSError):
                self.memory.keep_edges(name, "".join(row.line for row in later(before, made, whole)))

    def publish(self, step: str, repository: str, tag: str, reference: str) -> Generator[Event, None, Image]:
        """A built image into the registry, one at a time."""
        with self.writing:
            self.memory.note(Kind.TAG, f"{repository}:{tag}")
            image = self.builder.publish(reference, repository, tag)
        if self.recorder:
            yield from self.recorder.keep(step, image, reference, self.now())
        yield Event(EventKind.DONE, step, f"published {repository}:{tag}")
        return image

    def available(self, image: Image) -> str:
        """A published image, as a step may name it."""
        return self._noted(self.builder.available(image))

    def base(self, argument: str, base: Base, archive: str, expected: float) -> Generator[Event, None, str]:
        """A base image, as a step may name it: a step of its own where it must be made. Raises ArchiveError."""
        if held := self.builder.base(base, archive):
            return self._noted(held)
        name = base_step(argument)
        made = yield from self._logged(
            name, lambda log: self.builder.make_base(base, archive, log), Progress(name, expected=expected)
        )
        yield Event(EventKind.DONE, name, "made")
        return made

    def _noted(self, reference: str) -> str:
        if reference.startswith(IMAGES):  # a base that the engine pulls by its own name is not ours to remove
            with self.writing:
                self.memory.note(Kind.IMAGE, reference)
        return reference

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for one step, where the next launch finds it if this one is killed."""
        return self.folders.scratch()

    def tidy(self) -> None:
        """Removes what a launch that was killed left behind."""
        self.builder.tidy()
        self.folders.sweep()


def explain(error: Explained, log: Path) -> Explained:
    """The builder's error with the log's last useful lines, the cause where it is known, and where the log is."""
    with log.open(encoding="utf-8", errors="replace", newline="\n") as file:
        cause = diagnose(read_lines(file))
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - TAIL_BYTES, 0))
        tail = useful_tail(file.read().decode(errors="replace").splitlines())
    message = "\n".join([error.message, *(f"  {line[:300]}" for line in tail), f"log: {log}"])
    if cause is None:
        return type(error)(message, error.hint)
    what = "the likeliest cause" if cause.guess else "cause"
    return type(error)(f"{message}\n{what}: {cause.cause}", cause.remedy or error.hint)
