"""What a model is worth: its accuracy over the budget, beside other ways to spend the same tokens."""

from collections.abc import Callable, Mapping, Sequence

import torch

from ARR_COC.Model import allocation
from ARR_COC.Model.model import Fixed, RelevanceNet
from ARR_COC.Tasks.task import Samples

AVERAGES = (1.125, 1.25, 1.375, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0)
"""Tokens a patch that a curve is drawn at."""
Curve = Mapping[float, float]
"""Accuracies by tokens a patch."""
Allocate = Callable[[torch.Tensor], torch.Tensor]


def rivals(samples: Samples, least: int, depth: int) -> "dict[str, Allocate]":
    """Ways to spend budgets `(n,)` without looking: `uniform` and `random`; and where it is known the best one: `oracle`."""
    patches = samples.needs.shape[1]
    source = torch.Generator().manual_seed(0)
    found: "dict[str, Allocate]" = {
        "uniform": lambda budgets: allocation.uniform(patches, budgets, least, depth),
        "random": lambda budgets: allocation.random(patches, budgets, least, depth, source),
    }
    if samples.needs.any():
        needs = torch.from_numpy(samples.needs)
        found["oracle"] = lambda budgets: allocation.oracle(needs, budgets, least, depth)
    return found


def accuracy(model: RelevanceNet, samples: Samples, average: float, allocate: "Allocate | None" = None) -> float:
    """Share of right answers at `average` tokens a patch; with the model's own allocation unless another one is given."""
    device = next(model.parameters()).device
    count, patches = samples.needs.shape
    budgets = torch.full((count,), round(average * patches))
    fixed = None
    if allocate:
        fixed = Fixed(torch.ones(count, dtype=torch.bool, device=device), allocate(budgets).to(device))
    training = model.training
    model.eval()
    with torch.inference_mode():
        images, queries = (torch.from_numpy(part).to(device) for part in samples[:2])
        answer = model(images, queries, budgets.to(device), fixed)
    model.train(training)
    if not torch.equal(answer.tokens.sum(dim=1), budgets.to(device)):
        raise AssertionError("an allocation does not sum to its budget")
    return float((answer.logits.argmax(dim=1).cpu() == torch.from_numpy(samples.answers)).float().mean())


def curves(model: RelevanceNet, samples: Samples, averages: Sequence[float] = AVERAGES) -> "dict[str, Curve]":
    """For `model` and each of its rivals the accuracies by tokens a patch."""
    ways: "dict[str, Allocate | None]" = {"model": None, **rivals(samples, model.least, model.depth)}
    return {name: {a: accuracy(model, samples, a, way) for a in averages if a <= model.depth} for name, way in ways.items()}
