"""What a training job is told."""

from dataclasses import replace

import pytest
from ARR_COC.Training import settings
from google.cloud.aiplatform_v1.types import CustomJobSpec
from google.protobuf import json_format

from arrstack.errors import ConfigError
from arrstack.recipes.config import load
from arrstack.training.job import Job, filled, label, resource_arguments
from arrstack.training.machines import choose, machines
from tests.conftest import ROOT

IMAGE = f"us-central1-docker.pkg.dev/my-project/arr-coc-registry/arr-trainer@sha256:{'0' * 64}"
JOB = Job(
    "r1",
    IMAGE,
    choose(machines(), "", "L4", 1),
    "my-bucket",
    arguments=("--output", "{output}", "--resume"),
    labels={"tier": "arr-trainer"},
)


def test_a_spot_job_is_what_vertex_ai_takes_for_one() -> None:
    vertex = resource_arguments(JOB)["vertex"]
    assert vertex["run"] == {"scheduling_strategy": "SPOT", "restart_job_on_worker_restart": True}
    (pool,) = vertex["spec"]["worker_pool_specs"]
    assert pool["machine_spec"] == {"machine_type": "g2-standard-4", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1}
    assert pool["container_spec"] == {"image_uri": IMAGE, "args": ["--output", "/gcs/my-bucket/runs/r1", "--resume"]}
    assert vertex["spec"]["base_output_dir"] == "gs://my-bucket/runs/r1"
    json_format.ParseDict({"worker_pool_specs": [pool]}, CustomJobSpec()._pb)  # Vertex AI's own message takes it


def test_the_stack_file_s_arguments_are_settings_of_the_trainer_and_keep_a_run_s_checkpoints_in_its_bucket() -> None:
    arguments = load(ROOT / "stack.toml").stack.training.arguments
    assert settings.read(filled(replace(JOB, arguments=arguments)), {}).output == "gs://my-bucket/runs/r1"


def test_what_the_stack_file_says_of_time_and_rights_is_in_it() -> None:
    job = replace(JOB, spot=False, longest_wait=60, timeout=3600, service_account="trainer@p.iam.gserviceaccount.com")
    assert resource_arguments(job)["vertex"]["run"] == {
        "scheduling_strategy": "STANDARD", "restart_job_on_worker_restart": True, "max_wait_duration": 60, "timeout": 3600,
        "service_account": "trainer@p.iam.gserviceaccount.com",
    }  # fmt: skip


def test_a_machine_without_gpus_asks_for_none() -> None:
    job = replace(JOB, machine=choose(machines(), "e2-standard-4", "", 0))
    (pool,) = resource_arguments(job)["vertex"]["spec"]["worker_pool_specs"]
    assert pool["machine_spec"] == {"machine_type": "e2-standard-4"}


@pytest.mark.parametrize("image", ["arr-trainer:latest", "oci:/somewhere:tag", "host/arr-trainer@sha256:12"])
def test_an_image_that_is_not_by_digest_is_refused(image: str) -> None:
    with pytest.raises(ConfigError, match="is no image by digest"):
        resource_arguments(replace(JOB, image=image))


def test_an_unknown_name_in_braces_is_told() -> None:
    with pytest.raises(ConfigError, match=r"holds \{folder\}") as error:
        resource_arguments(replace(JOB, arguments=("{folder}/x",)))
    assert error.value.hint == "what is known: {run}, {bucket}, {output}"


@pytest.mark.parametrize(
    ("text", "made"), [("Ann Example", "ann-example"), ("a@b.org", "a-b-org"), ("x" * 80, "x" * 63), ("-_-", "_"), ("  ", "")]
)
def test_a_label_is_one_that_google_cloud_takes(text: str, made: str) -> None:
    assert label(text) == made


def test_a_label_without_a_value_is_left_out() -> None:
    assert resource_arguments(replace(JOB, labels={"a": "", "B": "C"}))["vertex"]["spec"]["labels"] == {"b": "c"}
