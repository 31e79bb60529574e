"""An extension of PyTorch in C++ is compiled, loaded and called, with PyTorch's headers and pybind11."""

import sys

import torch
from torch.utils.cpp_extension import load_inline

SOURCE = """
torch::Tensor twice_and_sum(torch::Tensor values) {
  TORCH_CHECK(values.is_contiguous(), "values must be contiguous");
  const float* first = values.const_data_ptr<float>();  // a template that compilers may name otherwise than libtorch's did
  return (values * 2).sum() + *first;
}
"""

module = load_inline("twice", SOURCE, functions="twice_and_sum", extra_cflags=["-O1"])
got = module.twice_and_sum(torch.arange(5.0)).item()
if got != 20:
    sys.exit(f"the extension says {got}, not 20")
try:
    module.twice_and_sum(torch.zeros(2, 3).t())
except RuntimeError as error:
    if "must be contiguous" not in str(error):
        sys.exit(f"the extension's own error is lost: {error}")
else:
    sys.exit("the extension's check did not raise")
print("a C++ extension compiles, computes and raises")
