"""What a task is, and which one a run's settings name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy
import torch
from numpy.typing import NDArray

from ARR_COC.Training.settings import Settings


class Samples(NamedTuple):
    """Some images and what is asked of them."""

    images: "NDArray[numpy.float32]"
    """`(n, 3, side, side)`, about 0 to 1."""
    queries: "NDArray[numpy.int64]"
    """`(n,)`: the number of the query."""
    answers: "NDArray[numpy.int64]"
    """`(n,)`: the number of the class."""
    needs: "NDArray[numpy.int64]"
    """`(n, patches)`: tokens that make a patch's part of the answer readable; 0 where a patch has no part in it.
    All 0 where no best allocation is known."""


class Split(Protocol):
    """Images to train on, or to evaluate with."""

    @property
    def size(self) -> int: ...

    def samples(self, indices: Sequence[int]) -> Samples:
        """These images; the same ones each time."""
        ...


@dataclass(frozen=True)
class Task:
    """What is learned."""

    train: Split
    held_out: Split
    queries: int
    classes: int
    patches: int
    """Of an image."""


class Batches(torch.utils.data.Dataset[Samples]):
    """A split for a DataLoader, which asks for all images of a part at once."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return self.split.size

    def __getitems__(self, indices: Sequence[int]) -> "tuple[torch.Tensor, ...]":
        return tuple(torch.from_numpy(part) for part in self.split.samples(indices))


def task_of(settings: Settings) -> Task:
    """Raises DataError for a data set that is not there or lacks a column, SettingsError for sizes that don't fit."""
    if settings.data == "marks":
        from ARR_COC.Tasks.marks import marks

        return marks(settings)
    from ARR_COC.Tasks.folder import folder

    return folder(settings)
