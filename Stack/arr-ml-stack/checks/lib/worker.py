"""worker.py torch|accelerate: one of several processes, each of which adds its rank + 1 to a sum."""

import sys

import torch

if sys.argv[1] == "torch":
    torch.distributed.init_process_group("gloo")
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    total = torch.tensor(rank + 1)
    torch.distributed.all_reduce(total)
else:
    from accelerate import Accelerator

    accelerator = Accelerator()
    rank, world = accelerator.process_index, accelerator.num_processes
    total = accelerator.reduce(torch.tensor(rank + 1), "sum")
# In one write, so that the lines of two processes do not mix.
sys.stdout.write(f"rank {rank} of {world}: the sum is {total.item()}\n")
sys.stdout.flush()
torch.distributed.destroy_process_group()
