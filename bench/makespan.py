"""How long a compile takes on other numbers of cores: ninja's scheduling, replayed over the edges of a real build.

    python bench/makespan.py export BUILD RECORD >bench/records/torch-graph.tsv
    python bench/makespan.py replay bench/records/torch-graph.tsv [PARTS.tsv ...] [CORES ...] [--same LIST]      (2, 16, 64, 176)
    python bench/makespan.py check BUILD RECORD CORES

BUILD is a build directory (build.ninja, .ninja_log), RECORD its edges.tsv. A line of the graph: the edge's output,
its CPU-seconds (of what is no compilation: the log's seconds), peak MiB, the precompiled header that it waits for and that
header's seconds, and the numbers of the lines that must be finished before it.

`replay` prints for each number of cores the makespan as CMake wrote the file and as build/common/schedule.py orders it, the
lower bound max(sum / cores, longest chain), and what makes the bound. Ninja's rule: of the
ready edges the one with the longest chain of edges behind it, then the first in the file (1.12, graph.h). An edge whose
header is being made waits in its slot, as it does behind the launcher's lock. PARTS are records of CUDA objects (build/common/parts.py; of
several the dearest of each part counts): such an object's architectures are made beside each other where jobs are idle, and of the
edges that are ahead in any case, as build/common/nvcc.py does. Where more runs than there are cores, these share them: what is ahead gets
three times the time of the others (slots.LESS). The memory is MEBIBYTES for a core. LIST says of which objects one architecture's PTX is
another's (build/torch/same-ptx): cicc runs once then, the dearest. `torch-cuda-graph.tsv` beside `torch-graph.tsv` is of `debian-cuda`, and
`torch-cuda-parts.tsv` has its parts for five architectures (docs/design/cuda.md), one architecture's preprocessing and packing not told from another's.

`check` says how far the replay is from the run that left the log, which had so many jobs on as many cores and nothing beside it. To
check a part: put .ninja_log and the record away, remove the objects, make them with CCACHE_RECACHE set and the ladder's target.
"""

import heapq
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Stack/arr-pytorch-base/build/common"))
import edges as recorded  # an edge here is one of ninja's
import launcher
import parts as recorded_parts
import schedule
import slots

COMPILER = "/usr/bin/clang++-19"
"""The recipe's, on whose path a PCH's name depends."""
FLAGS = ["-fclang-abi-compat=17"]
"""PLAN_FLAGS of the recipe's profiles, which is part of that name too."""
MEBIBYTES = 4096
"""Of memory for each core: the machines of Google Cloud that are named standard."""
WEIGHT = 1.25**slots.LESS
"""Of a process against one that is so much less nice (Linux, sched_prio_to_weight)."""
RULES = json.loads((Path(__file__).parents[1] / "Stack/arr-pytorch-base/build/torch/pch.json").read_text())


@dataclass(frozen=True)
class Edge:
    name: str
    seconds: float
    mebibytes: float
    header: str
    header_seconds: float
    before: tuple[int, ...]


# -- export


@dataclass
class Statement:
    """One `build` of a ninja file."""

    outputs: list[str]
    rule: str
    inputs: list[str]
    command: launcher.Command


def statements(text: str) -> list[Statement]:
    found = []
    for match in schedule.STATEMENT.finditer(text):
        left, right = re.split(r"(?<!\$):", match[0].splitlines()[0].removeprefix("build "), maxsplit=1)
        rule, *inputs = words(right)
        found.append(Statement(words(left), rule, inputs, schedule.command_of(match, COMPILER)))
    return found


def words(text: str) -> list[str]:
    parts = re.findall(r"(?:[^ $]|\$.)+", text)
    return [re.sub(r"\$(.)", r"\1", part) for part in parts if part not in ("|", "||", "|@")]


def header_of(statement: Statement, made: dict[str, float]) -> str:
    """The precompiled header that the launcher takes for this object; '' for none, or where it was refused."""
    command = replace(statement.command, flags=[*statement.command.flags, *FLAGS])
    rule = launcher.take_rule(command, RULES)
    name = launcher.pch_name(command, Path(rule["header"]), RULES["indifferent"]) if rule else ""
    return name if name in made else ""


def times(log: Path) -> dict[str, tuple[float, float]]:
    """When each output's edge began and ended, in seconds, from a `.ninja_log` (ninja, src/build_log.cc): the last time."""
    rows = (row.split("\t") for row in log.read_text().splitlines()[1:])
    return {row[3]: (int(row[0]) / 1000, int(row[1]) / 1000) for row in rows}


