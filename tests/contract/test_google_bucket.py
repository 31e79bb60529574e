"""The staging bucket over the wire: made once, written with preconditions, read while it grows."""

import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from arrstack.errors import ConfigError, RegistryError
from arrstack.gcp.api import Api
from arrstack.gcp.bucket import Bucket
from arrstack.gcp.source import pack
from tests.fakes.google.cloud import GoogleCloud, google_cloud
from tests.fakes.google.server import Fault

NAME = "p-staging"


@dataclass
class Place:
    cloud: GoogleCloud
    waits: list[str] = field(default_factory=list)

    def bucket(self, name: str = NAME) -> Bucket:
        api = Api("p", self.cloud.environment, self.waits.append, patience=3.0, first_wait=0.01)
        return Bucket(api, name, "europe-west4", delays=(0.01, 0.02, 0.03))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with google_cloud(tmp_path) as cloud:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", cloud.environment["GOOGLE_APPLICATION_CREDENTIALS"])
        yield Place(cloud)


@pytest.fixture
def bucket(place: Place) -> Bucket:
    made = place.bucket()
    made.ensure()
    place.waits.clear()
    return made


def archive(folder: Path, text: str = "text") -> Path:
    (folder / "file").write_text(text * 1000)
    return pack(folder, [Path("file")], folder / "source.tar.gz").path


def test_a_missing_bucket_is_made_in_the_region_with_a_rule_that_deletes_old_sources(place: Place) -> None:
    place.bucket().ensure()
    made = place.cloud.storage.created[NAME]
    assert made["location"] == "europe-west4"
    rule = made["lifecycle"]["rule"][0]
    assert (rule["action"]["type"], rule["condition"]["age"]) == ("Delete", 7)
    assert "sources/" in rule["condition"]["matchesPrefix"]
    place.bucket().ensure()
    assert sum(line.startswith("POST /storage/v1/b?") for line in place.cloud.google.seen) == 1


def test_a_new_bucket_is_waited_for_and_each_wait_is_shown(place: Place) -> None:
    place.cloud.storage.invisible = 3
    place.bucket().ensure()
    assert [wait for wait in place.waits if "not seen yet" in wait] == [
        f"bucket gs://{NAME} was made and is not seen yet; asking again in {seconds} s" for seconds in ("0.01", "0.02", "0.03")
    ]


def test_a_new_bucket_that_is_never_seen_ends_in_a_sentence(place: Place) -> None:
    place.cloud.storage.invisible = 4
    with pytest.raises(RegistryError, match="was made, but is not seen"):
        place.bucket().ensure()


def test_a_name_that_another_project_has_is_refused(place: Place) -> None:
    place.cloud.storage.foreign.add(NAME)
    with pytest.raises(ConfigError, match=f"gs://{NAME} belongs to another project than p") as told:
        place.bucket().ensure()
    assert "cloud.staging-bucket" in told.value.hint


def test_what_is_there_is_not_uploaded_again(place: Place, bucket: Bucket, tmp_path: Path) -> None:
    file = archive(tmp_path)
    first = bucket.upload(file, "sources/1")
    assert place.bucket().upload(file, "sources/1") == first
    assert sum("/upload/" in line for line in place.cloud.google.seen) == 1


def test_a_reset_in_the_middle_of_an_upload_is_tried_again(place: Place, bucket: Bucket, tmp_path: Path) -> None:
    place.cloud.google.faults.append(Fault("POST /upload", reset=True))
    assert bucket.upload(archive(tmp_path), "sources/1")
    assert "upload the sources: the connection failed" in place.waits[0]


