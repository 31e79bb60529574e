"""A checkpoint: weights, the optimizer's state, and what is needed to go on, in safetensors and JSON; nothing to unpickle."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ARR_COC.errors import CheckpointError
from ARR_COC.Training.settings import differences
from ARR_COC.Training.stores import Broken, Store, name_of

WEIGHTS, OPTIMIZER, ABOUT = "model.safetensors", "optimizer.safetensors", "about.json"


@dataclass(frozen=True)
class About:
    """What a checkpoint says of itself."""

    step: int
    """Steps that are done."""
    settings: "dict[str, object]"
    processes: int
    history: "list[dict[str, float]]"
    """What was measured so far, for the learning curve."""


class Foreign(Exception):
    """A whole checkpoint that does not belong to this run; the message says why."""


def save(store: Store, model: torch.nn.Module, optimizer: torch.optim.Optimizer, about: About, keep: int) -> str:
    """Writes a checkpoint, then removes all but the newest `keep`. Returns where it is.

    Raises CheckpointError where the storage is full or refuses; what was there before stays.
    """
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            save_file(_plain(model.state_dict()), str(folder / WEIGHTS), metadata={"format": "pt"})
            save_file(_plain(_flat(optimizer)), str(folder / OPTIMIZER))
            (folder / ABOUT).write_text(json.dumps(about.__dict__))
            place = store.publish(about.step, folder)
        for step in store.steps()[:-keep]:
            store.remove(step)
    except (OSError, SafetensorError) as error:
        before = store.steps()
        left = f"the newest one is of step {before[-1]}" if before else "there is none before it"
        raise CheckpointError(f"the checkpoint of step {about.step} can't be written to {store.place}: {error}", left) from None
    return place


def load(
    store: Store,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: "Mapping[str, object]",
    say: Callable[[str], None],
) -> "About | None":
    """Restores the newest checkpoint that is whole and of this run; None where there is none.

    One that is not is told to `say`, and the one before it is taken. Raises CheckpointError where there are whole ones, and all
    are of other runs: to begin anew beside them would mix two runs.
    """
    foreign = ""
    for step in reversed(_steps(store)):
        try:
            with store.fetched(step) as folder:
                return _restore(folder, model, optimizer, settings)
        except (Broken, SafetensorError, OSError) as error:
            say(f"the checkpoint {name_of(step)} in {store.place} is not whole: {error}; the one before it is taken")
        except Foreign as error:
            foreign = foreign or f"the checkpoint {name_of(step)} in {store.place} is of another run: {error}"
            say(f"{foreign}; the one before it is looked at")
    if foreign:
        raise CheckpointError(foreign, "another `output`, or the settings that it was made with")
    return None


def newest(store: Store) -> "int | None":
    """The step of the newest finished checkpoint. Raises CheckpointError where the storage does not answer."""
    return max(_steps(store), default=None)


def _steps(store: Store) -> "list[int]":
    try:
        return store.steps()
    except OSError as error:
        hint = "is it there, and may this login use it?"
        raise CheckpointError(f"the output {store.place} can't be read: {error}", hint) from None


def _restore(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, settings: "Mapping[str, object]") -> About:
    about = About(**json.loads((folder / ABOUT).read_text()))
    weights = load_file(str(folder / WEIGHTS))
    own = model.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        there = tuple(weights[name].shape) if name in weights else "nothing"
        here = tuple(own[name].shape) if name in own else "nothing"
        if there != here:
            raise Foreign(f"it has {there} for the weight {name}, this model {here}")
    if unlike := differences(about.settings, settings):
        raise Foreign("; ".join(unlike))
    model.load_state_dict(weights)
    state: "dict[int, dict[str, torch.Tensor]]" = {}
    for name, tensor in load_file(str(folder / OPTIMIZER)).items():
        number, _, entry = name.partition(".")
        state.setdefault(int(number), {})[entry] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return about


def _flat(optimizer: torch.optim.Optimizer) -> "dict[str, torch.Tensor]":
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, entries in state.items() for name, tensor in entries.items()}


def _plain(tensors: "Mapping[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """On the CPU, each with memory of its own, as safetensors wants them."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
