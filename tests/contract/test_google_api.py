"""The official clients against the tests' own server of Google's APIs: logins, retries, errors."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.cloud.devtools import cloudbuild_v1
from google.cloud.devtools.cloudbuild_v1.services.cloud_build.transports.rest_base import _BaseCloudBuildRestTransport
from google.cloud.devtools.cloudbuild_v1.types import Build, GetBuildRequest, ListBuildsRequest, ListBuildsResponse

from arrstack.errors import MachineError, RegistryError
from arrstack.gcp.api import Api
from arrstack.machine.credentials import Credentials
from arrstack.machine.process import Processes
from tests.fakes.google.server import Fault, GoogleServer


@dataclass
class Place:
    """A server that knows builds, and who asks it."""

    google: GoogleServer
    api: Api
    waits: list[str] = field(default_factory=list)

    def get(self) -> Build:
        client = self.api.client(cloudbuild_v1.CloudBuildClient, "cloudbuild")
        request = GetBuildRequest(name="projects/p/locations/r/builds/7")
        return self.api.call("read the build", "build 7", lambda: client.get_build(request, retry=None, timeout=5))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with GoogleServer() as google:
        google.rpc(_BaseCloudBuildRestTransport, "GetBuild", GetBuildRequest, lambda asked: Build(id=asked.name))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.login(tmp_path)))
        waits: list[str] = []
        environment = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD": google.address + "/"}
        yield Place(google, Api("p", environment, waits.append, patience=2.0, first_wait=0.01), waits)


def test_a_message_comes_over_the_wire(place: Place) -> None:
    assert place.get().id == "projects/p/locations/r/builds/7"
    assert place.google.seen[-1].startswith("GET /v1/projects/p/locations/r/builds/7")


def test_a_query_becomes_the_message_that_was_sent(place: Place) -> None:
    asked: list[ListBuildsRequest] = []

    def answer(request: ListBuildsRequest) -> ListBuildsResponse:
        asked.append(request)
        return ListBuildsResponse()

    place.google.rpc(_BaseCloudBuildRestTransport, "ListBuilds", ListBuildsRequest, answer)
    sent = ListBuildsRequest(parent="projects/p/locations/r", filter='tags="a b"', page_size=3)
    place.api.client(cloudbuild_v1.CloudBuildClient, "cloudbuild").list_builds(sent, retry=None)
    assert asked == [sent]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again_and_every_wait_is_shown(place: Place, status: int) -> None:
    place.google.faults.append(Fault("builds", status=status, message="not now", times=2))
    assert place.get().id
    assert len(place.waits) == 2
    assert all("read the build" in wait and f"{status} not now" in wait for wait in place.waits)


def test_a_reset_connection_is_tried_again(place: Place) -> None:
    place.google.faults.append(Fault("builds", reset=True))
    assert place.get().id
    assert "the connection failed" in place.waits[0]


def test_a_token_that_expired_is_replaced_without_a_word(place: Place) -> None:
    place.get()
    place.google.expire()
    time.sleep(1.1)  # a token that a service account signs names its second
    assert place.get().id
    assert (len(place.google.shown), place.waits) == (2, [])


def test_what_does_not_pass_ends_in_a_sentence_when_patience_does(place: Place) -> None:
    place.google.faults.append(Fault("builds", status=503, message="backend", times=-1))
    with pytest.raises(RegistryError, match="read the build: build 7: 503 backend"):
        place.get()
    assert place.waits


def test_no_network_is_shown_while_it_lasts(place: Place) -> None:
    place.get()
    place.google.__exit__()
    with pytest.raises(RegistryError, match="build 7: the connection failed") as told:
        place.get()
    assert "check the connection" in told.value.hint
    assert place.waits


@pytest.mark.parametrize(
    ("status", "said", "told", "hint"),
    [
        (403, "Permission 'cloudbuild.builds.get' denied", "Permission 'cloudbuild.builds.get' denied", "infra check"),
        (403, "The user is forbidden from accessing the bucket [p_cloudbuild]", "serviceusage.services.use", "add-iam-policy-binding p "),
        (403, "Cloud Build API has not been used in project 1: cloudbuild.googleapis.com is disabled", "is not enabled", "services enable"),
        (400, "due to quota restrictions, cannot run builds in this region", "takes no builds of this project", "choose another region"),
        (403, "caller does not have permission to act as service account 7-compute@", "may not act as", "serviceAccountUser"),
        (404, "not found", "404 not found", "infra apply"),
        (401, "invalid authentication credentials", "the login is not accepted", "gcloud auth"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_mends_it(place: Place, status: int, said: str, told: str, hint: str) -> None:
    place.google.faults.append(Fault("builds", status=status, message=said, times=-1))
    with pytest.raises(RegistryError) as error:
        place.get()
    assert told in error.value.message
    assert "build 7" in error.value.message
    assert hint in error.value.hint
    assert place.waits == []


def test_without_a_login_the_command_that_makes_one_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing.json"))
    with pytest.raises(MachineError, match="no login for Google Cloud") as error:
        place.get()
    assert error.value.hint == "gcloud auth application-default login"


def test_an_error_holds_no_token_and_no_signed_address(place: Place) -> None:
    place.google.faults.append(Fault("builds", cut=3, times=-1))
    with pytest.raises(RegistryError) as error:
        place.get()
    told = error.value.message + error.value.hint + "".join(place.waits)
    assert place.google.shown
    assert not any(token in told for token in place.google.shown)
    assert "?" not in told


def test_artifact_registry_takes_the_same_login(place: Place, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "GOOGLE_APPLICATION_CREDENTIALS": os.environ["GOOGLE_APPLICATION_CREDENTIALS"]}
    login = Credentials(Processes(environment), root=tmp_path).find("europe-west4-docker.pkg.dev", "p/r/tier").login
    assert login is not None
    assert (login.user, login.secret) == ("oauth2accesstoken", f"ya29.secret-token-{place.google.issued}")
    assert login.private, "skopeo would not find it by itself"
    assert login.secret not in repr(login)


def test_without_a_login_artifact_registry_is_told_to_want_one(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json")}
    found = Credentials(Processes(environment), root=tmp_path).find("europe-west4-docker.pkg.dev", "p/r/tier")
    assert found.login is None
    assert "there is no login for Google Cloud" in found.trouble
    assert "gcloud auth application-default login" in found.trouble
