"""Documents that are attached to an image: the same contract for a directory and for a real server without the referrers API."""

import json
import subprocess
from pathlib import Path

import pytest

from arrstack.errors import RegistryError
from arrstack.model import State
from arrstack.registry import Attachment, OciDirectory, Registry, connect
from arrstack.registry.attachments import referrers_tag
from tests.contract.layouts import sender

SBOM = "application/vnd.cyclonedx+json"
PROOF = "application/vnd.dsse.envelope.v1+json"


def bill(text: str) -> Attachment:
    return Attachment(SBOM, SBOM, text.encode(), (("org.opencontainers.image.created", "2025-01-01T00:00:00Z"),))


def test_what_is_attached_comes_back_by_its_kind(registry: Registry, one: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    registry.attach("tier", image.digest, bill("{}"))
    registry.attach("tier", image.digest, Attachment(PROOF, PROOF, b"signed"))
    assert registry.attached("tier", image.digest, SBOM) == [bill("{}")]
    assert [each.data for each in registry.attached("tier", image.digest, PROOF)] == [b"signed"]


def test_an_image_without_attachments_has_none(registry: Registry, one: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    assert registry.attached("tier", image.digest, SBOM) == []


def test_a_newer_document_takes_the_place_of_the_older(registry: Registry, one: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    for text in ("old", "new"):
        registry.attach("tier", image.digest, bill(text))
    assert [each.data for each in registry.attached("tier", image.digest, SBOM)] == [b"new"]


def test_attaching_changes_neither_the_image_nor_the_list_of_tags(registry: Registry, one: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    registry.attach("tier", image.digest, bill("{}"))
    assert registry.lookup("tier", "key-1").image == image
    assert registry.tags("tier") == ["key-1"]


def test_two_images_of_a_repository_keep_their_documents_apart(registry: Registry, one: Path, two: Path) -> None:
    first, second = registry.publish("tier", "a", sender(one)), registry.publish("tier", "b", sender(two))
    registry.attach("tier", first.digest, bill("first"))
    registry.attach("tier", second.digest, bill("second"))
    assert [each.data for each in registry.attached("tier", first.digest, SBOM)] == [b"first"]


def test_nothing_is_attached_to_an_image_that_is_not_there(registry: Registry, one: Path) -> None:
    registry.publish("tier", "key-1", sender(one))
    with pytest.raises(RegistryError):
        registry.attach("tier", "sha256:" + "0" * 64, bill("{}"))


@pytest.fixture
def directory(tmp_path: Path) -> OciDirectory:
    made = connect(f"oci:{tmp_path}/registry", {})
    assert isinstance(made, OciDirectory)
    return made


def test_a_directory_keeps_what_is_attached_as_long_as_a_tag_names_its_image(directory: OciDirectory, one: Path) -> None:
    image = directory.publish("tier", "key-1", sender(one))
    directory.attach("tier", image.digest, bill("kept"))
    directory.collect()
    assert directory.check() == []
    assert [each.data for each in directory.attached("tier", image.digest, SBOM)] == [b"kept"]
    directory.delete_tag("tier", "key-1")
    directory.collect()
    assert not list(directory.layout.blobs.iterdir())
    assert directory.lookup("tier", referrers_tag(image.digest)).state is State.ABSENT


def test_a_damaged_attachment_is_named_and_forgotten_by_a_repair(directory: OciDirectory, one: Path) -> None:
    image = directory.publish("tier", "key-1", sender(one))
    directory.attach("tier", image.digest, bill("whole"))
    (path,) = [each for each in directory.layout.blobs.iterdir() if each.read_bytes() == b"whole"]
    path.write_bytes(b"other")
    with pytest.raises(RegistryError, match="does not have that digest"):
        directory.attached("tier", image.digest, SBOM)
    assert [each.what for each in directory.check()] == [f"tier:{referrers_tag(image.digest)}"]
    directory.repair(lambda _: None)
    assert directory.attached("tier", image.digest, SBOM) == []
    assert directory.lookup("tier", "key-1").image == image


def test_the_list_in_a_directory_is_what_the_specification_says(directory: OciDirectory, one: Path) -> None:
    image = directory.publish("tier", "key-1", sender(one))
    manifest = directory.attach("tier", image.digest, bill("{}"))
    (entry,) = [e for e in json.loads((directory.root / "index.json").read_text())["manifests"] if "index" in e["mediaType"]]
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == f"tier:{referrers_tag(image.digest)}"
    index = json.loads((directory.root / "blobs/sha256" / entry["digest"][7:]).read_text())
    assert [(each["digest"], each["artifactType"]) for each in index["manifests"]] == [(manifest, SBOM)]
    document = json.loads((directory.root / "blobs/sha256" / manifest[7:]).read_text())
    assert document["subject"]["digest"] == image.digest
    assert document["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"


def test_a_tag_of_its_own_names_an_attachment_where_one_is_asked_for(registry: Registry, one: Path) -> None:
    image = registry.publish("tier", "key-1", sender(one))
    registry.attach("tier", image.digest, Attachment(PROOF, PROOF, b"signed", (), "att"))
    assert registry.tags("tier") == ["key-1"]
    assert [each.data for each in registry.attached("tier", image.digest, PROOF)] == [b"signed"]
    reference = registry.reference("tier", f"{referrers_tag(image.digest)}.att").partition(":")[2]
    kind = "oci" if isinstance(registry, OciDirectory) else "docker"
    told = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"{kind}:{reference}"], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(told)["subject"]["digest"] == image.digest


def test_a_directory_forgets_both_names_with_the_image(directory: OciDirectory, one: Path) -> None:
    image = directory.publish("tier", "key-1", sender(one))
    directory.attach("tier", image.digest, Attachment(PROOF, PROOF, b"signed", (), "att"))
    directory.collect()
    assert directory.check() == []
    directory.delete_tag("tier", "key-1")
    directory.collect()
    assert not list(directory.layout.blobs.iterdir())
