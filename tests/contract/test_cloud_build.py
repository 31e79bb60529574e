"""Cloud Build as a builder, against workers that really run what was submitted."""

import io
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.cloud.devtools.cloudbuild_v1.types import Build

from arrstack.errors import ArrstackError, BuildError, ConfigError, RegistryError, VerificationError
from arrstack.gcp.api import Api
from arrstack.gcp.bucket import Bucket
from arrstack.gcp.builds import Builds
from arrstack.gcp.cloud_build import CloudBuild, build_tag
from arrstack.gcp.source import Archive, pack
from arrstack.model import Answer, BuildStep, Image, State
from tests.contract.conftest import eventually
from tests.fakes.google.cloud import GoogleCloud, google_cloud
from tests.fakes.google.server import Fault
from tests.fakes.registry import MemoryRegistry

Status = Build.Status
REFERENCE = "localhost/arrstack/tier:key-0123456789abcdef01234567"
TAG = "tier.key-0123456789abcdef01234567"
SECRET = "a-secret-of-this-machine"


class FilesRegistry(MemoryRegistry):
    """Images are files that the builds write: PUBLISHED/REPOSITORY-TAG."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def lookup(self, repository: str, tag: str) -> Answer:
        if not (self.folder / f"{repository}-{tag}").exists():
            return Answer(State.ABSENT)
        return Answer(State.PRESENT, Image(repository, f"sha256:{tag}", f"sha256:{tag}", tag, {}, "", 1))


@dataclass
class Place:
    """A cloud, and launches that build in it. `script` is what a build's one step runs."""

    cloud: GoogleCloud
    folder: Path
    script: str = "cat file; touch $PUBLISHED/tier-key-0123456789abcdef01234567"
    waits: list[str] = field(default_factory=list)
    told: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cancels: bool = False
    limit: str = "60s"

    @property
    def registry(self) -> FilesRegistry:
        return FilesRegistry(self.folder / "published")

    def order(self, step: BuildStep) -> Mapping[str, Any]:
        worker = {"id": "worker", "name": "gcr.io/cloud-builders/docker", "args": ["build", "--tag=worker", "context"]}
        part = {"id": "part", "name": "worker", "entrypoint": "bash", "args": ["-c", self.script.replace("$", "$$")]}
        options = {"logging": "GCS_ONLY", "env": ["PROFILE=${_PROFILE}"]}
        named = {"substitutions": {"_PROFILE": "full"}, "logsBucket": "gs://p-logs", "tags": ["arrstack"], "timeout": self.limit}
        return {"steps": [worker, part], "options": options, **named}

    def sources(self) -> Archive:
        root = self.folder / "tree"
        (root / "context").mkdir(parents=True, exist_ok=True)
        (root / "context/Dockerfile").write_text("FROM scratch\n")
        (root / "file").write_text("of the sources\n")
        return pack(root, [Path("context/Dockerfile"), Path("file")], self.folder / f"{threading.get_ident()}.tar.gz")

    def cancel(self, question: str) -> bool:
        self.asked.append(question)
        return self.cancels

    def builder(self, owner: str = "ann@host", patience: float = 5.0) -> CloudBuild:
        api = Api("p", self.cloud.environment, self.waits.append, patience, first_wait=0.01)
        builds = Builds(api, "projects/p/locations/europe-west4", looks=(0.01, 0.02))
        bucket = Bucket(api, "p-staging", "europe-west4", delays=(0.01, 0.02, 0.03))
        return CloudBuild(builds, bucket, self.registry, self.order, self.sources, self.cancel, owner, poll=0.05, late=0.5)

    def launch(self, owner: str = "ann@host", log: io.BytesIO | None = None) -> list[str]:
        lines = self.builder(owner).build(STEP, REFERENCE, log or io.BytesIO())
        told = self.told[owner] = []
        while True:
            try:
                told.append(next(lines))
            except StopIteration as end:
                assert end.value == REFERENCE
                return told

    def refused(self) -> ArrstackError:
        with pytest.raises(ArrstackError) as told:
            self.launch()
        return told.value

    @property
    def builds(self) -> list[Build]:
        return list(self.cloud.builds.builds.values())

    def one_runs(self) -> Build:
        assert eventually(lambda: any(build.status == Status.WORKING for build in self.builds))
        return self.builds[0]


