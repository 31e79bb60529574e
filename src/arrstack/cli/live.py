"""A launch as it goes: a live view on a terminal, lines for a log."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from arrstack.cli.units import escape
from arrstack.machine.resources import available_memory
from arrstack.model import Event, EventKind
from arrstack.text import duration, size, visible

BAR = 24
SILENCE = 60.0
"""Seconds after which a log without a terminal says again how far a step is."""


SLOW, QUICK = 0.1, 0.01
"""The parts of an estimate in whose time the shown one takes up two thirds of a change for the worse, and for the better."""
UNFINISHED = 99.0
"""Percent: the most that the clock says of a step that runs."""


def left(seconds: float, estimated: float, passed: float) -> str:
    """The estimate of what is left, as a person says it; one that is used up says nothing of what still runs, so that of the whole
    step is told, where it is known and has passed."""
    if seconds >= 1:
        return f"about {duration(seconds)} left"
    if passed < estimated:
        return "nearly done"
    return f"longer than the {duration(estimated)} estimated" if estimated else "longer than estimated"


def damped(before: tuple[float, float] | None, seconds: float, now: float) -> float:
    """What is shown of a new estimate, in seconds: the old one, moved towards it. A busy minute moves hours little; better news counts sooner."""
    if before is None:
        return seconds
    expected, passed = max(before[0] - (now - before[1]), 0.0), now - before[1]
    slowness = (SLOW if seconds > expected else QUICK) * max(seconds, expected, 1.0)
    return expected + (seconds - expected) * -math.expm1(-passed / slowness)


class Plain:
    """Lines for a log: phases and markers, and how far a step is at every twentieth of it and every minute."""

    def __init__(self, console: Console, verbose: bool):
        self.console, self.verbose = console, verbose
        self.said: dict[str, tuple[int, float]] = {}
        """Step -> the twentieth that was said last, and when."""
        self.estimated: dict[str, float] = {}
        """Step -> the estimate with which it began, in seconds."""

    def feed(self, event: Event) -> None:
        if event.kind is EventKind.PHASE:
            self.said.pop(event.step, None)
            self.estimated[event.step] = event.remaining or 0.0
        if event.kind is EventKind.PROGRESS and self.verbose and event.edges:  # as the step itself said it
            self.console.print(f"{escape(event.step)}: {escape(f'[{event.edges[0]}/{event.edges[1]}] {event.text}')}")
        elif event.kind is EventKind.PROGRESS or (event.kind is EventKind.LOG and not self.verbose):
            self._progress(event)
        else:
            self.console.print(f"{escape(event.step)}: {escape(event.text)}")

    def _progress(self, event: Event) -> None:
        part, seconds = int((event.percent or 0) / 5) if event.edges else -1, event.seconds or 0.0
        shown, when = self.said.get(event.step, (-1, 0.0))
        if part <= shown and seconds - when < SILENCE:
            return
        self.said[event.step] = (max(part, shown), seconds)
        how_far = f"{event.percent:.0f}%  {event.edges[0]} of {event.edges[1]} edges, " if event.edges else ""
        estimated = self.estimated.get(event.step, 0.0)
        ahead = f", {left(event.remaining, estimated, seconds)}" if event.remaining is not None else ""
        self.console.print(f"{escape(event.step)}: {how_far}{duration(seconds)}{ahead}")


@dataclass
class Running:
    """What the live view shows of one step. `remaining` is the estimate and when it was made."""

    step: str
    began: float
    percent: float = 0.0
    remaining: tuple[float, float] | None = None
    edges: tuple[int, int] | None = None
    cache: str = ""
    last: str = ""
    estimated: float = 0.0
    """With which it began."""

    def feed(self, event: Event, now: float) -> None:
        if event.kind is EventKind.PHASE and event.remaining:
            self.estimated = event.remaining
        if event.remaining is not None:
            self.remaining = (damped(self.remaining, event.remaining, now), now)
        elif event.kind in (EventKind.MARKER, EventKind.PROGRESS, EventKind.LOG):  # nothing is known any more
            self.remaining = None
        if event.kind in (EventKind.MARKER, EventKind.PROGRESS):
            self.percent = event.percent or self.percent
        if event.kind is EventKind.PROGRESS:
            self.edges = event.edges
        if event.text.startswith("ARRSTACK cache: "):
            self.cache = event.text.removeprefix("ARRSTACK ")
        else:
            self.last = event.text

    def line(self, now: float, width: int = 1000) -> str:
        """How far it is, in at most `width` characters: without the bar, and then without its end, where there is no room."""
        seconds, percent = now - self.began, self.percent
        remaining = self.remaining[0] - (now - self.remaining[1]) if self.remaining else None
        if not percent and remaining is not None:  # it says nothing of how far it is: the clock does
            percent = min(100 * seconds / (seconds + max(remaining, 0.01)), UNFINISHED)
        filled = round(BAR * percent / 100)
        bar = "▰" * filled + "▱" * (BAR - filled)
        parts = [self.step, duration(seconds)]
        parts += [left(remaining, self.estimated, seconds)] if remaining is not None else []
        parts += [f"{self.edges[0]}/{self.edges[1]} edges"] if self.edges else []
        told = "  ".join([f"{percent:3.0f}%", *parts, *([self.cache] if self.cache else [])])
        whole = f"{bar} {told}"
        return whole if len(whole) <= width else told if len(told) <= width else f"{told[: width - 1]}…"


class LiveView:
    """A line for each running step: percent, elapsed, estimate, edges, compiler cache; below it what it said last. Free memory.

    Above it what stays: phases, markers and warnings, and every line of the log where `verbose`."""

    def __init__(self, console: Console, verbose: bool):
        from rich.live import Live

        self.console, self.verbose = console, verbose
        self.running: dict[str, Running] = {}
        self.live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self.render)

    @contextmanager
    def shown(self) -> Iterator["LiveView"]:
        with self.live:
            yield self

    def feed(self, event: Event) -> None:
        now = time.monotonic()
        begins = event.kind is EventKind.PHASE and event.percent == 0.0
        if begins or (event.step not in self.running and event.kind in (EventKind.PHASE, EventKind.MARKER, EventKind.PROGRESS)):
            self.running[event.step] = Running(event.step, now)
        if event.step in self.running:  # else it is finished, and something is only said of it
            self.running[event.step].feed(event, now)
        if event.kind in (EventKind.PHASE, EventKind.DONE):
            self.console.print(f"[bold]{escape(event.step)}[/]: {escape(event.text)}")
        elif event.kind is EventKind.WARNING:
            self.console.print(f"[bold yellow]{escape(event.step)}[/]: {escape(event.text)}")
        elif event.kind is EventKind.MARKER or (event.kind is EventKind.LOG and self.verbose):
            self.console.print(escape(event.text))
        if event.kind is EventKind.DONE or (event.kind is EventKind.PHASE and event.percent == 100.0):
            self.running.pop(event.step, None)  # what is finished leaves, with the line above

    def render(self) -> str:
        now = time.monotonic()
        width = self.console.width - 1
        lines = [
            text for step in list(self.running.values()) for text in (step.line(now, width), visible(step.last[:width])[:width])
        ]
        return "\n".join(escape(line) for line in [*lines, f"free memory: {size(available_memory())}"[:width]]) if lines else ""
