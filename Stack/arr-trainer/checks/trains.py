"""The entry point trains: it beats a uniform allocation, and a run that is stopped goes on to the same weights."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import load_file

LEARNS = ("steps=60", "seed=1", "held_out=256", "wandb=offline")
MARGIN = 0.3  # of accuracy above the uniform allocation, at 1.25 tokens a patch; 60 of 400 steps are enough for it
TINY = (
    "steps=8",
    "side=32",
    "images=40",
    "batch=16",
    "model.hidden=16",
    "held_out=0",
    "save_every=3",
    "log_every=1",
    "wandb=off",
)
TRAIN = "ARR_COC/Training/train.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def start(command: "list[str]", **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command, cwd="/workspace", env=ENVIRONMENT | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def output_of(process: "subprocess.Popen[str]", expected: int = 0) -> str:
    """What a run said. Ends the check where its status is another than the expected one, or where it was not quiet."""
    said = process.communicate()[0]
    if process.returncode != expected:
        sys.exit(f"training ended with status {process.returncode} and not {expected}, and said:\n{said}")
    for word in ("Warning", "warning", "Traceback", "defaults used instead"):
        if word in said:
            sys.exit(f"training is not quiet ({word}):\n{said}")
    return said


def weights(folder: Path) -> "dict[str, torch.Tensor]":
    return load_file(folder / "step-000008/model.safetensors")


def same(left: "dict[str, torch.Tensor]", right: "dict[str, torch.Tensor]") -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def learns(folder: Path) -> str:
    said = output_of(start(["arr-train", f"output={folder}/learns", *LEARNS]))
    results = [line.removeprefix("ARR_RESULT ") for line in said.splitlines() if line.startswith("ARR_RESULT ")]
    if len(results) != 1:
        sys.exit(f"training told {len(results)} results:\n{said}")
    result = json.loads(results[0])
    accuracy = result["accuracy"]
    if not accuracy["model"] > accuracy["uniform"] + MARGIN:
        sys.exit(f"the model answers {accuracy['model']:.3f} rightly, a uniform allocation {accuracy['uniform']:.3f}")
    if not all(tensor.isfinite().all() for tensor in load_file(Path(result["checkpoint"], "model.safetensors")).values()):
        sys.exit(f"{result['checkpoint']} holds no finite weights")
    for name in ("learning-curve.png", "accuracy-over-budget.png", "allocation-maps.png"):
        if not (folder / "learns" / name).read_bytes().startswith(b"\x89PNG"):
            sys.exit(f"{name} is no picture")
    if not list(folder.glob("learns/wandb/offline-run-*/*.wandb")):
        sys.exit("W&B wrote no offline run")
    return f"accuracy {accuracy['model']:.3f}, of a uniform allocation {accuracy['uniform']:.3f}"


def resumes(folder: Path) -> str:
    """Two processes, stopped by SIGTERM to the entry point, against two that are not."""
    output_of(start(["arr-train", f"output={folder}/whole", *TINY], ARR_PROCESSES="2"))
    stopped = start(["arr-train", f"output={folder}/stopped", *TINY], ARR_PROCESSES="2")
    assert stopped.stdout is not None
    while not (line := stopped.stdout.readline()).startswith("step 4/"):
        if not line:
            sys.exit("a run ended before its fourth step")
    stopped.send_signal(signal.SIGTERM)
    output_of(stopped, expected=128 + signal.SIGTERM)
    output_of(start(["arr-train", f"output={folder}/stopped", *TINY], ARR_PROCESSES="2"))
    if not same(weights(folder / "whole"), weights(folder / "stopped")):
        sys.exit("a run that was stopped ends with other weights than one that was not")
    return "two processes, stopped by SIGTERM, went on to the same weights"


def launchers(folder: Path) -> str:
    """accelerate launch and torchrun run the same program to the same weights."""
    output_of(start(["accelerate", "launch", "--cpu", "--num_processes", "1", "--num_machines", "1", "--mixed_precision", "no",
                     "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1", TRAIN, f"output={folder}/accelerate", *TINY]))  # fmt: skip
    output_of(
        start(
            [
                "torchrun",
                "--standalone",
                "--local-addr",
                "127.0.0.1",
                "--nproc_per_node",
                "1",
                TRAIN,
                f"output={folder}/torchrun",
                *TINY,
            ]
        )
    )
    if not same(weights(folder / "accelerate"), weights(folder / "torchrun")):
        sys.exit("accelerate launch and torchrun end with different weights")
    return "accelerate launch and torchrun: the same weights"


with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
    # A failure's sys.exit comes out of result() here and ends the check with its message.
    runs = [pool.submit(check, Path(name)) for check in (learns, resumes, launchers)]
    for run in runs:
        print(run.result(), flush=True)
