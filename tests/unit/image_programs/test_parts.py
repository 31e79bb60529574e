"""What is made of the record of CUDA parts."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.unit.image_programs.programs import COMMON, program

parts = program("parts")
ptx = program("ptx", ROOT / "tools/compile-plan")


def row(name: str, arch: str, digest: str, what: str = "cicc", seconds: float = 1.0):  # type: ignore[no-untyped-def]
    return parts.Row(seconds, 0.0, 1, seconds, 0, what, name, arch, digest)


def test_a_line_is_read_as_it_was_written() -> None:
    written = row("a.o", "compute_90", "abc")
    assert parts.read(written.line) == [written]


def test_a_line_without_a_digest_is_one_of_an_older_build() -> None:
    assert parts.read("1.00\t0.50\t9\t2.00\t0\tcicc\ta.o\tcompute_90\n")[0].digest == ""


def test_architectures_with_the_same_code_are_groups_from_the_lowest() -> None:
    found = ptx.same({"compute_90": "x", "compute_80": "x", "compute_75": "y", "compute_86": "y", "compute_100": "z"})
    assert found == [["compute_75", "compute_86"], ["compute_80", "compute_90"]]


def test_an_architectures_own_variant_stands_behind_it() -> None:
    assert ptx.same({"compute_90a": "x", "compute_90": "x"}) == [["compute_90", "compute_90a"]]


def test_what_came_from_the_cache_counts_and_what_failed_does_not() -> None:
    rows = [row("a.o", "compute_80", "x"), row("a.o", "compute_89", "x", "kept cicc"), row("a.o", "ptxas", "", "ptxas")]
    failed = parts.Row(1.0, 0.0, 1, 1.0, 1, "cicc", "a.o", "compute_90", "x")
    assert ptx.digests([*rows, failed]) == {"a.o": {"compute_80": "x", "compute_89": "x"}}


KNOWN = {"a.o": [["compute_75", "compute_86"], ["compute_80", "compute_89", "compute_90"]], "b.o": [["compute_80", "compute_90"]]}


def test_what_a_build_took_from_another_architecture_stays_in_its_group() -> None:
    made = {"a.o": {"compute_75": "x", "compute_80": "y", "compute_87": "x"}}
    groups, broken = ptx.updated(KNOWN, made)
    assert groups["a.o"] == [["compute_75", "compute_86", "compute_87"], ["compute_80", "compute_89", "compute_90"]]
    assert broken == []


def test_what_the_record_says_nothing_of_stays_as_it_was() -> None:
    groups, _ = ptx.updated(KNOWN, {"a.o": {"compute_100": "x", "compute_120": "x"}})
    assert groups == {"a.o": [*KNOWN["a.o"], ["compute_100", "compute_120"]], "b.o": KNOWN["b.o"]}


def test_a_group_that_no_longer_holds_goes_and_is_named() -> None:
    groups, broken = ptx.updated(KNOWN, {"b.o": {"compute_80": "x", "compute_90": "y"}})
    assert list(groups) == ["a.o"]
    assert broken == ["b.o: compute_80=compute_90 no longer holds"]


def test_of_a_group_that_no_longer_holds_only_what_was_made_is_known() -> None:
    groups, _ = ptx.updated(KNOWN, {"a.o": {"compute_80": "x", "compute_90": "y", "compute_100": "y"}})
    assert groups["a.o"] == [["compute_75", "compute_86"], ["compute_90", "compute_100"]]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    (tmp_path / "list.tsv").write_text("b.o\tcompute_80=compute_90\n")
    return tmp_path / "parts.tsv"


def test_the_list_is_written_anew_and_says_what_it_saves(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record.write_text(row("a.o", "compute_80", "x").line + row("a.o", "compute_90", "x", seconds=4.0).line)
    assert ptx.main(record.parent / "list.tsv", [record]) == 0
    assert (record.parent / "list.tsv").read_text() == "a.o\tcompute_80=compute_90\nb.o\tcompute_80=compute_90\n"
    assert capsys.readouterr().err == "saves 4 of 5 CPU-seconds of cicc\n"


def test_it_says_what_was_taken_from_another_when_the_list_does_not_say_from_which(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [row("a.o", "compute_80", "x"), row("a.o", "compute_90", "x"), row("a.o", "compute_89", "", "share")]
    record.write_text("".join(each.line for each in made))
    ptx.main(record.parent / "list.tsv", [record])
    assert "the list does not say whose, first a.o compute_89" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the record has no device code of cicc's: nothing to compare"),
        (row("a.o", "sm_90", "", "ptxas").line, "the record has no device code of cicc's: nothing to compare"),
        (row("a.o", "compute_90", "x").line, r"for one architecture alone \(compute_90\): nothing to compare"),
        ("1.0\t2.0\n", "parts.tsv: line 1 is none of a record of parts"),
    ],
)
def test_a_record_with_nothing_to_compare_is_said_and_the_list_stays(record: Path, text: str, said: str) -> None:
    record.write_text(text)
    with pytest.raises(SystemExit, match=f"error: .*{said}"):
        ptx.main(record.parent / "list.tsv", [record])
    assert (record.parent / "list.tsv").read_text() == "b.o\tcompute_80=compute_90\n"


def test_a_record_that_is_not_there_is_named(record: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*parts\.tsv.*No such file"):
        ptx.main(record.parent / "list.tsv", [record])


def test_what_relied_on_a_wrong_list_is_made_anew(tmp_path: Path) -> None:
    """A ninja that makes what is missing, and says with which targets it was called."""
    work, build, tools = tmp_path / "work", tmp_path / "build", tmp_path / "bin"
    for folder in (work, build, tools):
        folder.mkdir()
    ninja = tools / "ninja"
    ninja.write_text(
        '#!/bin/sh\necho "$*" >>../ninja.log\nfor name in a.cu.o b.cu.o; do [ -e build/$name ] || date +%N >build/$name; done\n'
    )
    ninja.write_text(ninja.read_text().replace("../", f"{tmp_path}/"))
    ninja.chmod(0o755)
    (work / "parts.tsv").write_text(row("a.cu.o", "compute_89", "", "share").line + row("b.cu.o", "compute_89", "x").line)
    for name in ("a.cu.o", "b.cu.o"):
        (build / name).write_text("before")
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "ARRSTACK_WORK": str(work), "MAX_JOBS": "2"}
    command = ["bash", "-c", f". {COMMON}/component.sh; ninja_all all order"]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    assert (build / "a.cu.o").read_text() == "before"
    (work / "same-ptx.wrong").touch()
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    assert (build / "a.cu.o").read_text() != "before" == (build / "b.cu.o").read_text()
    assert (tmp_path / "ninja.log").read_text() == "-C build -j 2 all order\n" * 3
