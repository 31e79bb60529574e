"""The fake Vertex AI, held to the official client over REST."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.aiplatform_v1 import JobServiceClient
from google.cloud.aiplatform_v1.types import CustomJob, JobState, Scheduling

from tests.contract.conftest import eventually
from tests.fakes.google.server import GoogleServer
from tests.fakes.google.vertex import VertexFake

PARENT = "projects/my-project/locations/us-central1"


@dataclass
class Machines:
    """Each machine ends with the next of these statuses; what was run is noted."""

    statuses: list[int]
    seen: list[tuple[str, list[str], dict[str, str]]] = field(default_factory=list)

    def run(self, image: str, arguments: list[str], environment: Mapping[str, str]) -> int:
        self.seen.append((image, arguments, dict(environment)))
        return self.statuses.pop(0)


@pytest.fixture
def google() -> Iterator[GoogleServer]:
    with GoogleServer() as server:
        yield server


def client(google: GoogleServer) -> JobServiceClient:
    return JobServiceClient(transport="rest", client_options={"api_endpoint": google.address}, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]


def job(**more: object) -> CustomJob:
    container = {"image_uri": "image@sha256:1", "args": ["--steps", "5"], "env": [{"name": "A", "value": "b"}]}
    pool = {"machine_spec": {"machine_type": "g2-standard-4"}, "replica_count": 1, "container_spec": container}
    spec = {"worker_pool_specs": [pool], "scheduling": {"strategy": Scheduling.Strategy.SPOT}}
    return CustomJob({"display_name": "n", "job_spec": spec, "labels": {"wandb-run-id": "r1"}, **more})


def test_a_job_runs_its_container_and_succeeds(google: GoogleServer) -> None:
    machines = Machines([0])
    VertexFake(google, machines)
    asked = client(google)
    made = asked.create_custom_job(parent=PARENT, custom_job=job())
    assert made.state == JobState.JOB_STATE_PENDING
    assert eventually(lambda: asked.get_custom_job(name=made.name).state == JobState.JOB_STATE_SUCCEEDED, 10)
    assert machines.seen == [("image@sha256:1", ["--steps", "5"], {"A": "b"})]
    ended = asked.get_custom_job(name=made.name)
    assert ended.job_spec.scheduling.strategy == Scheduling.Strategy.SPOT
    assert ended.start_time and ended.end_time


def test_a_machine_that_is_taken_is_followed_by_another_with_the_same_container(google: GoogleServer) -> None:
    machines = Machines([-9, -9, 0])
    VertexFake(google, machines)
    asked = client(google)
    made = asked.create_custom_job(parent=PARENT, custom_job=job())
    assert eventually(lambda: asked.get_custom_job(name=made.name).state == JobState.JOB_STATE_SUCCEEDED, 10)
    assert len(machines.seen) == 3
    assert machines.seen[0] == machines.seen[2]


def test_after_the_last_restart_a_job_has_failed_and_says_why(google: GoogleServer) -> None:
    VertexFake(google, Machines([1, 1, 1]), restarts=2)
    asked = client(google)
    made = asked.create_custom_job(parent=PARENT, custom_job=job())
    assert eventually(lambda: asked.get_custom_job(name=made.name).state == JobState.JOB_STATE_FAILED, 10)
    assert "exited with a non-zero status of 1" in asked.get_custom_job(name=made.name).error.message


def test_a_job_that_is_cancelled_stays_so_and_is_found_by_its_label(google: GoogleServer) -> None:
    VertexFake(google, Machines([0]), pending_seconds=0.3)
    asked = client(google)
    made = asked.create_custom_job(parent=PARENT, custom_job=job())
    asked.cancel_custom_job(name=made.name)
    assert not eventually(lambda: asked.get_custom_job(name=made.name).state != JobState.JOB_STATE_CANCELLED, 0.6)
    listed = asked.list_custom_jobs({"parent": PARENT, "filter": 'labels.wandb-run-id="r1"'})
    assert [each.name for each in listed] == [made.name]
    assert not list(asked.list_custom_jobs({"parent": PARENT, "filter": 'labels.wandb-run-id="r2"'}))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"display_name": ""}, "display_name"),
        ({"job_spec": {}}, "worker_pool_specs"),
        ({"labels": {"Team": "x"}}, "Label 'Team: x'"),
    ],
)
def test_what_the_service_would_not_take_is_refused(google: GoogleServer, more: dict[str, object], told: str) -> None:
    VertexFake(google)
    with pytest.raises(exceptions.BadRequest, match=told):
        client(google).create_custom_job(parent=PARENT, custom_job=job(**more))


def test_a_job_that_is_not_there_is_not_found(google: GoogleServer) -> None:
    VertexFake(google)
    with pytest.raises(exceptions.NotFound, match="does not exist"):
        client(google).get_custom_job(name=f"{PARENT}/customJobs/1")
