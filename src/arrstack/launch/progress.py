"""Pure: a build's log lines -> events, percentages and estimates."""

import heapq
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from statistics import fmean

from arrstack.launch.record import DEAR, MOST_ROWS, Row, parse, times_one
from arrstack.model import Event, EventKind

MARKER = re.compile(r"CHONK: \[(\d{1,3})%\] (.*)")
# Nine digits at most: what has more is no count of anything, and int() and float() refuse the longest.
EDGE = re.compile(r"^\[(\d{1,9})/(\d{1,9})\] (?!STEP |COMMIT )(.*)")  # not buildah's own "[1/2] STEP 3/9:"
CACHE = re.compile(r"^ARRSTACK cache: (\d{1,9}) hits of (\d{1,9})(?!\d)")
COST = "ARRSTACK edge: "
"""How a line begins that says what an edge cost, as a record does (arrstack.launch.record)."""
BY_THE_CLOCK = ("ARRSTACK cache: ", COST)
"""How lines begin that a step says now and then."""
TRUSTED = 0.05
"""The share of the work after which the rest is estimated from what was seen instead of from the record."""


@dataclass(frozen=True)
class Replay:
    """A record's edges on so many jobs, the dearest first. The recipe has an edge of each precompiled header begin before them: left out here.

    Seconds of the record's machine, ascending: when each edge is finished, and the cost of all that are finished then. So it knows
    what the sum of finished costs does not tell: how far those are that are not finished yet, and whether the last of them will be waited for alone.
    """

    ends: Sequence[float]
    done: Sequence[float]

    @classmethod
    def of(cls, costs: Iterable[float], jobs: int, archs: int = 0) -> "Replay":
        """`archs` is for how many architectures the dear ones are compiled, at once where that is what the end would wait for."""
        dearest = sorted(costs, reverse=True)
        dear = DEAR * sum(dearest) / jobs
        running: list[tuple[float, float]] = []
        finished: list[tuple[float, float]] = []
        for cost in dearest:
            holds = min(cost, max(dear, cost / times_one(archs))) if archs else cost
            free = 0.0
            if len(running) == jobs:
                finished.append(heapq.heappop(running))
                free = finished[-1][0]
            heapq.heappush(running, (free + holds, cost))
        finished += sorted(running)
        return cls([end for end, _ in finished], list(accumulate(cost for _, cost in finished)))

    def at(self, done: float) -> float:
        """When so much is finished."""
        if done <= 0:
            return 0.0
        index = bisect_left(self.done, done)
        if index >= len(self.done):
            return self.ends[-1]
        before, began = (self.done[index - 1], self.ends[index - 1]) if index else (0.0, 0.0)
        return began + (self.ends[index] - began) * (done - before) / (self.done[index] - before)


