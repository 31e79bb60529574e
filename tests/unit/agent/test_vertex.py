"""What a Vertex AI job is told, and what its states mean to W&B."""

from typing import Any

import pytest

from arr_agent.vertex import SpecError, complete, run_state, submit_arguments

KEY, SECRET = "0123456789abcdef", "projects/p/secrets/wandb/versions/3"


def pool(**container: Any) -> dict[str, Any]:
    return {"container_spec": {"image_uri": "image", **container}}


def variables(spec: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in spec["container_spec"]["env"]}


@pytest.mark.parametrize(
    ("state", "means"),
    [
        ("QUEUED", "starting"), ("PENDING", "starting"), ("RUNNING", "running"), ("UPDATING", "running"), ("PAUSED", "running"),
        ("CANCELLING", "stopping"), ("SUCCEEDED", "finished"), ("PARTIALLY_SUCCEEDED", "finished"), ("FAILED", "failed"),
        ("EXPIRED", "failed"), ("CANCELLED", "stopped"), ("OF_TOMORROW", "unknown"),
    ],
)  # fmt: skip
def test_a_state_goes_on_or_ends_as_it_should(state: str, means: str) -> None:
    assert run_state(f"JOB_STATE_{state}", False, "") == means


def test_a_job_that_waits_for_another_machine_is_not_starting_for_the_first_time() -> None:
    assert run_state("JOB_STATE_PENDING", True, "") == run_state("JOB_STATE_QUEUED", True, "") == "running"


def test_a_job_that_ended_because_its_machine_was_taken_is_preempted_and_any_other_failed() -> None:
    assert run_state("JOB_STATE_FAILED", True, "Replica workerpool0-0 was preempted") == "preempted"
    assert run_state("JOB_STATE_FAILED", True, "exited with a non-zero status of 1") == "failed"
    assert run_state("JOB_STATE_SUCCEEDED", True, "was preempted once") == "finished"


def test_what_a_queue_says_of_scheduling_is_passed_on() -> None:
    run = {"scheduling_strategy": "spot", "max_wait_duration": "3600s", "disable_retries": False, "timeout": 5, "network": "n"}
    assert submit_arguments(run) == {"scheduling_strategy": "SPOT", "max_wait_duration": 3600, "disable_retries": False}
    assert submit_arguments({}) == {}


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"scheduling_strategy": "SPOTT"}, "scheduling_strategy is 'SPOTT': it takes STANDARD, SPOT, FLEX_START"),
        ({"max_wait_duration": "an hour"}, "max_wait_duration is 'an hour': it takes whole seconds"),
        ({"max_wait_duration": True}, "max_wait_duration is True"),
        ({"disable_retries": "yes"}, "disable_retries is 'yes': it takes true or false"),
    ],
)
def test_what_cannot_be_is_refused_before_it_costs_anything(run: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        submit_arguments(run)


def test_a_worker_that_is_restarted_goes_on_with_its_run() -> None:
    spec = pool(env=[{"name": "WANDB_RUN_ID", "value": "r1"}])
    complete([spec], KEY, "")
    assert variables(spec) == {"WANDB_RUN_ID": "r1", "WANDB_RESUME": "allow", "WANDB_MODE": "online"}


def test_what_the_queue_says_itself_is_left() -> None:
    spec = pool(env=[{"name": "WANDB_RESUME", "value": "must"}])
    complete([spec], KEY, "")
    assert variables(spec)["WANDB_RESUME"] == "must"


def test_the_name_of_a_secret_stands_in_place_of_the_key() -> None:
    spec = pool(env=[{"name": "WANDB_API_KEY", "value": KEY}])
    complete([spec], KEY, SECRET)
    assert variables(spec) == {"ARR_WANDB_KEY_SECRET": SECRET, "WANDB_RESUME": "allow", "WANDB_MODE": "online"}


def test_without_a_secret_the_key_stays_where_wandb_puts_it() -> None:
    spec = pool(env=[{"name": "WANDB_API_KEY", "value": KEY}])
    complete([spec], KEY, "")
    assert variables(spec)["WANDB_API_KEY"] == KEY


def test_a_key_that_a_macro_puts_elsewhere_is_refused_by_its_place() -> None:
    with pytest.raises(SpecError, match=r"in worker_pool_specs\[0\]\.container_spec\.args\[1\]: a macro"):
        complete([pool(args=["--key", f"k={KEY}"])], KEY, SECRET)
