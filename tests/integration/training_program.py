"""A trainer as small as can be, with the contract of the real one: its step's random numbers are a function of the step, a checkpoint is there when its
marker is, SIGTERM saves and ends. Reports by wandb's own client."""

import argparse
import hashlib
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path

import wandb

STEP_SECONDS = 0.1


def update(weights: "list[float]", step: int) -> "list[float]":
    noise = struct.unpack("4I", hashlib.sha256(f"step {step}".encode()).digest()[:16])
    return [0.9 * weight + number / 2**32 - 0.5 for weight, number in zip(weights, noise, strict=True)]


def save(folder: Path, done: int, weights: "list[float]") -> None:
    new = folder / f".step-{done:06d}.new"
    new.write_text(json.dumps({"done": done, "weights": weights}))
    new.rename(folder / f"step-{done:06d}.json")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda received, _: asked.append(received))
    options.output.mkdir(parents=True, exist_ok=True)
    done, weights = 0, [0.0] * 4
    if found := sorted(options.output.glob("step-*.json")):
        kept = json.loads(found[-1].read_text())
        done, weights = kept["done"], kept["weights"]
    run = wandb.init(config={"steps": options.steps}, settings=wandb.Settings(console="off"))
    print(f"from step {done}, resumed {run.resumed}, {os.environ.get('WANDB_RESUME')}", flush=True)
    for step in range(done, options.steps):
        weights = update(weights, step)
        run.log({"loss": sum(abs(weight) for weight in weights)}, step=step)
        time.sleep(STEP_SECONDS)
        if (step + 1) % 5 == 0 or asked:
            save(options.output, step + 1, weights)
        if asked:
            run.mark_preempting()
            sys.exit(128 + asked[0])
    (options.output / "weights.json").write_text(json.dumps(weights))
    run.finish()


if __name__ == "__main__":
    main()
