"""ARR-COC in small: patches to tokens, relevance to an allocation, the kept tokens to an answer."""

from typing import NamedTuple

import torch
from torch import nn

from ARR_COC.Model import allocation
from ARR_COC.Model.relevance import Balance, Coupling, Information, Salience, perceptron
from ARR_COC.Model.spectrum import cosines, width
from ARR_COC.Training.settings import Model


class Seen(NamedTuple):
    colour: torch.Tensor
    """`(n, patches, 3)`: a patch's mean red, green and blue; its coarsest token."""
    detail: torch.Tensor
    """`(n, patches, depth - 1, width)`: the spectrum of its brightness, coarse to fine."""


class Fixed(NamedTuple):
    """Allocations that are not the model's own."""

    which: torch.Tensor
    """`(n,)` of booleans: the images that they are for."""
    tokens: torch.Tensor
    """`(n, patches)`"""


class Answer(NamedTuple):
    logits: torch.Tensor
    """`(n, classes)`"""
    tokens: torch.Tensor
    """`(n, patches)`: how many tokens each patch kept."""
    scores: torch.Tensor
    """`(n, patches, views)`: each point of view's, before the balance."""
    weights: torch.Tensor
    """`(n, views)`: the balance."""


class Patches(nn.Module):
    """Images to tokens. The first `k` tokens of a patch are that patch at a lower resolution: to cut is to compress."""

    def __init__(self, patch: int, depth: int) -> None:
        super().__init__()
        self.patch, self.depth, self.width = patch, depth, width(patch, depth)
        self.register_buffer("cosines", torch.from_numpy(cosines(patch)[1:].copy()), persistent=False)

    def forward(self, images: torch.Tensor) -> Seen:
        """Images `(n, 3, height, width)`, whose sides are multiples of the patch's."""
        tiles = images.unfold(2, self.patch, self.patch).unfold(3, self.patch, self.patch)
        tiles = tiles.permute(0, 2, 3, 1, 4, 5).flatten(4).flatten(1, 2)  # (n, patches, 3, pixels)
        detail = tiles.mean(dim=2) @ self.cosines.T
        return Seen(tiles.mean(dim=-1), detail.unflatten(-1, (self.depth - 1, self.width)))


class Head(nn.Module):
    """The answer from the kept tokens. It finds for itself which patches were meant, so that where tokens are spent decides
    only over what it can read there."""

    def __init__(self, depth: int, across: int, queries: int, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Embedding(queries, hidden)
        self.look = perceptron(6, hidden, hidden)
        self.tint = nn.Linear(3, hidden, bias=False)
        self.read = nn.Linear(across, hidden, bias=False)
        self.written = nn.Linear(across, hidden)
        self.fineness = nn.Parameter(torch.zeros(depth - 1, hidden))
        self.dropout = nn.Dropout(dropout)
        self.answer = nn.Linear(hidden, classes)

    def forward(self, seen: Seen, queries: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        context = seen.colour - seen.colour.mean(dim=1, keepdim=True)
        look = self.look(torch.cat([seen.colour * 5, context * 10], dim=-1))
        meant = torch.sigmoid((look * self.query(queries)[:, None]).sum(dim=-1, keepdim=True) / look.shape[-1] ** 0.5)
        detail = seen.detail * 5
        read = self.read(detail) * torch.sigmoid(self.written(detail) + self.fineness)  # nothing, where a token is blank
        gathered = (torch.einsum("npdh,npd->nph", read, kept[..., 1:]) * meant).sum(dim=1) / read.shape[1] ** 0.5
        tinted = (self.tint(seen.colour * 2 - 1) * meant).mean(dim=1)
        return self.answer(self.dropout(gathered + tinted))


class RelevanceNet(nn.Module):
    """Images, queries and budgets to answers.

    >>> net = RelevanceNet(queries=3, classes=8)
    >>> net(torch.rand(2, 3, 64, 64), torch.tensor([0, 2]), torch.tensor([80, 100])).tokens.sum(dim=1)
    tensor([ 80, 100])
    """

    def __init__(self, queries: int, classes: int, shape: Model = Model()) -> None:  # noqa: B008 - it is frozen
        super().__init__()
        self.depth, self.least, self.softness = shape.depth, shape.least, shape.softness
        self.patches = Patches(shape.patch, shape.depth)
        views = {"information": Information(shape.depth, 16), "salience": Salience(16), "coupling": Coupling(queries, 16)}
        self.relevance = nn.ModuleDict({name: view for name, view in views.items() if name not in shape.without})
        self.balance = Balance(queries, 16, len(self.relevance))
        self.head = Head(shape.depth, self.patches.width, queries, classes, shape.hidden, shape.dropout)

    def forward(self, images: torch.Tensor, queries: torch.Tensor, budgets: torch.Tensor, fixed: Fixed | None = None) -> Answer:
        """Images `(n, 3, height, width)`, queries and budgets `(n,)` to answers. `fixed` allocations take the place of the
        model's own."""
        with torch.autocast(images.device.type, enabled=False):  # pixels to frequencies, and prices, want all their digits
            seen = self.patches(images.float())
        scores, weights = self._relevance(seen, queries, budgets)
        relevance = torch.einsum("npv,nv->np", scores, weights)
        capacities = allocation.capacity(relevance, budgets, self.least, self.depth)
        tokens = allocation.rounded(capacities.detach(), budgets, self.least, self.depth)
        if fixed is not None:
            tokens = torch.where(fixed.which[:, None], fixed.tokens, tokens)
            capacities = torch.where(fixed.which[:, None], capacities.detach(), capacities)
        kept = allocation.kept(capacities, tokens, self.depth, self.softness)
        return Answer(self.head(seen, queries, kept), tokens, scores, weights)

    def _relevance(self, seen: Seen, queries: torch.Tensor, budgets: torch.Tensor) -> "tuple[torch.Tensor, torch.Tensor]":
        """The scores of all points of view `(n, patches, views)`, and their weights `(n, views)`."""
        sights = {"information": (seen.detail,), "salience": (seen.colour,), "coupling": (seen.colour, queries)}
        scores = torch.stack([view(*sights[name]).float() for name, view in self.relevance.items()], dim=-1)
        scarcity = (budgets / seen.colour.shape[1] - self.least) / (self.depth - self.least)
        return scores, self.balance(queries, scarcity.to(scores)).float()
