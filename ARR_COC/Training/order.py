"""Which images a step sees, and its random numbers: functions of the seed, the step and the place, never of what ran before."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy
import torch
from numpy.typing import NDArray

SHUFFLE, BUDGETS, DROPOUT = range(3)
"""What random numbers are for: each has a stream of its own."""


@dataclass(frozen=True)
class Order:
    """The images of every step, epoch after epoch, each shuffled for itself. Steps, epochs and parts count from 0.

    >>> [len(part) for part in Order(seed=1, size=100, batch=8, parts=2).of(step=3, rank=0, processes=2)]
    [2, 2]
    """

    seed: int
    size: int
    """Images of an epoch."""
    batch: int
    """Images of a step, over all processes."""
    parts: int = 1
    """Parts in which a process computes its images of a step."""

    def of(self, step: int, rank: int, processes: int) -> "list[list[int]]":
        """The images of a process in a step, part by part. Together the processes see `whole(step)`, however many they are."""
        images = self.whole(step)
        return [images[place] for place in self.places(rank, processes)]

    def places(self, rank: int, processes: int) -> "list[slice]":
        """Where the parts of a process stand in a step's batch."""
        each = self.batch // (self.parts * processes)
        starts = [(part * processes + rank) * each for part in range(self.parts)]
        return [slice(start, start + each) for start in starts]

    def whole(self, step: int) -> "list[int]":
        """All images of a step. A batch may end one epoch and begin the next."""
        images: "list[int]" = []
        while len(images) < self.batch:
            epoch, start = divmod(step * self.batch + len(images), self.size)
            images += shuffled(self.seed, epoch, self.size)[start : start + self.batch - len(images)].tolist()
        return images


@lru_cache(maxsize=2)
def shuffled(seed: int, epoch: int, size: int) -> "NDArray[numpy.int64]":
    """The order of an epoch."""
    return generator(seed, SHUFFLE, epoch).permutation(size)


def generator(seed: int, purpose: int, number: int) -> numpy.random.Generator:
    """A counter-based generator (Philox) that follows from its arguments alone."""
    return numpy.random.Generator(numpy.random.Philox(key=[seed, purpose], counter=[0, 0, 0, number]))


@dataclass(frozen=True)
class Parts:
    """The parts of a process from a step on, as a DataLoader's `batch_sampler` hands them to its workers."""

    order: Order
    rank: int
    processes: int
    start: int
    steps: int

    def __iter__(self) -> "Iterator[list[int]]":
        for step in range(self.start, self.steps):
            yield from self.order.of(step, self.rank, self.processes)

    def __len__(self) -> int:
        return (self.steps - self.start) * self.order.parts


@dataclass(frozen=True)
class Budgets:
    """The budget of each image of a step, and whether it is spent uniformly."""

    seed: int
    batch: int
    patches: int
    low: float
    high: float
    """Tokens a patch, on average over an image."""
    least: int
    depth: int
    explore: float

    def of(self, step: int) -> "tuple[torch.Tensor, torch.Tensor]":
        """`(batch,)` of tokens, and `(batch,)` of booleans: uniform. The range of those that are goes to whole patches."""
        first, second = generator(self.seed, BUDGETS, step).random((2, self.batch))
        uniform = second < self.explore
        learned = self.low * (self.high / self.low) ** first
        even = self.least + (self.depth - self.least) * first
        tokens = numpy.where(uniform, even, learned) * self.patches
        return torch.from_numpy(tokens.round().astype(numpy.int64)), torch.from_numpy(uniform)


def seed_dropout(seed: int, step: int, part: int, rank: int) -> None:
    """Makes what torch draws next, on every device, follow from the arguments alone."""
    torch.manual_seed(int(generator(seed, DROPOUT, (step * 4096 + part) * 65536 + rank).integers(2**63)))


def learning_rate(step: int, steps: int, highest: float, warm_up: int) -> float:
    """Straight up in `warm_up` steps, or half of the run where that is shorter, then down by half a cosine."""
    rising = max(1, min(warm_up, steps // 2))
    if step < rising:
        return highest * (step + 1) / rising
    return highest * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
