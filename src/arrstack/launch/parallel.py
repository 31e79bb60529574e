"""Steps that run beside each other: a thread each, one stream of events."""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from arrstack.machine.process import Stopped, stopping
from arrstack.model import Event

T = TypeVar("T")
UNREAD = 1000
"""Events that wait to be shown; a step that says more waits until they are."""
GLANCE = 0.1
"""Seconds between two looks whether the steps go on."""


def together(steps: Sequence[Generator[Event, None, T]], at_once: int) -> Generator[Event, None, list[T]]:
    """Runs the steps, `at_once` of them at a time, and yields their events as they come; returns their results in order.

    The first error ends the other steps and their commands, and is raised; so does closing this generator, and so does what
    ends the step that this is a part of.
    """
    if len(steps) == 1 or at_once == 1:
        results = []
        for step in steps:
            results.append((yield from step))
        return results
    work = Threads()
    with ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(work.run, step) for step in steps]
        try:
            yield from work.events(running)
        finally:
            work.stop.set()
    errors = [error for each in running if (error := each.exception())]
    for error in errors:
        if not isinstance(error, Stopped):
            raise error
    return [each.result() for each in running]


class Threads:
    """What the threads of some steps share: the events that they tell, and whether they are still wanted."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[Event] = queue.Queue(UNREAD)
        self.stop, self.outer = threading.Event(), stopping.get()

    def run(self, step: Generator[Event, None, T]) -> T:
        """In a thread of its own: runs a step to its end, or until it is no longer wanted. Raises Stopped then."""
        stopping.set(self.stop)
        try:
            while not self.stop.is_set():
                self._tell(next(step))
            raise Stopped
        except StopIteration as end:
            result: T = end.value
            return result
        except BaseException:
            self.stop.set()  # here, before this thread takes another step
            raise
        finally:
            step.close()

    def _tell(self, event: Event) -> None:
        while not self.stop.is_set():
            with suppress(queue.Full):
                self.waiting.put(event, timeout=GLANCE)
                return
        raise Stopped

    def events(self, running: Sequence["Future[T]"]) -> Iterator[Event]:
        """The steps' events, until all are finished or one has failed."""
        while not (all(each.done() for each in running) and self.waiting.empty()):
            if self.stop.is_set() or (self.outer and self.outer.is_set()):
                break
            with suppress(queue.Empty):
                yield self.waiting.get(timeout=GLANCE)
