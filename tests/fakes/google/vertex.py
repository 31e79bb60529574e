"""Vertex AI's custom jobs: the official messages, and machines that really run the container of a job.

What runs a container is handed in (`Machine`): a test's own, or an engine of this machine (tests/fakes/containers.py). A job goes through the
states of the service: PENDING, RUNNING, and an end. A machine that is preempted starts anew with the same container and environment, as Vertex
restarts a worker (docs: "Understand the custom training service"); after `restarts` of them the job fails.
"""

import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from google.cloud.aiplatform_v1.services.job_service.transports.rest_base import _BaseJobServiceRestTransport
from google.cloud.aiplatform_v1.types import (
    CancelCustomJobRequest,
    CreateCustomJobRequest,
    CustomJob,
    GetCustomJobRequest,
    JobState,
    ListCustomJobsRequest,
    ListCustomJobsResponse,
)
from google.rpc import status_pb2

from tests.fakes.google.server import ApiError, GoogleServer

RUNNING = (JobState.JOB_STATE_QUEUED, JobState.JOB_STATE_PENDING, JobState.JOB_STATE_RUNNING, JobState.JOB_STATE_CANCELLING)
MOST_LABELS = 64


class Machine(Protocol):
    """Runs containers, one at a time."""

    def run(self, image: str, arguments: list[str], environment: Mapping[str, str]) -> int:
        """The status of the container's program: -9 where the machine was taken away, whatever the program did with its notice."""


class Nothing:
    """A machine whose programs end well at once."""

    def run(self, image: str, arguments: list[str], environment: Mapping[str, str]) -> int:
        return 0


@dataclass
class VertexFake:
    """The custom jobs of every project and region."""

    google: GoogleServer
    machine: Machine = field(default_factory=Nothing)
    pending_seconds: float = 0.0
    restarts: int = 5
    jobs: dict[str, CustomJob] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        serve, transport = self.google.rpc, _BaseJobServiceRestTransport
        serve(transport, "CreateCustomJob", CreateCustomJobRequest, self.create)
        serve(transport, "GetCustomJob", GetCustomJobRequest, self.get)
        serve(transport, "ListCustomJobs", ListCustomJobsRequest, self.list)
        serve(transport, "CancelCustomJob", CancelCustomJobRequest, self.cancel)

    # -- the service

    def create(self, request: CreateCustomJobRequest) -> CustomJob:
        job = CustomJob(request.custom_job)
        refuse(job)
        job.name = f"{request.parent}/customJobs/{uuid.uuid4().int % 10**19}"
        job.state, job.create_time = JobState.JOB_STATE_PENDING, datetime.now(UTC)
        answer = CustomJob(job)  # before its machine may change it
        with self.lock:
            self.jobs[job.name] = job
        threading.Thread(target=self._work, args=(job,), daemon=True).start()
        return answer

    def get(self, request: GetCustomJobRequest) -> CustomJob:
        with self.lock:
            found = self.jobs.get(request.name)
            if found is None:
                raise ApiError(404, f"The CustomJob does not exist: {request.name}")
            return CustomJob(found)

    def list(self, request: ListCustomJobsRequest) -> ListCustomJobsResponse:
        label = re.fullmatch(r'labels\.([\w-]+)="([^"]*)"', request.filter)
        with self.lock:
            found = [job for job in self.jobs.values() if not label or job.labels.get(label[1]) == label[2]]
            return ListCustomJobsResponse(custom_jobs=[CustomJob(job) for job in found])

    def cancel(self, request: CancelCustomJobRequest) -> None:
        self.set(request.name, JobState.JOB_STATE_CANCELLED)

    # -- for tests

    def set(self, name: str, state: Any, error: str = "") -> None:
        """Puts a job into a state, as the service or a person does."""
        with self.lock:
            job = self.jobs[name]
            if job.state not in RUNNING:
                return
            job.state = state
            if state == JobState.JOB_STATE_RUNNING and not job.start_time:
                job.start_time = datetime.now(UTC)
            if error:
                job.error = status_pb2.Status(code=3, message=error)
            if state not in RUNNING:
                job.end_time = datetime.now(UTC)

    def only(self) -> CustomJob:
        """The one job that there is."""
        (job,) = self.jobs.values()
        return job

    # -- the machines

    def _work(self, job: CustomJob) -> None:
        container = job.job_spec.worker_pool_specs[0].container_spec
        environment = {each.name: each.value for each in container.env}
        for _ in range(self.restarts + 1):
            time.sleep(self.pending_seconds)
            if job.state not in RUNNING:
                return
            self.set(job.name, JobState.JOB_STATE_RUNNING)
            status = self.machine.run(container.image_uri, [*container.command, *container.args], environment)
            if job.state not in RUNNING:
                return
            if status == 0:
                self.set(job.name, JobState.JOB_STATE_SUCCEEDED)
                return
            self.set(job.name, JobState.JOB_STATE_PENDING)
        told = f"The replica workerpool0-0 exited with a non-zero status of {abs(status)}."
        self.set(job.name, JobState.JOB_STATE_FAILED, told)


def refuse(job: CustomJob) -> None:
    """What the service would not take (aiplatform v1, CustomJobSpec)."""
    if not job.display_name:
        raise ApiError(400, "List of found errors: 1.Field: custom_job.display_name; Message: Required field is not set.")
    if not job.job_spec.worker_pool_specs:
        raise ApiError(400, "List of found errors: 1.Field: job_spec.worker_pool_specs; Message: At least one is required.")
    if len(job.labels) > MOST_LABELS:
        raise ApiError(400, f"The number of labels exceeds {MOST_LABELS}.")
    for name, value in job.labels.items():
        for text in (name, value):
            if len(text) > 63 or text != text.lower() or not all(c.isalnum() or c in "_-" for c in text):
                raise ApiError(400, f"Label '{name}: {value}' is invalid: lowercase letters, digits, underscores and dashes.")
