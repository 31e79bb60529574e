"""The entry point as a person, a launcher or a queue calls it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ARR_COC.tests.conftest import SMALL, Trainer, same, signalled
from ARR_COC.Training import stores

TRAIN = Path(__file__).parents[1] / "Training/train.py"


def arguments(folder: Path, *words: str) -> "list[str]":
    return [*SMALL, f"output={folder}", *words]


def test_a_run_learns_to_spend_its_tokens(trainer: Trainer) -> None:
    assert trainer.run("steps=60", "side=64", "batch=64", "images=16384", "model.hidden=64", "held_out=256", "save_every=60") == 0
    result = json.loads(trainer.log.rpartition("ARR_RESULT ")[2])
    accuracy = result["accuracy"]
    assert accuracy["model"] > accuracy["uniform"] + 0.15 and accuracy["model"] > accuracy["random"] + 0.15
    assert accuracy["oracle"] >= accuracy["model"]
    for name in ("learning-curve", "accuracy-over-budget", "allocation-maps"):
        assert (trainer.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_wrong_setting_is_told_in_a_sentence(trainer: Trainer) -> None:
    assert trainer.run("model.hiden=3") == 2
    assert trainer.log == "arr-train: the command line: there is no setting 'model.hiden'\n  did you mean model.hidden?\n"


def test_an_uneven_share_is_told(trainer: Trainer) -> None:
    assert trainer.run("batch=10", "accumulation=3") == 2
    assert "batch=10 can't be shared by 1 processes in 3 parts each" in trainer.log


def test_sigterm_reaches_every_process_of_the_launcher_and_its_status_is_theirs(tmp_path: Path) -> None:
    command = [sys.executable, str(TRAIN.with_name("launch.py")), "2", *arguments(tmp_path / "output", "steps=2000")]
    launcher = subprocess.Popen(
        command, env=os.environ | {"USE_LIBUV": "0"}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert launcher.stdout is not None
    while not (line := launcher.stdout.readline()).startswith("step 2/"):
        assert line, launcher.wait()
    launcher.send_signal(signal.SIGTERM)
    rest = launcher.communicate(timeout=60)[0]
    assert launcher.returncode == 143, rest
    assert "stopped by signal 15 after step" in rest
    assert len(list((tmp_path / "output").glob("step-*/DONE"))) == 1


def test_a_process_that_is_killed_ends_the_others(tmp_path: Path) -> None:
    command = [sys.executable, str(TRAIN.with_name("launch.py")), "2", *arguments(tmp_path / "output", "steps=100000")]
    launcher = subprocess.Popen(
        command, env=os.environ | {"USE_LIBUV": "0"}, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    while len(pids := children.read_text().split()) < 2:
        time.sleep(0.02)
    os.kill(int(pids[1]), signal.SIGKILL)
    assert launcher.wait(timeout=60) == 137


def test_the_training_ends_with_a_checkpoint_when_accelerate_s_launcher_ends(tmp_path: Path) -> None:
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
    accelerate += ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
    launcher = subprocess.Popen(
        [*accelerate, str(TRAIN), *arguments(tmp_path / "output", "steps=2000")],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert launcher.stdout is not None
    while not (line := launcher.stdout.readline()).startswith("step 2/"):
        assert line, launcher.wait()
    launcher.send_signal(signal.SIGTERM)
    assert "stopped by signal 15" in launcher.communicate(timeout=60)[0]  # until the training has closed it too


def test_torchrun_runs_it(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--rdzv_backend", "static", "--master_addr", "127.0.0.1"]
    torchrun += ["--master_port", str(port), "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, str(TRAIN), *arguments(tmp_path / "output", "steps=2")],
        env=os.environ | {"USE_LIBUV": "0"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "use_libuv was requested" in done.stderr:
        pytest.skip("torch is built without libuv, which torchrun wants")
    assert done.returncode == 0, done.stderr
    assert "ARR_RESULT" in done.stdout


@pytest.mark.skipif("STORAGE_EMULATOR_HOST" not in os.environ, reason="needs a Cloud Storage server")
def test_checkpoints_in_a_bucket_are_resumed_exactly(
    trainer: Trainer, undisturbed: "Callable[..., dict[str, torch.Tensor]]", tmp_path: Path
) -> None:
    place = f"gs://checkpoints/{tmp_path.name}"
    for step in (4, 7):
        assert trainer.run(f"output={place}", before=signalled(signal.SIGTERM, step)) == 143, trainer.log
    assert trainer.run(f"output={place}", "keep=2") == 0, trainer.log
    assert f"resuming {place}/step-" in trainer.log
    store = stores.connect(place)
    assert len(store.steps()) == 2
    with store.fetched(10) as folder:
        assert same(load_file(str(folder / "model.safetensors")), undisturbed())


@pytest.mark.skipif("STORAGE_EMULATOR_HOST" not in os.environ, reason="needs a Cloud Storage server")
def test_a_bucket_that_is_not_there_is_told_before_the_first_step(trainer: Trainer) -> None:
    assert trainer.run("output=gs://no-such-bucket/run") == 4
    assert "the output gs://no-such-bucket/run can't be read" in trainer.log
    assert "Traceback" not in trainer.log and "step 1/" not in trainer.log
