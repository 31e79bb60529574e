"""A job's way onto a queue, by wandb's own client against a local W&B."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arrstack.errors import BuildError, RegistryError
from arrstack.machine.process import Processes
from arrstack.training.queue import Order, submit
from tests.contract.conftest import eventually
from tests.fakes.graphql import Fault
from tests.fakes.wandb import Run, WandbServer


@pytest.fixture
def wandb() -> Iterator[WandbServer]:
    with WandbServer() as server:
        server.add_queue("gpus")
        server.add_queue("pods", resource="kubernetes")
        yield server


def processes(wandb: WandbServer, home: Path, **environment: str) -> Processes:
    return Processes({**os.environ, **wandb.environment, "HOME": str(home), **environment})


def order(**more: Any) -> Order:
    given = {
        "entity": "",
        "project": "p",
        "queue": "gpus",
        "run": "r1",
        "name": "n",
        "image": "image@sha256:1",
        "spot": False,
        "follow": False,
    }
    return Order(resource_args={"vertex": {"run": {"timeout": 5}}}, **(given | more))


def test_a_job_is_on_the_queue_and_its_page_is_told(wandb: WandbServer, tmp_path: Path) -> None:
    (news,) = submit(order(), processes(wandb, tmp_path))
    (item,) = wandb.pending("gpus")
    assert (news.state, news.item, news.run) == ("submitted", item.id, "r1")
    assert news.url == f"{wandb.address}/team/p/runs/r1"
    assert (item.spec["run_id"], item.spec["resource_args"]["vertex"]["run"]) == ("r1", {"timeout": 5})


def followed(wandb: WandbServer, home: Path, states: list[str]) -> list[str]:
    """What is told of a job whose item is taken and whose run goes through these states; the last is an error's message, if it is one."""
    told: list[str] = []

    def go() -> None:
        assert eventually(lambda: "queued" in told, 60)
        item = next(iter(wandb.items.values()))
        wandb.answer("popFromRunQueue", {"queueName": "gpus"})
        wandb.answer("ackRunQueueItem", {"itemId": item.id, "runId": "r1"})
        assert eventually(lambda: "being started" in told, 60)
        for state in states:
            wandb.runs["r1"] = Run("team", "p", "r1", state=state)
            assert eventually(lambda state=state: state in told, 60)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        for news in submit(order(follow=True, poll=0.2), processes(wandb, home)):
            told.append(news.state)
    except BuildError as error:
        told.append(error.message)
    thread.join(10)
    return told


def test_a_job_is_followed_to_its_end(wandb: WandbServer, tmp_path: Path) -> None:
    told = followed(wandb, tmp_path, ["running", "finished"])
    assert told == ["submitted", "queued", "being started", "running", "finished"]


def test_a_job_that_fails_is_an_error_with_where_to_look(wandb: WandbServer, tmp_path: Path) -> None:
    told = followed(wandb, tmp_path, ["running", "failed"])
    assert told[-2:] == ["failed", "the run r1 ended as failed"]


@pytest.mark.parametrize(
    ("given", "environment", "told", "hint"),
    [
        ({"queue": "none"}, {}, "team has no queue 'none'", "its queues: gpus, pods"),
        ({"queue": "pods"}, {}, "the queue pods starts jobs by kubernetes, not in Vertex AI", "--queue"),
        ({}, {"WANDB_API_KEY": ""}, "W&B cannot be asked for its queues: No API key configured", "set WANDB_API_KEY"),
    ],
    ids=["queue", "resource", "key"],
)
def test_what_w_and_b_refuses_is_told_with_what_mends_it(
    wandb: WandbServer, tmp_path: Path, given: dict[str, Any], environment: dict[str, str], told: str, hint: str
) -> None:
    with pytest.raises(RegistryError) as error:
        list(submit(order(**given), processes(wandb, tmp_path, **environment)))
    assert told in error.value.message
    assert hint in error.value.hint


def test_a_key_that_is_refused_is_told(wandb: WandbServer, tmp_path: Path) -> None:
    wandb.faults.append(Fault("Viewer|GetDefaultEntity|ProjectRunQueues", 401, "unauthorized"))
    with pytest.raises(RegistryError, match="unauthorized"):
        list(submit(order(), processes(wandb, tmp_path)))
