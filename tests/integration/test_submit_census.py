"""`launch --submit` with a GPU: what is in the published image decides, whatever list the profile was built for."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from arrstack.engines import Buildah
from arrstack.machine.process import Processes
from tests.contract.conftest import BASE
from tests.fakes.wandb import WandbServer
from tests.unit.verify.verify_builders import library

STACK = """default-profile = "tiny"

[[tiers]]
name = "tiny-trainer"
recipe = "trainer"
context = "trainer"
trains = true

[profiles.tiny]
description = "busybox with a library of GPU code"
archs = ["sm_75", "sm_86"]

  [profiles.tiny.bases]
  BASE_RUNTIME = {{ method = "pull", image = "{registry}/busybox:1" }}

  [profiles.tiny.archive]
  suite = "trixie"
  date = "2026-11-24"

  [profiles.tiny.args]

[training]
queue = "gpus"
bucket = "my-bucket"
"""
DOCKERFILE = "ARG BASE_RUNTIME\nFROM ${BASE_RUNTIME}\nCOPY libtorch_cuda.so /opt/torch/lib/libtorch_cuda.so\n"


@dataclass
class Project:
    tree: Path
    wandb: WandbServer
    environment: dict[str, str]

    def holds(self, *archs: int) -> None:
        """What the image's library is compiled for."""
        (self.tree / "trainer/libtorch_cuda.so").write_bytes(library(*archs))

    def launch(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "arrstack", "--stack", str(self.tree / "stack.toml"), "launch", "--submit", *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture
def project(registry_server: str, rootfs: Path, tmp_path: Path) -> Iterator[Project]:
    insecure = tmp_path / "registries.conf"
    insecure.write_text(f'[[registry]]\nlocation = "{registry_server}"\ninsecure = true\n')
    given = {k: v for k, v in os.environ.items() if not k.startswith(("ARRSTACK_", "GOOGLE_", "CLOUDSDK_"))}
    given |= {"CONTAINERS_REGISTRIES_CONF": str(insecure), "HOME": str(tmp_path)}
    engine = Buildah(Processes(given), tmp_path / "engine", os.geteuid() == 0)
    engine.version()
    engine.push(engine.import_rootfs(rootfs, BASE), f"docker://{registry_server}/busybox:1", True)
    (tmp_path / "tree/trainer").mkdir(parents=True)
    (tmp_path / "tree/stack.toml").write_text(STACK.format(registry=registry_server))
    (tmp_path / "tree/trainer/Dockerfile").write_text(DOCKERFILE)
    with WandbServer() as wandb:
        wandb.add_queue("gpus")
        environment = (
            given | wandb.environment | {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CACHE", "STATE", "DATA")}
        )
        environment |= {
            "ARRSTACK_REGISTRY": f"{registry_server}/census",
            "ARRSTACK_ENGINE": "buildah",
            "GOOGLE_CLOUD_PROJECT": "my-project",
        }
        yield Project(tmp_path / "tree", wandb, environment)


def test_what_is_in_the_image_decides_whether_a_job_is_warned_about_or_never_starts(project: Project) -> None:
    project.holds(75, 86)
    warned = project.launch("--gpu", "L4", "--detach")
    assert warned.returncode == 0, warned.stdout + warned.stderr
    lines = warned.stdout.splitlines()
    warning = lines.index("warning: L4 (sm_89): runs, by sm_86 code")
    assert warning < next(number for number, line in enumerate(lines) if line.startswith("gpus: http")), (
        "before it costs anything"
    )
    (item,) = project.wandb.pending("gpus")
    (pool,) = item.spec["resource_args"]["vertex"]["spec"]["worker_pool_specs"]
    assert pool["machine_spec"] == {"machine_type": "g2-standard-4", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1}

    project.holds(75)
    refused = project.launch("--gpu", "L4", "--detach")
    assert refused.returncode == 6, refused.stdout + refused.stderr
    assert "L4 (sm_89): does not run; nothing was put on the queue" in refused.stderr
    assert project.wandb.pending("gpus") == [item]

    where = json.loads(project.launch("--where", "--json").stdout)
    assert where["judged_by"] == "census"
    assert {(each["gpu"], each["runs"]) for each in where["machines"]} == {("T4", "native")}

    native = project.launch("--gpu", "T4", "--detach")
    assert native.returncode == 0, native.stderr
    assert "warning" not in native.stdout
