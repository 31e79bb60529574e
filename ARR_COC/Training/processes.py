"""The processes of a run, through accelerate: which one this is, its device, its precision, and what all agree on."""

import os
from typing import TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from torch import distributed

Value = TypeVar("Value")


class Processes:
    def __init__(self, precision: str) -> None:
        cpu = not torch.cuda.is_available()
        self.accelerator = Accelerator(
            mixed_precision="no" if precision == "float32" else precision,
            cpu=cpu,
            # Left alone, accelerate takes MPI on CPUs where torch has it, whoever launched.
            kwargs_handlers=[InitProcessGroupKwargs(backend="gloo" if cpu else "nccl")] if "LOCAL_RANK" in os.environ else None,
        )
        self.rank, self.count = self.accelerator.process_index, self.accelerator.num_processes
        self.device, self.main = self.accelerator.device, self.accelerator.is_main_process
        # On GPUs what processes agree on goes over the CPU, so that no step waits for the GPU to be asked.
        self.group = distributed.new_group(backend="gloo") if self.count > 1 and self.device.type == "cuda" else None

    def largest(self, number: int) -> int:
        """The largest of all processes' numbers, the same on each of them."""
        if self.count == 1:
            return number
        value = torch.tensor(number)
        distributed.all_reduce(value, distributed.ReduceOp.MAX, group=self.group)
        return int(value)

    def mean(self, number: float) -> float:
        """The mean of all processes' numbers, the same on each of them."""
        if self.count == 1:
            return number
        value = torch.tensor(number, dtype=torch.float64)
        distributed.all_reduce(value, group=self.group)
        return float(value) / self.count

    def from_main(self, value: Value) -> Value:
        """The main process's value."""
        if self.count == 1:
            return value
        (sent,) = broadcast_object_list([value])
        return cast(Value, sent)

    def wait(self) -> None:
        """Until all processes are here: who keeps the others' store must not end first."""
        self.accelerator.wait_for_everyone()
