"""Hints as commands to paste."""

from pathlib import Path

import pytest

from arrstack.cli.place import found_stack
from arrstack.cli.typed import ENTRY, command, pasteable
from tests.conftest import ROOT
from tests.fakes.command_line import arrstack


def test_a_hint_names_the_command_as_it_was_typed_with_its_global_options() -> None:
    typed = command({ENTRY: "python3 CLI/cli.py"}, ["--stack", "my stack.toml"])
    assert pasteable("`arrstack launch` builds it, not arrstack", typed) == (
        "`python3 CLI/cli.py --stack 'my stack.toml' launch` builds it, not arrstack"
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--profile", "full", "run", "arr-trainer"], "`arrstack --profile full launch arr-trainer` builds it"),
        (["run", "--profile=full", "arr-trainer"], "`arrstack --profile full launch arr-trainer` builds it"),
        (["run", "arr-trainer"], "`arrstack launch arr-trainer` builds it"),
    ],
)
def test_the_options_are_repeated_wherever_they_stood(words: list[str], hint: str) -> None:
    done = arrstack(*words)
    assert done.stderr.splitlines()[-1] == f"what to do: {hint}"


def test_the_stack_file_is_found_upwards(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    assert found_stack(tmp_path / "a/b") == Path("stack.toml")
    (tmp_path / "stack.toml").write_text("")
    assert found_stack(tmp_path / "a/b") == tmp_path / "stack.toml"


def test_without_a_stack_file_nothing_is_taken_in_its_place(tmp_path: Path) -> None:
    done = arrstack("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert f"there is no stack.toml in {tmp_path}, nor above it" in done.stderr
    assert f"--stack {ROOT}/stack.toml" in done.stderr


def test_what_a_command_works_on_is_said_first() -> None:
    done = arrstack("why", "arr-trainer", cwd=ROOT / "docs")
    assert done.stdout.splitlines()[0] == f"stack {ROOT}/stack.toml, profile cpu"
