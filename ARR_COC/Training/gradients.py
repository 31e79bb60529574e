"""The gradients of a model as one tensor, summed over processes in one piece and always in the same order.

DistributedDataParallel regroups its buckets after its first step. With three processes or more a resumed run then sums in
another order than one that was not stopped, and their last bits differ.
"""

from collections.abc import Iterable

import torch
from torch import distributed


class Gradients:
    """Every parameter's `grad` is a view into `flat`, from the first to the last."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        first = self.parameters[0]
        self.flat = torch.zeros(sum(p.numel() for p in self.parameters), dtype=first.dtype, device=first.device)
        for parameter, view in zip(self.parameters, self.flat.split([p.numel() for p in self.parameters]), strict=False):
            parameter.grad = view.view_as(parameter)

    def clear(self) -> None:
        self.flat.zero_()

    def average(self, processes: int) -> None:
        """The mean over all processes, on each of them."""
        if processes > 1:
            distributed.all_reduce(self.flat)
            self.flat /= processes

    def clip(self, longest: float) -> torch.Tensor:
        """Shortens the gradient to a length, and returns the length that it had."""
        length = self.flat.norm()
        self.flat *= (longest / (length + 1e-6)).clamp(max=1)
        return length
