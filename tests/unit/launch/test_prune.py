"""What goes is what nothing needs."""

import hashlib
import os
from pathlib import Path

import pytest

from arrstack.errors import RegistryError
from arrstack.launch.prune import BUILD_DIRECTORY, WHEEL_TAG, Pruning, Wanted, superseded, unneeded_tags
from arrstack.machine.folders import Folders
from arrstack.machine.memory import Kind, Memory
from arrstack.model import Answer, Image, State
from tests.fakes.registry import MemoryRegistry

KEY = "0123456789abcdef01234567"


def test_the_newest_two_build_directories_of_each_wheel_stay() -> None:
    names = {f"arrstack-torch-{i}{KEY[1:]}": float(i) for i in range(4)} | {f"arrstack-vision-{KEY}": 0.0, "arrstack-ccache": 0.0}
    assert superseded(names, BUILD_DIRECTORY) == [f"arrstack-torch-0{KEY[1:]}", f"arrstack-torch-1{KEY[1:]}"]


def test_build_directories_are_found_under_their_ids_and_under_digests_of_them(tmp_path: Path) -> None:
    """buildah 1.28 names a cache mount's folder by its id; from 1.38 on by a digest, and only our own note tells the id."""
    folders = Folders(tmp_path, tmp_path, tmp_path)
    names = [f"arrstack-torch-{i}{KEY[1:]}" for i in range(4)]
    mounts, ids = tmp_path / "buildah/buildah-cache-0", tmp_path / "buildah/ids"
    ids.mkdir(parents=True)
    for number, name in enumerate(names):
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        folder = mounts / (name if number % 2 else digest)
        folder.mkdir(parents=True)
        (ids / digest).write_text(name)
        os.utime(folder, (number, number))
    (mounts / "0123456789abcdef").mkdir()  # another tool's, or from before the notes
    memory = folders.memory(tmp_path / "stack.toml", "p")
    assert directories(folders, memory) == [], "what nobody noted is nobody's to remove"
    memory.note(Kind.MOUNT, *names, "arrstack-ccache")
    assert directories(folders, memory) == names[:2]
    # The oldest is the working tree's own: a compile that was begun long ago and is still to be finished.
    assert directories(folders, memory, f"torch-wheel-0{KEY[1:]}", "key-x") == names[1:2]


def test_what_another_stack_or_profile_made_too_stays(tmp_path: Path) -> None:
    folders = Folders(tmp_path, tmp_path, tmp_path)
    names = [f"arrstack-torch-{i}{KEY[1:]}" for i in range(4)]
    for number, name in enumerate(names):
        folder = tmp_path / "buildah/buildah-cache" / name
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    memory = folders.memory(tmp_path / "stack.toml", "cpu")
    memory.note(Kind.MOUNT, *names)
    folders.memory(tmp_path / "stack.toml", "full").note(Kind.MOUNT, names[0])
    folders.memory(tmp_path / "elsewhere/stack.toml", "cpu").note(Kind.MOUNT, names[3])
    assert directories(folders, memory) == [], "two of its own stay, two are others' too"


def test_a_listing_removes_nothing_and_a_removal_what_was_listed(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "cache", tmp_path / "state", tmp_path / "data")
    memory, registry, engine = folders.memory(tmp_path / "stack.toml", "p"), MemoryRegistry(), Store()
    for number in range(4):
        tag = f"torch-wheel-{number}{KEY[1:]}"
        registry.put("t", tag, Image("t", f"d{number}", f"c{number}", "", {}, f"2026-01-0{number + 1}", 1))
        memory.note(Kind.TAG, f"t:{tag}")
        memory.note(Kind.IMAGE, f"localhost/arrstack/t:c{number}")
        engine.names.add(f"localhost/arrstack/t:c{number}")
    engine.names.add("localhost/arrstack/t:another-stack")
    memory.note(Kind.IMAGE, "docker.io/nvidia/cuda:12.4.1")
    engine.hidden.add("docker.io/nvidia/cuda:12.4.1")
    pruning = Pruning(registry, engine, folders, memory, Wanted({"t": frozenset()}, frozenset()))  # type: ignore[arg-type]
    listed = pruning.removals()
    assert len(registry.images) == 4
    assert [each.what for each in listed] == [
        f"t:torch-wheel-0{KEY[1:]}",
        f"t:torch-wheel-1{KEY[1:]}",
        "image localhost/arrstack/t:c0",
        "image localhost/arrstack/t:c1",
    ]
    assert [each.bytes for each in listed] == [0, 0, 0, 0], "what shares layers with what stays frees nobody knows how much"
    assert pruning.remove() == listed
    assert registry.tags("t") == [f"torch-wheel-2{KEY[1:]}", f"torch-wheel-3{KEY[1:]}"]
    assert "localhost/arrstack/t:another-stack" in engine.names
    assert engine.hidden, "what was not listed was removed"
    assert pruning.removals() == []


