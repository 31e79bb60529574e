"""Which objects clang may compile: read from the build, held against nvcc's, decided."""

import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.unit.image_programs.programs import program

edges, launcher, parts, schedule = (program(name) for name in ("edges", "launcher", "parts", "schedule"))
resources = program("resources", ROOT / "tools/compile-plan")
clang = program("clang", ROOT / "tools/compile-plan")
sys.path[:] = [each for each in sys.path if not each.endswith("build/common")]
Usage = resources.Usage

NINJA = """\
build a.cpp.o: CXX_COMPILER__x a.cpp || order
  FLAGS = -O2
build lib/a.cu.o: CUDA_COMPILER__x /src/a.cu || order
  DEFINES = -DX -DY="a b"
  DEP_FILE = lib/a.cu.o.d
  FLAGS = -O3
  INCLUDES = -I/i

build b.cu.o: CUDA_COMPILER__x /src/b.cu
  FLAGS = -O3
"""


def test_the_cuda_edges_of_a_build_are_read() -> None:
    assert [(each.output, each.source, each.flags) for each in clang.edges(NINJA)] == [
        ("lib/a.cu.o", "/src/a.cu", ["-DX", "-DY=a b", "-I/i", "-O3"]),
        ("b.cu.o", "/src/b.cu", ["-O3"]),
    ]


def test_an_object_costs_what_its_parts_took_when_they_were_run_last() -> None:
    text = "".join(
        f"{user}\t0.5\t9\t9\t{status}\t{what}\ta.o\t{arch}\t\n"
        for user, status, what, arch in [
            (9, 0, "cicc", "compute_90"),
            (4, 0, "cicc", "compute_90"),
            (3, 0, "cicc", "compute_80"),
            (0, 0, "kept cicc", "compute_90"),
            (7, 0, "make-pch", "compute_90"),
            (8, 1, "host", ""),
        ]
    )
    assert clang.costs(parts.read(text)) == {"a.o": 8.0}


def test_what_an_object_costs_is_not_known_where_a_part_always_came_from_the_cache() -> None:
    text = "2\t0\t9\t9\t0\thost\ta.o\t\t\n0\t0\t0\t0\t0\tkept cicc\ta.o\tcompute_90\tx\n"
    assert clang.costs(parts.read(text)) == {}


def test_what_clang_costs_is_asked_without_the_parts_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvcc.py").write_text("import os; print(repr(os.environ['ARRSTACK_NVCC_ID']), file=open('told', 'w'))")
    monkeypatch.setattr(clang, "COMMON", tmp_path)
    monkeypatch.setenv("ARRSTACK_NVCC_ID", "these tools")
    assert clang.by_clang(launcher.Command("", "a.cu.o", "a.cu"), tmp_path, "nvcc") == ""
    assert (tmp_path / "told").read_text() == "''\n"


SAME = {"k": Usage(32, 8, 0, 0)}


@pytest.mark.parametrize(
    ("gave_up", "ours", "seconds", "wanted"),
    [
        ("", SAME, (10.0, 4.0), ("clang", "1 kernels, 4.0 of 10.0 CPU-seconds")),
        ("", SAME, (10.0, 9.5), ("nvcc", "1 kernels, 9.5 of 10.0 CPU-seconds")),
        ("", {"k": Usage(20, 16, 0, 0)}, (10.0, 4.0), ("nvcc", "1 against, the first: k: 16 bytes of stack, nvcc 8")),
        ("", {}, (10.0, 4.0), ("nvcc", "1 against, the first: k: missing")),
        ("no such thing", {}, (10.0, 4.0), ("nvcc", "no such thing")),
    ],
)
def test_an_object_is_clang_s_where_nothing_speaks_against_it(
    gave_up: str, ours: "dict[str, tuple[int, ...]]", seconds: tuple[float, float], wanted: tuple[str, str]
) -> None:
    assert clang.verdict(gave_up, SAME, ours, seconds) == wanted
