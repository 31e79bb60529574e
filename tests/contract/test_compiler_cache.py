"""The compiler cache on its way: packed, pushed, pulled and unpacked by the real registries and the real skopeo."""

import json
import os
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from arrstack import compiler_cache as cache
from arrstack.cli import cache as command
from arrstack.compiler_cache import chunks, listing
from arrstack.errors import MachineError, RegistryError
from arrstack.machine.process import Processes
from arrstack.model import Answer, State
from arrstack.registry import OciDirectory, Registry

copy = partial(command.copy, Processes())


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 100_000)


def entry(number: int) -> str:
    return f"{number % 16:x}/{number // 16 % 16:x}/{number:030d}" + "RM"[number % 2]


def fill(folder: Path, numbers: range) -> None:
    """Files as ccache leaves them, and what it keeps beside them."""
    source = random.Random(numbers.start)
    for number in numbers:
        path = folder / entry(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(source.randrange(20_000)))
        (path.parent / "stats").write_text("0\n")
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "tmp" / "stdout.tmp.x").write_text("")


@contextmanager
def scratch(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    yield folder


def local(folder: Path) -> dict[str, int]:
    return cache.CacheFolder(folder).entries()


def chunks_of(registry: Registry, tmp_path: Path) -> list[cache.Chunk]:
    with scratch(tmp_path) as made:
        return list(cache.published(registry, "cpu", made).chunks)


def push(folder: Path, registry: Registry, tmp_path: Path, anew: bool = False) -> cache.Moved:
    with scratch(tmp_path) as made:
        return cache.push(folder, registry, "cpu", copy, made, anew)


def pull(folder: Path, registry: Registry, tmp_path: Path) -> cache.Moved:
    with scratch(tmp_path) as made:
        return cache.pull(folder, registry, "cpu", made)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in cache.CacheFolder(folder).entries()}


