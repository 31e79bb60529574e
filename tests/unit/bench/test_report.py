"""docs/measured.md is made of bench/results, and nothing else."""

import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.unit.image_programs.programs import program

BENCH = ROOT / "bench"
report = program("report", BENCH)
check_measured = program("check_measured", BENCH)
MACHINES = tomllib.loads((BENCH / "machines.toml").read_text())
ROW = '{"what": "the decision", "asked": "0.05 s", "got": "0.009 s", "reached": true, "date": "2026-11-24", "machine": "first"}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plan.json").write_text(f"[{ROW}]")
    return tmp_path


def test_the_page_is_what_the_results_make() -> None:
    rows = [row for each in report.results().values() for row in each]
    assert (ROOT / "docs/measured.md").read_text() == report.page(rows, MACHINES), "python bench/report.py >docs/measured.md"


def test_a_row_says_whether_it_is_what_was_asked(folder: Path) -> None:
    (row,) = report.results(folder)["plan.json"]
    assert row.line() == "| the decision | 0.05 s | 0.009 s: reached | 2026-11-24 | first |  |  |"


def test_a_row_that_missed_what_was_asked_says_so(folder: Path) -> None:
    (folder / "plan.json").write_text(f"[{ROW.replace('true', 'false')}]")
    assert "0.009 s: **not reached**" in report.results(folder)["plan.json"][0].line()


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('"2026-11-24"', '"yesterday"', "date"),
        ('"machine"', '"host"', "host"),
        ('"asked": "0.05 s"', '"mark": "torch@short"', "mark"),
    ],
)
def test_a_wrong_row_is_named_by_its_file_and_key(folder: Path, right: str, wrong: str, told: str) -> None:
    (folder / "plan.json").write_text(f"[{ROW.replace(right, wrong)}]")
    with pytest.raises(ValueError, match=rf"plan\.json: .*{told}"):
        report.results(folder)


def test_a_row_of_an_unknown_machine_makes_no_page(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"machines\.toml has no machine 'first'"):
        report.page(report.results(folder)["plan.json"], {})


def test_a_page_of_more_than_sixty_lines_is_refused(folder: Path) -> None:
    rows = report.results(folder)["plan.json"] * 60
    with pytest.raises(ValueError, match="more than 60"):
        report.page(rows, MACHINES)


def test_a_row_is_stale_when_its_mark_is_another(folder: Path) -> None:
    marked = ROW.replace('"asked"', '"mark": "torch@0123456789ab", "asked"')
    (folder / "plan.json").write_text(f"[{marked}, {ROW}]")
    rows = report.results(folder)
    assert check_measured.stale(rows, {"torch": "0123456789ab"}) == []
    assert check_measured.stale(rows, {"torch": "ba9876543210"}) == [
        "plan.json: the decision: torch@0123456789ab, ba9876543210 now"
    ]
    assert check_measured.stale(rows, {}) == ["plan.json: the decision: torch@0123456789ab, unknown now"]
