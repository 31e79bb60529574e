"""The page, and what it is made of; in a browser: tests/integration/test_report_page.py."""

import html
import itertools
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from arrstack.contents.advisories.assessment import Coverage, Vulnerability, assess
from arrstack.contents.collect import take_inventory
from arrstack.contents.inventory import Inventory
from arrstack.contents.report.comparison import compare
from arrstack.contents.report.compile import Edge, compile_of, longest_chain, replay
from arrstack.contents.report.page import Beside, census, render
from arrstack.errors import ConfigError
from tests.unit.artifacts.archives import Entries
from tests.unit.contents.images import SITE, image, system, torch
from tests.unit.verify.verify_builders import library

HOSTILE = "</script><img src=x onerror=alert(1)>\u202e\x1b[2J"


@pytest.fixture
def found(tmp_path: Path) -> Inventory:
    gpu = Entries().file(f"{SITE}/torch/lib/libtorch.so", library(75, 89, with_ptx=(90,)))
    return take_inventory(image(tmp_path / "image", [system(), torch(), gpu]))


# -- the compile

GRAPH = "a.o\t10\t1\t\t0\t\nb.o\t4\t1\t\t0\t\nlib.so\t2\t1\t\t0\t0,1\nmain\t1\t1\t\t0\t2\n"
RECORD = "1.0\t0.5\t100\t2.0\t0\tpch\ta.o\n2.0\t0.0\t100\t2.0\t0\tplain\tb.o\n"


def test_the_longest_chain_is_what_waits_for_each_other() -> None:
    compiled = compile_of(GRAPH, "graph", jobs=(2,))
    assert [compiled.edges[index].name for index in compiled.chain] == ["a.o", "lib.so", "main"]
    assert compiled.chain_seconds == 13


def test_a_replay_takes_what_no_order_beats_where_nothing_is_in_the_way() -> None:
    (one, two) = compile_of(GRAPH, "graph", jobs=(1, 2)).replays
    assert (one.seconds, one.bound) == (17, 17)
    assert (two.seconds, two.bound) == (13, 13)


def test_no_two_edges_run_on_one_job_at_a_time_and_none_before_what_it_waits_for() -> None:
    edges = [Edge(str(n), float(n % 7 + 1), (n - 3,) if n >= 3 else ()) for n in range(60)]
    bars = {bar.edge: bar for bar in replay(edges, 4).bars}
    for lane in range(4):
        here = sorted((bar.begin, bar.end) for bar in bars.values() if bar.lane == lane)
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(here))
    assert all(bars[other].end <= bars[n].begin for n in range(60) for other in edges[n].before)


def test_the_edges_that_decide_the_end_reach_from_the_beginning_to_it() -> None:
    (two,) = compile_of(GRAPH, "graph", jobs=(2,)).replays
    deciding = sorted((bar.begin, bar.end) for bar in two.bars if bar.decides)
    assert deciding[0][0] == 0
    assert deciding[-1][1] == two.seconds
    assert all(one[1] == other[0] for one, other in itertools.pairwise(deciding))


def test_a_record_without_dependencies_is_read_too() -> None:
    compiled = compile_of(RECORD + RECORD, "record", jobs=(2,))
    assert [(edge.name, edge.seconds) for edge in compiled.edges] == [("a.o", 3.0), ("b.o", 4.0)]


@pytest.mark.parametrize(
    "text",
    ["x\n", "a\tb\tc\n", "a.o\tnan\t1\t\t0\t\n", "a.o\t-1\t1\t\t0\t\n", "a.o\t1\t1\t\t0\t9\n", "a.o\t1\t1\t\t0\t0\n", "\0" * 100],
)
def test_what_is_no_record_is_an_error_with_its_place(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^file"):
        compile_of(text, "file")


def test_an_empty_record_has_no_chain() -> None:
    assert longest_chain([]) == []
    assert compile_of("", "file").replays[0].seconds == 0


# -- the comparison


def test_a_comparison_names_the_largest_differences_first(found: Inventory, tmp_path: Path) -> None:
    other = take_inventory(image(tmp_path / "other", [system()]))
    comparison = compare(found, other)
    assert comparison.differences[0].name == "python torch"
    assert comparison.differences[0].other_version == ""
    assert comparison.stored_ratio and comparison.stored_ratio > 1
    assert comparison.code()["sm_75"][1] == 0


def test_a_machine_that_has_the_other_pulls_the_layers_that_are_not_shared(found: Inventory, tmp_path: Path) -> None:
    other = take_inventory(image(tmp_path / "other", [system(), torch()]))
    assert compare(found, other).fetched == found.parts[2].stored
    assert compare(other, found).fetched == 0


def test_an_image_beside_itself_does_not_differ(found: Inventory) -> None:
    comparison = compare(found, found)
    assert comparison.differences == ()
    assert comparison.stored_ratio == comparison.bytes_ratio == 1


# -- the page


def test_the_census_has_a_row_for_each_library_and_a_cell_for_each_architecture(found: Inventory) -> None:
    (row,) = census(found)
    assert found.architectures == ("sm_75", "sm_89", "compute_90")
    assert len(row.cells) == 3
    assert all(count > 0 and 0 < depth <= 1 for count, depth in row.cells)


def test_the_same_knowledge_makes_the_same_page(found: Inventory) -> None:
    assert render(found, "x", Beside()) == render(found, "x", Beside())


def test_the_page_asks_no_other_for_anything(found: Inventory) -> None:
    page = render(found, "x", Beside(comparison=compare(found, found), compile=compile_of(GRAPH, "graph")))
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert not re.search(r"<(link|iframe|object|embed|img)\b|@import|url\(", page)
    assert "default-src 'none'" in html.unescape(page)


def test_text_of_an_image_is_shown_and_never_part_of_the_page(found: Inventory) -> None:
    packages = tuple(replace(package, name=HOSTILE, licences=(HOSTILE,), version=HOSTILE) for package in found.packages)
    cells = tuple(replace(cell, owner=f"python {HOSTILE}") for cell in found.cells)
    parts = tuple(replace(part, made_by=HOSTILE) for part in found.parts)
    hostile = replace(found, packages=packages, cells=cells, parts=parts, target=HOSTILE, created=HOSTILE)
    vulnerability = Vulnerability(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, "high", HOSTILE)
    assessment = assess([vulnerability], [], [Coverage(HOSTILE, 1, HOSTILE)], 0, [], date(2026, 1, 1))
    compiled = compile_of(GRAPH.replace("a.o", "a<b>\u202e.o"), HOSTILE)
    page = render(hostile, HOSTILE, Beside(compare(hostile, found), assessment, compiled, [(HOSTILE, 1.0)], HOSTILE))
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert "\u202e" not in page and "\x1b" not in page


def test_what_was_not_asked_is_not_said_to_be_well(found: Inventory) -> None:
    assert "not asked" in render(found, "x", Beside())
    told = render(found, "x", Beside(assessment=assess([], [], [], 3, [], date(2026, 1, 1))))
    assert "3 packages no source knows about" in told


def test_findings_of_the_reading_are_on_the_page(tmp_path: Path) -> None:
    found = take_inventory(image(tmp_path / "i", [Entries().file("../x")]))
    assert "leads out of the archive" in render(found, "x", Beside())
