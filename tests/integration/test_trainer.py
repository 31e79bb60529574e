"""The training code's own tests, with a torch: ARR_COC/tests, where each is a sentence. They run in Debian's torch, not the compiled one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.google.cloud import google_cloud
from tests.fakes.graphql import Fault
from tests.fakes.wandb import Run, WandbServer
from tests.tools import torch_root
from tests.tools.dockerd import quick_folder


@pytest.fixture(scope="session")
def root() -> Iterator[Path]:
    folder = quick_folder("torch-")
    try:
        torch_root.make(folder / "root")
        yield folder / "root"
    except torch_root.NoTorch as error:
        pytest.skip(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_the_training_code_passes_its_tests_and_resumes_exactly(root: Path, tmp_path: Path) -> None:
    with google_cloud(tmp_path) as cloud:
        cloud.storage.make("checkpoints")
        environment = {"STORAGE_EMULATOR_HOST": cloud.google.address, "OMP_NUM_THREADS": "1"}
        tests = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir=/repository"]
        done = torch_root.run(root, [*tests, "/repository/ARR_COC/tests"], environment)
    print(done.stdout)
    assert done.returncode == 0
    assert " 1 skipped" in done.stdout, "torchrun, which wants a torch with libuv, and nothing else"


SIZES = "steps=4 side=32 images=40 batch=16 model.hidden=16 held_out=32 log_every=1 output=/tmp/output".split()
TRAIN = ["/usr/bin/python3", "/repository/ARR_COC/Training/train.py", *SIZES]


def test_metrics_and_allocation_maps_of_a_run_arrive_at_w_and_b(root: Path) -> None:
    with WandbServer() as wandb:
        settings = {"WANDB_MODE": "online", "WANDB_RUN_ID": "r1", "WANDB_RESUME": "allow", "OMP_NUM_THREADS": "1"}
        done = torch_root.run(root, TRAIN, wandb.environment | settings)
        assert done.returncode == 0, done.stdout
        run = wandb.runs["r1"]
        assert (run.project, run.state, run.config["model.hidden"], wandb.unknown) == ("arr-coc", "finished", 16, [])
        assert [row["_step"] for row in run.rows] == [1, 2, 3, 4]
        assert all({"loss", "tokens_per_second", "waiting", "lr"} <= row.keys() for row in run.rows)
        assert {f"accuracy/{name}" for name in ("model", "uniform", "random", "oracle")} <= run.rows[-1].keys()
        for name in ("allocation-maps", "accuracy-over-budget"):
            assert run.files[run.rows[-1][name]["path"]].startswith(b"\x89PNG")


def test_what_a_run_measured_before_it_was_stopped_and_had_not_sent_is_sent_when_it_goes_on(root: Path) -> None:
    train = [*TRAIN, "output=/root/unsent"]
    alone = torch_root.run(root, [*train, "wandb=off"], {"OMP_NUM_THREADS": "1"})
    assert alone.returncode == 0, alone.stdout
    with WandbServer() as wandb:
        wandb.runs["r1"] = Run("team", "arr-coc", "r1", rows=[{"_step": 1, "loss": 0.0}, {"_step": 2, "loss": 0.0}])
        settings = {"WANDB_MODE": "online", "WANDB_RUN_ID": "r1", "WANDB_RESUME": "allow", "OMP_NUM_THREADS": "1"}
        done = torch_root.run(root, train, wandb.environment | settings)
        assert done.returncode == 0, done.stdout
        rows = wandb.runs["r1"].rows
    assert "resuming" in done.stdout
    assert [row["_step"] for row in rows] == [1, 2, 3, 4]
    assert all(row["loss"] > 0 for row in rows[2:]), "what had arrived stays, the rest has come"


def test_a_key_that_w_and_b_does_not_take_is_told_before_the_first_step(root: Path) -> None:
    with WandbServer() as wandb:
        wandb.faults.append(Fault(".*", 401, "unauthorized"))
        environment = wandb.environment | {"WANDB_MODE": "online", "OMP_NUM_THREADS": "1"}
        done = torch_root.run(root, TRAIN, environment)
    assert done.returncode == 6, done.stdout
    assert "arr-train: W&B can't be used: " in done.stdout and "401" in done.stdout
    assert "Traceback" not in done.stdout and "step 1/" not in done.stdout
