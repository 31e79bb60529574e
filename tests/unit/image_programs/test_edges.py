"""The record of a compile, as the recipe reads it and as the product does."""

import contextlib
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrstack.errors import ConfigError
from arrstack.launch.record import NO_EDGES, read_record
from tests.unit.image_programs.programs import RECIPE, program

edges = program("edges")
RECORD = RECIPE / "records/torch.tsv"

AGAIN = [
    *((9, 0, "pch", "twice.o"), (5, 0, "pch", "twice.o")),
    *((2, 1, "pch", "refused.o"), (4, 0, "refused", "refused.o")),
    (3, 1, "pch", "Unity/unity_1_cxx.cxx.o"),
    *((6, 0, "parted", f"Unity/unity_1_cxx.cxx.o.{number}.o") for number in (0, 1)),
    (1, 0, "parted", "Unity/unity_1_cxx.cxx.o"),
]


def lines(rows: "list[tuple[int, int, str, str]]") -> str:
    return "".join(f"{cost}.5\t0.50\t{900 + cost}\t9\t{status}\t{what}\t{name}\n" for cost, status, what, name in rows)


def test_what_a_refusal_cost_counts_and_what_was_made_again_counts_once() -> None:
    """So a group that is compiled file by file does not begin last in the next build, as if it cost nothing."""
    costs = edges.costs(edges.read(lines(AGAIN)))
    assert costs == {"twice.o": 6, "refused.o": 8, "Unity/unity_1_cxx.cxx.o": 20}


def test_a_line_says_what_was_done_and_what_it_took() -> None:
    assert edges.read("1.25\t0.50\t4096\t3.10\t1\tmake-pch\t/w/cpu-0a.pch\n") == [
        edges.Entry(1.25, 0.5, 4096, 3.1, 1, "make-pch", "/w/cpu-0a.pch")
    ]
    assert edges.Entry(1.25, 0.5, 4096, 3.1, 1, "make-pch", "x").seconds == 1.75


def test_headers_and_peaks_are_those_of_the_last_time() -> None:
    rows = [(3, 0, "make-pch", "/w/cpu-0a.pch"), (4, 0, "make-pch", "/w/cpu-0a.pch"), (9, 0, "pch", "a.o"), (8, 0, "pch", "a.o")]
    entries = edges.read(lines(rows))
    assert edges.headers(entries) == {"/w/cpu-0a.pch": 5}
    assert edges.peaks(entries) == {"/w/cpu-0a.pch": 904, "a.o": 908}


@pytest.mark.parametrize(
    "line",
    [
        "x.o 3",
        "1\t2\t3",
        "1.0\t0.0\t9\t9\t0\tpch\ta.o\tmore",
        "1.0\t0.0\tmany\t9\t0\tpch\ta.o",
        "one\t0.0\t9\t9\t0\tpch\ta.o",
        "",
    ],
)
def test_a_line_that_is_none_is_named_by_both_readers(line: str, tmp_path: Path) -> None:
    (tmp_path / "edges.tsv").write_text(f"1.0\t0.0\t9\t9\t0\tpch\ta.o\n{line}\n")
    with pytest.raises(edges.RecordError, match="line 2 is none of a record of edges"):
        edges.read((tmp_path / "edges.tsv").read_text())
    with pytest.raises(ConfigError, match=r"edges\.tsv:2: no line") as error:
        read_record(tmp_path / "edges.tsv")
    assert error.value.hint == "take the build's own edges.tsv, or none"


@given(
    st.lists(st.sampled_from([*"\t\n.0-9", "1e999", "nan", "-1", "pch", "a.o", "\x00", "\ud800", "9" * 5000]), max_size=40).map(
        "".join
    )
)
def test_no_record_raises_anything_but_our_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "edges.tsv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):
        assert all(0 <= cost < math.inf for cost in read_record(path).values())


def test_a_pipe_in_a_record_s_place_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "edges.tsv")
    assert read_record(tmp_path / "edges.tsv") == {}


def by_recipe(text: str) -> dict[str, float]:
    """The recipe's costs of what ninja builds: the product weighs nothing else."""
    return {name: cost for name, cost in edges.costs(edges.read(text)).items() if not name.startswith(NO_EDGES)}


NAMES = st.sampled_from(["a.o", "a.o.0.o", "a.o.1.o", "b/c d.o", "/w/cpu-0a.pch", "CMakeFiles/cmTC_1.dir/x.o", "lib.so"])
WHAT = st.sampled_from(["pch", "plain", "refused", "killed", "parted", "make-pch"])


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 1), WHAT, NAMES), max_size=12))
def test_both_readers_agree_about_any_record(
    tmp_path_factory: pytest.TempPathFactory, rows: "list[tuple[int, int, str, str]]"
) -> None:
    path = tmp_path_factory.mktemp("record") / "edges.tsv"
    path.write_text(lines(rows))
    assert read_record(path) == by_recipe(lines(rows))


def test_both_readers_agree_about_the_record_of_torch() -> None:
    costs = read_record(RECORD)
    assert len(costs) > 500
    assert costs == by_recipe(RECORD.read_text())
