"""Pure: a build's log lines -> events, percentages and estimates."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from arrstack.model import Event, EventKind

MARKER = re.compile(r"CHONK: \[(\d{1,3})%\] (.*)")
EDGE = re.compile(r"^\[(\d+)/(\d+)\] (?!STEP |COMMIT )(.*)")  # not buildah's own "[1/2] STEP 3/9:"
CACHE = re.compile(r"^ARRSTACK cache: (\d+) hits of (\d+)")
TRUSTED = 0.05
"""The share of the work after which the rest is estimated from what was seen instead of from the record."""


@dataclass
class Progress:
    """Follows one step's log.

    `milestones` are the markers' percentages that the step prints, ascending; between two of them progress is
    interpolated from ninja's finished edges. `costs` are CPU-seconds of edges, by object name; where there are any, an edge
    without one moves nothing. `expected` is the step's duration in seconds, from an earlier run or stack.toml; 0 where unknown.
    """

    step: str
    milestones: Sequence[float] = (100.0,)
    costs: Mapping[str, float] = field(default_factory=dict)
    expected: float = 0.0
    percent: float = 0.0
    edges: tuple[int, int] | None = None
    cache: tuple[int, int] | None = None
    _marker: float = 0.0
    _said: float = 0.0
    """When the step said the line before, in seconds since it began."""
    _began: float = 0.0
    """When this ninja did: it says nothing before its first edge is finished, so with the line before that."""
    _done: float = 0.0
    _whole: float = 0.0
    _total: float = field(init=False)

    def __post_init__(self) -> None:
        self._total = sum(self.costs.values())

    def feed(self, line: str, seconds: float) -> Event:
        """The event that a line stands for, `seconds` after the step began."""
        event = self._event(line, seconds)
        if not CACHE.match(line):  # said by the clock, whatever the step does
            self._said = seconds
        return replace(event, seconds=seconds, remaining=self.remaining(seconds))

    def _event(self, line: str, seconds: float) -> Event:
        if marker := MARKER.search(line):
            self.percent = self._marker = max(self.percent, min(float(marker[1]), 100.0))
            self.edges, self._done = None, 0.0
            return Event(EventKind.MARKER, self.step, line[marker.start() :], self.percent)
        if edge := EDGE.match(line):
            return self._edge(int(edge[1]), int(edge[2]), edge[3])
        if hits := CACHE.match(line):
            self.cache = (int(hits[1]), int(hits[2]))
        return Event(EventKind.LOG, self.step, line)

    def _edge(self, finished: int, every: int, what: str) -> Event:
        if self.edges is None or finished <= self.edges[0]:
            self._began = self._said
        self.edges = (finished, every)
        name = what.rsplit(" ", 1)[-1]
        if self.costs and name not in self.costs:  # code generation, another ninja's edges: the record weighs the compile
            return Event(EventKind.PROGRESS, self.step, what, self.percent, self.edges)
        mean = self._total / len(self.costs) if self.costs else 1.0
        self._done += self.costs.get(name, mean)
        # A resumed build has fewer edges than the record: what is left is at most what ninja still counts.
        self._whole = whole = self._done + min(max(self._total - self._done, 0.0) or mean * every, mean * (every - finished))
        share = min(self._done / whole, 1.0) if whole else 0.0
        target = next((m for m in self.milestones if m > self._marker), 100.0)
        self.percent = max(self.percent, self._marker + (target - self._marker) * share)
        return Event(EventKind.PROGRESS, self.step, what, self.percent, self.edges)

    def remaining(self, seconds: float) -> float | None:
        """Seconds until the step ends, `seconds` after it began; None where nothing is known.

        Between two markers the edges tell: the record's cost of what is left, at the speed that this machine has shown
        since ninja began. What comes after the last edge is short, and left out. Before they can, the step's
        earlier duration tells: a marker says what is done, not how long the rest takes.
        """
        if self._done and self._done / self._whole > TRUSTED:
            return (self._whole - self._done) * (seconds - self._began) / self._done
        if self.expected > seconds:
            return self.expected - seconds
        share = self.percent / 100
        if share > TRUSTED and seconds > 0:
            return seconds * (1 - share) / share
        return 0.0 if self.expected else None
