"""Pictures of a run: the learning curve, the accuracy over the budget, and where the tokens went.

python -m ARR_COC.Training.pictures CHECKPOINT FILE.png: the allocation maps of a trained model, as in docs/guide/training.md.
"""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import msgspec
import numpy
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file

from ARR_COC.Model import allocation
from ARR_COC.Model.model import RelevanceNet
from ARR_COC.Tasks.task import Samples, task_of
from ARR_COC.Training.settings import Settings, read

COLOURS = {"model": "tab:blue", "uniform": "tab:gray", "random": "tab:olive", "oracle": "tab:green"}


def learning_curve(history: "Sequence[Mapping[str, float]]") -> bytes:
    """A PNG of the loss over the steps."""
    figure = Figure((5, 3), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.plot([row["step"] for row in history], [row["loss"] for row in history], color=COLOURS["model"])
    axes.set(xlabel="step", ylabel="loss")
    axes.grid(alpha=0.3)
    return _png(figure)


def accuracy_curve(curves: "Mapping[str, Mapping[float, float]]") -> bytes:
    """A PNG of the accuracy over the budget, the model beside its rivals."""
    figure = Figure((5, 3.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(list(curve), list(curve.values()), marker=".", label=name, color=COLOURS.get(name))
    axes.set(xlabel="tokens a patch, on average", ylabel="accuracy", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    return _png(figure)


def allocation_maps(model: RelevanceNet, samples: Samples, average: float, count: int = 3) -> bytes:
    """A PNG: a row for each of the first images, with the three scores, the tokens that it got, and the best allocation."""
    part = Samples(*(field[:count] for field in samples))
    budgets = torch.full((len(part.images),), round(average * part.needs.shape[1]))
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.inference_mode():
        answer = model(*(torch.from_numpy(field).to(device) for field in part[:2]), budgets.to(device))
    model.train(training)
    side = round(part.needs.shape[1] ** 0.5)
    names = list(model.relevance)
    best = allocation.oracle(torch.from_numpy(part.needs), budgets, model.least, model.depth) if part.needs.any() else None
    columns = 2 + len(names) + (best is not None)
    figure = Figure((1.7 * columns, 1.85 * len(part.images)), dpi=80, layout="constrained")
    for row, axes in enumerate(figure.subplots(len(part.images), columns, squeeze=False)):
        image = numpy.clip(part.images[row].transpose(1, 2, 0), 0, 1)
        axes[0].imshow(image, interpolation="nearest")
        axes[0].set_title(f"query {part.queries[row]}", fontsize=9)
        scores = answer.scores[row].float().cpu()
        for place, name in enumerate(names):
            axes[1 + place].imshow(scores[:, place].reshape(side, side), cmap="magma")
            axes[1 + place].set_title(name, fontsize=9)
        maps = [(f"{int(budgets[row])} tokens", answer.tokens[row].cpu())] + ([("best", best[row])] if best is not None else [])
        for place, (name, tokens) in enumerate(maps):
            axes[1 + len(names) + place].imshow(tokens.reshape(side, side), cmap="viridis", vmin=model.least, vmax=model.depth)
            axes[1 + len(names) + place].set_title(name, fontsize=9)
        for each in axes:
            each.set(xticks=[], yticks=[])
    return _png(figure)


def loaded(checkpoint: Path) -> "tuple[RelevanceNet, Settings]":
    """The model of a checkpoint's folder, and the settings that it was trained with."""
    about = json.loads((checkpoint / "about.json").read_text())
    settings = read([], {"WANDB_CONFIG": json.dumps(about["settings"])})
    task = task_of(settings)
    model = RelevanceNet(task.queries, task.classes, settings.model)
    model.load_state_dict(load_file(str(checkpoint / "model.safetensors")))
    return model, msgspec.structs.replace(settings, held_out=8)


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()


if __name__ == "__main__":
    model, settings = loaded(Path(sys.argv[1]))
    Path(sys.argv[2]).write_bytes(allocation_maps(model, task_of(settings).held_out.samples(range(3)), settings.evaluate_at))