class Store:
    """The part of an engine that prune asks."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.hidden: set[str] = set()
        """Images of the store that are not this product's."""

    def images(self) -> frozenset[str]:
        return frozenset(self.names)

    def remove(self, references: frozenset[str], unnamed: bool) -> None:
        self.hidden -= references
        self.names -= references

    def tidy(self) -> None:
        pass


def directories(folders: Folders, memory: Memory, *tags: str) -> list[str]:
    pruning = Pruning(MemoryRegistry(), Store(), folders, memory, Wanted({"t": frozenset(tags)}, frozenset()))  # type: ignore[arg-type]
    return [each.what.removeprefix("build directory ") for each in pruning.removals()]


def test_a_tag_that_another_machine_or_stack_made_is_not_ours_to_remove() -> None:
    table = {f"key-{i}{KEY[1:]}": (f"d{i}", str(i)) for i in range(3)}
    assert unneeded_tags("t", Tags(table), frozenset(), frozenset([f"key-1{KEY[1:]}"])) == [f"key-1{KEY[1:]}"]  # type: ignore[arg-type]


class Tags:
    """A registry's reading half, over a table of tags."""

    def __init__(self, table: dict[str, tuple[str, str]]):
        self.table = table

    def tags(self, repository: str) -> list[str]:
        return sorted(self.table)

    def lookup(self, repository: str, tag: str) -> Answer:
        digest, created = self.table[tag]
        return Answer(State.PRESENT, Image(repository, digest, digest, digest, {}, created, 1))


def test_images_that_a_tag_or_a_current_key_names_stay() -> None:
    table = {
        "latest": ("d1", "1"),
        f"key-1{KEY[1:]}": ("d1", "1"),
        f"key-2{KEY[1:]}": ("d2", "2"),
        f"key-3{KEY[1:]}": ("d3", "3"),
    }
    held = Tags(table)
    assert unneeded_tags("t", held, frozenset([f"key-3{KEY[1:]}"]), frozenset(table)) == [f"key-2{KEY[1:]}"]  # type: ignore[arg-type]


def test_a_wheel_of_the_working_tree_stays_however_old() -> None:
    table = {f"torch-wheel-{i}{KEY[1:]}": (f"d{i}", f"2026-01-0{i}") for i in range(1, 6)}
    assert all(WHEEL_TAG.fullmatch(tag) for tag in table)
    gone = unneeded_tags("t", Tags(table), frozenset([f"torch-wheel-1{KEY[1:]}"]), frozenset(table))  # type: ignore[arg-type]
    assert gone == [f"torch-wheel-2{KEY[1:]}", f"torch-wheel-3{KEY[1:]}"]


def test_nothing_goes_where_a_tag_that_keeps_an_image_cannot_be_read() -> None:
    held = Tags({f"key-1{KEY[1:]}": ("d1", "1"), "latest": ("d1", "1")})
    known = held.lookup
    held.lookup = lambda repository, tag: Answer(State.UNKNOWN, reason="503") if tag == "latest" else known(repository, tag)  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match=r"t:latest cannot be read: 503"):
        unneeded_tags("t", held, frozenset(), frozenset())  # type: ignore[arg-type]


def test_sizes_count_blocks_and_follow_no_link(tmp_path: Path) -> None:
    from arrstack.launch.prune import size_of

    (tmp_path / "a").write_bytes(b"x" * 10_000)
    (tmp_path / "out").symlink_to("/usr")
    assert 10_000 <= size_of(tmp_path) < 30_000
