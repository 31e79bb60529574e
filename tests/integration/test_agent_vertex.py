"""The real `wandb launch-agent` in its entry point, against a local W&B and a local Vertex AI: what it takes, what ends it, what it hands back."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.cloud.aiplatform_v1.types import JobState, Scheduling

from tests.conftest import ROOT
from tests.contract.conftest import eventually
from tests.fakes import graphql
from tests.fakes import wandb as fake
from tests.fakes.google.server import Fault, GoogleServer, Request, Response
from tests.fakes.google.vertex import VertexFake
from tests.fakes.wandb import KEY, Run, WandbServer

ENTRY = ROOT / "Stack/arr-vertex-launcher/build/arr-agent"
SECRET = "projects/my-project/secrets/wandb/versions/latest"
CONTAINER = {"image_uri": "${image_uri}", "env": [{"name": "QUEUE_SAYS", "value": "so"}]}
VERTEX = {
    "spec": {
        "worker_pool_specs": [{"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "container_spec": CONTAINER}],
        "staging_bucket": "gs://bucket",
        "labels": {"team": "vision"},
    },
    "run": {"scheduling_strategy": "SPOT", "max_wait_duration": 3600, "restart_job_on_worker_restart": True, "service_account": "j@p.iam"},
}  # fmt: skip
CREATE = "POST .*/customJobs"


@dataclass
class Place:
    """W&B, Google, and agents that were started there."""

    wandb: WandbServer
    google: GoogleServer
    vertex: VertexFake
    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def push(self, run: str, **spec: Any) -> fake.Item:
        return self.wandb.push(
            "gpus",
            {
                "docker": {"docker_image": f"registry/trainer@sha256:{run}"},
                "entity": "team",
                "project": "p",
                "run_id": run,
                **spec,
            },
        )

    def start(self, **environment: str) -> subprocess.Popen[str]:
        given = {
            **os.environ, **self.wandb.environment, "HOME": str(self.home), "WANDB_DIR": str(self.home), "GOOGLE_CLOUD_PROJECT": "my-project",
            "GOOGLE_CLOUD_REGION": "us-central1", "ARR_AGENT_INTERVAL": "1", "GOOGLE_APPLICATION_CREDENTIALS": str(self.google.login(self.home)),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": self.google.address,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": self.google.address,
            "PATH": f"{Path(sys.executable).parent}:{ROOT / 'Stack/arr-trainer/build'}:{os.environ['PATH']}", **environment,
        }  # fmt: skip
        agent = subprocess.Popen(
            [sys.executable, "-I", str(ENTRY), "--queue", "gpus", "--entity", "team"],
            env=given, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.started.append(agent)
        return agent

    def end(self, agent: subprocess.Popen[str]) -> tuple[int, str, float]:
        """Status, output, and seconds from SIGTERM to the end."""
        began = time.monotonic()
        agent.send_signal(signal.SIGTERM)
        output, _ = agent.communicate(timeout=30)
        return agent.returncode, output, time.monotonic() - began


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with WandbServer() as wandb, GoogleServer() as google:
        wandb.add_queue("gpus", resource_args={"vertex": VERTEX})
        made = Place(wandb, google, VertexFake(google), tmp_path)
        yield made
        for agent in made.started:
            agent.kill()


def reported(place: Place, run: str) -> None:
    """The run's client has reported to W&B and is done: the agent asks before it lets go of a job."""
    place.wandb.runs[run] = Run("team", "p", run, state="finished")


def variables(job: Any) -> dict[str, str]:
    return {each.name: each.value for each in job.job_spec.worker_pool_specs[0].container_spec.env}


def test_an_agent_takes_one_spot_job_after_the_other_and_shows_no_key(place: Place) -> None:
    secret = json.dumps({"payload": {"data": base64.b64encode(KEY.encode()).decode()}}).encode()

    def answer(_: Request) -> Response:
        return Response(200, {"Content-Type": "application/json"}, secret)

    place.google.plain("GET", f"/v1/{SECRET}:access", answer)
    items = [place.push("r1"), place.push("r2")]
    for run in ("r1", "r2"):
        reported(place, run)
    agent = place.start(WANDB_API_KEY="", ARR_AGENT_KEY_SECRET=SECRET)
    assert eventually(lambda: len(place.vertex.jobs) == 2, 60), "the second job shows that the first one's end was seen"
    status, output, seconds = place.end(agent)
    assert (status, seconds < 10) == (128 + signal.SIGTERM, True), output
    assert [(item.state, item.run) for item in items] == [("CLAIMED", "r1"), ("CLAIMED", "r2")]
    first, second = place.vertex.jobs.values()
    assert first.job_spec.scheduling.strategy == second.job_spec.scheduling.strategy == Scheduling.Strategy.SPOT
    assert first.job_spec.scheduling.max_wait_duration.total_seconds() == 3600
    assert first.job_spec.scheduling.restart_job_on_worker_restart
    assert first.job_spec.service_account == "j@p.iam"
    assert dict(first.labels) == {"team": "vision", "wandb-run-id": "r1"}
    assert first.job_spec.worker_pool_specs[0].container_spec.image_uri == "registry/trainer@sha256:r1"
    seen = variables(first)
    assert (seen["WANDB_RUN_ID"], seen["WANDB_RESUME"], seen["WANDB_MODE"], seen["QUEUE_SAYS"]) == ("r1", "allow", "online", "so")
    assert seen["ARR_WANDB_KEY_SECRET"] == SECRET
    assert KEY not in output + str(place.vertex.jobs)
    assert place.wandb.unknown == []
    assert [agent["agentStatus"] for agent in place.wandb.agents.values()] == ["KILLED"]


