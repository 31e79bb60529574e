"""torch.compile makes C++ of a function, compiles it, and it computes what the function computes, forward and backward."""

import sys

import torch
from torch._inductor import metrics

torch.manual_seed(0)


def function(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.gelu(values @ weight).softmax(dim=-1).square().sum()


def run(called: "torch._dynamo.OptimizedModule | object") -> "tuple[torch.Tensor, torch.Tensor]":
    values = torch.linspace(-2, 2, 64 * 96).reshape(64, 96).requires_grad_()
    weight = torch.linspace(-1, 1, 96 * 128).reshape(96, 128)
    result = called(values, weight)
    result.backward()
    return result.detach(), values.grad


expected, got = run(function), run(torch.compile(function, fullgraph=True))
if metrics.generated_kernel_count == 0:
    sys.exit("torch.compile made no kernel")
for name, a, b in zip(("the result", "the gradient"), expected, got, strict=True):
    if not torch.allclose(a, b, rtol=1e-4, atol=1e-6):
        sys.exit(f"{name} of the compiled function differs by {(a - b).abs().max().item()}")
print(f"torch.compile: {metrics.generated_kernel_count} kernels, result and gradient as without it")
