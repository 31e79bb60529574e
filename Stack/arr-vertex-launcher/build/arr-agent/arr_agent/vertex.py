"""What a Vertex AI job is told and what its states mean to W&B. Pure.

Sources: google.cloud.aiplatform_v1 2.7 (JobState, Scheduling, CustomJob.submit), wandb 0.31 (launch/runner/abstract.py, State).
"""

import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

KEY, KEY_SECRET = "WANDB_API_KEY", "ARR_WANDB_KEY_SECRET"
DEFAULTS = {"WANDB_RESUME": "allow", "WANDB_MODE": "online"}
"""A worker that is restarted goes on with its run, and reports it at once: what it keeps on its disk is gone with the machine."""
SECRET = re.compile(r"projects/[^/]+/secrets/[^/]+/versions/[^/]+")
"""A secret's version in Secret Manager, by its full name."""

STATES = {
    "JOB_STATE_UNSPECIFIED": "unknown",
    "JOB_STATE_QUEUED": "starting",
    "JOB_STATE_PENDING": "starting",
    "JOB_STATE_RUNNING": "running",
    "JOB_STATE_SUCCEEDED": "finished",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_CANCELLING": "stopping",
    "JOB_STATE_CANCELLED": "stopped",
    "JOB_STATE_PAUSED": "running",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_UPDATING": "running",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "finished",
}
"""A job's state -> the state of a run for the agent: finished, failed and stopped end it, every other lets it go on."""
PREEMPTED = re.compile(r"preempt", re.IGNORECASE)
STRATEGIES = ("STANDARD", "SPOT", "FLEX_START")
NUMBERS = ("timeout", "max_wait_duration")
"""Seconds."""
FLAGS = ("disable_retries", "restart_job_on_worker_restart", "enable_web_access")
PASSED = ("scheduling_strategy", "max_wait_duration", "disable_retries", "persistent_resource_id")
"""What a queue may say under `vertex.run` that belongs to CustomJob.submit besides what wandb knows of."""


class SpecError(ValueError):
    """A queue's configuration that asks for what cannot be."""


def run_state(state: str, started: bool, error: str) -> str:
    """The state of a run for the agent. `started`: the job has run before, so that a worker is only being replaced, for which the agent's
    limit of the time until a start does not hold. A job that ended for want of its spot machine is `preempted`: the agent puts it on the
    queue again, with the run's id and WANDB_RESUME.

    run_state("JOB_STATE_PENDING", started=True, error="")  # "running"
    """
    known = STATES.get(state, "unknown")
    if known == "starting" and started:
        return "running"
    return "preempted" if known == "failed" and PREEMPTED.search(error) else known


def submit_arguments(run_args: Mapping[str, Any]) -> dict[str, Any]:
    """Those of PASSED that the queue's `vertex.run` holds, for CustomJob.submit; a strategy by its name. Raises SpecError.

    submit_arguments({"scheduling_strategy": "SPOT", "max_wait_duration": "3600s"})
    # {"scheduling_strategy": "SPOT", "max_wait_duration": 3600}
    """
    found = {name: run_args[name] for name in PASSED if run_args.get(name) is not None}
    for name in NUMBERS:
        if name in found:
            found[name] = seconds(name, found[name])
    for name in FLAGS:
        if name in found and not isinstance(found[name], bool):
            raise SpecError(f"vertex.run.{name} is {found[name]!r}: it takes true or false")
    if "scheduling_strategy" in found:
        strategy = str(found["scheduling_strategy"]).upper()
        if strategy not in STRATEGIES:
            raise SpecError(f"vertex.run.scheduling_strategy is {strategy!r}: it takes {', '.join(STRATEGIES)}")
        found["scheduling_strategy"] = strategy
    return found


def seconds(name: str, value: object) -> int:
    """A whole number of seconds, of a number or of a duration's JSON (`3600s`)."""
    found = re.fullmatch(r"(\d+)s?", str(value))
    if not found or isinstance(value, bool):
        raise SpecError(f"vertex.run.{name} is {value!r}: it takes whole seconds, not below 0")
    return int(found[1])


def complete(pools: Sequence[MutableMapping[str, Any]], key: str, secret: str) -> None:
    """Completes the environment of each worker pool's container: a run that is restarted goes on (DEFAULTS), and with a `secret` the key
    is its name, which the image's entry point resolves, in place of the key itself. Raises SpecError where the key stands anywhere else."""
    for pool in pools:
        container = pool["container_spec"]
        env = [dict(each) for each in container.get("env") or []]
        if secret:
            env = [each for each in env if each["name"] not in (KEY, KEY_SECRET)]
            env.append({"name": KEY_SECRET, "value": secret})
        said = {each["name"] for each in env}
        container["env"] = env + [{"name": name, "value": value} for name, value in DEFAULTS.items() if name not in said]
    if secret and key and (place := holder(list(pools), key)):
        raise SpecError(f"the queue's configuration puts the W&B key into the job, in {place}: a macro ${{{KEY}}}?")


def holder(value: object, text: str, place: str = "worker_pool_specs") -> str:
    """Where in a structure a text stands; '' where it does not."""
    if isinstance(value, Mapping):
        return next((found for name, inner in value.items() if (found := holder(inner, text, f"{place}.{name}"))), "")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return next((found for number, inner in enumerate(value) if (found := holder(inner, text, f"{place}[{number}]"))), "")
    return place if text in str(value) else ""