def test_a_cache_arrives_as_it_went_and_nothing_goes_twice(registry: Registry, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    fill(here, range(50))
    first = push(here, registry, tmp_path)
    assert first.entries == 50 and first.chunks > 2 and first.known == 0
    assert push(here, registry, tmp_path) == cache.Moved(0, 0, 0, 0, 50)

    assert pull(there, registry, tmp_path).entries == 50
    assert contents(there) == contents(here)
    assert not list(there.rglob("stats"))
    assert pull(there, registry, tmp_path) == cache.Moved(0, 0, 0, 0, 50)

    fill(here, range(50, 53))
    second = push(here, registry, tmp_path)
    assert (second.entries, second.chunks, second.known) == (3, 1, 50)
    assert second.transferred < first.transferred / 3
    assert pull(there, registry, tmp_path).entries == 3
    assert contents(there) == contents(here)


def test_what_is_here_stays_and_what_grew_is_sent_again(registry: Registry, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    fill(here, range(4))
    push(here, registry, tmp_path)
    fill(there, range(1, 4))  # the same names, other bytes
    before = contents(there)
    assert pull(there, registry, tmp_path).entries == 1
    assert {name: data for name, data in contents(there).items() if name in before} == before
    (here / entry(1)).write_bytes(b"a manifest that grew")
    assert push(here, registry, tmp_path).entries == 1
    other = tmp_path / "other"
    pull(other, registry, tmp_path)
    assert contents(other) == contents(here)


def test_anew_forgets_what_is_not_here(registry: Registry, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    fill(here, range(10))
    push(here, registry, tmp_path)
    for number in range(5):
        (here / entry(number)).unlink()
    assert push(here, registry, tmp_path, anew=True).entries == 5
    assert pull(there, registry, tmp_path).entries == 5


def test_a_cache_that_is_not_there_is_said(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no compiler cache"):
        push(tmp_path / "none", registry, tmp_path)
    with pytest.raises(RegistryError, match="holds no compiler-cache:cpu"):
        pull(tmp_path / "none", registry, tmp_path)


def relisted(registry: OciDirectory, tmp_path: Path, change: str) -> None:
    """Publishes the same chunks under a list that a stranger wrote."""
    listed = [
        cache.Chunk(c.digest, c.diff_id, c.size, json.loads(json.dumps(c.entries).replace(entry(0), change)))
        for c in chunks_of(registry, tmp_path)
    ]
    with scratch(tmp_path) as made:
        (made / "blobs/sha256").mkdir(parents=True)
        listing.write_layout(made, listed)
        registry.publish(cache.REPOSITORY, "cpu", lambda to, _: copy(f"oci:{made}", to))


@pytest.fixture
def directory(tmp_path: Path) -> OciDirectory:
    fill(tmp_path / "here", range(3))
    registry = OciDirectory(tmp_path / "registry")
    push(tmp_path / "here", registry, tmp_path)
    return registry


def test_a_chunk_with_something_that_its_list_does_not_name_is_refused(directory: OciDirectory, tmp_path: Path) -> None:
    relisted(directory, tmp_path, entry(99))
    with pytest.raises(RegistryError, match="which its list does not name"):
        pull(tmp_path / "there", directory, tmp_path)
    assert not (tmp_path / "there" / entry(0)).exists()


def test_a_damaged_chunk_is_refused_by_its_digest(directory: OciDirectory, tmp_path: Path) -> None:
    chunk = chunks_of(directory, tmp_path)[0]
    blob = directory.root / "blobs/sha256" / chunk.digest.removeprefix("sha256:")
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(RegistryError, match="does not have that digest"):
        pull(tmp_path / "there", directory, tmp_path)
    assert local(tmp_path / "there") == {}
    blob.unlink()
    with pytest.raises(RegistryError, match=r"missing"):
        pull(tmp_path / "there", directory, tmp_path)


def test_another_image_under_the_name_is_said_to_be_none_of_ours(directory: OciDirectory, tmp_path: Path) -> None:
    with scratch(tmp_path) as made:
        (made / "blobs/sha256").mkdir(parents=True)
        listing.write_layout(made, [])
        index = json.loads((made / "index.json").read_text())
        manifest = made / "blobs/sha256" / index["manifests"][0]["digest"].removeprefix("sha256:")
        held = json.loads(manifest.read_text())
        held["config"] = listing.blob(
            made,
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'0' * 64}"]}},
            held["config"]["mediaType"],
        )
        index["manifests"] = [listing.blob(made, held, held["mediaType"])]
        (made / "index.json").write_text(json.dumps(index))
        directory.publish(cache.REPOSITORY, "cpu", lambda to, _: copy(f"oci:{made}", to))
    with pytest.raises(RegistryError, match="no compiler cache of ours"):
        pull(tmp_path / "there", directory, tmp_path)


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    fill(tmp_path, range(6))
    for number in range(6):
        os.utime(tmp_path / entry(number), (1_000_000 + number, 1_000_000 + number))
    sizes = {number: (tmp_path / entry(number)).stat().st_size for number in range(6)}
    limit = sizes[3] + sizes[4] + sizes[5]
    told = cache.prune(tmp_path, limit, dry_run=True)
    assert (told.entries, told.known) == (3, 3)
    assert len(local(tmp_path)) == 6
    assert cache.prune(tmp_path, limit).bytes == sizes[0] + sizes[1] + sizes[2]
    assert local(tmp_path).keys() == {entry(3), entry(4), entry(5)}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="File exists"), cache.explained(tmp_path):
        cache.CacheFolder(tmp_path / "file").put(entry(0), [b""])


def test_a_list_that_no_label_could_hold_travels(registry: Registry, tmp_path: Path) -> None:
    """The files are made up: what travels is the list."""
    fill(tmp_path / "here", range(1))
    push(tmp_path / "here", registry, tmp_path)
    (held,) = chunks_of(registry, tmp_path)
    many = [cache.Chunk(held.digest, held.diff_id, held.size, {entry(number): 7 for number in range(100_000)})]
    with scratch(tmp_path) as made:
        (made / "blobs/sha256").mkdir(parents=True)
        listing.write_layout(made, many)
        registry.publish(cache.REPOSITORY, "cpu", lambda to, _: copy(f"oci:{made}", to))
    assert len(chunks_of(registry, tmp_path)[0].entries) == 100_000
    assert len(registry.lookup(cache.REPOSITORY, "cpu").image.labels[listing.LABEL]) < 200  # type: ignore[union-attr]


def test_a_list_in_a_label_as_it_was_is_still_read_and_goes_on_in_a_layer(directory: OciDirectory, tmp_path: Path) -> None:
    here = tmp_path / "here"
    (held,) = chunks_of(directory, tmp_path)
    with scratch(tmp_path) as made:
        (made / "blobs/sha256").mkdir(parents=True)
        label = json.dumps([{"digest": held.digest, "diff_id": held.diff_id, "size": held.size, "entries": held.entries}])
        config = {"architecture": "amd64", "os": "linux", "config": {"Labels": {listing.LABEL: label}}}
        config["rootfs"] = {"type": "layers", "diff_ids": [held.diff_id]}
        manifest = {"schemaVersion": 2, "mediaType": listing.MANIFEST, "config": listing.blob(made, config, listing.CONFIG)}
        manifest["layers"] = [{"mediaType": listing.LAYER, "digest": held.digest, "size": held.size}]
        index = {"schemaVersion": 2, "manifests": [listing.blob(made, manifest, listing.MANIFEST)]}
        (made / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (made / "index.json").write_text(json.dumps(index))
        directory.publish(cache.REPOSITORY, "cpu", lambda to, _: copy(f"oci:{made}", to))
    assert chunks_of(directory, tmp_path) == [held]
    assert pull(tmp_path / "there", directory, tmp_path).entries == 3
    fill(here, range(3, 5))
    assert (push(here, directory, tmp_path).entries, len(chunks_of(directory, tmp_path))) == (2, 2)


@pytest.mark.parametrize(
    "label",
    [
        "5",
        "[5]",
        "null",
        "{}",
        "[" * 100_000,
        '[{"digest": 5}]',
        '{"list": "sha256:0", "size": 1}',
        json.dumps({"list": f"sha256:{'0' * 64}", "size": 10**12}),
    ],
)
def test_a_label_of_any_shape_is_no_cache_of_ours(directory: OciDirectory, tmp_path: Path, label: str) -> None:
    image = directory.lookup(cache.REPOSITORY, "cpu").image
    assert image

    class Labelled(OciDirectory):
        def lookup(self, repository: str, tag: str) -> Answer:
            return Answer(State.PRESENT, replace(image, labels={listing.LABEL: label}))

    with pytest.raises(RegistryError, match="no compiler cache of ours"):
        pull(tmp_path / "there", Labelled(directory.root), tmp_path)


def test_a_link_in_the_cache_is_neither_pushed_nor_written_through_nor_removed(registry: Registry, tmp_path: Path) -> None:
    """A build may leave anything there: its root is root of the cache mount."""
    here, outside = tmp_path / "here", tmp_path / "outside"
    outside.mkdir()
    (outside / entry(1).rpartition("/")[2]).write_text("a secret of the host")
    fill(here, range(1))
    (here / entry(16)).parent.mkdir(parents=True)
    (here / entry(16)).symlink_to(outside / entry(1).rpartition("/")[2])
    (here / entry(1)).parent.parent.mkdir()
    (here / entry(1)).parent.symlink_to(outside)
    os.mkfifo(here / entry(0).replace("R", "F"))
    assert local(here).keys() == {entry(0)}
    assert push(here, registry, tmp_path).entries == 1

    there = tmp_path / "there"
    fill(tmp_path / "more", range(3))
    push(tmp_path / "more", registry, tmp_path)
    (there / entry(1)).parent.parent.mkdir(parents=True)
    (there / entry(1)).parent.symlink_to(outside)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        pull(there, registry, tmp_path)
    cache.prune(here, 0)
    assert [path.name for path in outside.iterdir()] == [entry(1).rpartition("/")[2]]
    assert (outside / entry(1).rpartition("/")[2]).read_text() == "a secret of the host"
