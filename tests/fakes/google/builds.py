"""Cloud Build: the official messages, and workers that really run the submitted steps on the uploaded sources.

A step runs on this machine, in the folder that the sources are unpacked in, whatever image it names: `docker build` alone is taken as
done, as the image of the worker is this machine. The log is an object that grows, in Cloud Build's own form.
"""

import contextlib
import io
import os
import re
import signal
import subprocess
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.cloud.devtools.cloudbuild_v1.services.cloud_build.transports.rest_base import _BaseCloudBuildRestTransport
from google.cloud.devtools.cloudbuild_v1.types import (
    Build,
    BuildOperationMetadata,
    CancelBuildRequest,
    CreateBuildRequest,
    GetBuildRequest,
    ListBuildsRequest,
    ListBuildsResponse,
)
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, duration_pb2

from tests.fakes.google.server import ApiError, GoogleServer
from tests.fakes.google.storage import Storage

Status = Build.Status
RUNNING = (Status.PENDING, Status.QUEUED, Status.WORKING)
DOCKER = "gcr.io/cloud-builders/docker"
WORKER_IMAGE = f"sha256:{'ab' * 32}"
"""What `docker build` says of the image that it did not make."""
LOG_SECONDS = 0.1


@dataclass
class Worker:
    """One build at work. `end` says how it is to end before its steps do."""

    build: Build
    folder: Path
    log: io.BytesIO = field(default_factory=io.BytesIO)
    end: Any = None
    child: "subprocess.Popen[bytes] | None" = None


