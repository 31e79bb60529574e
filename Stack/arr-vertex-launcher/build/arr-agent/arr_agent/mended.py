"""wandb's Vertex runner with what it lacks. What is right in the installed wandb is left as it is.

wandb 0.31 compares `str(job.state)` with "JobState.JOB_STATE_SUCCEEDED"; from Python 3.11 on that text is "4", and no job ever ends. It passes
neither a scheduling strategy nor a longest wait on, so there are no spot jobs. Without gcloud it ends in a FileNotFoundError where no region is
configured. Each is asked of the installed package before it is mended: `lacks()`.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from google.api_core import exceptions as google_errors
from google.auth.exceptions import TransportError
from google.cloud import aiplatform
from google.cloud.aiplatform_v1.types import JobState, Scheduling
from wandb.sdk.launch.environment import gcp_environment
from wandb.sdk.launch.errors import LaunchError
from wandb.sdk.launch.runner import vertex_runner
from wandb.sdk.launch.runner.abstract import Status

from arr_agent.vertex import PASSED, SpecError, complete, run_state, submit_arguments

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"
"""gcloud's own variable for another address of Vertex AI; it is asked by REST then."""
PASSING = (
    google_errors.ServerError, google_errors.TooManyRequests, google_errors.RetryError, TransportError, ConnectionError, TimeoutError,
)  # fmt: skip
"""Errors of a question after which the next may be answered: the job itself is none the worse."""
WAITS = (2.0, 5.0, 15.0, 30.0)
"""Seconds between attempts to submit a job."""
GOING = (JobState.JOB_STATE_QUEUED, JobState.JOB_STATE_PENDING, JobState.JOB_STATE_RUNNING)
CASES = [(state, False, "") for state in JobState] + [(JobState.JOB_STATE_PENDING, True, "")]


class ChangedError(RuntimeError):
    """The installed wandb is not one that this wrapper can be put around. Its message says what is different."""


# -- what the installed package does


def job_in(state: JobState, started: bool, error: str) -> Any:
    """A stand-in of a job in that state."""
    resource = SimpleNamespace(start_time=1 if started else None, error=SimpleNamespace(message=error))
    return SimpleNamespace(state=state, gca_resource=resource)


def states_lacking() -> list[str]:
    """The states that the installed runner takes for something else than they are."""
    wrong = []
    for state, started, error in CASES:
        told = asyncio.run(vertex_runner.VertexSubmittedRun(job_in(state, started, error)).get_status()).state
        if told != run_state(state.name, started, error):
            wrong.append(f"{state.name}{' again' if started else ''}")
    return wrong


def arguments_lacking() -> list[str]:
    """The arguments of CustomJob.submit that the installed runner drops."""
    asked = {"scheduling_strategy": "SPOT", "max_wait_duration": 1, "disable_retries": True, "persistent_resource_id": "p"}
    passed: dict[str, Any] = {}

    class Job:
        _gca_resource = SimpleNamespace(name="job")

        def __init__(self, **_: Any) -> None: ...

        def submit(self, **given: Any) -> None:
            passed.update(given)

    async def nothing() -> None: ...

    stand_in = SimpleNamespace(init=lambda **_: None, CustomJob=Job)
    place = SimpleNamespace(project="p", region="r", verify=nothing, get_credentials=nothing)
    project = SimpleNamespace(run_id="r", name="n")
    with replaced(vertex_runner, "get_module", lambda *_: stand_in):
        asyncio.run(vertex_runner.launch_vertex_job(project, {"labels": {}}, dict(asked), place))
    return [name for name in PASSED if not passed.get(name)]


@contextlib.contextmanager
def replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)


@dataclass(frozen=True)
class Lacks:
    states: tuple[str, ...]
    arguments: tuple[str, ...]


