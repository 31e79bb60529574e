"""An edge of nvcc's before the launcher: taken apart by the plan, as CMake calls it without."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.image_programs.programs import COMMON, program

launcher = program("launcher")
edges = program("edges")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def run(folder: Path, *words: str, **told: str) -> "subprocess.CompletedProcess[str]":
    """The launcher before an nvcc that says its words and what it was told of itself."""
    says = 'echo "$0 $*: $CCACHE_COMPILERTYPE $CCACHE_COMPILERCHECK$LD_PRELOAD"'
    nvcc, ccache = script(folder / "nvcc", says), script(folder / "ccache", 'echo cached; exec "$@"')
    script(folder / "apart", says)
    environment = os.environ | {"ARRSTACK_WORK": str(folder), "ARRSTACK_CCACHE": str(ccache)} | told
    argv = [sys.executable, "-I", "-S", str(COMMON / "launcher.py"), str(nvcc), *words]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)


COMPILE = ("-O3", "-c", "a.cu", "-o", "a.cu.o")


def test_what_takes_nvcc_apart_stands_behind_the_cache_which_is_told_what_it_is(tmp_path: Path) -> None:
    told = run(tmp_path, *COMPILE, ARRSTACK_NVCC=str(tmp_path / "apart"), ARRSTACK_NVCC_ID="abc", ARRSTACK_MALLOC="/a.so")
    assert told.stdout == f"cached\n{tmp_path}/apart -O3 -c a.cu -o a.cu.o: nvcc string:abc\n"
    entry = edges.read((tmp_path / "edges.tsv").read_text())[0]
    assert (entry.what, entry.name, entry.status) == ("apart", "a.cu.o", 0)


def test_how_code_is_packed_is_part_of_what_the_cache_is_told(tmp_path: Path) -> None:
    told = run(tmp_path, *COMPILE, ARRSTACK_NVCC=str(tmp_path / "apart"), ARRSTACK_NVCC_ID="abc", ARRSTACK_FATBINARY_ID="size-1")
    assert "string:abcsize-1" in told.stdout


def test_of_an_object_of_clang_s_the_cache_is_told_clang_too(tmp_path: Path) -> None:
    (tmp_path / "objects.tsv").write_text("a.cu.o\tclang\n")
    by_clang = {"ARRSTACK_CLANG_CUDA": str(tmp_path), "ARRSTACK_CLANG_ID": "+clang", "ARRSTACK_FLAGS": "-fabi"}
    told = run(tmp_path, *COMPILE, ARRSTACK_NVCC=str(tmp_path / "apart"), ARRSTACK_NVCC_ID="abc", **by_clang)
    assert "string:abc+clang-fabi\n" in told.stdout
    told = run(tmp_path, "-c", "b.cu", "-o", "b.cu.o", ARRSTACK_NVCC=str(tmp_path / "apart"), ARRSTACK_NVCC_ID="abc", **by_clang)
    assert "string:abc\n" in told.stdout


def test_of_whose_ptx_an_object_takes_the_cache_is_told_too(tmp_path: Path) -> None:
    """Else what a wrong list made would be found after the list was mended."""
    (tmp_path / "same.tsv").write_text("xa.cu.o\tcompute_75=compute_86\na.cu.o\tcompute_80=compute_90\tcompute_75=compute_86\n")
    told = {"ARRSTACK_NVCC": str(tmp_path / "apart"), "ARRSTACK_NVCC_ID": "abc", "ARRSTACK_SAME_PTX": str(tmp_path / "same.tsv")}
    assert "string:abc compute_80=compute_90 compute_75=compute_86\n" in run(tmp_path, *COMPILE, **told).stdout
    assert "string:abc\n" in run(tmp_path, "-c", "b.cu", "-o", "b.cu.o", **told).stdout


@pytest.mark.parametrize(("told", "fresh"), [("direct_cache_hit", []), ("part_cache_hit", []), ("cache_miss", ["a.cu.o"])])
def test_an_edge_that_a_cache_answered_is_not_among_the_fresh(tmp_path: Path, told: str, fresh: list[str]) -> None:
    script(tmp_path / "apart", f'printf "# a.cu\\n{told}\\n" >>"$CCACHE_STATSLOG"')
    environment = os.environ | {"ARRSTACK_WORK": str(tmp_path), "ARRSTACK_NVCC": str(tmp_path / "apart"), "ARRSTACK_NVCC_ID": "a"}
    subprocess.run([sys.executable, str(COMMON / "launcher.py"), "/x/nvcc", *COMPILE], env=environment, check=True)
    names = {
        each: [row.name for row in edges.read(path.read_text())]
        for each in ("edges", "fresh")
        if (path := tmp_path / f"{each}.tsv").exists()
    }
    assert names == {"edges": ["a.cu.o"]} | ({"fresh": fresh} if fresh else {})
    assert not list(tmp_path.glob("told-*"))


def test_what_a_killed_edge_of_the_same_number_left_is_not_this_edge_s(tmp_path: Path) -> None:
    """Each build is a container of its own, so numbers come again."""
    (tmp_path / f"told-{os.getpid()}").write_text("direct_cache_hit\n")
    assert launcher.Edge(str(tmp_path), "").run(["true"], "apart", "a.cu.o") == 0
    assert (tmp_path / "fresh.tsv").exists()


def test_without_the_plan_it_is_nvcc_as_it_was_called(tmp_path: Path) -> None:
    told = run(tmp_path, *COMPILE)
    assert told.stdout == f"cached\n{tmp_path}/nvcc -O3 -c a.cu -o a.cu.o:  \n"
    assert edges.read((tmp_path / "edges.tsv").read_text())[0].what == "plain"


def test_what_cmake_asks_of_nvcc_is_not_cached(tmp_path: Path) -> None:
    assert "cached" not in run(tmp_path, "-c", "main.cu", "-o", "CMakeFiles/cmTC_1.dir/main.cu.o").stdout


@pytest.mark.parametrize("word", ["-MD", "-MF"])
def test_the_long_options_of_torchs_extension_builder_become_short_ones(tmp_path: Path, word: str) -> None:
    long = ("--generate-dependencies-with-compile", "--dependency-output", "a.d", *COMPILE)
    assert f" {word} " in run(tmp_path, *long, ARRSTACK_NVCC=str(tmp_path / "apart"), ARRSTACK_NVCC_ID="abc").stdout


@pytest.mark.parametrize("words", [["-ccbin=/usr/bin/clang++"], ["-ccbin", "/usr/bin/clang++"]])
def test_nvccs_host_compiler_is_its_own_whatever_the_build_says(words: list[str]) -> None:
    assert launcher.with_host_compiler(["nvcc", *words, "-c"], "g++-13") == ["nvcc", "-ccbin=g++-13", "-c"]
    assert launcher.with_host_compiler(["nvcc", *words, "-c"], "") == ["nvcc", *words, "-c"]
