"""From `launch --submit` to trained weights on one machine: the real command, wandb's own client and agent, the official Vertex client, real containers.

Stand-ins are the two servers (tests/fakes/wandb.py, tests/fakes/google/vertex.py), the buckets (folders), and a trainer without torch.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.cloud.aiplatform_v1.types import JobState, Scheduling

from arrstack.engines import Buildah
from arrstack.machine.process import Processes
from tests.conftest import ROOT
from tests.contract.conftest import eventually
from tests.fakes.containers import Containers, Preemption
from tests.fakes.google.server import GoogleServer
from tests.fakes.google.vertex import VertexFake
from tests.fakes.wandb import WandbServer
from tests.tools import python_rootfs

AGENT = ROOT / "Stack/arr-vertex-launcher/build/arr-agent"
TRAINER = Path(__file__).with_name("training_program.py")
STACK = """default-profile = "tiny"

[[tiers]]
name = "tiny-trainer"
recipe = "trainer"
context = "trainer"
trains = true

[profiles.tiny]
description = "this machine's Python"

  [profiles.tiny.bases]
  BASE_RUNTIME = {{ method = "pull", image = "{registry}/python:1" }}

  [profiles.tiny.archive]
  suite = "trixie"
  date = "2026-11-24"

  [profiles.tiny.args]

