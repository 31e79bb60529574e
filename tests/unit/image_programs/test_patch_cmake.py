"""Minimums of CMake that are too low are raised, and nothing else."""

import os
from pathlib import Path

import pytest

from tests.unit.image_programs.programs import program

patch_cmake = program("patch_cmake")


@pytest.fixture
def third_party(tmp_path: Path) -> Path:
    """A made tree with minimums below, at and above 3.5."""
    files = {
        "protobuf/cmake/CMakeLists.txt": "cmake_minimum_required(VERSION 3.1.3)\n",
        "a/CMakeLists.txt": "CMAKE_MINIMUM_REQUIRED( VERSION 2.8.12 FATAL_ERROR)\nproject(a)\n",
        "b/CMakeLists.txt": "cmake_minimum_required(VERSION 3.5)\n",
        "c/CMakeLists.txt": "cmake_minimum_required(VERSION 3.10...3.30)\n",
        "d/CMakeLists.txt": "# cmake_minimum_required is below\nif(X)\n  cmake_minimum_required(VERSION 3.1...3.20)\nendif()\n",
        "e/x.cmake": "cmake_minimum_required(VERSION 3.4)\n",
        "f/README": "cmake_minimum_required(VERSION 2.0)\n",
    }
    for name, text in files.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return tmp_path / "tree"


def test_only_minimums_below_3_5_are_raised(third_party: Path, tmp_path: Path) -> None:
    before = {p: p.read_text() for p in third_party.rglob("*") if p.is_file()}
    patch_cmake.main(third_party, tmp_path / "ledger")
    after = {str(p.relative_to(third_party)): p.read_text() for p in before if p.read_text() != before[p]}
    assert after == {
        "protobuf/cmake/CMakeLists.txt": "cmake_minimum_required(VERSION 3.5)\n",
        "a/CMakeLists.txt": "CMAKE_MINIMUM_REQUIRED( VERSION 3.5 FATAL_ERROR)\nproject(a)\n",
        "d/CMakeLists.txt": "# cmake_minimum_required is below\nif(X)\n  cmake_minimum_required(VERSION 3.5...3.20)\nendif()\n",
        "e/x.cmake": "cmake_minimum_required(VERSION 3.5)\n",
    }


def test_the_ledger_names_each_file_and_dates_stay(third_party: Path, tmp_path: Path) -> None:
    patch_cmake.main(third_party, tmp_path / "ledger")
    ledger = (tmp_path / "ledger").read_text().splitlines()
    assert ledger == [
        "2.8.12\t3.5\ta/CMakeLists.txt",
        "3.1\t3.5\td/CMakeLists.txt",
        "3.4\t3.5\te/x.cmake",
        "3.1.3\t3.5\tprotobuf/cmake/CMakeLists.txt",
    ]
    assert {p.stat().st_mtime for p in third_party.rglob("*") if p.is_file()} == {1_000_000_000}


def test_run_again_it_changes_nothing_and_keeps_its_ledger(third_party: Path, tmp_path: Path) -> None:
    patch_cmake.main(third_party, tmp_path / "ledger")
    before = (tmp_path / "ledger").read_text()
    patch_cmake.main(third_party, tmp_path / "ledger")
    assert (tmp_path / "ledger").read_text() == before
