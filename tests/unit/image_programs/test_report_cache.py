"""How many objects came from the compiler cache, beside the progress."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.image_programs.programs import COMMON, program

report_cache = program("report_cache")
STATISTICS = "cache_miss\t8\ndirect_cache_hit\t90\ndirect_cache_miss\t8\nlocal_storage_hit\t5\npreprocessed_cache_hit\t2\n"


def test_both_kinds_of_hits_count_and_other_counters_do_not() -> None:
    assert report_cache.report(STATISTICS) == "ARRSTACK cache: 92 hits of 100"


@pytest.mark.parametrize("statistics", ["", "cache_miss\t0\ndirect_cache_hit\t0\n", "called_for_link\t3\n"])
def test_nothing_is_said_before_the_cache_was_asked(statistics: str) -> None:
    assert report_cache.report(statistics) == ""


@pytest.fixture
def ccache(tmp_path: Path) -> Path:
    (tmp_path / "statistics").write_text(STATISTICS)
    program = tmp_path / "ccache"
    program.write_text(f'#!/bin/sh\n[ "$1" = --print-stats ] && cat {tmp_path}/statistics\n')
    program.chmod(0o755)
    return program


CALL = "import sys, report_cache; sys.exit(report_cache.main(sys.argv[1], 0.05))"


def test_it_speaks_again_and_again_until_it_is_stopped(ccache: Path) -> None:
    command = [sys.executable, "-c", CALL, str(ccache)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(COMMON)}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == ["ARRSTACK cache: 92 hits of 100\n"] * 2
        process.terminate()
    assert process.returncode == -signal.SIGTERM


def test_it_ends_with_the_build_that_was_killed(ccache: Path) -> None:
    """Else the engine would read the build's output for ever."""
    script = f"{sys.executable} -c '{CALL}' {ccache} & read -r line; kill -9 $$"
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
    assert report_cache.main(str(failing), 0, lambda seconds: None) == 3