@dataclass
class Progress:
    """Follows one step's log.

    `milestones` are the markers' percentages that the step prints, ascending; between two of them progress is
    interpolated from ninja's finished edges. `costs` are CPU-seconds of edges, by object name; where there are any, an object
    without one (a new file, another compile plan) weighs what the record's do on average, and what is no object moves nothing. `expected` is the step's duration in seconds, from an earlier run or stack.toml; 0 where unknown.
    `jobs` is how many edges run at once, `archs` for how many architectures the objects with GPU code are compiled.
    """

    step: str
    milestones: Sequence[float] = (100.0,)
    costs: Mapping[str, float] = field(default_factory=dict)
    expected: float = 0.0
    jobs: int = 1
    archs: int = 0
    percent: float = 0.0
    edges: tuple[int, int] | None = None
    cache: tuple[int, int] | None = None
    made: list[Row] = field(default_factory=list)
    """What the step said of its edges' cost."""
    _marker: float = 0.0
    _said: float = 0.0
    """When the step said the line before, in seconds since it began."""
    _done: float = 0.0
    _replay: Replay = field(default_factory=lambda: Replay([], []))
    """Of what this ninja has to do."""
    _shares: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the step began, share of this ninja's time that was over then), ascending. The first is the line before
    ninja's own first one: ninja says nothing until an edge is finished. Each is the average over the last `jobs` edges, once
    there are twice as many. One edge's end alone says nothing of those that run beside it."""
    _ends: list[tuple[float, float]] = field(default_factory=list)
    """The same for the end of each edge of this ninja, not averaged."""
    _compiled: bool = False
    """Whether a marker followed the edges."""

    def feed(self, line: str, seconds: float) -> Event:
        """The event that a line stands for, `seconds` after the step began."""
        event = self._event(line, seconds)
        if not line.startswith(BY_THE_CLOCK):  # whatever the step does
            self._said = seconds
        return replace(event, seconds=seconds, remaining=self.remaining(seconds))

    def _event(self, line: str, seconds: float) -> Event:
        if marker := MARKER.search(line):
            self.percent = self._marker = max(self.percent, min(float(marker[1]), 100.0))
            self._compiled = self._compiled or bool(self._ends)
            self.edges, self._done = None, 0.0
            return Event(EventKind.MARKER, self.step, line[marker.start() :], self.percent)
        if edge := EDGE.match(line):
            return self._edge(int(edge[1]), int(edge[2]), edge[3], seconds)
        if hits := CACHE.match(line):
            self.cache = (int(hits[1]), int(hits[2]))
        if line.startswith(COST) and len(self.made) < MOST_ROWS:
            with suppress(ValueError):  # a line of a log: it may say anything
                self.made.append(parse(line.removeprefix(COST)))
        return Event(EventKind.LOG, self.step, line)

    def _edge(self, finished: int, every: int, what: str, seconds: float) -> Event:
        if self.edges is None or not self.edges[0] or finished <= self.edges[0]:  # it says [0/1] while CMake runs again
            self._done, self._shares, self._ends = 0.0, [(self._said, 0.0)], []
        if self.edges is None or every != self.edges[1]:
            # A resumed build has fewer edges than the record. The dearest were begun first, so the cheapest are left.
            self._replay = Replay.of(sorted(self.costs.values())[:every], self.jobs, self.archs)
        self.edges = (finished, every)
        name = what.rsplit(" ", 1)[-1]
        weighs = not self.costs or name in self.costs or name.endswith(".o")
        if not weighs:  # code generation, a header: the record weighs the compile
            if not self._ends:  # nothing that weighs is finished yet: all waited for this, and that is no pace
                self._shares = [(seconds, 0.0)]
            return Event(EventKind.PROGRESS, self.step, what, self.percent, self.edges)
        self._done += self.costs.get(name, self._usual)
        share = self._share
        self._see(seconds, share)
        target = next((m for m in self.milestones if m > self._marker), 100.0)
        self.percent = max(self.percent, self._marker + (target - self._marker) * share)
        return Event(EventKind.PROGRESS, self.step, what, self.percent, self.edges)

    def _see(self, seconds: float, share: float) -> None:
        self._ends.append((seconds, share))
        seen = self._ends[-self.jobs :] if len(self._ends) >= 2 * self.jobs else self._ends[-1:]
        at = fmean(at for at, _ in seen)
        while len(self._shares) > 1 and self._shares[-1][0] >= at:  # where the averages begin
            self._shares.pop()
        self._shares.append((at, fmean(over for _, over in seen)))

    @cached_property
    def _usual(self) -> float:
        return fmean(self.costs.values()) if self.costs else 0.0

    @property
    def ordinary(self) -> bool:
        """Whether what it took tells how long the step takes: not where most objects were there already or came from the compiler cache."""
        if self.cache is None:
            return True
        hits, objects = self.cache
        return 2 * (objects - hits) >= max(objects, len(self.costs))

    @property
    def _share(self) -> float:
        """Of this ninja's time, what is over by the record: 0 to 1. Without a record all edges are alike."""
        if self.edges is None or not self.edges[1]:
            return 0.0
        if not self.costs:
            return min(self.edges[0] / self.edges[1], 1.0)
        whole = self._replay.ends[-1]
        return self._replay.at(self._done) / whole if whole else 0.0

    def remaining(self, seconds: float) -> float | None:
        """Seconds until the step ends, `seconds` after it began; None where nothing is known.

        Between two markers the edges tell: what is over of the time by the record, at the pace that this machine has shown
        since ninja began. What comes after the last edge is short, and left out; there nothing is known. Before they can, the step's
        earlier duration tells: a marker says what is done, not how long the rest takes.
        """
        if self.edges and self._ends and self._shares[-1][1] > TRUSTED:
            (at, share), since_edge = self._shares[-1], seconds - self._ends[-1][0]
            since, before = self._halfway(at, share)
            whole = (at + since_edge - since) * (1 - before) / (share - before)
            return max(since + whole - seconds, 0.0)  # an average lies behind
        if self._compiled:  # a compiler cache may have made hours of minutes
            return None
        if self.expected > seconds:
            return self.expected - seconds
        share = self.percent / 100
        if share > TRUSTED and seconds > 0:
            return seconds * (1 - share) / share
        return 0.0 if self.expected else None

    def _halfway(self, seconds: float, share: float) -> tuple[float, float]:
        """When half of this ninja's time until now was over, and what was done then; its beginning where too little came since to tell.

        The later half alone shows the pace: what a compiler cache answers comes first, at a pace that does not last.
        """
        beginning = self._shares[0]
        half = (beginning[0] + seconds) / 2
        index = bisect_left(self._shares, half, key=itemgetter(0))
        if index == 0 or len(self._shares) - index < 2 * self.jobs:
            return beginning
        (earlier, less), (later, more) = self._shares[index - 1 : index + 1]
        before = less + (more - less) * (half - earlier) / (later - earlier)
        return (half, before) if before < share else beginning
