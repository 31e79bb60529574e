"""What the locked wandb lacks, and that what is not lacking is left alone. These tests fail when wandb changes."""

import asyncio
import importlib.metadata
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from google.api_core import exceptions
from google.cloud import aiplatform
from google.cloud.aiplatform_v1.types import JobState, Scheduling
from wandb.sdk.launch.environment import gcp_environment
from wandb.sdk.launch.errors import LaunchError
from wandb.sdk.launch.runner import vertex_runner

from arr_agent import mended
from arr_agent.mended import ChangedError, Lacks, Mended, job_in, lacks, patiently, status_of
from arr_agent.vertex import PASSED, run_state
from tests.conftest import ROOT

CHANGED = f"wandb {wandb.__version__} is another than 0.31.0 in this: see what arr_agent/mended.py still has to mend"


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test installs is taken back."""
    for holder, name in (
        (vertex_runner, "launch_vertex_job"),
        (vertex_runner.VertexSubmittedRun, "get_status"),
        (aiplatform.CustomJob, "submit"),
        (gcp_environment, "get_gcloud_config_value"),
    ):
        monkeypatch.setattr(holder, name, getattr(holder, name))
    monkeypatch.setattr(mended, "WAITS", (0.0, 0.0))


@pytest.mark.parametrize("profile", ["cpu", "debian-cuda", "full"])
@pytest.mark.parametrize("name", ["wandb", "google-cloud-aiplatform", "google-cloud-compute"])
def test_the_versions_that_are_tested_are_those_that_the_image_has(profile: str, name: str) -> None:
    lock = (ROOT / f"Stack/arr-ml-stack/locks/{profile}.txt").read_text()
    assert f"\n{name}=={importlib.metadata.version(name)} " in lock


def test_this_wandb_sees_no_job_end() -> None:
    every = [state.name for state in JobState if state is not JobState.JOB_STATE_UNSPECIFIED]
    assert lacks().states == (*every, "JOB_STATE_PENDING again"), CHANGED


def test_this_wandb_drops_what_makes_a_spot_job() -> None:
    assert lacks().arguments == PASSED, CHANGED


def test_a_wandb_that_sees_them_end_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def right(run: Any) -> Any:
        resource = run._job.gca_resource
        return SimpleNamespace(state=run_state(run._job.state.name, bool(resource.start_time), resource.error.message))

    monkeypatch.setattr(vertex_runner.VertexSubmittedRun, "get_status", right)
    found = lacks()
    Mended("", "").install(found)
    assert found.states == ()
    assert vertex_runner.VertexSubmittedRun.get_status is right


def test_a_wandb_that_passes_all_on_is_given_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async def launch(project: Any, spec: Any, run: Any, place: Any, synchronous: bool = False) -> Any:
        job = vertex_runner.get_module("aiplatform").CustomJob(labels={})
        job.submit(**run)
        return job

    monkeypatch.setattr(vertex_runner, "launch_vertex_job", launch)
    assert lacks().arguments == ()


def test_a_wandb_whose_runner_is_another_is_refused_with_what_is_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(vertex_runner, "launch_vertex_job")
    with pytest.raises(
        ChangedError, match=r"the Vertex runner of wandb .* is not the one .*launch_vertex_job.* use wandb 0\.31\.0"
    ):
        lacks()


def test_mended_every_state_is_what_it_is() -> None:
    Mended("", "").install(lacks())
    assert lacks().states == ()


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (exceptions.ServiceUnavailable("x"), "unknown"), (exceptions.TooManyRequests("x"), "unknown"), (ConnectionError(), "unknown"),
        (exceptions.NotFound("x"), "stopped"),
    ],
)  # fmt: skip
def test_a_question_that_fails_in_passing_ends_no_run(error: Exception, means: str) -> None:
    class Job:
        @property
        def state(self) -> Any:
            raise error

    assert asyncio.run(status_of(SimpleNamespace(_job=Job()))).state == means


def submitted(monkeypatch: pytest.MonkeyPatch, run: dict[str, Any], found: Lacks) -> dict[str, Any]:
    """What CustomJob.submit gets when the mended runner is asked for a job."""
    given: dict[str, Any] = {}

    class Job:
        def __init__(self, labels: dict[str, str], **_: Any) -> None:
            self._gca_resource = SimpleNamespace(name="job", labels=labels)

        def submit(self, **more: Any) -> None:
            given.update(more)

    async def nothing() -> None: ...

    place = SimpleNamespace(project="p", region="r", verify=nothing, get_credentials=nothing)
    monkeypatch.setattr(mended, "aiplatform", SimpleNamespace(CustomJob=Job, init=lambda **_: None))
    monkeypatch.setattr(vertex_runner, "get_module", lambda *_: mended.aiplatform)
    Mended("", "").install(found)
    spec = {"worker_pool_specs": [{"container_spec": {"image_uri": "i"}}]}
    asyncio.run(vertex_runner.launch_vertex_job(SimpleNamespace(run_id="r1", name="n"), spec, run, place))  # type: ignore[arg-type]
    return given


def test_mended_a_spot_job_is_a_spot_job(monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"scheduling_strategy": "SPOT", "max_wait_duration": 0, "disable_retries": True, "restart_job_on_worker_restart": True}
    given = submitted(monkeypatch, run, Lacks((), PASSED))
    assert given["scheduling_strategy"] == Scheduling.Strategy.SPOT
    assert (given["max_wait_duration"], given["disable_retries"], given["restart_job_on_worker_restart"]) == (0, True, True)


def test_an_impossible_specification_fails_its_item_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LaunchError, match="scheduling_strategy is 'CHEAP'"):
        submitted(monkeypatch, {"scheduling_strategy": "CHEAP"}, Lacks((), PASSED))


def after(*errors: Exception, adopted: bool = False) -> list[str]:
    """What is done in order, where submitting raises these errors first."""
    done, left = [], list(errors)

    def submit() -> None:
        done.append("submit")
        if left:
            raise left.pop(0)

    def adopt() -> bool:
        done.append("look")
        return adopted

    patiently(submit, adopt)
    return done


def test_a_refusal_that_may_pass_is_tried_again_after_a_look_whether_the_job_is_there() -> None:
    assert after(exceptions.ServiceUnavailable("x")) == ["submit", "look", "submit"]
    assert after(ConnectionError(), adopted=True) == ["submit", "look"]


@pytest.mark.parametrize(
    "error",
    [
        exceptions.Forbidden("x"),
        exceptions.InvalidArgument("x"),
        exceptions.TooManyRequests("quota metrics exceed quota limits: l4"),
    ],
)
def test_a_refusal_for_good_is_not(error: Exception) -> None:
    with pytest.raises(type(error)):
        after(error)


def test_the_probe_s_stand_in_is_in_the_state_that_it_is_asked_for() -> None:
    assert job_in(JobState.JOB_STATE_FAILED, True, "why").gca_resource.error.message == "why"