def export(build: Path, record: Path) -> Iterable[Edge]:
    entries = recorded.read(record.read_text())
    made = {Path(path).name: seconds for path, seconds in recorded.headers(entries).items()}
    seconds_of, peaks = recorded.costs(entries), recorded.peaks(entries)
    log = {name: ended - began for name, (began, ended) in times(build / ".ninja_log").items()}
    every = statements((build / "build.ninja").read_text())
    maker = {output: index for index, statement in enumerate(every) for output in statement.outputs}
    made_here = ("phony", "arrstack_rung")  # the ladder of the build that was: a replay makes its own
    real = [i for i, s in enumerate(every) if s.rule not in made_here and any(output in log for output in s.outputs)]
    number = {index: line for line, index in enumerate(real)}
    known: dict[int, frozenset[int]] = {}

    def before(index: int) -> frozenset[int]:
        """The edges with a command that this one waits for, through phony ones."""
        if index not in known:
            known[index] = frozenset()
            makers = {maker[name] for name in every[index].inputs if name in maker}
            known[index] = frozenset().union(*({m} if m in number else before(m) for m in makers))
        return known[index]

    for index in real:
        statement = every[index]
        name = next(output for output in statement.outputs if output in log)
        seconds, mebibytes = seconds_of.get(name, log[name]), peaks.get(name, 0) / 1024
        header = header_of(statement, made) if "COMPILER" in statement.rule else ""
        yield Edge(name, seconds, mebibytes, header, made.get(header, 0.0), tuple(sorted(number[i] for i in before(index))))


def line(edge: Edge) -> str:
    sets = ",".join(map(str, edge.before))
    return f"{edge.name}\t{edge.seconds:.2f}\t{edge.mebibytes:.0f}\t{edge.header}\t{edge.header_seconds:.2f}\t{sets}"


# -- replay


def read(path: Path) -> list[Edge]:
    rows = [row.split("\t") for row in path.read_text().splitlines()]
    return [Edge(r[0], float(r[1]), float(r[2]), r[3], float(r[4]), tuple(map(int, filter(None, r[5].split(","))))) for r in rows]


def behind_each(edges: list[Edge]) -> list[list[int]]:
    """The edges that wait for each."""
    behind: list[list[int]] = [[] for _ in edges]
    for index, edge in enumerate(edges):
        for other in edge.before:
            behind[other].append(index)
    return behind


def depths(edges: list[Edge], weight: Iterable[float]) -> list[float]:
    """The weight of the heaviest chain from each edge to the end of the build, itself included."""
    behind = behind_each(edges)
    weights, found = list(weight), [0.0] * len(edges)
    todo, left = [i for i, b in enumerate(behind) if not b], [len(b) for b in behind]
    while todo:
        index = todo.pop()
        found[index] = weights[index] + max((found[i] for i in behind[index]), default=0.0)
        for other in edges[index].before:
            left[other] -= 1
            if not left[other]:
                todo.append(other)
    return found


def scheduled(edges: list[Edge], cores: int) -> tuple[list[Edge], list[str]]:
    """The edges with the ladder of schedule.py on top, and the order in which it has the compilations in the file."""
    costs = {edge.name: edge.seconds for edge in edges if edge.name.endswith(".o")}
    headers = {edge.name: edge.header.rsplit("-", 1)[0] for edge in edges if edge.header}
    making = {
        headers[edge.name]: edge.header_seconds for edge in sorted(edges, key=lambda edge: edge.header_seconds) if edge.header
    }
    names = schedule.order(costs, headers, making, cores)
    number = {edge.name: index for index, edge in enumerate(edges)}
    found = list(edges)
    for part in schedule.rungs(names):
        above = [len(found) - 1] if len(found) > len(edges) else []
        found.append(Edge("rung", 0.0, 0.0, "", 0.0, (*(number[name] for name in part), *above)))
    return found, names


Stages = list[list[float]]
"""Seconds of an edge's parts: stages one after the other, the parts of each beside each other where jobs are idle."""


def dearest_parts(records: Iterable[Path]) -> dict[tuple[str, str, str], float]:
    """(object, part, architecture) -> CPU-seconds: of several the dearest."""
    found: dict[tuple[str, str, str], float] = {}
    for path in records:
        for row in recorded_parts.read(path.read_text()):
            if row.status == 0:
                key = (row.name, row.what.removeprefix("kept "), row.arch)
                found[key] = max(found.get(key, 0.0), row.seconds)
    return found


def objects_of_clang(parts: Iterable[tuple[str, str, str]]) -> set[str]:
    """The objects whose parts are made one after the other (build/common/clang_cuda.py)."""
    return {name for name, what, _ in parts if what == "device"}


