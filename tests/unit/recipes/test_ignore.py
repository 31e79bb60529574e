"""Ignore rules are read as moby's patternmatcher reads them (the values are those of its own tests, or of a real build)."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arrstack.errors import ConfigError
from arrstack.recipes.context import BuildContext
from arrstack.recipes.ignore import IgnoreRules, ignore_file, rules_of
from arrstack.recipes.patterns import Matcher, PatternError, tokens_of
from tests.unit.recipes.test_context import make


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
        ("a?", ["ab"], ["a", "abc", "a/b"]),
        ("[ab]x", ["ax"], ["cx"]),
        ("!a\n*", ["a"], []),
        # two stars at the beginning compare ends, whatever stands before
        ("**.pyc", ["y.pyc", "d/y.pyc"], ["y.py"]),
        ("**~", ["a~", "b/c~"], ["~a"]),
        ("*\n!**.py", ["a"], ["x.py"]),
        ("**", ["a", "a/b"], []),
        ("a/**", ["a/b"], ["a"]),
        ("a**b", ["ab", "a/b", "axx/b"], ["axb"]),
        ("**/a/**/b", ["a/b", "x/a/y/z/b"], ["b"]),
        ("***", ["a"], []),
        # what no comment and no pattern is
        ("\ufeff*.a", ["x.a"], ["x"]),
        ("  #x", ["#x"], ["x"]),
        ("a\x85b\n", ["a\x85b"], ["a", "b"]),
        ("a\rb", ["a\rb"], ["a"]),
        ("c\r\n", ["c"], []),
        # escapes
        ("[\\]a]", ["]", "a"], ["\\"]),
        ("[\\-x]", ["-", "x"], ["z"]),
        ("\\*", ["*"], ["a"]),
        ("\\!a", ["!a"], ["a"]),
        ("x\\d", ["x1"], ["xd"]),
        ("a[^a]b", ["a-b", "a/b"], ["aab"]),
        # the order of what matches a folder and what matches below
        ("d/f\n!d", ["d/f"], ["d", "d/g"]),
        ("d\n!*/a\n*", ["d/b", "x"], ["d/a"]),
        ("a\n!./a/b/..", [], ["a", "a/x"]),
    ],
)
def test_the_last_rule_that_matches_decides(rules: str, ignored: list[str], kept: list[str]) -> None:
    found = IgnoreRules(rules)
    assert [p for p in [*ignored, *kept] if found.ignores(p)] == ignored


@pytest.mark.parametrize("line", ["!", "! ", "[a", "a\\", "[a-]", "[]a]", "[z-a]", "\\pN", "[[:alpha:]]", "[a*]", "[\\D]"])
def test_what_is_no_pattern_is_said_with_its_line(line: str) -> None:
    with pytest.raises(ConfigError, match="x:2: this is no pattern"):
        IgnoreRules(f"ok\n{line}\n", Path("x"))


def test_a_folder_that_is_left_out_is_looked_into_where_an_exception_may_hold(tmp_path: Path) -> None:
    make(tmp_path, "d/e/a", "d/b", "x/a")
    assert BuildContext(tmp_path, IgnoreRules("d\nx\n!d/e")).everything == ["d/e/a"]
    assert BuildContext(tmp_path, IgnoreRules("*\n!**/a")).everything == ["d/e/a", "x/a"]
    assert BuildContext(tmp_path, IgnoreRules("*\n!*/a")).everything == ["x/a"]


def test_bytes_that_are_no_text_are_a_name(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_bytes(b"caf\xe9\n")
    rules = rules_of(ignore_file(tmp_path / "Dockerfile", tmp_path))
    assert rules.ignores("caf\udce9") and not rules.ignores("café")


def test_the_recipe_s_own_ignore_file_comes_first_and_a_huge_one_is_none(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a\n")
    assert rules_of(ignore_file(tmp_path / "Dockerfile", tmp_path)).ignores("a")
    (tmp_path / "Dockerfile.dockerignore").write_text("b\n")
    assert not rules_of(ignore_file(tmp_path / "Dockerfile", tmp_path)).ignores("a")
    (tmp_path / "Dockerfile.dockerignore").write_bytes(b"#" * (2 << 20))
    with pytest.raises(ConfigError, match="is larger than"):
        rules_of(ignore_file(tmp_path / "Dockerfile", tmp_path))


def test_many_stars_take_no_time() -> None:
    began = time.monotonic()
    rules = IgnoreRules("*a" * 14 + "b\n" + "**/" * 12 + "x\n" + "**/a" * 12 + "/b")
    assert not any(rules.ignores(path) for path in ("a" * 200, "a/" * 100 + "c"))
    assert not Matcher(tokens_of("*a" * 14 + "b")).matches("a" * 3000)
    assert time.monotonic() - began < 5


@settings(deadline=2_000)
@given(st.text("ab/*?[]^-!\\. #\ndé\udce9", max_size=30), st.text("ab/.-!\\é\udce9", min_size=1, max_size=12))
def test_no_text_raises_anything_else(text: str, path: str) -> None:
    try:
        IgnoreRules(text).ignores(path.strip("/") or "a")
        Matcher(tokens_of(text)).matches(path)
    except (ConfigError, PatternError) as error:
        assert str(error)


@settings(deadline=2_000)
@given(st.text("ab*?[]^-/", max_size=14), st.text("ab/-", max_size=10))
def test_a_pattern_means_the_same_however_it_is_matched(pattern: str, path: str) -> None:
    try:
        matcher = Matcher(tokens_of(pattern))
    except PatternError:
        return
    assert matcher._automaton.matches(path) == (matcher._expression.fullmatch(path) is not None)
