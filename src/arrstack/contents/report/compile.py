"""Pure: the record of a compile -> what ran when on so many jobs, and the chain of edges that decides the end.

Two forms are read: a record of edges as the recipe's launcher writes it (Stack/arr-pytorch-base/build/common/edges.py), which has no order
of dependencies, and a graph as `bench/makespan.py export` makes it, which has.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from arrstack.errors import ConfigError

JOBS = (2, 4, 16, 64, 176)
MOST_EDGES = 20_000
RECORD_FIELDS, GRAPH_FIELDS = 7, 6


@dataclass(frozen=True)
class Edge:
    """One command of the build: CPU-seconds, and the numbers of the edges that must be finished before it."""

    name: str
    seconds: float
    before: tuple[int, ...] = ()


@dataclass(frozen=True)
class Bar:
    """When an edge ran, on which of the jobs; `decides` says that the end of all would move with it."""

    edge: int
    lane: int
    begin: float
    end: float
    decides: bool = False


@dataclass(frozen=True)
class Replay:
    """The compile on so many jobs. `bound` is what no order can beat: max(sum / jobs, longest chain)."""

    jobs: int
    seconds: float
    bound: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Compile:
    """A compile as the page shows it. `chain` is the longest chain of edges that wait for each other, first to last."""

    source: str
    edges: tuple[Edge, ...]
    chain: tuple[int, ...]
    replays: tuple[Replay, ...]

    @property
    def chain_seconds(self) -> float:
        return sum(self.edges[index].seconds for index in self.chain)

    @property
    def seconds(self) -> float:
        """CPU-seconds of all edges."""
        return sum(edge.seconds for edge in self.edges)


def compile_of(text: str, source: str, jobs: Sequence[int] = JOBS) -> Compile:
    """From the text of a record or graph that is called `source`. Raises ConfigError where it is none.

    compile_of(Path("records/torch.tsv").read_text(), "records/torch.tsv").replays[0].seconds
    """
    edges = read_edges(text, source)
    chain = longest_chain(edges, source)
    return Compile(source, tuple(edges), tuple(chain), tuple(replay(edges, count, chain) for count in jobs))


def read_edges(text: str, source: str) -> list[Edge]:
    """The edges in their order; of an object that was made more than once the sum. Raises ConfigError."""
    found: dict[str, Edge] = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("\t")
        try:
            edge = _recorded(fields) if len(fields) == RECORD_FIELDS else _in_graph(fields)
        except (ValueError, IndexError):
            raise ConfigError(
                f"{source}:{number}: no line of a record of edges", "take a build's own edges.tsv, or none"
            ) from None
        if len(found) >= MOST_EDGES:
            raise ConfigError(f"{source}: more than {MOST_EDGES} edges", "take the record of one compile")
        earlier = found.get(edge.name)
        found[edge.name] = Edge(edge.name, edge.seconds + earlier.seconds, earlier.before) if earlier else edge
    edges = list(found.values())
    if any(not 0 <= other < len(edges) for edge in edges for other in edge.before):
        raise ConfigError(f"{source}: an edge waits for one that is not there", "make the graph anew")
    return edges


def _recorded(fields: Sequence[str]) -> Edge:
    user, system, _, _, _, _, name = fields
    return Edge(name, _seconds(user) + _seconds(system))


def _in_graph(fields: Sequence[str]) -> Edge:
    if len(fields) != GRAPH_FIELDS:
        raise ValueError
    return Edge(fields[0], _seconds(fields[1]), tuple(int(each) for each in fields[5].split(",") if each))


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value


def longest_chain(edges: Sequence[Edge], source: str = "graph") -> list[int]:
    """The heaviest chain of edges that wait for each other. Raises ConfigError where they wait in a circle."""
    order = _in_order(edges)
    if len(order) != len(edges):
        raise ConfigError(f"{source}: its edges wait for each other in a circle", "make the graph anew")
    weight: list[float] = [0.0] * len(edges)
    behind: list[int] = [-1] * len(edges)
    for index in order:
        heaviest = max(edges[index].before, key=lambda other: weight[other], default=-1)
        behind[index] = heaviest
        weight[index] = edges[index].seconds + (weight[heaviest] if heaviest >= 0 else 0.0)
    at = max(range(len(edges)), key=lambda index: weight[index], default=-1)
    chain: list[int] = []
    while at >= 0:
        chain.append(at)
        at = behind[at]
    return chain[::-1]


def _waiting(edges: Sequence[Edge]) -> list[list[int]]:
    """By edge, those that wait for it."""
    found: list[list[int]] = [[] for _ in edges]
    for index, edge in enumerate(edges):
        for other in edge.before:
            found[other].append(index)
    return found


def _in_order(edges: Sequence[Edge]) -> list[int]:
    """Each edge after those that it waits for; of a circle none."""
    waiting, left = _waiting(edges), [len(edge.before) for edge in edges]
    ready = [index for index, count in enumerate(left) if not count]
    for index in ready:
        for other in waiting[index]:
            left[other] -= 1
            if not left[other]:
                ready.append(other)
    return ready


def _heights(edges: Sequence[Edge], waiting: Sequence[Sequence[int]]) -> list[float]:
    """By edge, the seconds of the heaviest chain from its beginning to the end of all."""
    found = [0.0] * len(edges)
    for index in reversed(_in_order(edges)):
        found[index] = edges[index].seconds + max((found[other] for other in waiting[index]), default=0.0)
    return found


def replay(edges: Sequence[Edge], jobs: int, chain: Sequence[int] = ()) -> Replay:
    """What ran when if each edge took its CPU-seconds: of those that are ready that of the heaviest chain first."""
    waiting, left = _waiting(edges), [len(edge.before) for edge in edges]
    heights = _heights(edges, waiting)
    ready = [(-heights[index], index) for index, count in enumerate(left) if not count]
    heapq.heapify(ready)
    lanes = list(range(jobs))
    running: list[tuple[float, int, int]] = []
    bars: dict[int, Bar] = {}
    now = 0.0
    while ready or running:
        while ready and lanes:
            index, lane = heapq.heappop(ready)[1], heapq.heappop(lanes)
            bars[index] = Bar(index, lane, now, now + edges[index].seconds)
            heapq.heappush(running, (bars[index].end, index, lane))
        now, done, lane = heapq.heappop(running)
        heapq.heappush(lanes, lane)
        for other in waiting[done]:
            left[other] -= 1
            if not left[other]:
                heapq.heappush(ready, (-heights[other], other))
    deciding = _deciding(edges, bars)
    shown = tuple(Bar(b.edge, b.lane, b.begin, b.end, b.edge in deciding) for b in bars.values())
    longest = sum(edges[index].seconds for index in chain)
    bound = max(sum(edge.seconds for edge in edges) / jobs, longest)
    return Replay(jobs, max((bar.end for bar in shown), default=0.0), bound, shown)


def _deciding(edges: Sequence[Edge], bars: dict[int, Bar]) -> set[int]:
    """From the last edge back: each began when one that it waited for, or the one before it on its job, had ended."""
    on_lane: dict[tuple[int, float], int] = {(bar.lane, bar.end): index for index, bar in bars.items() if bar.end > bar.begin}
    at = max(bars, key=lambda index: bars[index].end, default=-1)
    found: set[int] = set()
    while at >= 0 and at not in found:
        found.add(at)
        begin = bars[at].begin
        waited = [other for other in edges[at].before if bars[other].end == begin]
        at = waited[0] if waited else on_lane.get((bars[at].lane, begin), -1)
    return found