def stages_of(records: Iterable[Path], same: dict[str, list[list[str]]] | None = None) -> dict[str, Stages]:
    """Object -> what reads its source; cicc, ptxas for each architecture; what packs and compiles the host's code."""
    dearest = dearest_parts(records)
    for name, groups in (same or {}).items():
        for group in groups:
            if made := [dearest.pop(key) for arch in group if (key := (name, "cicc", arch)) in dearest]:
                dearest[name, "cicc", group[0]] = max(made)
    by_clang = objects_of_clang(dearest)
    found: dict[str, Stages] = {}
    for (name, what, _), seconds in dearest.items():
        reads, cicc, ptxas, host = found.setdefault(name, [[0.0], [], [], [0.0]])
        if name not in by_clang and what in ("cicc", "ptxas"):
            (cicc if what == "cicc" else ptxas).append(seconds)
        elif what in ("preprocess", "cudafe"):
            reads[0] += seconds
        else:
            host[0] += seconds
    return {name: [stage for stage in stages if stage] for name, stages in found.items()}


class Processors:
    """Running edges, and parts that run beside their edge's others. Each gets a core, or a share of one where there are more.

    `ahead` has the edges that the others give way to, and whether their parts run at once.
    """

    def __init__(self, cores: int, ahead: dict[int, bool]):
        self.cores, self.ahead, self.edges, self.beside = cores, ahead, 0, 0
        self.now = 0.0
        self.events: dict[bool, list[tuple[float, int, bool]]] = {True: [], False: []}
        """(CPU-seconds at its end, edge, whether it is a part beside) of all that runs, by whether it is ahead."""
        self.given = {True: 0.0, False: 0.0}
        """CPU-seconds that each process that is ahead, or is not, was given since the beginning."""
        self.todo: dict[int, Stages] = {}
        self.left: dict[int, int] = {}
        """Parts of the edge's stage that run now."""

    def begin(self, index: int, stages: Stages) -> None:
        self.edges += 1
        self.todo[index], self.left[index] = [list(stage) for stage in stages], 0
        self.go_on(index)

    def go_on(self, index: int) -> None:
        """Begins the next parts of the edge's stage: all but the last beside it, as far as it may, then one itself."""
        stage = self.todo[index][0]
        while len(stage) > 1 and (self.ahead.get(index) or self.edges + self.beside < self.cores):
            self.beside += 1
            self.run(index, stage.pop(0), beside=True)
        self.run(index, stage.pop(0), beside=False)

    def run(self, index: int, seconds: float, beside: bool) -> None:
        self.left[index] += 1
        kind = index in self.ahead
        heapq.heappush(self.events[kind], (self.given[kind] + seconds, index, beside))

    def rates(self) -> dict[bool, float]:
        """The share of a core for each process that is ahead, and for each that is not."""
        ahead, others = len(self.events[True]), len(self.events[False])
        first = min(1.0, self.cores / (ahead + others / WEIGHT))
        return {True: first, False: min(1.0, (self.cores - first * ahead) / others) if others else 1.0}

    @property
    def busy(self) -> bool:
        return any(self.events.values())

    def end(self) -> tuple[int, bool]:
        """What ends next, `now` from then on: of which edge, and whether that is all of it."""
        rates = self.rates()
        waits = {kind: (events[0][0] - self.given[kind]) / rates[kind] for kind, events in self.events.items() if events}
        soonest = min(waits, key=waits.__getitem__)
        self.now += waits[soonest]
        for kind, rate in rates.items():
            self.given[kind] += waits[soonest] * rate
        _, index, beside = heapq.heappop(self.events[soonest])
        self.left[index] -= 1
        self.beside -= beside
        stages = self.todo[index]
        if not beside and stages[0]:
            self.go_on(index)
        elif not self.left[index] and not stages[0]:
            stages.pop(0)
            if not stages:
                self.edges -= 1
                return index, True
            self.go_on(index)
        return index, False


