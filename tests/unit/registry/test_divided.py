"""One registry whose repositories lie in two places."""

from pathlib import Path

import pytest

from arrstack.errors import RegistryError
from arrstack.model import Image, State
from arrstack.registry import Registry
from arrstack.registry.divided import Divided
from tests.fakes.registry import MemoryRegistry

IMAGE = Image("", "sha256:1", "sha256:2", "3", {}, "", 1)


@pytest.fixture
def kept() -> MemoryRegistry:
    return MemoryRegistry("kept.example")


@pytest.fixture
def swept() -> MemoryRegistry:
    return MemoryRegistry("swept.example")


@pytest.fixture
def divided(kept: MemoryRegistry, swept: MemoryRegistry) -> Registry:
    return Divided({"kept": kept, "swept": swept}, lambda name: "kept" if name == "base" else "swept")


def test_a_repository_is_asked_for_where_it_lies_and_nowhere_else(
    divided: Registry, kept: MemoryRegistry, swept: MemoryRegistry
) -> None:
    kept.put("base", "key-1", IMAGE)
    kept.put("trainer", "key-2", IMAGE)
    swept.put("base", "key-3", IMAGE)
    assert divided.lookup("base", "key-1").state is State.PRESENT
    assert divided.lookup("trainer", "key-2").state is State.ABSENT
    assert divided.tags("base") == ["key-1"]


def test_what_cannot_be_told_of_one_place_stays_unknown(divided: Registry, swept: MemoryRegistry) -> None:
    swept.unknown.add(("trainer", "latest"))
    assert divided.lookup("trainer", "latest").state is State.UNKNOWN
    assert divided.lookup("base", "latest").state is State.ABSENT


def test_tags_move_and_go_where_their_repository_lies(divided: Registry, kept: MemoryRegistry, swept: MemoryRegistry) -> None:
    divided.move_tag("base", "latest", IMAGE)
    divided.move_tag("trainer", "latest", IMAGE)
    divided.delete_tag("trainer", "latest")
    assert (kept.moves, swept.moves, swept.images) == ([("base", "latest")], [("trainer", "latest")], {})


def test_images_are_pulled_from_and_pushed_to_where_their_repository_lies(divided: Registry, tmp_path: Path) -> None:
    assert divided.reference("base", "latest") == "memory:base:latest"
    assert divided.pinned("base", "sha256:1", tmp_path) == "memory:base@sha256:1"
    for refused in (
        lambda: divided.publish("base", "t", lambda to, compress: ""),
        lambda: divided.blob("base", "d", 1, tmp_path),
    ):
        with pytest.raises(RegistryError):
            refused()
    assert divided.collect() == 0


def test_its_name_says_both_places(divided: Registry) -> None:
    assert divided.name == "kept.example, swept.example"