def test_an_upload_whose_answer_was_lost_is_taken_as_it_is(place: Place, bucket: Bucket, tmp_path: Path) -> None:
    place.cloud.google.faults.append(Fault("POST /upload", reset=True, after=True))
    generation = bucket.upload(archive(tmp_path), "sources/1")
    assert str(generation) == place.cloud.storage.generation(NAME, "sources/1")
    assert sum("/upload/" in line for line in place.cloud.google.seen) == 1


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    digests = []
    for number, mode in enumerate((0o600, 0o644)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "b").write_text("b")
        (folder / "a").symlink_to("b")
        (folder / "b").chmod(mode)
        packed = pack(folder, [Path("b"), Path("a")][:: 1 - 2 * number], tmp_path / f"{number}.tar.gz")
        digests.append((packed.digest, packed.path.read_bytes()))
    assert digests[0] == digests[1]
    with tarfile.open(fileobj=io.BytesIO(digests[0][1])) as tar:
        assert [(entry.name, entry.uid, entry.uname) for entry in tar] == [("a", 0, ""), ("b", 0, "")]


# -- leases


def test_one_of_many_gets_the_lease(place: Place, bucket: Bucket) -> None:
    owners: list[str] = []

    def take(name: str) -> None:
        owners.append(place.bucket().take("key", name, "a test", 60).owner)

    threads = [threading.Thread(target=take, args=(f"launch {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(owners) == 4
    assert len(set(owners)) == 1


def test_a_stale_lease_is_taken_over(bucket: Bucket) -> None:
    assert bucket.take("key", "one", "a test", 0.0).owner == "one"
    assert bucket.take("key", "two", "a test", 60).owner == "two"
    assert bucket.take("key", "three", "a test", 60).owner == "two"


@pytest.mark.parametrize("skew", [7200.0, -7200.0])
def test_a_clock_that_is_wrong_makes_no_lease_stale_and_none_eternal(place: Place, bucket: Bucket, skew: float) -> None:
    """The server's clock is two hours off this machine's; its times are the server's own."""
    bucket.take("key", "one", "a test", 60)
    place.cloud.google.clock_skew = skew
    other = place.bucket()
    age = skew  # fake-gcs itself stamps by this machine's clock: so old the object is to who trusts the server's
    held = other.take("key", "two", "a test", 60)
    assert held.owner == ("two" if age > 60 else "one")


def test_a_lease_that_is_given_back_is_free(bucket: Bucket) -> None:
    bucket.release("key", bucket.take("key", "one", "a test", 60))
    assert bucket.lease("key") is None
    assert bucket.take("key", "two", "a test", 60).owner == "two"


def test_a_lease_that_another_took_is_not_given_back(bucket: Bucket) -> None:
    mine = bucket.take("key", "one", "a test", 0.0)
    bucket.take("key", "two", "a test", 60)
    bucket.release("key", mine)
    held = bucket.lease("key")
    assert held is not None and held.owner == "two"


def test_a_lease_whose_answer_was_lost_is_ones_own(place: Place, bucket: Bucket) -> None:
    place.cloud.google.faults.append(Fault("POST /upload", reset=True, after=True))
    assert bucket.take("key", "one", "a test", 60).owner == "one"


# -- logs


def test_a_log_is_read_from_where_it_was_left(place: Place, bucket: Bucket) -> None:
    assert bucket.read("log", 0) == b""
    place.cloud.storage.put(NAME, "log", b"one\n")
    assert bucket.read("log", 0) == b"one\n"
    assert bucket.read("log", 4) == b""
    place.cloud.storage.put(NAME, "log", b"one\ntwo\n")
    assert bucket.read("log", 4) == b"two\n"


def test_a_log_that_is_cut_is_read_again(place: Place, bucket: Bucket) -> None:
    place.cloud.storage.put(NAME, "log", b"one\ntwo\n")
    place.cloud.google.faults.append(Fault("GET .*alt=media", cut=3))
    assert bucket.read("log", 0) == b"one\ntwo\n"
    assert "read the log" in place.waits[0]


def test_a_log_that_may_not_be_read_names_its_object(place: Place, bucket: Bucket) -> None:
    place.cloud.google.faults.append(Fault("GET .*alt=media", status=403, message="no storage.objects.get", times=-1))
    with pytest.raises(RegistryError, match=f"read the log: gs://{NAME}/log: 403 no storage.objects.get"):
        bucket.read("log", 0)