def replay(
    edges: list[Edge],
    cores: int,
    names: Iterable[str] = (),
    stages: dict[str, Stages] | None = None,
    ahead: dict[str, bool] | None = None,
) -> list[tuple[float, str]]:
    """(seconds, name) of each edge's end, in their order; the edges stand in the file as they are, the `names` before them."""
    chain = depths(edges, [1.0] * len(edges))
    place = {name: number for number, name in enumerate(names)}
    rank = {i: n for n, i in enumerate(sorted(range(len(edges)), key=lambda i: place.get(edges[i].name, len(place))))}
    left = [len(edge.before) for edge in edges]
    behind = behind_each(edges)
    ready = [(-chain[i], rank[i], i) for i, count in enumerate(left) if not count]
    heapq.heapify(ready)
    first = {index: (ahead or {})[edge.name] for index, edge in enumerate(edges) if edge.name in (ahead or {})}
    running, headers, ended = Processors(cores, first), dict[str, float](), []
    while ready or running.busy:
        while ready and running.edges < cores:
            index = heapq.heappop(ready)[2]
            edge, waits = edges[index], 0.0
            if edge.header:
                headers.setdefault(edge.header, running.now + edge.header_seconds)
                waits = max(0.0, headers[edge.header] - running.now)
            running.begin(index, (stages or {}).get(edge.name) or [[waits + edge.seconds]])
        index, whole = running.end()
        if not whole:
            continue
        ended.append((running.now, edges[index].name))
        for other in behind[index]:
            left[other] -= 1
            if not left[other]:
                heapq.heappush(ready, (-chain[other], rank[other], other))
    return ended


def ahead_of(edges: list[Edge], stages: dict[str, Stages], cores: int) -> dict[str, bool]:
    """What schedule.py has the others give way to, with so many cores."""
    costs = {edge.name: edge.seconds for edge in edges if edge.name.endswith(".o")}
    peaks = {edge.name: int(edge.mebibytes * 1024) for edge in edges if edge.mebibytes}
    return schedule.ahead(
        costs, peaks, {name: max(map(len, each)) for name, each in stages.items()}, cores, cores * MEBIBYTES * 1024
    )


def with_parts(edges: list[Edge], stages: dict[str, Stages]) -> list[Edge]:
    """The edges with what their parts cost, where that is known."""
    return [replace(edge, seconds=sum(map(sum, stages[edge.name]))) if edge.name in stages else edge for edge in edges]


def main(argv: list[str]) -> int:
    if argv[0] == "export":
        for edge in export(Path(argv[1]), Path(argv[2])):
            print(line(edge))
        return 0
    if argv[0] == "check":
        build, cores = Path(argv[1]), int(argv[3])
        log = times(build / ".ninja_log").values()
        took = max(ended for _, ended in log) - min(began for began, _ in log)
        edges, names = scheduled(list(export(build, Path(argv[2]))), cores)
        replayed = replay(edges, cores, names)[-1][0]
        print(
            f"{cores} cores: replayed {replayed:.1f} s, took {took:.1f} s: off by {abs(replayed - took) / took:.1%}, at most 5 %"
        )
        return 0
    same = None
    if "--same" in argv:
        place = argv.index("--same")
        _, told = argv[place : place + 2]
        same, argv = launcher.read_same(Path(told).read_text()), argv[:place] + argv[place + 2 :]
    stages = stages_of((Path(name) for name in argv[2:] if not name.isdigit()), same)
    report(with_parts(read(Path(argv[1])), stages), stages, [int(cores) for cores in argv[2:] if cores.isdigit()])
    return 0


def limits(edges: list[Edge], stages: dict[str, Stages]) -> tuple[float, float]:
    """CPU-seconds of all, and of the longest chain, an object's parts beside each other: no order beats max(all / cores, chain)."""
    headers = {edge.header: edge.header_seconds for edge in edges if edge.header}
    alone = {name: sum(max(stage) for stage in each) for name, each in stages.items()}
    chains = depths(edges, [alone.get(edge.name, edge.seconds) + edge.header_seconds for edge in edges])
    return sum(edge.seconds for edge in edges) + sum(headers.values()), max(chains)


def report(edges: list[Edge], stages: dict[str, Stages], every: list[int]) -> None:
    total, chain = limits(edges, stages)
    dearest = max(edges, key=lambda edge: edge.seconds)
    print(
        f"{len(edges)} edges, {total:.0f} s; the longest chain {chain:.0f} s; the dearest edge {dearest.seconds:.0f} s, {dearest.name}"
    )
    print("cores  as written  scheduled  bound  scheduled / bound")
    for cores in every or [2, 16, 64, 176]:
        bound = max(total / cores, chain)
        laddered, names = scheduled(edges, cores)
        ahead = ahead_of(edges, stages, cores)
        plain, first = replay(edges, cores, stages=stages)[-1][0], replay(laddered, cores, names, stages, ahead)[-1][0]
        why = "work" if total / cores > chain else "chain"
        print(f"{cores:5}  {plain:10.0f}  {first:9.0f}  {bound:5.0f}  {first / bound:.3f} ({why})")
    above = [edge for edge in edges if edge.seconds > total / 176]
    print(f"{len(above)} edges above sum / 176 = {total / 176:.1f} s:")
    for edge in sorted(above, key=lambda edge: -edge.seconds):
        print(f"  {edge.seconds:5.1f} s  {edge.mebibytes:5.0f} MiB  {edge.name}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