[training]
queue = "gpus"
machine = "e2-standard-4"
arguments = ["--output", "{{output}}"]
labels = {{ team = "vision" }}
"""
DOCKERFILE = """ARG BASE_RUNTIME
FROM ${BASE_RUNTIME}
ENV PYTHONPATH=/packages WANDB_DIR=/tmp WANDB_SILENT=true
COPY train.py /opt/train.py
ENTRYPOINT ["python", "/opt/train.py"]
"""


@dataclass
class Desk:
    """A project, the servers that it asks, and the machines of the one that trains."""

    tree: Path
    wandb: WandbServer
    vertex: VertexFake
    machines: Containers
    environment: dict[str, str]

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "arrstack", "--stack", str(self.tree / "stack.toml"), *words]

    def start(self, *words: str) -> "subprocess.Popen[str]":
        out = subprocess.PIPE
        return subprocess.Popen(self.command(*words), env=self.environment, stdout=out, stderr=subprocess.STDOUT, text=True)

    def ok(self, *words: str) -> str:
        """The command's standard output."""
        done = subprocess.run(self.command(*words), env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def agent(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-I", str(AGENT), "--queue", "gpus", "--entity", "team"]
        return subprocess.Popen(
            command, env=self.environment, cwd=self.tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def checkpoints(self) -> int:
        return len(list(self.machines.buckets.glob("*/runs/*/step-*.json")))

    def weights(self, run: str) -> str:
        return (self.machines.buckets / "my-project-arrstack-training/runs" / run / "weights.json").read_text()


@pytest.fixture
def desk(registry_server: str, tmp_path: Path) -> Iterator[Desk]:
    insecure = tmp_path / "registries.conf"
    insecure.write_text(f'[[registry]]\nlocation = "{registry_server}"\ninsecure = true\n')
    given = {k: v for k, v in os.environ.items() if not k.startswith("ARRSTACK_")}
    given |= {
        "CONTAINERS_REGISTRIES_CONF": str(insecure),
        "HOME": str(tmp_path),
        "WANDB_DIR": str(tmp_path),
        "WANDB_SILENT": "true",
    }
    engine = Buildah(Processes(given), tmp_path / "vertex", os.geteuid() == 0)
    engine.version()
    rootfs = tmp_path / "rootfs.tar"
    python_rootfs.write(rootfs, ["wandb"])
    engine.push(engine.import_rootfs(rootfs, "localhost/arrstack/python:1"), f"docker://{registry_server}/python:1", True)
    tree = tmp_path / "tree"
    (tree / "trainer").mkdir(parents=True)
    (tree / "stack.toml").write_text(STACK.format(registry=registry_server))
    (tree / "trainer/Dockerfile").write_text(DOCKERFILE)
    (tree / "trainer/train.py").write_text(TRAINER.read_text())
    with WandbServer() as wandb, GoogleServer() as google:
        wandb.add_queue("gpus")
        (tmp_path / "buckets/my-project-arrstack-training").mkdir(parents=True)
        machines = Containers(engine, tmp_path / "buckets")
        environment = (
            given | wandb.environment | {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CACHE", "STATE", "DATA")}
        )
        environment |= {
            "GOOGLE_APPLICATION_CREDENTIALS": str(google.login(tmp_path)), "GOOGLE_CLOUD_PROJECT": "my-project",
            "GOOGLE_CLOUD_REGION": "us-central1", "ARR_AGENT_INTERVAL": "1", "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": google.address,
            "ARRSTACK_REGISTRY": f"{registry_server}/queued", "ARRSTACK_ENGINE": "buildah",
        }  # fmt: skip
        yield Desk(tree, wandb, VertexFake(google, machines), machines, environment)


def undisturbed(folder: Path) -> str:
    """The weights of the same program that nobody disturbs."""
    environment = os.environ | {"WANDB_MODE": "disabled", "HOME": str(folder)}
    subprocess.run(
        [sys.executable, TRAINER, "--output", str(folder)], env=environment, check=True, capture_output=True, timeout=60
    )
    return (folder / "weights.json").read_text()


@pytest.mark.timeout(300)
def test_a_job_that_loses_its_machine_twice_ends_with_the_weights_of_one_that_did_not(desk: Desk, tmp_path: Path) -> None:
    with_notice, without = (
        Preemption(lambda: desk.checkpoints() >= 2, notice=True),
        Preemption(lambda: desk.checkpoints() >= 5, notice=False),
    )
    desk.machines.preemptions += [with_notice, without]
    agent = desk.agent()
    try:
        launch = desk.start("launch", "--submit")
        told, _ = launch.communicate(timeout=200)
        assert launch.returncode == 0, told + "\n".join(desk.machines.logs)
        (first,) = desk.vertex.jobs.values()
        run = first.labels["wandb-run-id"]
        assert desk.weights(run) == undisturbed(tmp_path / "alone")

        starts = [line for log in desk.machines.logs for line in log.splitlines() if line.startswith("from step ")]
        assert starts[0] == "from step 0, resumed False, allow"
        assert [line.split(", ", 1)[1] for line in starts[1:]] == ["resumed True, allow"] * 2
        second_start, third_start = (int(line.split()[2].rstrip(",")) for line in starts[1:])
        assert 0 < second_start < third_start < 40
        assert desk.machines.statuses[0] == 128 + signal.SIGTERM
        assert with_notice.seconds < 30
        assert desk.machines.statuses[1:] == [-signal.SIGKILL, 0]

        reported = desk.wandb.runs[run]
        steps = [row["_step"] for row in reported.rows]
        assert steps == sorted(set(steps))
        # What a machine that was taken without notice had not sent is lost with it; all else has arrived.
        assert set(range(second_start)) | set(range(third_start, 40)) <= set(steps)
        assert (reported.state, reported.config["steps"], desk.wandb.starts[run]) == ("finished", 40, 3)

        assert f"/team/arr-coc/runs/{run}" in told
        for state in ("gpus: queued", "gpus: running", "gpus: finished"):
            assert state in told
        assert first.job_spec.scheduling.strategy == Scheduling.Strategy.SPOT
        assert first.labels["team"] == "vision"
        assert "/queued/tiny-trainer@sha256:" in first.job_spec.worker_pool_specs[0].container_spec.image_uri

        words = ["launch", "--submit", "--detach", "--on-demand", "--json", "--arguments", "--output {output} --steps 5"]
        plan, job = (json.loads(line) for line in desk.ok(*words).splitlines())
        assert [tier["action"] for tier in plan["tiers"]] == ["reuse"]
        assert (job["kind"], job["state"], job["url"].rpartition("/")[2]) == ("job", "submitted", job["run"])
        assert eventually(lambda: len(desk.vertex.jobs) == 2, 60), "the agent takes a second job"
        second = next(each for each in desk.vertex.jobs.values() if each.labels["wandb-run-id"] == job["run"])
        assert eventually(lambda: second.state == JobState.JOB_STATE_SUCCEEDED, 60)
        assert second.job_spec.scheduling.strategy == Scheduling.Strategy.STANDARD
    finally:
        agent.terminate()
        output, _ = agent.communicate(timeout=30)
    assert agent.returncode == 128 + signal.SIGTERM, output
    assert desk.wandb.unknown == []