STEP = BuildStep("tier", Path("unused"), Path("unused"), {}, secrets={"ca": Path("unused")})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (tmp_path / "published").mkdir()
    monkeypatch.setenv("SECRET_OF_THE_HOST", SECRET)
    with google_cloud(tmp_path, {"PUBLISHED": str(tmp_path / "published")}) as cloud:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", cloud.environment["GOOGLE_APPLICATION_CREDENTIALS"])
        yield Place(cloud, tmp_path)


def test_a_step_is_built_there_and_told_as_if_it_were_here(place: Place) -> None:
    place.script = "echo 'CHONK: [10%] Ready'; echo tier: [1/2] a.o; sleep 0.5; " + place.script
    log = io.BytesIO()
    told = place.launch(log=log)
    assert "CHONK: [10%] Ready" in told
    assert "[1/2] a.o" in told, "the name that the product puts before its lines is taken off too"
    assert "of the sources" in told
    assert log.getvalue().decode().splitlines() == [line for line in told if not line.startswith("build ")]
    assert [re.sub("[0-9a-f-]{36}", "ID", line) for line in told if " ID " in re.sub("[0-9a-f-]{36}", "ID", line)] == [
        "build ID waits for a machine",
        "build ID runs",
        "build ID is finished",
    ]
    assert place.builder().publish(REFERENCE, "tier", "key-0123456789abcdef01234567").repository == "tier"


def test_a_build_carries_the_tag_of_its_key_and_the_sources_once(place: Place) -> None:
    place.script = "true"
    place.launch()
    place.launch()
    assert [list(build.tags) for build in place.builds] == [["arrstack", TAG]] * 2
    assert build_tag(REFERENCE) == TAG
    sources = [name for name in place.cloud.storage.names("p-staging") if name.startswith("sources/")]
    assert len(sources) == 1
    uploads = [request for request in place.cloud.google.requests if request.path.startswith("/upload/")]
    assert sum(b"sources/" in request.body for request in uploads) == 1
    assert not [name for name in place.cloud.storage.names("p-staging") if name.startswith("leases/")]


def test_a_build_that_runs_already_is_followed(place: Place) -> None:
    place.script = "echo begun; while [ ! -e $PUBLISHED/go ]; do sleep 0.05; done; " + place.script
    launches = [threading.Thread(target=place.launch, args=(who,)) for who in ("ann@a", "bob@b")]
    for launch in launches:
        launch.start()
    assert eventually(lambda: all("begun" in place.told.get(who, []) for who in ("ann@a", "bob@b")))
    (place.folder / "published/go").touch()
    for launch in launches:
        launch.join(30)
    assert len(place.builds) == 1


def test_a_build_is_found_by_the_lease_where_lists_are_behind(place: Place) -> None:
    place.script = "while [ ! -e $PUBLISHED/go ]; do sleep 0.05; done; " + place.script
    first, second = (threading.Thread(target=place.launch, args=(who,)) for who in ("ann@a", "bob@b"))
    first.start()
    build = place.one_runs()
    assert eventually(lambda: bool((held := place.builder().bucket.lease(TAG)) and held.build == build.name))
    place.cloud.builds.unlisted = 1
    second.start()
    assert eventually(lambda: "ann@a started this build: it is followed" in place.told.get("bob@b", []))
    (place.folder / "published/go").touch()
    first.join(30)
    second.join(30)
    assert len(place.builds) == 1


def test_what_was_published_since_the_plan_is_not_built_again(place: Place) -> None:
    (place.folder / "published/tier-key-0123456789abcdef01234567").touch()
    assert place.launch() == ["tier:key-0123456789abcdef01234567 was published meanwhile"]
    assert not place.builds
    assert place.builder().bucket.lease(TAG) is None


