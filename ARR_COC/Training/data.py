"""Images that are made, not fetched: a cross to find beside a bar that looks like a part of it."""

import torch

SIZE = 32  # pixels a side
TARGETS = 4  # the cross's x, y, width and height, each as a fraction of SIZE
HELD_OUT = -1  # the step number of the batch that training never sees


def generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """The random numbers of one batch: a function of its place in the run, so that a resumed run makes the same ones."""
    return torch.Generator().manual_seed((seed * 1_000_003 + (step + 1)) * 1_009 + rank)


def boxes(count: int, source: torch.Generator) -> torch.Tensor:
    """Centres and extents that lie wholly inside the image: `(count, 4)` of x, y, width, height in [0, 1]."""
    extent = 0.15 + 0.3 * torch.rand(count, 2, generator=source)
    centre = extent / 2 + (1 - extent) * torch.rand(count, 2, generator=source)
    return torch.cat([centre, extent], dim=1)


def bar(centre: torch.Tensor, length: torch.Tensor, along: int) -> torch.Tensor:
    """A soft-edged bar of a tenth of the image's thickness: `(count, SIZE, SIZE)` in [0, 1]."""
    pixels = (torch.arange(SIZE) + 0.5) / SIZE
    x, y = (
        (pixels.view(1, 1, SIZE) - centre[:, 0].view(-1, 1, 1)).abs(),
        (pixels.view(1, SIZE, 1) - centre[:, 1].view(-1, 1, 1)).abs(),
    )
    lengthwise, across = (x, y) if along == 0 else (y, x)
    inside = torch.minimum(length.view(-1, 1, 1) / 2 - lengthwise, 0.05 - across)
    return torch.sigmoid(inside * 4 * SIZE)


def batch(count: int, source: torch.Generator) -> "tuple[torch.Tensor, torch.Tensor]":
    """Images `(count, 1, SIZE, SIZE)` and their crosses `(count, TARGETS)`."""
    cross = boxes(count, source)
    image = torch.maximum(bar(cross[:, :2], cross[:, 2], 0), bar(cross[:, :2], cross[:, 3], 1))
    other = boxes(count, source)
    lying = (torch.rand(count, generator=source) < 0.5).view(-1, 1, 1)
    image = torch.maximum(image, torch.where(lying, bar(other[:, :2], other[:, 2], 0), bar(other[:, :2], other[:, 3], 1)))
    noise = 0.15 * torch.randn(image.shape, generator=source)
    return (image + noise).unsqueeze(1), cross
