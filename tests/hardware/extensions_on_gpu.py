"""Does the image with a compiler make code that a GPU runs? An extension in CUDA, functions by torch.compile, a program by nvcc.

    python3 extensions_on_gpu.py        in the root of arr-pytorch-devel (pack.py --with-compiler, enter.sh), with a GPU

The extension must compute what PyTorch's own operators do. A compiled function, forward and backward, may be twice as far off what they compute in
double precision as they are. Prints what was compiled and how long it took, and ends with 1 where something differs.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch._inductor import metrics
from torch.nn import functional
from torch.utils.cpp_extension import load_inline

EXTENSION = """
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

template <typename scalar> __global__ void scaled_sum(const scalar* a, const scalar* b, scalar* out, float scale, long count) {
  long index = blockIdx.x * (long)blockDim.x + threadIdx.x;
  if (index < count) out[index] = static_cast<scalar>(static_cast<float>(a[index]) * scale + static_cast<float>(b[index]));
}

torch::Tensor scaled(torch::Tensor a, torch::Tensor b, double scale) {
  auto out = torch::empty_like(a);
  long count = a.numel();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, a.scalar_type(), "scaled", [&] {
    scaled_sum<scalar_t><<<(count + 255) / 256, 256, 0, c10::cuda::getCurrentCUDAStream()>>>(
        a.data_ptr<scalar_t>(), b.data_ptr<scalar_t>(), out.data_ptr<scalar_t>(), scale, count);
  });
  return out;
}
"""
PROGRAM = """
#include <cstdio>
__global__ void twice(int* values) { values[threadIdx.x] *= 2; }
int main() {
  int host[4] = {1, 2, 3, 4}, *device;
  cudaMalloc(&device, sizeof host);
  cudaMemcpy(device, host, sizeof host, cudaMemcpyHostToDevice);
  twice<<<1, 4>>>(device);
  cudaMemcpy(host, device, sizeof host, cudaMemcpyDeviceToHost);
  std::printf("%d %d %d %d", host[0], host[1], host[2], host[3]);
  return cudaGetLastError();
}
"""


def normalised(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(functional.gelu(values @ weight), (weight.shape[1],))


def attention(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    query, key, value = (values @ weight).chunk(3, dim=-1)
    return (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1) @ value


def elementwise(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (values.sin().exp() * values.sigmoid() + values.tanh()).cumsum(-1) * weight.mean()


FUNCTIONS: list[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = [normalised, attention, elementwise]
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""A sum in another order, where the operators happen to be nearly exact."""


def run(called: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    """Result and gradients, of the same numbers in each type."""
    torch.manual_seed(0)
    values = (torch.randn(8, 128, 192, device="cuda") / 4).bfloat16().to(dtype).requires_grad_()
    weight = (torch.randn(192, 384, device="cuda") / 8).bfloat16().to(dtype).requires_grad_()
    result = called(values, weight)
    (result * torch.randn_like(result, dtype=torch.float32).bfloat16().to(dtype)).sum().backward()
    return [tensor.detach().double() for tensor in (result, values.grad, weight.grad) if tensor is not None]


def farthest(found: list[torch.Tensor], exact: list[torch.Tensor]) -> float:
    """The largest difference, of the largest value of its tensor; NaN where one is."""
    return torch.stack([(a - b).abs().max() / b.abs().max() for a, b in zip(found, exact, strict=True)]).max().item()


def compiled() -> list[str]:
    wrong = []
    for function in FUNCTIONS:
        exact = run(function, torch.float64)
        for dtype, rounding in ROUNDING.items():
            torch._dynamo.reset()
            metrics.reset()
            began = time.monotonic()
            off = farthest(run(torch.compile(function, fullgraph=True), dtype), exact)
            took, theirs = time.monotonic() - began, farthest(run(function, dtype), exact)
            said = f"{metrics.generated_kernel_count} kernels, off by {off:.1e}, the operators by {theirs:.1e}"
            print(f"torch.compile, {function.__name__}, {dtype}: {took:.1f} s, {said}")
            if not off <= 2 * theirs + rounding or not metrics.generated_kernel_count:
                wrong.append(f"{function.__name__} in {dtype}: {said}")
    return wrong


def extension() -> list[str]:
    began = time.monotonic()
    declared = "torch::Tensor scaled(torch::Tensor a, torch::Tensor b, double scale);"
    made = load_inline("scaled_by", declared, EXTENSION, functions=["scaled"])
    print(f"an extension in CUDA: {time.monotonic() - began:.1f} s")
    wrong = []
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        a, b = (torch.randn(1 << 20, device="cuda", dtype=dtype) for _ in range(2))
        if not torch.equal(made.scaled(a, b, 0.5), (a.float() * 0.5 + b.float()).to(dtype)):
            wrong.append(f"the extension's sum differs in {dtype}")
    return wrong


def program() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "twice.cu")
        source.write_text(PROGRAM)
        subprocess.run(["nvcc", "-arch=native", "-o", Path(folder, "twice"), source], check=True)
        said = subprocess.run([Path(folder, "twice")], capture_output=True, text=True).stdout
    print(f"a program by nvcc: {said}")
    return [] if said == "2 4 6 8" else [f"the program says {said!r}"]


def main() -> None:
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__} for {' '.join(torch.cuda.get_arch_list())}")
    wrong = [*extension(), *program(), *compiled()]
    print(f"{len(wrong)} differ")
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