@pytest.mark.parametrize("fault", [{"reset": True, "after": True}, {"status": 503, "after": True}, {"reset": True}])
def test_an_unclear_failure_of_the_creation_makes_no_second_build(place: Place, fault: dict[str, Any]) -> None:
    place.cloud.google.faults.append(Fault("POST /v1/projects/p/locations/europe-west4/builds", **fault))
    place.launch()
    assert len(place.builds) == 1
    assert any("create the build" in wait for wait in place.waits)
    assert any("looking for one with tag" in wait for wait in place.waits) is ("after" not in fault)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_shown_and_passes(place: Place, status: int) -> None:
    place.cloud.google.faults += [Fault("/builds", status=status, message="not now", times=3), Fault("/storage", status=status)]
    place.launch()
    assert len(place.builds) == 1
    assert sum(f"{status} not now" in wait for wait in place.waits) == 3


def test_a_token_that_expires_in_the_middle_is_replaced(place: Place) -> None:
    place.script = "echo begun; sleep 3; " + place.script
    lines = place.builder().build(STEP, REFERENCE, io.BytesIO())
    while next(lines) != "begun":
        pass
    time.sleep(1.1)  # a token that a service account signs names its second
    place.cloud.google.expire()
    assert list(lines)
    assert place.builds[0].status == Status.SUCCESS
    assert not any("again" in wait for wait in place.waits)


@pytest.mark.parametrize(
    ("status", "said", "hint"),
    [
        (Status.INTERNAL_ERROR, "was lost", "launch again"),
        (Status.TIMEOUT, "ran into its timeout of 60 s", "a longer `timeout`"),
        (Status.CANCELLED, "was cancelled", "launch again to build it"),
        (Status.EXPIRED, "waited in the queue", "queueTtl"),
    ],
)
def test_a_build_that_does_not_end_well_is_said_and_nothing_is_published(place: Place, status: Any, said: str, hint: str) -> None:
    place.cloud.builds.ends["^tier"] = status
    error = place.refused()
    assert isinstance(error, BuildError)
    assert said in error.message
    assert place.builds[0].id in error.message
    assert hint in error.hint
    assert not place.builder().holds(REFERENCE)
    assert len(place.builds) == 1


def test_a_step_that_fails_is_named_with_its_log(place: Place) -> None:
    place.script = "echo 'fatal: of the compiler'; exit 3"
    error = place.refused()
    assert error.status == BuildError.status
    assert "failed, in its step 'part'" in error.message
    assert "console.cloud.google.com" in error.hint


def test_a_check_that_fails_there_is_a_failed_check_here(place: Place) -> None:
    place.script = f"exit {VerificationError.status}"
    assert isinstance(place.refused(), VerificationError)


def test_a_build_that_runs_into_its_timeout_is_ended_there(place: Place) -> None:
    place.script, place.limit = "sleep 60", "1s"
    assert "ran into its timeout of 1 s" in place.refused().message


def test_a_build_that_somebody_else_cancels_ends_here_too(place: Place) -> None:
    place.script = "echo begun; sleep 60"
    lines = place.builder().build(STEP, REFERENCE, io.BytesIO())
    while next(lines) != "begun":
        pass
    place.cloud.builds.stop(place.builds[0].id, Status.CANCELLED)
    with pytest.raises(BuildError, match="was cancelled"):
        list(lines)


@pytest.mark.parametrize("cancels", [True, False])
def test_who_ends_a_launch_is_asked_what_becomes_of_the_build(place: Place, cancels: bool) -> None:
    place.script, place.cancels = "echo begun; sleep 2; " + place.script, cancels
    lines = place.builder().build(STEP, REFERENCE, io.BytesIO())
    while next(lines) != "begun":
        pass
    lines.close()
    (build,) = place.builds
    assert place.asked == [f"Cancel build {build.id} of tier? If not, it goes on, and the next launch follows it."]
    if cancels:
        assert eventually(lambda: place.builds[0].status == Status.CANCELLED)
    else:
        assert f"build {build.id} is finished" in place.launch()
        assert len(place.builds) == 1


