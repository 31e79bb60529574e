"""Pure: what a training job is told, as a specification for a queue of W&B Launch whose resource is Vertex AI.

Its form: wandb 0.31, launch/utils.py (construct_launch_spec) and runner/vertex_runner.py; inside `vertex` that of aiplatform_v1's CustomJobSpec.
What goes beyond wandb's own runner (the strategy, the longest wait) needs the agent of arr-vertex-launcher.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arrstack.errors import ConfigError
from arrstack.training.machines import Machine

LABEL = re.compile(r"[^a-z0-9_-]+")
LONGEST_LABEL = 63
"""Characters of a label's name and of its value (cloud.google.com/vertex-ai, labels)."""
DIGEST = re.compile(r"[\w.:/-]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Job:
    """One training job. `image` is by digest; `bucket` without gs://; `timeout` in seconds, 0 for the service's own (7 days); `arguments` may hold
    {run}, {bucket} and {output}, the run's folder in the bucket as a container sees it."""

    run: str
    image: str
    machine: Machine
    bucket: str
    spot: bool = True
    longest_wait: int = 0
    timeout: int = 0
    service_account: str = ""
    arguments: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def output(self) -> str:
        return f"/gcs/{self.bucket}/runs/{self.run}"


def resource_arguments(job: Job) -> dict[str, Any]:
    """The `resource_args` of a launch specification. Raises ConfigError.

    resource_arguments(job)["vertex"]["run"]["scheduling_strategy"]  # "SPOT"
    """
    if not DIGEST.fullmatch(job.image):
        raise ConfigError(f"{job.image} is no image by digest in a registry", "HOST/NAME@sha256:DIGEST")
    machine: dict[str, Any] = {"machine_type": job.machine.name}
    if job.machine.gpus:
        machine |= {"accelerator_type": job.machine.accelerator, "accelerator_count": job.machine.gpus}
    container = {"image_uri": job.image, "args": filled(job)}
    run: dict[str, Any] = {
        "scheduling_strategy": "SPOT" if job.spot else "STANDARD",
        # A worker whose machine is taken is started anew, with the same environment: the trainer resumes.
        "restart_job_on_worker_restart": True,
    }
    run |= {"timeout": job.timeout} if job.timeout else {}
    run |= {"max_wait_duration": job.longest_wait} if job.longest_wait else {}
    run |= {"service_account": job.service_account} if job.service_account else {}
    spec = {
        "worker_pool_specs": [{"machine_spec": machine, "replica_count": 1, "container_spec": container}],
        "staging_bucket": f"gs://{job.bucket}",
        "base_output_dir": f"gs://{job.bucket}/runs/{job.run}",
        "labels": {label(name): label(value) for name, value in job.labels.items() if label(name) and label(value)},
    }
    return {"vertex": {"spec": spec, "run": run}}


def filled(job: Job) -> list[str]:
    """The arguments with what stands for the run's places. Raises ConfigError for any other name in braces."""
    known = {"run": job.run, "bucket": job.bucket, "output": job.output}
    for word in job.arguments:
        if unknown := set(re.findall(r"\{(\w+)\}", word)) - known.keys():
            raise ConfigError(
                f"an argument of the job holds {{{min(unknown)}}}", f"what is known: {', '.join(f'{{{name}}}' for name in known)}"
            )
    return [re.sub(r"\{(\w+)\}", lambda found: known[found[1]], word) for word in job.arguments]


def label(text: str) -> str:
    """A text as Google Cloud takes it for a label's name or value."""
    return LABEL.sub("-", text.lower()).strip("-")[:LONGEST_LABEL]
