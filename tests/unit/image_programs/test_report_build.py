"""What a compile says now and then: how many objects came from the compiler cache, and what its edges cost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.image_programs.programs import COMMON, program

report_build = program("report_build")
STATISTICS = "cache_miss\t8\ndirect_cache_hit\t90\ndirect_cache_miss\t8\nlocal_storage_hit\t5\npreprocessed_cache_hit\t2\n"


def test_both_kinds_of_hits_count_and_other_counters_do_not() -> None:
    assert report_build.report(STATISTICS) == "ARRSTACK cache: 92 hits of 100"


@pytest.mark.parametrize("statistics", ["", "cache_miss\t0\ndirect_cache_hit\t0\n", "called_for_link\t3\n"])
def test_nothing_is_said_before_the_cache_was_asked(statistics: str) -> None:
    assert report_build.report(statistics) == ""


@pytest.fixture
def ccache(tmp_path: Path) -> Path:
    (tmp_path / "statistics").write_text(STATISTICS)
    program = tmp_path / "ccache"
    program.write_text(f'#!/bin/sh\n[ "$1" = --print-stats ] && cat {tmp_path}/statistics\n')
    program.chmod(0o755)
    return program


CALL = "import sys, report_build; sys.exit(report_build.main(sys.argv[2], sys.argv[1], 0.05))"
ROW = "1.00\t0.50\t4096\t1.60\t0\tpch\ta.cpp.o\n"


def test_it_speaks_again_and_again_until_it_is_stopped(ccache: Path) -> None:
    command = [sys.executable, "-c", CALL, str(ccache), str(ccache.parent / "edges.tsv")]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(COMMON)}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == ["ARRSTACK cache: 92 hits of 100\n"] * 2
        process.terminate()
    assert process.returncode == 0


def test_an_edge_is_said_once_and_only_when_its_line_is_whole(tmp_path: Path) -> None:
    record = tmp_path / "edges.tsv"
    record.write_text(ROW.replace("a.cpp.o", "before.cpp.o"))
    edges = report_build.Edges(str(record))
    assert edges.new() == []
    with record.open("a") as file:
        file.write(ROW + ROW[:10])
    assert (edges.new(), edges.new()) == ([f"ARRSTACK edge: {ROW[:-1]}"], [])
    with record.open("a") as file:
        file.write(ROW[10:])
    assert edges.new() == [f"ARRSTACK edge: {ROW[:-1]}"]


def test_what_ended_last_is_said_before_it_is_stopped(ccache: Path) -> None:
    record = ccache.parent / "edges.tsv"
    call = CALL.replace("0.05", "0.2")
    command = [sys.executable, "-c", call, str(ccache), str(record)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(COMMON)}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        record.write_text(ROW)
        process.terminate()
        assert process.stdout.read().splitlines()[-1:] == [f"ARRSTACK edge: {ROW[:-1]}"]


def test_it_ends_with_the_build_that_was_killed(ccache: Path) -> None:
    """Else the engine would read the build's output for ever."""
    script = f"{sys.executable} -c '{CALL}' {ccache} {ccache}.tsv & read -r line; kill -9 $$"
    build = subprocess.Popen(
        ["bash", "-c", script],
        env=os.environ | {"PYTHONPATH": str(COMMON)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert build.stdout and build.stdin
    assert build.stdout.readline().startswith("ARRSTACK cache")
    began = time.monotonic()
    build.stdin.write("end\n")
    build.stdin.flush()
    build.stdout.read()
    assert (build.wait(), time.monotonic() - began < 10) == (-signal.SIGKILL, True)


def test_a_cache_that_cannot_be_asked_ends_it_with_its_status(tmp_path: Path) -> None:
    failing = tmp_path / "ccache"
    failing.write_text("#!/bin/sh\nexit 3\n")
    failing.chmod(0o755)
    assert report_build.main(str(tmp_path / "none"), str(failing), 0, lambda seconds: None) == 3
