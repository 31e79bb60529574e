"""Trains RelevanceNet on made images, through accelerate.

accelerate launch ARR_COC/Training/train.py [--steps N] [--seed N] [--output DIR] [--resume]
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # `python ARR_COC/Training/train.py` from any folder
from ARR_COC.Training import checkpoint, data
from ARR_COC.Training.model import RelevanceNet


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps of the whole run")
    parser.add_argument("--batch", type=int, default=32, help="images a step and process")
    parser.add_argument("--lr", type=float, default=1e-2, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder of checkpoints and W&B files")
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints; the last step always has one")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the output folder")
    options = parser.parse_args()
    if min(options.steps, options.batch, options.save_every) < 1:
        parser.error("--steps, --batch and --save-every take numbers from 1 on")
    return options


def learning_rate(step: int, steps: int, highest: float) -> float:
    """A tenth of the run up, then down by half a cosine. A function of the step alone, as all that must resume."""
    warm_up = max(1, steps // 10)
    if step < warm_up:
        return highest * (step + 1) / warm_up
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def constant_loss(options: argparse.Namespace, targets: torch.Tensor) -> float:
    """The held-out loss of the best constant: the mean target of what training sees."""
    _, seen = data.batch(2048, data.generator(options.seed, 0))
    return torch.nn.functional.mse_loss(seen.mean(dim=0).expand_as(targets), targets).item()


def held_out_loss(model: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> float:
    model.eval()
    with torch.inference_mode():
        loss = torch.nn.functional.mse_loss(model(images).float(), targets).item()
    model.train()
    return loss


def main() -> None:
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_DIR", str(options.output))
    accelerator = Accelerator(log_with="wandb")
    set_seed(options.seed)
    model = RelevanceNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr)
    done = 0
    found = checkpoint.latest(options.output) if options.resume else None
    if found:
        done = checkpoint.load(found, model, optimizer, options.seed)
        accelerator.print(f"resuming {found}: {done} of {options.steps} steps are done")
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.init_trackers("arr-coc", config={name: str(value) for name, value in vars(options).items()})

    held_out = [part.to(accelerator.device) for part in data.batch(512, data.generator(options.seed, data.HELD_OUT))]
    for step in range(done, options.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options.steps, options.lr)
        images, targets = data.batch(options.batch, data.generator(options.seed, step, accelerator.process_index))
        loss = torch.nn.functional.mse_loss(model(images.to(accelerator.device)), targets.to(accelerator.device))
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        done = step + 1
        if done % 20 == 0 or done == options.steps:
            accelerator.log({"loss": loss.item(), "lr": group["lr"]}, step=done)
            accelerator.print(f"step {done}/{options.steps}  loss {loss.item():.5f}", flush=True)
        if accelerator.is_main_process and (done % options.save_every == 0 or done == options.steps):
            found = options.output / f"step-{done:06d}.safetensors"
            checkpoint.save(found, accelerator.unwrap_model(model), optimizer, done, options.seed)

    result = {
        "seed": options.seed,
        "step": done,
        "loss": held_out_loss(accelerator.unwrap_model(model), *held_out),
        "constant_loss": constant_loss(options, held_out[1].cpu()),
        "checkpoint": str(found),
    }
    accelerator.log({"held_out_loss": result["loss"], "constant_loss": result["constant_loss"]}, step=done)
    accelerator.end_training()
    accelerator.print(f"ARR_RESULT {json.dumps(result)}", flush=True)


if __name__ == "__main__":
    main()
