"""What a machine remembers, by stack and profile."""

from pathlib import Path

import pytest

from arrstack.machine.folders import Folders
from arrstack.machine.memory import Kind, Launched, Memory


def memory(tmp_path: Path, profile: str = "p", stack: str = "stack.toml") -> Memory:
    return Folders(tmp_path, tmp_path, tmp_path).memory(tmp_path / stack, profile)


def test_durations_are_of_one_profile(tmp_path: Path) -> None:
    memory(tmp_path).remember("torch", 12.34)
    memory(tmp_path).remember("vision", 2)
    assert memory(tmp_path).durations() == {"torch": 12.3, "vision": 2.0}
    assert memory(tmp_path, "other").durations() == {}


def test_a_duration_tells_nothing_of_a_compile_for_another_number_of_architectures(tmp_path: Path) -> None:
    memory(tmp_path).remember("torch", 900, archs=5)
    memory(tmp_path).remember("trainer", 7)
    assert memory(tmp_path).durations() == memory(tmp_path).durations(5) == {"torch": 900.0, "trainer": 7.0}
    assert memory(tmp_path).durations(6) == {"trainer": 7.0}
    memory(tmp_path).remember("torch", 60)
    assert memory(tmp_path).durations(0) == {"torch": 60.0, "trainer": 7.0}


def test_a_link_to_a_stack_file_is_the_same_stack(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").touch()
    (tmp_path / "link.toml").symlink_to("stack.toml")
    memory(tmp_path).remember("torch", 1)
    assert memory(tmp_path, stack="link.toml").durations() == {"torch": 1.0}


def test_what_was_made_is_known_once_and_forgotten_once_it_is_gone(tmp_path: Path) -> None:
    memory(tmp_path).note(Kind.IMAGE, "a", "b", "a")
    memory(tmp_path).note(Kind.IMAGE, "a")
    memory(tmp_path).note(Kind.TAG, "a")
    memory(tmp_path).forget(Kind.IMAGE, ["a", "never"])
    assert memory(tmp_path).noted(Kind.IMAGE) == {"b"}
    assert memory(tmp_path).noted(Kind.TAG) == {"a"}


def test_others_are_all_but_this_one(tmp_path: Path) -> None:
    for profile, stack in (("p", "stack.toml"), ("q", "stack.toml"), ("p", "elsewhere/stack.toml")):
        memory(tmp_path, profile, stack).note(Kind.TAG, f"{profile} {stack}")
    others = [name for other in memory(tmp_path).others() for name in other.noted(Kind.TAG)]
    assert sorted(others) == ["p elsewhere/stack.toml", "q stack.toml"]


def test_damage_counts_as_forgotten(tmp_path: Path) -> None:
    folder = memory(tmp_path).folder
    folder.mkdir(parents=True)
    for text in ('{"torch": null}', "[1]", "no JSON", '{"torch": "x"}'):
        (folder / "durations.json").write_text(text)
        assert memory(tmp_path).durations() == {}
    (folder / "made.tsv").write_bytes(b"\xff\nimage")
    assert memory(tmp_path).noted(Kind.IMAGE) == frozenset()


def test_how_the_last_launch_went_is_remembered_and_one_that_was_killed_has_no_end(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "p")
    assert memory.launched() is None
    memory.began("2026-01-01T00:00:00+00:00")
    assert memory.launched() == Launched("2026-01-01T00:00:00+00:00")
    memory.ended("failed", "2026-01-01T00:01:00+00:00", "torch: no space", "a.log")
    assert memory.launched() == Launched(
        "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00", "failed", "torch: no space", "a.log"
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"began": 1}', "\x00"])
def test_a_damaged_memory_of_it_counts_as_none(tmp_path: Path, text: str) -> None:
    for name in ("launch.json", "failed.json"):
        (tmp_path / name).write_text(text)
    assert (Memory(tmp_path).launched(), Memory(tmp_path).failed()) == (None, "")


def test_no_path_is_taken_for_a_log_s_name(tmp_path: Path) -> None:
    Memory(tmp_path).fail("../../secret")
    assert Memory(tmp_path).failed() == ""
