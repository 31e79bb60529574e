"""Who misses a compiler here is told, by the error itself, which image has one."""

import sys

import torch
from torch.utils.cpp_extension import load_inline


def told(what: str, action: "object") -> "list[str]":
    try:
        action()
    except RuntimeError as error:
        return [] if "arr-pytorch-devel" in str(error) else [f"{what} says only: {error}"]
    return [f"{what} works, so something here compiles"]


wrong = told("torch.utils.cpp_extension", lambda: load_inline("nothing", "int one() { return 1; }", functions="one"))
wrong += told("torch.compile", lambda: torch.compile(lambda values: values.sin() + 1)(torch.ones(3)))
if wrong:
    sys.exit("; ".join(wrong))
print("cpp_extension and torch.compile name arr-pytorch-devel")
