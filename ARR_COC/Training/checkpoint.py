"""A checkpoint is one safetensors file: weights, the optimizer's state, and what is needed to go on."""

import os
import re
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

NAME = re.compile(r"step-(\d{1,18})\.safetensors")


def save(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, seed: int) -> None:
    """Writes beside the final name and renames: a file of that name is always whole."""
    tensors = {f"model.{name}": tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    for number, entries in optimizer.state_dict()["state"].items():
        for name, tensor in entries.items():
            tensors[f"optimizer.{number}.{name}"] = tensor.detach().cpu().contiguous()
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(partial), metadata={"step": str(step), "seed": str(seed)})
    os.replace(partial, path)


def load(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> int:
    """Restores both and returns the number of steps done. Raises ValueError for another seed's checkpoint."""
    with safe_open(str(path), framework="pt") as file:
        about = file.metadata()
        if int(about["seed"]) != seed:
            raise ValueError(f"{path} is of seed {about['seed']}: resuming it with seed {seed} would mix two runs")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # not a mapping
    model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")})
    state: "dict[int, dict[str, torch.Tensor]]" = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, entry = name.split(".")
            state.setdefault(int(number), {})[entry] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(about["step"])


def latest(folder: Path) -> "Path | None":
    """The checkpoint of the highest step, by number."""
    found = [(int(name[1]), path) for path in folder.glob("step-*.safetensors") if (name := NAME.fullmatch(path.name))]
    return max(found)[1] if found else None
