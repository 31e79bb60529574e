"""Ignore rules, and a staged context that has only content."""

import os
from pathlib import Path

import pytest

from arrstack.errors import ConfigError
from arrstack.model import EPOCH
from arrstack.recipes.context import BuildContext, IgnoreRules, entries


@pytest.mark.parametrize(
    ("rules", "ignored", "kept"),
    [
        ("*.md", ["README.md"], ["docs/README.md", "a"]),
        ("**/*.md", ["README.md", "docs/x/README.md"], ["a"]),
        ("docs", ["docs", "docs/a"], ["docs2", "a/docs"]),
        ("*\n!build\n", ["a", "x/y"], ["build", "build/a"]),
        ("*\n!a/b\n", ["a/c", "d"], ["a/b", "a/b/c"]),
        ("a/*\n!a/keep", ["a/x"], ["a/keep", "b"]),
        ("# c\n\n/a/", ["a", "a/b"], ["b"]),
        ("a?", ["ab"], ["a", "abc"]),
        ("[ab]x", ["ax"], ["cx"]),
        ("!a\n*", ["a"], []),
    ],
)
def test_the_last_rule_that_matches_decides(rules: str, ignored: list[str], kept: list[str]) -> None:
    found = IgnoreRules(rules)
    assert [p for p in [*ignored, *kept] if found.ignores(p)] == ignored


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_a_folder_is_taken_with_all_below_and_a_glob_does_not_cross_folders(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c", "a/d", "e.py", "f.py")
    context = BuildContext(tmp_path, IgnoreRules(""))
    assert context.matching("a") == ["a/b/c", "a/d"]
    assert context.matching("*.py") == ["e.py", "f.py"]
    assert context.matching("") == ["a/b/c", "a/d", "e.py", "f.py"]


def test_an_ignored_folder_is_not_even_walked(tmp_path: Path) -> None:
    make(tmp_path, "keep/a", "closed/b")
    (tmp_path / "closed").chmod(0o000)
    try:
        assert BuildContext(tmp_path, IgnoreRules("*\n!keep\n")).matching("") == ["keep/a"]
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_content_path_executable_bit_and_link_target_count_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path, "a")
    os.symlink("a", tmp_path / "link")
    before = entries(BuildContext(tmp_path, IgnoreRules("")), [""])
    (tmp_path / "a").chmod(0o600)
    os.utime(tmp_path / "a", (1, 1))
    assert entries(BuildContext(tmp_path, IgnoreRules("")), [""]) == before
    (tmp_path / "a").chmod(0o700)
    after = entries(BuildContext(tmp_path, IgnoreRules("")), [""])
    assert after["a"].value.startswith("x ")
    assert after["link"].value == "-> a"


def test_a_staged_context_has_one_date_and_two_modes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    make(source, "a/b", "skip/c")
    (source / "a/b").chmod(0o750)
    (source / "empty").mkdir()
    BuildContext(source, IgnoreRules("skip")).copy_to(tmp_path / "staged")
    found = {str(p.relative_to(tmp_path / "staged")): p.stat() for p in (tmp_path / "staged").rglob("*")}
    assert sorted(found) == ["a", "a/b", "empty"]
    assert {s.st_mtime for s in found.values()} == {EPOCH}
    assert oct(found["a/b"].st_mode)[-3:] == "755"


def test_what_cannot_be_in_a_context_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    context = BuildContext(tmp_path, IgnoreRules(""))
    # Opening a pipe would wait for ever: the context must look before.
    with pytest.raises(ConfigError, match="no file, folder or link"):
        context.entry("pipe")
    with pytest.raises(ConfigError, match="not a folder"):
        BuildContext(tmp_path / "absent", IgnoreRules(""))


@pytest.mark.parametrize(
    "change",
    [lambda f: f.write_text("another"), lambda f: f.unlink(), lambda f: (f.unlink(), f.symlink_to("b"))],
    ids=["edited", "removed", "made a link"],
)
def test_what_changed_since_it_was_read_is_not_built(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    """Its image would be published under the key of what was there before."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_text(name)
        (source / name).chmod(0o644)
    context = BuildContext(source, IgnoreRules(""))
    entries(context, ["a"])
    (source / "b").write_text("no COPY takes it")
    context.copy_to(tmp_path / "staged")
    change(source / "a")
    with pytest.raises(ConfigError, match=r"/a was changed while the launch ran"):
        context.copy_to(tmp_path / "again")
