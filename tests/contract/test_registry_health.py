"""A registry directory that was damaged: each file of it in each way. It is found and named, and the next publish makes it whole."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from arrstack.errors import RegistryError
from arrstack.model import Image, State
from arrstack.registry import OciDirectory
from arrstack.registry.health import check, repair
from arrstack.registry.layout import Corrupt
from tests.contract.layouts import sender
from tests.contract.test_registries import blob_of, layer_of

FILES: dict[str, Callable[[OciDirectory, Image], Path]] = {
    "oci-layout": lambda d, i: d.root / "oci-layout",
    "index.json": lambda d, i: d.root / "index.json",
    "manifest": lambda d, i: blob_of(d, i.digest),
    "config": lambda d, i: blob_of(d, i.config_digest),
    "layer": layer_of,
}
DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


@pytest.fixture
def directory(tmp_path: Path) -> OciDirectory:
    return OciDirectory(tmp_path / "registry")


def damaged(directory: OciDirectory, image: Image, file: str, damage: str) -> None:
    DAMAGES[damage](FILES[file](directory, image))


def named(directory: OciDirectory) -> set[str]:
    return {each.what for each in check(directory.layout)}


def whats(file: str) -> str:
    return file if file in ("oci-layout", "index.json") else "tier:key-1"


EVERY = pytest.mark.parametrize(("file", "damage"), [(file, damage) for file in FILES for damage in DAMAGES])


@EVERY
def test_a_damage_is_found_and_named(directory: OciDirectory, one: Path, two: Path, file: str, damage: str) -> None:
    directory.publish("tier", "key-2", sender(two))
    image = directory.publish("tier", "key-1", sender(one))
    assert check(directory.layout) == []
    damaged(directory, image, file, damage)
    assert whats(file) in named(directory)
    assert "tier:key-2" not in named(directory)


@EVERY
def test_the_next_publish_makes_it_whole(directory: OciDirectory, one: Path, file: str, damage: str) -> None:
    image = directory.publish("tier", "key-1", sender(one))
    damaged(directory, image, file, damage)
    assert directory.publish("tier", "key-1", sender(one)) == image
    assert directory.lookup("tier", "key-1").image == image
    assert check(directory.layout) == []


@EVERY
def test_a_repair_leaves_what_is_whole_and_forgets_the_rest(
    directory: OciDirectory, one: Path, two: Path, file: str, damage: str
) -> None:
    kept, image = directory.publish("tier", "key-2", sender(two)), directory.publish("tier", "key-1", sender(one))
    damaged(directory, image, file, damage)
    said: list[str] = []
    assert whats(file) in {each.what for each in repair(directory.layout, said.append)}
    assert check(directory.layout) == []
    answers = {tag: directory.lookup("tier", tag) for tag in ("key-1", "key-2")}
    assert State.UNKNOWN not in {answer.state for answer in answers.values()}
    if file != "index.json":
        assert answers["key-2"].image == kept
        assert answers["key-1"].state is (State.PRESENT if file == "oci-layout" else State.ABSENT)
    directory.collect()
    assert directory.publish("tier", "key-1", sender(one)) == image


@EVERY
def test_a_look_never_takes_damage_for_absence(directory: OciDirectory, one: Path, file: str, damage: str) -> None:
    image = directory.publish("tier", "key-1", sender(one))
    damaged(directory, image, file, damage)
    answer = directory.lookup("tier", "key-1")
    if (file, damage) in [("layer", "zeros"), *(("oci-layout", each) for each in ("empty", "half", "zeros"))]:
        assert answer.image == image  # all that a look reads is whole
    else:
        assert answer.state is State.UNKNOWN
        assert "arrstack registry repair" in answer.reason


def test_half_an_index_still_tells_of_the_images_in_its_first_half(directory: OciDirectory, one: Path, two: Path) -> None:
    kept = directory.publish("tier", "a", sender(one))
    directory.publish("tier", "b", sender(two))
    index = directory.root / "index.json"
    os.truncate(index, index.stat().st_size - 20)
    said: list[str] = []
    found = OciDirectory(directory.root, said.append)
    found.publish("tier", "c", sender(two))
    assert directory.lookup("tier", "a").image == kept
    assert directory.tags("tier") == ["a", "c"]
    assert any("index.json is damaged" in line for line in said)
    assert (directory.root / "index.json.damaged").exists()


def test_pruning_a_damaged_directory_removes_nothing_and_says_what_helps(directory: OciDirectory, one: Path) -> None:
    image = directory.publish("tier", "key-1", sender(one))
    damaged(directory, image, "manifest", "zeros")
    before = sorted(directory.layout.blobs.iterdir())
    with pytest.raises(RegistryError) as told:
        directory.collect()
    assert "arrstack registry repair" in told.value.hint
    assert sorted(directory.layout.blobs.iterdir()) == before


def test_a_folder_of_something_else_is_not_repaired(directory: OciDirectory) -> None:
    assert check(directory.layout) == [] and repair(directory.layout, print) == []
    assert not directory.root.exists()
    directory.root.mkdir()
    (directory.root / "thesis.txt").write_text("mine")
    for action in (check, lambda layout: repair(layout, print)):
        with pytest.raises(Corrupt, match="not a registry directory"):
            action(directory.layout)
    assert [path.name for path in directory.root.iterdir()] == ["thesis.txt"]


def test_a_path_that_is_a_loop_of_links_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert OciDirectory(tmp_path / "a").lookup("tier", "latest").state is State.UNKNOWN


# -- what others may have put there


def test_no_planted_link_is_followed(directory: OciDirectory, one: Path, two: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    directory.publish("tier", "key-1", sender(one))
    for name in ("index.json.new", ".verified.new"):
        (directory.root / name).symlink_to(victim)
    directory.publish("tier", "key-2", sender(two))
    assert victim.read_text() == "precious"
    (directory.root / ".lock").unlink()
    (directory.root / ".lock").symlink_to(victim)
    with pytest.raises(RegistryError):
        directory.publish("tier", "key-3", sender(two))
    assert victim.read_text() == "precious"


def test_a_planted_mark_is_not_written_through(tmp_path: Path, one: Path) -> None:
    root = tmp_path / "registry"
    (root / "blobs/sha256").mkdir(parents=True)
    (root / "oci-layout").symlink_to(tmp_path / "victim")
    OciDirectory(root).publish("tier", "key-1", sender(one))
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("file", ["index.json", "manifest", "config", "layer"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "device"])
def test_what_is_no_file_is_unknown_at_once(directory: OciDirectory, one: Path, tmp_path: Path, file: str, kind: str) -> None:
    image = directory.publish("tier", "key-1", sender(one))
    path = FILES[file](directory, image)
    path.rename(tmp_path / "moved")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "moved")
    answer = directory.lookup("tier", "key-1")
    assert answer.state is State.UNKNOWN or (file, kind) == ("layer", "link")


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"manifests":' + b"[" * 100_000, b"\xff", b'{"manifests": [[]]}', b'{"manifests": null}']
)
def test_an_index_of_any_shape_is_unknown(directory: OciDirectory, one: Path, data: bytes) -> None:
    directory.publish("tier", "key-1", sender(one))
    (directory.root / "index.json").write_bytes(data)
    assert directory.lookup("tier", "key-1").state is State.UNKNOWN
    with pytest.raises(RegistryError):
        directory.tags("tier")


def test_what_is_made_is_its_owner_s_alone(directory: OciDirectory, one: Path) -> None:
    before = os.umask(0)
    try:
        directory.publish("tier", "key-1", sender(one))
    finally:
        os.umask(before)
    assert directory.root.stat().st_mode & 0o777 == 0o700
    for name in ("index.json", ".lock", "oci-layout"):
        assert (directory.root / name).stat().st_mode & 0o777 == 0o600


def test_blobs_are_on_the_disk_before_the_index_names_them(
    directory: OciDirectory, one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        order.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        order.append(f"named {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    image = directory.publish("tier", "key-1", sender(one))
    named_at = len(order) - 1 - order[::-1].index("named index.json")
    for path in directory.layout.blobs.iterdir():
        if path.name in json.dumps(json.loads(blob_of(directory, image.digest).read_text())) + image.digest:
            assert path.name in order[:named_at] or f"{path.name}.new" in order[:named_at]


def test_a_blob_is_read_again_only_when_its_file_changed(
    directory: OciDirectory, one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.publish("tier", "key-1", sender(one))
    read: list[str] = []
    whole = directory.layout.whole
    monkeypatch.setattr(directory.layout, "whole", lambda part: read.append(part.digest) or whole(part))
    image = directory.publish("tier", "key-2", sender(one))
    assert layer_of(directory, image).name not in {digest.partition(":")[2] for digest in read}
    os.utime(layer_of(directory, image))
    directory.publish("tier", "key-3", sender(one))
    assert layer_of(directory, image).name in {digest.partition(":")[2] for digest in read}
