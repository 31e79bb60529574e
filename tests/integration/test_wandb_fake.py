"""The fake W&B, held to what wandb's own client makes of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.graphql import Fault
from tests.fakes.wandb import WandbServer

TRAINS = """
import wandb
run = wandb.init(project="p", entity="team", id="r1", resume="allow", config={"lr": 1})
print(run.resumed, run.url)
for step in range(3):
    run.log({"loss": step})
run.finish()
"""
PUSHES = """
from wandb.sdk.launch import launch_add
item = launch_add(docker_image="image", entity="team", project="p", queue_name="gpus", run_id="r2",
                  resource_args={"vertex": {"run": {"timeout": 5}}}, config={"overrides": {"args": ["--steps", "2"]}})
print(item.id, item.state)
"""


@pytest.fixture
def wandb() -> Iterator[WandbServer]:
    with WandbServer() as server:
        server.add_queue("gpus", resource_args={"vertex": {}})
        yield server


def client(wandb: WandbServer, folder: Path, program: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | wandb.environment | {"HOME": str(folder), "WANDB_DIR": str(folder), "WANDB_SILENT": "true"}
    command = [sys.executable, "-I", "-c", program]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_a_run_is_reported_and_resumed_where_it_stopped(wandb: WandbServer, tmp_path: Path) -> None:
    url = f"{wandb.address}/team/p/runs/r1"
    for begins in (f"False {url}\n", f"True {url}\n"):
        done = client(wandb, tmp_path, TRAINS)
        assert (done.returncode, done.stdout) == (0, begins), done.stderr
    run = wandb.runs["r1"]
    assert [row["_step"] for row in run.rows] == list(range(6))
    assert (run.state, run.config["lr"], wandb.starts["r1"], wandb.unknown) == ("finished", 1, 2, [])


def test_a_job_is_put_on_a_queue_with_what_it_says_over_the_queue_s_own(wandb: WandbServer, tmp_path: Path) -> None:
    done = client(wandb, tmp_path, PUSHES)
    assert done.stdout == "item-1 pending\n", done.stderr
    (item,) = wandb.pending("gpus")
    assert item.spec["resource_args"] == {"vertex": {"run": {"timeout": 5}}}
    assert item.spec["resource"] == "gcp-vertex"
    assert item.spec["overrides"] == {"args": ["--steps", "2"]}
    assert wandb.unknown == []


def test_what_was_popped_and_never_acknowledged_is_on_the_queue_again() -> None:
    with WandbServer(lease=0.0) as server:
        server.add_queue("gpus")
        item = server.push("gpus", {"name": "n"})
        asked = {"queueName": "gpus"}
        assert server.answer("popFromRunQueue", asked)["popFromRunQueue"]["runQueueItemId"] == item.id
        assert server.pending("gpus") == [item]


def test_a_fault_is_what_the_client_says_it_is(wandb: WandbServer, tmp_path: Path) -> None:
    wandb.faults.append(Fault("pushToRunQueueByName|ProjectRunQueues", 401, "unauthorized"))
    assert "unauthorized" in client(wandb, tmp_path, PUSHES).stderr


def test_an_operation_that_nobody_wrote_an_answer_for_is_noted(wandb: WandbServer) -> None:
    assert wandb.answer("OfTomorrow", {}) == {}
    assert wandb.unknown == ["OfTomorrow"]
