"""The entry point trains: for three seeds it beats a constant on held-out images, and a resumed run is the same run."""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import load_file

STEPS = 150
MARGIN = 0.5  # of the constant's loss, at most


def train(output: Path, *arguments: str) -> "dict[str, object]":
    """Runs the image's entry point and returns its result line."""
    done = subprocess.run(
        ["arr-train", "--output", str(output), *arguments],
        cwd="/workspace",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    results = [line.removeprefix("ARR_RESULT ") for line in done.stdout.splitlines() if line.startswith("ARR_RESULT ")]
    if done.returncode or len(results) != 1:
        sys.exit(f"training ended with status {done.returncode} and said:\n{done.stdout}")
    for word in ("Warning", "warning", "Traceback", "defaults used instead"):
        if word in done.stdout:
            sys.exit(f"training is not quiet ({word}):\n{done.stdout}")
    return json.loads(results[0])


def beats_a_constant(folder: Path, seed: int) -> str:
    result = train(folder, "--seed", str(seed), "--steps", str(STEPS))
    if not result["loss"] < MARGIN * result["constant_loss"]:
        sys.exit(f"seed {seed}: a loss of {result['loss']:.5f} on held-out images, a constant has {result['constant_loss']:.5f}")
    weights = load_file(result["checkpoint"])
    if not any(name.startswith("model.") for name in weights) or not all(t.isfinite().all() for t in weights.values()):
        sys.exit(f"{result['checkpoint']} holds no finite weights")
    if not list(folder.glob("wandb/offline-run-*/*.wandb")):
        sys.exit("W&B wrote no offline run")
    return f"seed {seed}: loss {result['loss']:.5f}, a constant's {result['constant_loss']:.5f}"


def resumes(folder: Path) -> str:
    """A run that lost what came after its first checkpoint ends with the weights of the one that did not."""
    arguments = ("--steps", "20", "--save-every", "10")
    whole = train(folder, *arguments)
    os.replace(whole["checkpoint"], folder / "whole")
    again = train(folder, *arguments, "--resume")
    left, right = load_file(folder / "whole"), load_file(again["checkpoint"])
    if left.keys() != right.keys() or not all(torch.equal(left[name], right[name]) for name in left):
        sys.exit("a resumed run ends with other weights than an uninterrupted one")
    return "resumed from step 10 to the same weights"


with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
    # A failure's sys.exit comes out of result() here and ends the check with its message.
    runs = [pool.submit(beats_a_constant, Path(name, str(seed)), seed) for seed in (1, 2, 3)]
    runs.append(pool.submit(resumes, Path(name, "resumed")))
    for run in runs:
        print(run.result(), flush=True)