@dataclass
class CloudBuildFake:
    """Cloud Build of every project and region. `environment` is what the workers' steps see beside what the build gives them."""

    google: GoogleServer
    storage: Storage
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], None] = lambda _: None
    """Makes in a worker's folder what a worker would have to fetch first."""
    queue_seconds: float = 0.0
    ends: dict[str, Any] = field(default_factory=dict)
    """Expression of a tag -> the status that its next build ends with, before its first step."""
    log_delay: float = 0.0
    """Seconds by which the log's object is behind."""
    unlisted: int = 0
    """How many lists do not show new builds yet."""
    builds: dict[str, Build] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        serve, transport = self.google.rpc, _BaseCloudBuildRestTransport
        serve(transport, "CreateBuild", CreateBuildRequest, self.create)
        serve(transport, "GetBuild", GetBuildRequest, self.get)
        serve(transport, "ListBuilds", ListBuildsRequest, self.list)
        serve(transport, "CancelBuild", CancelBuildRequest, self.cancel)

    # -- the service

    def create(self, request: CreateBuildRequest) -> operations_pb2.Operation:
        project, region = place(request.parent, request.project_id)
        wanted = Build(request.build)
        refuse(wanted)
        with self.lock:
            wanted.id = str(uuid.uuid4())
            wanted.name = f"projects/{project}/locations/{region}/builds/{wanted.id}"
            wanted.project_id, wanted.status = project, Status.QUEUED
            wanted.create_time = datetime.now(UTC)
            wanted.log_url = f"https://console.cloud.google.com/cloud-build/builds;region={region}/{wanted.id}?project=1"
            wanted.logs_bucket = substituted(wanted, wanted.logs_bucket) or f"gs://{project}_cloudbuild"
            if not wanted.timeout:
                wanted.timeout = duration_pb2.Duration(seconds=3600)
            self.builds[wanted.id] = wanted
            worker = self.workers[wanted.id] = Worker(wanted, self.folder / wanted.id)
        metadata = any_pb2.Any()
        metadata.Pack(BuildOperationMetadata.pb(BuildOperationMetadata(build=wanted)))  # before its worker may change it
        threading.Thread(target=self._work, args=(worker,), daemon=True).start()
        return operations_pb2.Operation(name=f"operations/build/{project}/{wanted.id}", metadata=metadata)

    def get(self, request: GetBuildRequest) -> Build:
        with self.lock:
            found = self.builds.get(request.id or request.name.rpartition("/")[2])
            if found is None:
                raise ApiError(404, "Requested entity was not found.")
            return Build(found)

    def list(self, request: ListBuildsRequest) -> ListBuildsResponse:
        tag = re.search(r'tags="([^"]*)"', request.filter)
        with self.lock:
            if self.unlisted:
                self.unlisted -= 1
                return ListBuildsResponse()
            newest = reversed(self.builds.values())
            found = [Build(each) for each in newest if not tag or tag[1] in each.tags]
        return ListBuildsResponse(builds=found[: request.page_size or 50])

    def cancel(self, request: CancelBuildRequest) -> Build:
        with self.lock:
            found = self.builds.get(request.id or request.name.rpartition("/")[2])
            if found is None:
                raise ApiError(404, "Requested entity was not found.")
            if found.status not in RUNNING:
                raise ApiError(400, "Cannot cancel a build that is not running.")
        self.stop(found.id, Status.CANCELLED)
        return self.get(GetBuildRequest(id=found.id))

    # -- for tests

    def stop(self, build: str, status: Any) -> None:
        """Ends a build with a status: somebody cancelled it, its machine is gone, its time is over."""
        worker = self.workers[build]
        worker.end = status
        if worker.child:
            kill(worker.child)

    def running(self) -> "list[Build]":
        with self.lock:
            return [each for each in self.builds.values() if each.status in RUNNING]

    def wait(self, seconds: float = 60.0) -> None:
        """Until nothing runs."""
        end = time.monotonic() + seconds
        while self.running() and time.monotonic() < end:
            time.sleep(0.05)

    def close(self) -> None:
        for build in self.running():
            self.stop(build.id, Status.CANCELLED)
        self.wait(10)

    # -- the worker

    def _work(self, worker: Worker) -> None:
        build = worker.build
        bucket = build.logs_bucket.removeprefix("gs://").partition("/")[0]
        self.storage.make(bucket) if self.storage.get(bucket, "") is None else None
        end = next((self.ends.pop(each) for each in list(self.ends) if any(re.search(each, tag) for tag in build.tags)), None)
        time.sleep(self.queue_seconds)
        worker.end = worker.end or end
        if worker.end != Status.EXPIRED:
            self._set(worker, Status.WORKING)
            writing = threading.Event()
            writer = threading.Thread(target=self._write_log, args=(worker, bucket, writing), daemon=True)
            writer.start()
            try:
                status = self._run(worker)
            except Exception as error:  # noqa: BLE001 a worker's fault is its build's
                worker.log.write(f"ERROR: {error!r}\n".encode())
                status = Status.INTERNAL_ERROR
            writing.set()
            writer.join()
        else:
            status = Status.EXPIRED
        self._set(worker, status)

    def _run(self, worker: Worker) -> Any:
        build = worker.build
        say(worker, f'starting build "{build.id}"\n\nFETCHSOURCE')
        self._fetch(worker)
        say(worker, "BUILD")
        deadline = time.monotonic() + build.timeout.total_seconds()
        for number, step in enumerate(build.steps):
            prefix = f'Step #{number} - "{step.id}"' if step.id else f"Step #{number}"
            say(worker, f"Starting {prefix}")
            status = self._step(worker, step, prefix, deadline) if worker.end is None else -1
            if worker.end is None and time.monotonic() > deadline:
                worker.end = Status.TIMEOUT
            if worker.end is not None:
                say(worker, {Status.CANCELLED: "CANCELLED", Status.TIMEOUT: "TIMEOUT"}.get(worker.end, "ERROR"))
                if worker.end in (Status.CANCELLED, Status.TIMEOUT):
                    say(worker, "ERROR: context deadline exceeded")
                return worker.end
            say(worker, f"Finished {prefix}")
            if status:
                step.status, step.exit_code = Status.FAILURE, status
                say(worker, "ERROR")
                say(worker, f'ERROR: build step {number} "{step.name}" failed: step exited with non-zero status: {status}')
                return Status.FAILURE
            step.status = Status.SUCCESS
        say(worker, "PUSH\nDONE")
        return Status.SUCCESS

    def _fetch(self, worker: Worker) -> None:
        worker.folder.mkdir(parents=True)
        source = worker.build.source.storage_source
        if source.object_:
            data = self.storage.get(source.bucket, source.object_)
            assert data is not None, f"there is no gs://{source.bucket}/{source.object_}"
            assert str(source.generation) == self.storage.generation(source.bucket, source.object_)
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                tar.extraction_filter = getattr(tarfile, "tar_filter", None)  # Debian 12's Python has none yet
                tar.extractall(worker.folder)
        self.prepare(worker.folder)

    def _step(self, worker: Worker, step: Any, prefix: str, deadline: float) -> int:
        build = worker.build
        arguments = [substituted(build, each) for each in step.args]
        if step.name.partition("@")[0] == DOCKER and arguments[:1] == ["build"]:
            folder = worker.folder / arguments[-1]
            for flag in arguments:
                if flag.startswith("--iidfile="):
                    (worker.folder / flag.removeprefix("--iidfile=")).write_text(WORKER_IMAGE)
            say(worker, f"{prefix}: {arguments} is this machine")
            return 0 if (folder / "Dockerfile").is_file() else 1
        command = [substituted(build, step.entrypoint), *arguments] if step.entrypoint else arguments
        given = dict(substituted(build, each).split("=", 1) for each in [*build.options.env, *step.env])
        home = worker.folder / ".home"
        home.mkdir(exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), **self.environment, **given}
        child = subprocess.Popen(
            command,
            cwd=worker.folder / step.dir_,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        worker.child = child
        timer = threading.Timer(max(deadline - time.monotonic(), 0), kill, [child])
        timer.start()
        assert child.stdout is not None
        for line in child.stdout:
            worker.log.write(f"{prefix}: ".encode() + line.rstrip(b"\n") + b"\n")
        timer.cancel()
        worker.child = None
        return child.wait()

    def _write_log(self, worker: Worker, bucket: str, ended: threading.Event) -> None:
        sent = 0
        time.sleep(self.log_delay)
        while True:
            last = ended.wait(LOG_SECONDS)
            data = worker.log.getvalue()
            if len(data) != sent:
                self.storage.put(bucket, f"log-{worker.build.id}.txt", data)
                sent = len(data)
            if last:
                return

    def _set(self, worker: Worker, status: Any) -> None:
        with self.lock:
            worker.build.status = status
            if status == Status.WORKING:
                worker.build.start_time = datetime.now(UTC)
            elif status not in RUNNING:
                worker.build.finish_time = datetime.now(UTC)


def say(worker: Worker, text: str) -> None:
    worker.log.write(f"{text}\n".encode())


def kill(child: "subprocess.Popen[bytes]") -> None:
    """The whole session of a step, as a machine that is gone: a script's groups of processes too."""
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(int(number)) == child.pid:
                os.kill(int(number), signal.SIGKILL)


def place(parent: str, project: str) -> tuple[str, str]:
    found = re.fullmatch(r"projects/([^/]+)/locations/([^/]+)", parent)
    return (found[1], found[2]) if found else (project, "global")


def refuse(build: Build) -> None:
    """What the service would not take (cloud.google.com/build/docs/build-config-file-schema)."""
    if not build.steps:
        raise ApiError(400, "invalid build: no build steps specified")
    for tag in build.tags:
        if not re.fullmatch(r"\w[\w.-]{0,127}", tag):
            raise ApiError(400, f'invalid build: tag "{tag}" must match format "^[\\w][\\w.-]{{0,127}}$"')
    if build.service_account and not build.logs_bucket and build.options.logging.name not in ("CLOUD_LOGGING_ONLY", "NONE"):
        raise ApiError(400, "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket' ...")
    texts = [*build.options.env, build.logs_bucket, *(text for step in build.steps for text in [*step.args, *step.env])]
    used = {found[1] for text in texts for found in re.finditer(r"\$\{?(_[A-Z0-9_]+)\}?", text)}
    if missing := used - set(build.substitutions):
        raise ApiError(400, f'invalid build: key "{min(missing)}" in the template is not matched in the substitution data')
    if unused := set(build.substitutions) - used:
        raise ApiError(400, f'invalid build: key "{min(unused)}" in the substitution data is not matched in the template')


def substituted(build: Build, text: str) -> str:
    known = {"PROJECT_ID": build.project_id, "BUILD_ID": build.id, **build.substitutions}
    return re.sub(r"\$\$|\$\{(\w+)\}|\$([A-Z_]\w*)", lambda m: "$" if m[0] == "$$" else known.get(m[1] or m[2], m[0]), text)
