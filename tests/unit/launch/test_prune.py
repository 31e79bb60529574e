"""What goes is what nothing needs."""

import hashlib
import os
from pathlib import Path

import pytest

from arrstack.errors import RegistryError
from arrstack.launch.prune import BUILD_DIRECTORY, WHEEL_TAG, build_directories, superseded, unneeded_tags
from arrstack.machine.folders import Folders
from arrstack.model import Answer, Image, State

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
    assert list(build_directories(folders, frozenset())) == names[:2]
    assert all(path.is_dir() for path in build_directories(folders, frozenset()).values())
    # The oldest is the working tree's own: a compile that was begun long ago and is still to be finished.
    assert list(build_directories(folders, frozenset([f"torch-wheel-0{KEY[1:]}", "key-x"]))) == names[1:2]


class Held:
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
    held = Held(table)
    assert unneeded_tags("t", held, frozenset([f"key-3{KEY[1:]}"])) == [f"key-2{KEY[1:]}"]  # type: ignore[arg-type]


def test_a_wheel_of_the_working_tree_stays_however_old() -> None:
    table = {f"torch-wheel-{i}{KEY[1:]}": (f"d{i}", f"2026-01-0{i}") for i in range(1, 6)}
    assert all(WHEEL_TAG.fullmatch(tag) for tag in table)
    gone = unneeded_tags("t", Held(table), frozenset([f"torch-wheel-1{KEY[1:]}"]))  # type: ignore[arg-type]
    assert gone == [f"torch-wheel-2{KEY[1:]}", f"torch-wheel-3{KEY[1:]}"]


def test_nothing_goes_where_a_tag_that_keeps_an_image_cannot_be_read() -> None:
    held = Held({f"key-1{KEY[1:]}": ("d1", "1"), "latest": ("d1", "1")})
    known = held.lookup
    held.lookup = lambda repository, tag: Answer(State.UNKNOWN, reason="503") if tag == "latest" else known(repository, tag)  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match=r"t:latest cannot be read: 503"):
        unneeded_tags("t", held, frozenset())  # type: ignore[arg-type]


def test_sizes_count_blocks_and_follow_no_link(tmp_path: Path) -> None:
    from arrstack.launch.prune import size_of

    (tmp_path / "a").write_bytes(b"x" * 10_000)
    (tmp_path / "out").symlink_to("/usr")
    assert 10_000 <= size_of(tmp_path) < 30_000
