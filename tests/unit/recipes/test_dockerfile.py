"""Recipes are read as BuildKit reads them, and what is wrong with one is said with its line."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arrstack.errors import ConfigError
from arrstack.recipes.dockerfile import context_paths, expand, parse


def recipe(tmp_path: Path, text: str, **args: str):
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    return parse(path, args)


def test_comments_and_blank_lines_are_no_part_of_an_instruction(tmp_path: Path) -> None:
    plain = recipe(tmp_path, "FROM a\nRUN one && \\\n    two\n")
    commented = recipe(tmp_path, "# c\nFROM a\n\n# d\nRUN one && \\\n  # e\n    two\n\n")
    assert [i.text for i in plain.stages[0].instructions] == [i.text for i in commented.stages[0].instructions]


def test_heredoc_bodies_are_part_of_it_comments_included(tmp_path: Path) -> None:
    one = recipe(tmp_path, "FROM a\nRUN <<E\n# first\nE\n").stages[0].instructions[0]
    two = recipe(tmp_path, "FROM a\nRUN <<E\n# second\nE\n").stages[0].instructions[0]
    assert one.text != two.text


def test_a_stage_knows_what_it_reads(tmp_path: Path) -> None:
    found = recipe(
        tmp_path,
        "ARG B=x\nFROM $B AS one\nFROM x AS two\nFROM one AS three\nCOPY --from=two /a /b\nRUN --mount=from=0,target=/x true\nFROM scratch\nCOPY --from=three / /\n",
    )
    assert found.stage("three").stages == {"one", "two"}
    assert [stage.name for stage in found.closure()] == ["one", "two", "three", "image"]
    assert [stage.name for stage in found.closure("two")] == ["two"]


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("FROM p\nRUN true\n", ()),
        ("FROM x AS a\nFROM p\nCOPY --from=a / /\n", ("a",)),
        ("FROM x AS a\nFROM a AS b\nFROM p\nRUN --mount=from=b,target=/b true\n", ("b",)),
        ("FROM x AS a\nFROM a AS b\nFROM p\nCOPY --from=a / /\nRUN --mount=from=b,target=/b true\n", ("a", "b")),
        ("FROM p AS a\nFROM x\nCOPY --from=a / /\n", ()),
        ("FROM x AS a\nFROM p AS b\nCOPY --from=a / /\nFROM b\n", ("a",)),
        ("FROM x AS a\nFROM x AS unread\nCOPY --from=a / /\nFROM p\n", ()),
    ],
)
def test_what_can_be_finished_before_the_parent_exists(tmp_path: Path, text: str, apart: tuple[str, ...]) -> None:
    assert recipe(tmp_path, text).apart_from("p") == apart


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: file with no instructions"),
        ("ARG A=1\n", ":1: a recipe begins with FROM"),
        ("RUN true\nFROM a\n", ":1: RUN stands before FROM"),
        ("FROM a\nRUNN true\n", ":2: unknown instruction RUNN"),
        ("FROM a\nCOPY x\n", ":2: COPY needs at least 2"),
        ("FROM a AS\n", ":1: FROM takes IMAGE"),
        ("FROM ${NOPE}\n", ":1: nothing declares the argument 'NOPE'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="Dockerfile") as error:
        recipe(tmp_path, text)
    assert said in error.value.message
    assert error.value.status == 2


def test_a_missing_recipe_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no recipe"):
        parse(tmp_path / "Dockerfile")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A", "1"),
        ("${A}x", "1x"),
        ("${C:-d}", "d"),
        ("${C:-${A}}", "1"),
        ("${A:+yes}", "yes"),
        ("${C:+yes}", ""),
        (r"\$A", "$A"),
        ("${E:-d}", "d"),
        ("${E-d}", ""),
    ],
)
def test_variables_expand_as_the_reference_says(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "E": ""}, "here") == result


def test_sources_outside_the_context_are_refused(tmp_path: Path) -> None:
    instruction = recipe(tmp_path, "FROM a\nCOPY ../x /y\n").stages[0].instructions[0]
    with pytest.raises(ConfigError, match="outside the build context"):
        context_paths(instruction, {}, "Dockerfile:2")


def test_what_an_instruction_reads_from_the_context(tmp_path: Path) -> None:
    text = 'FROM a\nCOPY ["a b", "/c", "/d/"]\nADD https://x/y ${D}/z /w\nRUN --mount=type=bind,source=s,target=/t true\nCOPY --from=q /x /y\n'
    read = [context_paths(i, {"D": "d"}, "x") for i in recipe(tmp_path, text).stages[0].instructions]
    assert read == [["a b", "c"], ["d/z"], ["s"], []]


@example("\\")
@given(st.text(max_size=200))
def test_no_text_makes_the_parser_raise_anything_but_our_error(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Dockerfile")
        path.write_text(text, encoding="utf-8")
        try:
            assert parse(path).stages
        except ConfigError as error:
            assert str(path) in error.message