def test_a_log_that_is_late_is_waited_for(place: Place) -> None:
    place.cloud.builds.log_delay = 0.5
    assert "of the sources" in place.launch()


def test_a_log_that_is_cut_is_whole_here(place: Place) -> None:
    place.script = "for n in 1 2 3 4 5; do echo line $n; sleep 0.1; done; " + place.script
    place.cloud.google.faults.append(Fault("GET .*alt=media", cut=10, times=3))
    told = place.launch()
    assert [line for line in told if line.startswith("line")] == [f"line {n}" for n in range(1, 6)]


def test_a_log_whose_end_never_comes_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.cloud.builds, "_write_log", lambda *_: None)
    told = place.launch()
    assert "waiting for the end of the log" in told[-2]
    assert "did not come within" in told[-1]


def test_a_log_that_may_not_be_read_ends_the_launch_and_not_the_build(place: Place) -> None:
    place.cloud.google.faults.append(Fault("GET .*log-.*alt=media", status=403, message="no storage.objects.get", times=-1))
    error = place.refused()
    assert isinstance(error, RegistryError)
    assert "gs://p-logs/log-" in error.message
    place.cloud.builds.wait()
    assert place.builds[0].status == Status.SUCCESS


@pytest.mark.parametrize(
    ("path", "said", "told"),
    [
        ("POST .*/builds", "The caller does not have permission cloudbuild.builds.create", "cloudbuild.builds.create"),
        ("GET .*/builds", "cloudbuild.builds.list denied", "cloudbuild.builds.list"),
        ("POST .*/builds", "due to quota restrictions, cannot run builds in this region", "takes no builds of this project"),
        ("/storage/v1/b/p-staging", "forbidden from accessing the bucket [p-staging]", "serviceusage.services.use"),
        ("POST /upload", "storage.objects.create denied", "storage.objects.create"),
    ],
)
def test_a_refusal_names_its_resource_and_starts_nothing(place: Place, path: str, said: str, told: str) -> None:
    place.builder().bucket.ensure()
    place.cloud.google.faults.append(Fault(path, status=403, message=said, times=-1))
    error = place.refused()
    assert told in error.message
    assert re.search("projects/p/locations/europe-west4|gs://p-staging", error.message)
    assert error.hint
    assert not place.builds


def test_what_the_service_does_not_take_is_an_error_of_the_file(place: Place) -> None:
    place.script = "echo ${_UNKNOWN}".replace("$", "")
    place.limit = "60s"
    place.cloud.google.faults.append(Fault("POST .*/builds", status=400, message="invalid build: no such field", times=-1))
    error = place.refused()
    assert isinstance(error, ConfigError)
    assert "cloudbuild.yaml" in error.hint


def test_a_build_that_published_nothing_is_not_taken_as_published(place: Place) -> None:
    place.script = "true"
    place.launch()
    with pytest.raises(RegistryError, match="does not show tier:key-1"):
        place.builder().publish(REFERENCE, "tier", "key-1")


def test_no_network_is_shown_and_ends_in_a_sentence(place: Place) -> None:
    builder = place.builder(patience=0.3)
    place.cloud.google.__exit__()
    with pytest.raises(RegistryError, match="the connection failed"):
        list(builder.build(STEP, REFERENCE, io.BytesIO()))
    assert any("trying again" in wait for wait in place.waits)


def test_no_secret_leaves_this_machine(place: Place) -> None:
    place.script = "env; exit 1"
    log = io.BytesIO()
    with pytest.raises(ArrstackError) as told:
        place.launch(log=log)
    seen = [told.value.message, told.value.hint, log.getvalue().decode(errors="replace"), *place.waits, *place.cloud.google.seen]
    sent = [request.body.decode(errors="replace") for request in place.cloud.google.requests if request.path != "/token"]
    everything = "\n".join([*seen, *sent])
    assert place.cloud.google.shown
    for secret in (SECRET, "PRIVATE KEY", *filter(None, place.cloud.google.shown)):
        assert secret not in everything
