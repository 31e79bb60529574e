"""What every registry does, by the Protocol in arrstack.registry: a directory, and a real distribution server."""

import hashlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arrstack.errors import ConfigError, RegistryError
from arrstack.machine import skopeo
from arrstack.machine.process import Failed, Processes
from arrstack.model import Image, State
from arrstack.reference import Place
from arrstack.registry import LOOKING, WORKING, OciDirectory, Registry, connect
from arrstack.registry.client import Clock
from arrstack.registry.distribution import Distribution
from arrstack.registry.layout import REF_NAME
from tests.contract.conftest import eventually
from tests.contract.layouts import LABELS, sender


def shown(registry: Registry, tag: str) -> Image:
    answer = registry.lookup("tier", tag)
    assert answer.state is State.PRESENT, answer.reason
    assert answer.image
    return answer.image


def test_an_empty_registry_answers_absent(registry: Registry) -> None:
    assert registry.lookup("tier", "latest").state is State.ABSENT
    assert registry.tags("tier") == []
    assert registry.collect() == 0


def test_a_published_image_is_present_with_its_labels_and_content(registry: Registry, one: Path, two: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    assert shown(registry, "key-1") == image
    assert image.labels == LABELS
    assert image.inputs is not None
    assert (image.repository, image.created) == ("tier", "2025-01-01T00:00:00Z")
    assert image.size > 0
    other = registry.publish("tier", "key-2", sender(two))
    assert image.content_id != other.content_id
    assert registry.tags("tier") == ["key-1", "key-2"]
    assert registry.lookup("other", "key-1").state is State.ABSENT


def test_publishing_the_same_again_changes_nothing(registry: Registry, one: Path) -> None:
    assert registry.publish("tier", "key-1", sender(one)) == registry.publish("tier", "key-1", sender(one))
    assert registry.tags("tier") == ["key-1"]


def test_a_tag_moves_and_what_it_named_stays(registry: Registry, one: Path, two: Path) -> None:
    images = [registry.publish("tier", f"key-{n}", sender(path)) for n, path in ((1, one), (2, two))]
    for image in (*images, images[0]):
        registry.move_tag("tier", "latest", image)
        assert shown(registry, "latest").digest == image.digest
    assert registry.tags("tier") == ["key-1", "key-2", "latest"]
    assert shown(registry, "key-2") == images[1]


def test_a_tag_cannot_move_to_what_the_registry_does_not_hold(registry: Registry, one: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    strange = Image("tier", f"sha256:{'0' * 64}", image.config_digest, "", {}, "", 0)
    with pytest.raises(RegistryError):
        registry.move_tag("tier", "latest", strange)
    assert registry.lookup("tier", "latest").state is State.ABSENT


def test_a_push_that_fails_publishes_nothing(registry: Registry, one: Path) -> None:
    def broken(destination: str, compress: bool) -> str:
        sender(one)(destination + "-somewhere-else", compress)
        raise RegistryError("the line broke")

    with pytest.raises(RegistryError, match="the line broke"):
        registry.publish("tier", "key-1", broken)
    assert registry.lookup("tier", "key-1").state is State.ABSENT


def test_what_was_pushed_can_be_pulled_by_its_reference(registry: Registry, one: Path, tmp_path: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    told = subprocess.run(
        ["skopeo", "copy", "--quiet", "--src-tls-verify=false", registry.reference("tier", "key-1"), f"dir:{tmp_path}/pulled"],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "pulled" / image.config_digest.removeprefix("sha256:")).exists()


def test_what_somebody_else_pushes_meanwhile_is_not_taken_for_ours(registry: Registry, one: Path, two: Path) -> None:
    ours = registry.publish("tier", "key-0", sender(one))

    def overtaken(destination: str, compress: bool) -> str:
        digest = sender(one)(destination, compress)
        if destination.startswith("docker://"):
            sender(two)(destination, compress)
        return digest

    assert registry.publish("tier", "key-1", overtaken) == ours


def test_an_image_is_pulled_by_its_digest_whatever_its_tag_names_by_then(
    registry: Registry, one: Path, two: Path, tmp_path: Path
) -> None:
    image = registry.publish("tier", "latest", sender(one))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = registry.pinned("tier", image.digest, scratch)
    registry.publish("tier", "key-1", sender(one))
    registry.publish("tier", "latest", sender(two))
    for number, source in enumerate([before, registry.pinned("tier", image.digest, scratch)]):
        assert skopeo.copy(Processes(), source, f"dir:{tmp_path}/pulled{number}") == image.digest
        assert (tmp_path / f"pulled{number}" / image.config_digest.removeprefix("sha256:")).exists()


def test_what_is_changed_in_a_directory_after_the_look_up_is_not_pulled(
    directory: OciDirectory, one: Path, two: Path, tmp_path: Path
) -> None:
    image, other = (directory.publish("tier", tag, sender(path)) for tag, path in (("a", one), ("b", two)))
    source = directory.pinned("tier", image.digest, tmp_path)
    for ours, theirs in ((image.digest, other.digest), (image.config_digest, other.config_digest)):
        blob_of(directory, ours).write_bytes(blob_of(directory, theirs).read_bytes())
    assert skopeo.copy(Processes(), source, f"dir:{tmp_path}/pulled") == image.digest
    layer_of(directory, other).write_bytes(b"another layer")
    with pytest.raises((RegistryError, Failed)):
        skopeo.copy(Processes(), directory.pinned("tier", other.digest, tmp_path), f"dir:{tmp_path}/pulled")


def test_a_digest_is_looked_up_like_a_tag(registry: Registry, one: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    assert registry.lookup("tier", image.digest).image == image
    assert registry.lookup("tier", f"sha256:{'0' * 64}").state is State.ABSENT


def test_what_a_registry_does_not_hold_cannot_be_pulled(registry: Registry, one: Path, tmp_path: Path) -> None:
    registry.publish("tier", "key-1", sender(one))
    with pytest.raises((RegistryError, Failed)):
        skopeo.copy(Processes(), registry.pinned("tier", f"sha256:{'0' * 64}", tmp_path), f"dir:{tmp_path}/pulled")


def test_a_deleted_tag_is_absent_and_another_of_the_same_image_is_not(registry: Registry, one: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    registry.move_tag("tier", "latest", image)
    registry.delete_tag("tier", "key-1")
    registry.delete_tag("tier", "never-was")
    assert registry.lookup("tier", "key-1").state is State.ABSENT
    assert shown(registry, "latest").digest == image.digest


def test_names_that_are_no_registry_are_refused() -> None:
    for name in ("nonsense", "oci:/with:colon"):
        with pytest.raises(ConfigError):
            connect(name, {})


# -- a directory alone


@pytest.fixture
def directory(tmp_path: Path) -> OciDirectory:
    return OciDirectory(tmp_path / "registry")


def blob_of(directory: OciDirectory, digest: str) -> Path:
    return directory.root / "blobs/sha256" / digest.removeprefix("sha256:")


def layer_of(directory: OciDirectory, image: Image) -> Path:
    return blob_of(directory, json.loads(blob_of(directory, image.digest).read_text())["layers"][0]["digest"])


def test_a_layout_holds_layers_as_they_are_and_other_tools_read_it(directory: OciDirectory, one: Path) -> None:
    image = directory.publish("tier", "key-1", sender(one))
    with tarfile.open(layer_of(directory, image), "r:") as layer:
        assert layer.getnames() == ["file"]
    manifest = json.loads(blob_of(directory, image.digest).read_text())
    assert manifest["layers"][0]["mediaType"] == "application/vnd.oci.image.layer.v1.tar"


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda d, i: (d.root / "index.json").write_text("{"), "index.json is damaged: it is not JSON"),
        (lambda d, i: (d.root / "index.json").write_text('{"manifests": 7}'), "index.json is damaged: it is not an index"),
        (lambda d, i: (d.root / "index.json").write_text('{"manifests": [{"annotations": 7}]}'), "index.json"),
        (lambda d, i: (d.root / "oci-layout").unlink(), "oci-layout is missing"),
        (lambda d, i: blob_of(d, i.digest).unlink(), "is missing"),
        (lambda d, i: blob_of(d, i.digest).write_text("{}"), "does not have that digest"),
        (lambda d, i: blob_of(d, i.config_digest).unlink(), "is missing"),
        (lambda d, i: blob_of(d, i.config_digest).write_bytes(b"\xff\xfe"), "does not have that digest"),
        (lambda d, i: layer_of(d, i).unlink(), "missing or incomplete"),
        (lambda d, i: layer_of(d, i).write_bytes(b"short"), "missing or incomplete"),
        (lambda d, i: forge(d, {"digest": "sha256:../../etc/passwd", "size": 1}), "is not a digest"),
        (lambda d, i: forge(d, {}), "index.json"),
        (lambda d, i: forge_manifest(d, {"schemaVersion": 2}), "not an image manifest"),
        (lambda d, i: forge_manifest(d, {"config": "text", "layers": 3}), "not an image manifest"),
    ],
)
def test_a_directory_that_is_damaged_answers_unknown_and_why(
    directory: OciDirectory, one: Path, break_it: Callable[[OciDirectory, Image], object], reason: str
) -> None:
    break_it(directory, directory.publish("tier", "key-1", sender(one)))
    answer = directory.lookup("tier", "key-1")
    assert answer.state is State.UNKNOWN
    assert reason in answer.reason
    assert str(directory.root) in answer.reason


def forge(directory: OciDirectory, descriptor: dict[str, object]) -> None:
    entry = descriptor | {"annotations": {REF_NAME: "tier:key-1"}}
    (directory.root / "index.json").write_text(json.dumps({"manifests": [entry]}))


def forge_manifest(directory: OciDirectory, manifest: dict[str, object]) -> None:
    data = json.dumps(manifest).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blob_of(directory, digest).write_bytes(data)
    forge(directory, {"mediaType": "x", "digest": digest, "size": len(data)})


def test_a_folder_of_something_else_is_neither_read_nor_written(directory: OciDirectory, one: Path) -> None:
    directory.root.mkdir()
    (directory.root / "thesis.txt").write_text("mine")
    assert directory.lookup("tier", "latest").state is State.UNKNOWN
    with pytest.raises(RegistryError, match="not a registry directory"):
        directory.publish("tier", "key-1", sender(one))
    assert [path.name for path in directory.root.iterdir()] == ["thesis.txt"]


def test_a_publish_that_is_killed_shows_nothing_and_holds_up_nobody(directory: OciDirectory, one: Path, two: Path) -> None:
    image = directory.publish("tier", "key-0", sender(two))

    def stops(destination: str, compress: bool) -> str:
        digest = sender(one)(destination, compress)
        (directory.root.parent / "sent").touch()
        signal.pause()
        return digest

    child = multiprocessing.get_context("fork").Process(target=directory.publish, args=("tier", "key-1", stops))
    child.start()
    assert eventually((directory.root.parent / "sent").exists)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    assert directory.lookup("tier", "key-1").state is State.ABSENT
    assert shown(directory, "key-0") == image
    directory.publish("tier", "key-1", sender(one))
    assert shown(directory, "key-1").labels == LABELS
    assert not list(directory.root.glob(".incoming-*")), "what the killed one left is still there"


def test_collecting_removes_what_no_tag_needs_and_nothing_else(directory: OciDirectory, one: Path, two: Path) -> None:
    gone, kept = (directory.publish("tier", name, sender(path)) for name, path in (("key-1", one), ("key-2", two)))
    directory.delete_tag("tier", "key-1")
    layer = layer_of(directory, gone)
    size = layer.stat().st_size
    assert directory.collect() >= size
    assert not layer.exists()
    assert shown(directory, "key-2") == kept
    assert directory.collect() == 0


def test_two_that_publish_at_once_both_arrive(directory: OciDirectory, one: Path, two: Path) -> None:
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=directory.publish, args=("tier", f"key-{n}", sender(path))) for n, path in ((1, one), (2, two))
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert directory.tags("tier") == ["key-1", "key-2"]


def test_who_looks_while_the_first_writer_makes_the_directory_sees_a_registry(
    directory: OciDirectory, one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[State] = []
    make = Path.mkdir

    def looked(path: Path, *args: Any, **options: Any) -> None:
        make(path, *args, **options)
        if path.is_relative_to(directory.root):
            seen.append(directory.lookup("tier", "key-1").state)

    monkeypatch.setattr(Path, "mkdir", looked)
    directory.publish("tier", "key-1", sender(one))
    assert len(seen) >= 3 and set(seen) == {State.ABSENT}


# -- a server alone


class Waited:
    """A clock that only sleep moves on."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def clock(self) -> Clock:
        return Clock(lambda: sum(self.pauses), self.pauses.append)


def test_a_server_that_does_not_answer_is_unknown_after_the_retries(tmp_path: Path) -> None:
    waited = Waited()
    registry = Distribution(Place("127.0.0.1:1"), {"HOME": str(tmp_path)}, clock=waited.clock())
    answer = registry.lookup("tier", "latest")
    assert answer.state is State.UNKNOWN
    assert "127.0.0.1:1" in answer.reason and "Connection refused" in answer.reason
    assert waited.pauses and sum(waited.pauses) <= LOOKING.question
    with pytest.raises(RegistryError) as told:
        registry.tags("tier")
    assert told.value.hint


def test_one_who_works_is_told_soon_that_nothing_runs_on_this_machine(tmp_path: Path) -> None:
    waited, said = Waited(), list[str]()
    registry = Distribution(Place("localhost:1"), {"HOME": str(tmp_path)}, WORKING, said.append, waited.clock())
    assert registry.lookup("tier", "latest").state is State.UNKNOWN
    assert 1 < sum(waited.pauses) <= 10
    assert re.search(r"Connection refused; trying again in \d s, for \d s at most$", said[0])


def test_a_server_of_this_machine_that_has_answered_is_waited_for_while_it_starts_anew(tmp_path: Path) -> None:
    waited = Waited()
    registry = Distribution(Place("localhost:1"), {"HOME": str(tmp_path)}, WORKING, clock=waited.clock())
    registry.client.answered = True
    assert registry.lookup("tier", "latest").state is State.UNKNOWN
    assert 60 < sum(waited.pauses) <= WORKING.question
