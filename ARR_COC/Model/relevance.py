"""How relevant a patch is, from three points of view, and the balance between them.

Each point of view has a sight of its own, and none sees what another sees:
information content the spectrum of the patch, salience a thumbnail of the whole image, coupling the patch's coarsest token
and the query. After ARR-COC's propositional, perspectival and participatory knowing.
"""

import math

import torch
from torch import nn


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


class Information(nn.Module):
    """How much there is to tell of a patch: from the energy of its detail tokens alone, without their signs or the query."""

    def __init__(self, depth: int, hidden: int) -> None:
        super().__init__()
        self.score = perceptron(depth - 1, hidden, 1)

    def forward(self, detail: torch.Tensor) -> torch.Tensor:
        """Detail tokens `(n, patches, depth - 1, width)` to scores `(n, patches)`."""
        energy = torch.log(detail.square().mean(dim=-1) + 1e-3) / 3 + 1
        return self.score(energy).squeeze(-1)


class Salience(nn.Module):
    """How a patch stands out from its picture: from its colour and that of all others alone, as in a thumbnail."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.score = perceptron(7, hidden, 1)

    def forward(self, colour: torch.Tensor) -> torch.Tensor:
        """Colours `(n, patches, 3)` to scores `(n, patches)`."""
        difference = (colour - colour.mean(dim=1, keepdim=True)) * 5
        light = difference.mean(dim=-1, keepdim=True)
        return self.score(torch.cat([difference, difference.abs(), light.abs()], dim=-1)).squeeze(-1)


class Coupling(nn.Module):
    """What a patch has to do with the query: the pointwise mutual information of the two.

    A classifier says which query a patch belongs to. Only how much more likely the asked one is than any counts, so what
    is good or bad for every query cancels out.
    """

    def __init__(self, queries: int, hidden: int) -> None:
        super().__init__()
        self.classify = perceptron(3, hidden, queries)
        self.queries = queries

    def forward(self, colour: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        """Colours `(n, patches, 3)` and queries `(n,)` to scores `(n, patches)`."""
        tint = (colour - colour.mean(dim=-1, keepdim=True)) * 10
        likely = self.classify(tint).log_softmax(dim=-1) + math.log(self.queries)
        return likely.gather(2, queries[:, None, None].expand(-1, colour.shape[1], 1)).squeeze(-1)


class Balance(nn.Module):
    """How much each point of view counts, given the query and how scarce tokens are: three positive weights an image."""

    def __init__(self, queries: int, hidden: int, views: int) -> None:
        super().__init__()
        self.query = nn.Embedding(queries, hidden)
        self.weigh = perceptron(hidden + 1, hidden, views)

    def forward(self, queries: torch.Tensor, scarcity: torch.Tensor) -> torch.Tensor:
        """Queries and shares of the budget in what all patches could take, `(n,)` each, to weights `(n, views)`."""
        return nn.functional.softplus(self.weigh(torch.cat([self.query(queries), scarcity[:, None]], dim=-1)) + 1)
