"""Kernels of PyTorch's element-wise operators by two compilers on a GPU: the same numbers, and the same time?

    python3 tests/hardware/kernels_on_gpu.py FOLDER [--elements N]

FOLDER holds NAME.nvcc.cubin and NAME.clang.cubin of the same files for this GPU (`cuobjdump -xelf all OBJECT` takes them out). Of each file
it launches every `vectorized_elementwise_kernel<WIDTH, F, ARRAY>(int elements, F, ARRAY)` that both have (ATen/native/cuda/CUDALoops.cuh), with
the same random inputs and the same bytes in the functor, and compares what comes out to the bit; not-a-number equals itself. Numbers may
differ by ROUNDING units of the type's precision, as compilers join multiplications and additions otherwise. Then each is timed in turns.
Prints a line a kernel that differs or is slower than TOLERATED, the geometric mean, and JSON as the last line. Status 1 where numbers
differ by more. Needs torch for memory and events, any version.
"""

import argparse
import ctypes
import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tools/compile-plan"))
import resources

FAMILY = re.compile(r"vectorized_elementwise_kernelILi(\d+)E(?!.*amp_)")
"""Those for mixed precision's scaling have pointers in the functor."""
TYPES = (
    (re.compile(r"complexId"), torch.complex128),
    (re.compile(r"complexIf"), torch.complex64),
    (re.compile(r"BFloat16"), torch.bfloat16),
    (re.compile(r"4Half"), torch.float16),
    (re.compile(r"Uld|Idd|dEE|ILi4Ed"), torch.float64),
    (re.compile(r"Ulf|Iff|fEE"), torch.float32),
    (re.compile(r"Ulb|Ibb|bEE"), torch.bool),
)
BLOCK, UNTIL = 128, 60
TOLERATED = 1.1
ROUNDING = 8
FILL = 0x3F
WORK = 4
"""Elements a thread, the fewest that a build chooses: where it chose more, the blocks behind the last element do nothing."""
MARGIN = 16
"""Elements behind the last: what is written there is a difference."""

Call = Callable[[], None]
driver = ctypes.CDLL("libcuda.so.1")


def checked(status: int) -> None:
    if status:
        raise SystemExit(f"error: the driver says {status}")


class Module:
    """A cubin, loaded."""

    def __init__(self, path: Path):
        self.handle = ctypes.c_void_p()
        checked(driver.cuModuleLoadData(ctypes.byref(self.handle), path.read_bytes()))
        told = subprocess.run(["cuobjdump", "-res-usage", str(path)], capture_output=True, text=True)
        names = re.findall(r"Function (\S+):", told.stdout + told.stderr)
        self.names = {resources.common_name(name): name for name in names}
        """What every compiler would call a kernel -> what this one does."""

    def kernel(self, name: str) -> ctypes.c_void_p:
        found = ctypes.c_void_p()
        checked(driver.cuModuleGetFunction(ctypes.byref(found), self.handle, self.names[name].encode()))
        return found


def sizes(kernel: ctypes.c_void_p) -> list[int]:
    """Bytes of each parameter."""
    found: list[int] = []
    offset, size = ctypes.c_size_t(), ctypes.c_size_t()
    while driver.cuFuncGetParamInfo(kernel, ctypes.c_size_t(len(found)), ctypes.byref(offset), ctypes.byref(size)) == 0:
        found.append(size.value)
    return found


def launch(kernel: ctypes.c_void_p, blocks: int, arguments: list[Any]) -> None:
    pointers = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(each) for each in arguments])
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    checked(driver.cuLaunchKernel(kernel, blocks, 1, 1, BLOCK, 1, 1, 0, stream, pointers, None))


def dtype_of(name: str) -> torch.dtype:
    """Of the operands, as the functor's name says it; bytes where it says none that is known."""
    return next((dtype for pattern, dtype in TYPES if pattern.search(name)), torch.uint8)


def inputs(dtype: torch.dtype, count: int, elements: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    if dtype in (torch.uint8, torch.bool):  # no zero among whole numbers: what divides by it may do anything
        least, most = (1, 4) if dtype is torch.uint8 else (0, 2)
        return [torch.randint(least, most, (elements * 16,), device="cuda", dtype=torch.uint8) for _ in range(count)]
    return [torch.randn(elements, device="cuda", dtype=torch.float32).to(dtype) for _ in range(count)]


def functor(size: int, dtype: torch.dtype) -> Any:
    """Bytes for a functor: none for an empty one, else all the same. Compilers lay out functors with a lambda otherwise (nvcc puts a
    wrapper in its place), and so a scalar in it is the same wherever it stands: 0.75 as float and bfloat16, 1.8 as half."""
    fill = 0 if size <= 1 else 1 if dtype is torch.bool else FILL
    return (ctypes.c_uint8 * max(size, 1))(*[fill] * max(size, 1))


def arguments(kernel: ctypes.c_void_p, dtype: torch.dtype, elements: int, output: torch.Tensor) -> "list[Any] | None":
    """What the kernel takes; None where it is not of the family's form."""
    given = sizes(kernel)
    if len(given) != 3 or given[0] != 4 or given[2] % 8:
        return None
    operands = inputs(dtype, given[2] // 8 - 1, elements)
    data = (ctypes.c_void_p * (len(operands) + 1))(output.data_ptr(), *[each.data_ptr() for each in operands])
    data.kept = operands
    return [ctypes.c_int(elements), functor(given[1], dtype), data]


def microseconds(call: Call) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end) * 1e3)


