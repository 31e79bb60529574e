"""The replay of a compile: edges, and the architectures of one object beside each other."""

import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.unit.image_programs.programs import COMMON, program

sys.path.insert(0, str(COMMON))
makespan = program("makespan", ROOT / "bench")

OBJECT = [[1.0], [10.0, 10.0, 10.0], [2.0, 4.0], [1.0]]


def edge(name: str, seconds: float, *before: int) -> object:
    return makespan.Edge(name, seconds, 0.0, "", 0.0, before)


@pytest.mark.parametrize(("cores", "seconds"), [(1, 38.0), (2, 1 + 20 + 4 + 1), (3, 1 + 10 + 4 + 1), (176, 16.0)])
def test_an_objects_architectures_share_the_idle_jobs(cores: int, seconds: float) -> None:
    ended = makespan.replay([edge("a.cu.o", 38.0)], cores, stages={"a.cu.o": OBJECT})
    assert ended == [(seconds, "a.cu.o")]


def test_an_edge_that_is_ready_goes_before_an_architecture_beside() -> None:
    edges = [edge("a.cu.o", 38.0), edge("b.o", 100.0)]
    assert makespan.replay(edges, 2, stages={"a.cu.o": OBJECT}) == [(38.0, "a.cu.o"), (100.0, "b.o")]


def test_the_architectures_of_what_is_ahead_share_the_cores_with_the_others() -> None:
    """Three parts and another edge on two cores: the parts get three times the other's time, which has them alone once they are through."""
    edges = [edge("a.cu.o", 38.0), edge("b.o", 100.0)]
    (first, name), (last, _) = makespan.replay(edges, 2, stages={"a.cu.o": OBJECT}, ahead={"a.cu.o": True})
    parts = 1 + 10 * (3 + 1 / makespan.WEIGHT) / 2 + 2 * (2 + 1 / makespan.WEIGHT) / 2 + 2 + 1
    assert (name, round(first, 6)) == ("a.cu.o", round(parts, 6))
    assert last == pytest.approx(first + 100.0 - (2 * first - 38.0))


def test_what_waits_for_an_object_waits_for_all_of_it() -> None:
    edges = [edge("a.cu.o", 38.0), edge("lib.so", 5.0, 0)]
    assert makespan.replay(edges, 3, stages={"a.cu.o": OBJECT})[-1] == (21.0, "lib.so")


def test_of_several_records_the_dearest_of_each_part_counts(tmp_path: Path) -> None:
    """The second build took cicc's part from the cache."""
    row = "{seconds}\t0.00\t9\t1.00\t0\t{what}\ta.cu.o\t{arch}\tx\n"
    (tmp_path / "one").write_text(
        row.format(seconds=1, what="preprocess", arch="")
        + row.format(seconds=9, what="cicc", arch="compute_90")
        + row.format(seconds=3, what="host", arch="")
    )
    (tmp_path / "two").write_text(
        row.format(seconds=0, what="kept cicc", arch="compute_90") + row.format(seconds=7, what="cicc", arch="compute_80")
    )
    assert makespan.stages_of([tmp_path / "one", tmp_path / "two"]) == {"a.cu.o": [[1.0], [9.0, 7.0], [3.0]]}
    listed = makespan.stages_of([tmp_path / "one", tmp_path / "two"], {"a.cu.o": [["compute_80", "compute_90"]]})
    assert listed == {"a.cu.o": [[1.0], [9.0], [3.0]]}