def test_what_would_fail_every_job_ends_the_agent_before_it_takes_the_next(place: Place) -> None:
    message = "Permission 'aiplatform.customJobs.create' denied on resource '//aiplatform.googleapis.com/projects/my-project'"
    place.google.faults.append(Fault(CREATE, status=403, message=message, times=99))
    items = [place.push("r1"), place.push("r2")]
    agent = place.start()
    output, _ = agent.communicate(timeout=60)
    assert agent.returncode == 1
    last = output.splitlines()[-1]
    assert last.startswith("arr-agent: ended, because who the agent is logged in as may not start jobs in Vertex AI: ")
    assert message in last
    assert [item.state for item in items] == ["FAILED", "PENDING"]


def test_a_service_that_is_away_for_a_moment_fails_no_job(place: Place) -> None:
    place.google.faults.append(Fault(CREATE, status=503, message="The service is currently unavailable."))
    item = place.push("r1")
    agent = place.start()
    assert eventually(lambda: bool(place.vertex.jobs), 60)
    assert place.end(agent)[0] == 128 + signal.SIGTERM
    assert item.state == "CLAIMED"


def test_a_key_that_is_revoked_ends_the_agent(place: Place) -> None:
    agent = place.start()
    assert eventually(lambda: "popFromRunQueue" in place.wandb.asked, 60)
    place.wandb.faults.append(graphql.Fault("popFromRunQueue", 401, "unauthorized"))
    output, _ = agent.communicate(timeout=60)
    assert agent.returncode == 1
    assert "arr-agent: ended, because W&B does not accept the key: Exception: unauthorized; what to do: " in output


def test_a_job_that_is_not_in_vertex_yet_goes_back_to_its_queue(place: Place) -> None:
    place.google.faults.append(Fault("POST /token", delay=20))
    item = place.push("r1", name="mine", overrides={"run_config": {"lr": 1}})
    agent = place.start()
    assert eventually(lambda: any("/token" in line for line in place.google.seen), 60)
    status, output, seconds = place.end(agent)
    assert (status, seconds < 10) == (128 + signal.SIGTERM, True), output
    assert (item.state, item.stage) == ("FAILED", "agent")
    assert item.error == "the agent was ended before the job reached Vertex AI; the job is on its queue again"
    (again,) = place.wandb.pending("gpus")
    assert (again.spec["run_id"], again.spec["name"], again.spec["overrides"]) == ("r1", "mine", {"run_config": {"lr": 1}})
    assert not place.vertex.jobs


def test_a_job_that_runs_in_vertex_runs_on_without_the_agent(place: Place) -> None:
    place.vertex.pending_seconds = 30
    item = place.push("r1")
    agent = place.start()
    assert eventually(lambda: bool(place.vertex.jobs), 60)
    time.sleep(1)
    status, output, seconds = place.end(agent)
    assert (status, seconds < 10) == (128 + signal.SIGTERM, True), output
    assert "arr-agent: the run r1 goes on in Vertex AI: https://console.cloud.google.com/" in output
    assert (item.state, place.vertex.only().state) == ("CLAIMED", JobState.JOB_STATE_PENDING)


def test_a_job_that_ended_for_want_of_its_machine_is_on_the_queue_again_with_its_run(place: Place) -> None:
    place.vertex.pending_seconds = 60
    place.push("r1", name="mine")
    reported(place, "r1")
    agent = place.start()
    assert eventually(lambda: bool(place.vertex.jobs), 60)
    name = place.vertex.only().name
    place.vertex.set(name, JobState.JOB_STATE_FAILED, "Replica workerpool0-0 was preempted, and no restart is left.")
    assert eventually(lambda: len(place.vertex.jobs) == 2, 60)
    place.end(agent)
    second = next(job for job in place.vertex.jobs.values() if job.name != name)
    assert (variables(second)["WANDB_RUN_ID"], variables(second)["WANDB_RESUME"]) == ("r1", "allow")


def test_a_secret_that_may_not_be_read_is_told_with_what_mends_it(place: Place) -> None:
    place.google.faults.append(Fault("secrets", status=503))
    place.google.faults.append(Fault("secrets", status=403, message="Permission 'secretmanager.versions.access' denied", times=9))
    environment = os.environ | {
        "GOOGLE_APPLICATION_CREDENTIALS": str(place.google.login(place.home)),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": place.google.address,
    }
    program = ROOT / "Stack/arr-trainer/build/arr-secret"
    done = subprocess.run([sys.executable, "-I", program, SECRET], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f"arr-secret: the secret {SECRET} cannot be read: 403 ")
    assert "roles/secretmanager.secretAccessor" in done.stderr
    assert sum("secrets" in line for line in place.google.seen) == 2, "503 is asked again, 403 is not"
