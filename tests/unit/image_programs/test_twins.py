"""Which headers share their name with another: they are part of every object's hash in the compiler cache."""

import os
from pathlib import Path

import pytest

from tests.unit.image_programs.programs import program

twins = program("twins")


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def listed(tree: Path, work: Path, *installed: Path) -> list[str]:
    """The twins of a tree and of installed folders, as the program writes them, without the test's own folder."""
    work.mkdir(exist_ok=True)
    assert twins.main(str(tree), work, tuple(map(str, installed))) == 0
    return (work / "twins").read_text().replace(f"{tree.parent}/", "").splitlines()


@pytest.mark.parametrize(
    "name", ["a.h", "a.hpp", "a.hh", "a.hpp.in", "a.cuh", "a.inc", "a.inl", "a.ipp", "a.tcc", "a.def", "vector"]
)
def test_what_an_include_may_name_is_a_header(name: str) -> None:
    assert twins.is_header(name)


@pytest.mark.parametrize("name", ["a.cpp", "a.c", "a.hxx", "a.html", "a.py", "a.h~", ".clang-format", "a.in", "a.cmake"])
def test_what_no_include_names_is_none(name: str) -> None:
    assert not twins.is_header(name)


def test_only_headers_of_one_name_are_listed_sorted_by_their_bytes(tmp_path: Path) -> None:
    make(tmp_path / "tree", "b/x.h", "a/x.h", "a/alone.h", "Z/x.h", "ä/x.h", "a/x.cpp", "b/x.cpp")
    assert listed(tmp_path / "tree", tmp_path / "w") == ["tree/Z/x.h", "tree/a/x.h", "tree/b/x.h", "tree/ä/x.h"]


def test_a_header_of_the_tree_and_an_installed_one_are_twins(tmp_path: Path) -> None:
    make(tmp_path / "tree", "x.h", "fmt/core.h")
    make(tmp_path / "usr", "include/fmt/core.h", "include/vector")
    found = listed(tmp_path / "tree", tmp_path / "w", tmp_path / "us*", tmp_path / "gone")
    assert found == ["tree/fmt/core.h", "usr/include/fmt/core.h"]


def test_the_tree_s_own_build_git_and_notes_are_left_out_and_a_deeper_build_is_not(tmp_path: Path) -> None:
    make(tmp_path / "tree", "build/x.h", ".git/x.h", ".arrstack/x.h", ".arrstack-x/x.h", "sub/.git", "x.h", "sub/build/x.h")
    assert listed(tmp_path / "tree", tmp_path / "w") == ["tree/sub/build/x.h", "tree/x.h"]


def test_links_are_listed_and_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "tree", "a/x.h", "a/folder.d/y.h", "b/y.h")
    (tmp_path / "tree/x.h").symlink_to("nowhere")
    (tmp_path / "tree/linked").symlink_to("a")
    (tmp_path / "tree/b/linked").symlink_to("/")
    assert listed(tmp_path / "tree", tmp_path / "w") == [
        *("tree/a/folder.d/y.h", "tree/a/x.h", "tree/b/linked", "tree/b/y.h", "tree/linked", "tree/x.h")
    ]


def test_a_header_with_spaces_or_a_newline_or_no_text_in_its_name_is_one_line(tmp_path: Path) -> None:
    odd = ["a b.h", "a\nb.h", "a\\nb.h", "a\\b.h", os.fsdecode(b"\xff.h")]
    make(tmp_path / "tree", *(f"{folder}/{name}" for folder in "12" for name in odd))
    (tmp_path / "w").mkdir()
    for _ in range(2):  # the second time from the list of the first
        twins.main(str(tmp_path / "tree"), tmp_path / "w", ())
        lines = (tmp_path / "w/twins").read_bytes().splitlines()
        escaped = [b"a b.h", b"a\\nb.h", b"a\\\\b.h", b"a\\\\nb.h", b"\xff.h"]
        root = os.fsencode(tmp_path / "tree")
        assert sorted(lines) == sorted(root + b"/" + folder + b"/" + name for folder in (b"1", b"2") for name in escaped)
    assert twins.from_lines((tmp_path / "w/twins").read_bytes()) == twins.twins(list(twins.headers(str(tmp_path / "tree"))))


def test_a_build_that_goes_on_has_the_list_of_the_build_that_began(tmp_path: Path) -> None:
    make(tmp_path / "tree", "a/x.h")
    make(tmp_path / "usr", "x.h")
    before = listed(tmp_path / "tree", tmp_path / "w", tmp_path / "usr")
    make(tmp_path / "tree", "generated/x.h")
    assert listed(tmp_path / "tree", tmp_path / "w", tmp_path / "usr") == before
    make(tmp_path / "usr", "new/x.h")
    assert "usr/new/x.h" in listed(tmp_path / "tree", tmp_path / "w", tmp_path / "usr")


def test_a_listing_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    make(tmp_path / "tree", "a/x.h", "b/x.h")
    make(tmp_path / "w", "headers.new")
    assert listed(tmp_path / "tree", tmp_path / "w") == ["tree/a/x.h", "tree/b/x.h"]
