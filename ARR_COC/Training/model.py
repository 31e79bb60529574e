"""Adaptive relevance over patches: where to look is learned together with what is seen there."""

import torch
from torch import nn

from ARR_COC.Training.data import SIZE, TARGETS

PATCH = 4  # pixels a side


class RelevanceNet(nn.Module):
    """Images `(n, 1, SIZE, SIZE)` to `(n, TARGETS)`."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 5, padding=2, stride=2), nn.GroupNorm(4, width), nn.GELU(),
            nn.Conv2d(width, width, 5, padding=2, stride=2), nn.GroupNorm(4, width), nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(4, width), nn.GELU(),
        )  # fmt: skip
        self.relevance = nn.Conv2d(width, heads, 1)
        with torch.no_grad():  # sharp from the start: from a flat one, where to look is learned much later
            self.relevance.weight.mul_(8)
        self.answer = nn.Sequential(nn.Linear(heads * (width + 2), 64), nn.GELU(), nn.Linear(64, TARGETS))
        side = (torch.arange(SIZE // PATCH) + 0.5) / (SIZE // PATCH)
        self.register_buffer("places", torch.stack(torch.meshgrid(side, side, indexing="xy")), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.features(images)
        places = self.places.expand(len(images), -1, -1, -1)
        values = torch.cat([seen, places], dim=1).flatten(2)  # (n, width + 2, patches)
        weights = self.relevance(seen).flatten(2).softmax(dim=2)  # (n, heads, patches)
        return self.answer(torch.einsum("nhp,ncp->nhc", weights, values).flatten(1))