def lacks() -> Lacks:
    """What the installed wandb lacks. Raises ChangedError where it cannot be asked: then nobody knows what a job would be."""
    try:
        return Lacks(tuple(states_lacking()), tuple(arguments_lacking()))
    except (AttributeError, TypeError, LaunchError, KeyError) as error:
        import wandb

        raise ChangedError(
            f"the Vertex runner of wandb {wandb.__version__} is not the one that arr-agent mends ({type(error).__name__}: {error}): "
            "use wandb 0.31.0, or mend arr_agent/mended.py"
        ) from error


# -- mending


@dataclass
class Mended:
    """The runner's functions in place of its own. `begun` are the runs whose job was being handed to Vertex AI, `more` what wandb does not pass
    on of each; the key that stands for `secret` may stand in no job."""

    key: str
    secret: str
    begun: set[str] = field(default_factory=set)
    more: dict[str, dict[str, Any]] = field(default_factory=dict)

    def install(self, found: Lacks) -> None:
        """Mends what is lacking. Once for a process."""
        if found.states:
            vertex_runner.VertexSubmittedRun.get_status = status_of
        if not shutil.which("gcloud"):
            gcp_environment.get_gcloud_config_value = lambda _: None
        launch, submit = vertex_runner.launch_vertex_job, aiplatform.CustomJob.submit
        lacking = set(found.arguments)

        async def launch_vertex_job(project: Any, spec: Any, run: Any, *rest: Any, **named: Any) -> Any:
            try:
                complete(spec.get("worker_pool_specs") or [], self.key, self.secret)
                wanted = submit_arguments(run)
            except SpecError as error:
                raise LaunchError(str(error)) from None
            self.more[project.run_id] = {name: value for name, value in wanted.items() if name in lacking}
            return await launch(project, spec, run, *rest, **named)

        def submit_with_all(job: Any, **given: Any) -> None:
            run_id = job._gca_resource.labels.get(vertex_runner.WANDB_RUN_ID_KEY, "")
            more = self.more.pop(run_id, {})
            if strategy := more.get("scheduling_strategy"):
                more["scheduling_strategy"] = Scheduling.Strategy[strategy]
            self.begun.add(run_id)
            patiently(lambda: submit(job, **{**given, **more}), lambda: adopt(job, run_id))

        vertex_runner.launch_vertex_job = launch_vertex_job
        aiplatform.CustomJob.submit = submit_with_all


def patiently(submit: Callable[[], None], adopt: Callable[[], bool]) -> None:
    """Submits a job, again after an error that may pass. A request whose answer was lost may have made the job, and has no number by which Vertex
    AI would know it again: it is looked for first."""
    for wait in WAITS:
        try:
            return submit()
        except PASSING as error:
            if "quota limits" in str(error):  # no other hour's matter
                raise
            time.sleep(wait)
            if adopt():
                return None
    return submit()


def adopt(job: Any, run_id: str) -> bool:
    """Takes the job of this run that has not ended for `job`, if there is one."""
    label = f'labels.{vertex_runner.WANDB_RUN_ID_KEY}="{run_id}"'
    found = [each for each in aiplatform.CustomJob.list(filter=label) if each.gca_resource.state in GOING]
    if found:
        job._gca_resource = found[0].gca_resource
    return bool(found)


async def status_of(run: Any) -> Status:
    """The state of a submitted run. A question that fails in passing is no answer: `unknown`, which lets the run go on."""
    try:
        state = await asyncio.to_thread(lambda: run._job.state)
    except google_errors.NotFound:
        return Status("stopped")
    except PASSING:
        return Status("unknown")
    resource = run._job.gca_resource
    error = getattr(getattr(resource, "error", None), "message", "")
    return Status(run_state(JobState(state).name, bool(getattr(resource, "start_time", None)), error))


def use_endpoint() -> None:
    """Asks Vertex AI where gcloud would, if it is told to ask elsewhere. wandb's own `init` leaves that as it is."""
    if address := os.environ.get(ENDPOINT):
        aiplatform.init(api_endpoint=address.rstrip("/"), api_transport="rest")