def compared(name: str, ours: Module, theirs: Module, elements: int) -> "tuple[float, float] | None":
    """By how much a kernel of both differs (units), and the time of the second over the first; None where it is of another form.
    A kernel that seems slow is timed again, longer."""
    dtype = dtype_of(name)
    width = 16
    outputs = [torch.zeros((elements + MARGIN) * width, device="cuda", dtype=torch.uint8) for _ in range(2)]
    kernels = [ours.kernel(name), theirs.kernel(name)]
    given = [arguments(kernel, dtype, elements, output) for kernel, output in zip(kernels, outputs, strict=True)]
    if given[0] is None or given[1] is None:
        return None
    blocks = math.ceil(elements / (BLOCK * WORK))
    for kernel, told in zip(kernels, given, strict=True):
        launch(kernel, blocks, told)
    torch.cuda.synchronize()
    differs = units(*outputs, dtype)
    calls = [partial(launch, kernel, blocks, told) for kernel, told in zip(kernels, given, strict=True)]
    ratio = timed(*calls, UNTIL)
    return differs, ratio if ratio <= TOLERATED else timed(*calls, 5 * UNTIL)


def timed(one: Call, other: Call, rounds: int) -> float:
    """The median time of the second over the first's, in turns."""
    times = [(microseconds(one), microseconds(other)) for _ in range(rounds)]
    return statistics.median(second for _, second in times) / statistics.median(first for first, _ in times)


def units(one: torch.Tensor, two: torch.Tensor, dtype: torch.dtype) -> float:
    """By how many units of the type's precision two results differ at most; 0 where they are the same. Of results below one, by
    units of one: the inputs are of that size, and what cancels out leaves their rounding."""
    if torch.equal(one, two):
        return 0.0
    if dtype in (torch.uint8, torch.bool):
        return math.inf
    left, right = one.view(dtype), two.view(dtype)
    if dtype.is_complex:
        left, right = torch.view_as_real(left), torch.view_as_real(right)
    other = ~((left == right) | (left.isnan() & right.isnan()))
    left, right = left[other].double(), right[other].double()
    if not len(left):
        return 0.0
    error = (left - right).abs() / torch.maximum(left.abs(), right.abs()).clamp(min=1.0)
    return float(error.nan_to_num(nan=math.inf).max()) / torch.finfo(dtype).eps


def files(folder: Path) -> Iterator[tuple[str, Module, Module]]:
    for path in sorted(folder.glob("*.nvcc.cubin")):
        name = path.name.removesuffix(".nvcc.cubin")
        yield name, Module(path), Module(folder / f"{name}.clang.cubin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--elements", type=int, default=1 << 22)
    options = parser.parse_args()
    torch.zeros(1, device="cuda")
    ratios: list[float] = []
    rounded = differ = slow = 0
    for name, nvcc, clang in files(options.folder):
        common = [each for each in sorted(nvcc.names) if each in clang.names and FAMILY.search(each)]
        for kernel in common:
            found = compared(kernel, nvcc, clang, options.elements)
            if found is None:
                continue
            off, ratio = found
            ratios.append(ratio)
            rounded += 0 < off <= ROUNDING
            differ += off > ROUNDING
            slow += ratio > TOLERATED
            if off or ratio > TOLERATED:
                print(f"{name} {kernel}: {off:.3g} units apart, {ratio:.3f} of nvcc's time", flush=True)
        print(f"{name}: {len(common)} kernels of both", flush=True)
    mean = math.exp(statistics.fmean(math.log(ratio) for ratio in ratios)) if ratios else 0.0
    told = {
        "gpu": torch.cuda.get_device_name(),
        "kernels": len(ratios),
        "rounded": rounded,
        "different": differ,
        "slow": slow,
        "mean": round(mean, 4),
    }
    print(json.dumps(told))
    return 1 if differ or not ratios else 0


if __name__ == "__main__":
    sys.exit(main())
