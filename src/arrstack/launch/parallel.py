"""Steps that run beside each other: a thread each, one stream of events."""

import queue
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    told: queue.Queue[Event] = queue.Queue(UNREAD)
    stop, outer = threading.Event(), stopping.get()

    def tell(event: Event) -> None:
        while not stop.is_set():
            try:
                told.put(event, timeout=GLANCE)
            except queue.Full:
                continue
            return
        raise Stopped

    def work(step: Generator[Event, None, T]) -> T:
        stopping.set(stop)
        try:
            while not stop.is_set():
                tell(next(step))
            raise Stopped
        except StopIteration as end:
            result: T = end.value
            return result
        except BaseException:
            stop.set()  # here, before this thread takes another step
            raise
        finally:
            step.close()

    with ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(work, step) for step in steps]
        try:
            while not (all(each.done() for each in running) and told.empty()):
                if stop.is_set() or (outer and outer.is_set()):
                    break
                with suppress(queue.Empty):
                    yield told.get(timeout=GLANCE)
        finally:
            stop.set()
    errors = [error for each in running if (error := each.exception())]
    for error in errors:
        if not isinstance(error, Stopped):
            raise error
    return [each.result() for each in running]
