"""What `verify` says of GPU code, held to what a GPU does with it. Needs an NVIDIA GPU with its driver, and nvcc; torch if there.

    PYTHONPATH=src python3 tests/hardware/verify_on_gpu.py

Compiles one kernel for single architectures, asks `verify` how each runs on this GPU, loads each through the CUDA driver API, runs
what loads, and compares the result with the CPU's. Then the census of the installed torch against `torch.cuda.get_arch_list()`.
Prints one line a check, and exits 1 where one fails.
"""

import array
import ctypes
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from arrstack.artifacts.disk import SingleFile
from arrstack.verify import verify
from arrstack.verify.collect import collect
from arrstack.verify.compat import Mode, library_choice, running_units
from arrstack.verify.facts import Library

KERNEL = """
extern "C" __global__ void axpy(int n, float a, const float *x, float *y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}
"""
N = 100_003
CUDA_ERROR_NO_BINARY_FOR_GPU = 209
CUDA_ERROR_INVALID_PTX, CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 218, 222


class Gpu:
    """The first GPU, through the driver API alone."""

    def __init__(self) -> None:
        self._cuda = ctypes.CDLL("libcuda.so.1")
        device = ctypes.c_int()
        self._check("cuInit", 0)
        self._check("cuDeviceGet", ctypes.byref(device), 0)
        self.capability = (self._attribute(75, device), self._attribute(76, device))
        name = ctypes.create_string_buffer(100)
        self._check("cuDeviceGetName", name, 100, device)
        self.name = name.value.decode()
        context = ctypes.c_void_p()
        self._check("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._check("cuCtxSetCurrent", context)

    def _check(self, function: str, *args: object) -> None:
        status = getattr(self._cuda, function)(*args)
        if status:
            raise SystemExit(f"{function} answers {status}")

    def _attribute(self, number: int, device: ctypes.c_int) -> int:
        value = ctypes.c_int()
        self._check("cuDeviceGetAttribute", ctypes.byref(value), number, device)
        return value.value

    def load(self, image: bytes) -> tuple[int, ctypes.c_void_p]:
        """The driver's answer to a fat binary (0 is success), and the module."""
        module = ctypes.c_void_p()
        return self._cuda.cuModuleLoadData(ctypes.byref(module), image), module

    def axpy(self, module: ctypes.c_void_p, a: float, x: array.array, y: array.array) -> array.array:
        function = ctypes.c_void_p()
        self._check("cuModuleGetFunction", ctypes.byref(function), module, b"axpy")
        size = len(x) * 4
        on_gpu = [ctypes.c_uint64(), ctypes.c_uint64()]
        for pointer, data in zip(on_gpu, (x, y), strict=True):
            self._check("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(size))
            self._check("cuMemcpyHtoD_v2", pointer, data.tobytes(), ctypes.c_size_t(size))
        arguments = [ctypes.c_int(len(x)), ctypes.c_float(a), *on_gpu]
        pointers = (ctypes.c_void_p * 4)(*(ctypes.addressof(argument) for argument in arguments))
        blocks = (len(x) + 255) // 256
        self._check("cuLaunchKernel", function, blocks, 1, 1, 256, 1, 1, 0, None, pointers, None)
        self._check("cuCtxSynchronize")
        out = ctypes.create_string_buffer(size)
        self._check("cuMemcpyDtoH_v2", out, on_gpu[1], ctypes.c_size_t(size))
        for pointer in on_gpu:
            self._check("cuMemFree_v2", pointer)
        return array.array("f", out.raw)


def compile_for(directory: Path, code: str) -> Path:
    """A fat binary of the kernel with this code alone: "sm_90", "sm_90a", "compute_80" ..."""
    source, out = directory / "axpy.cu", directory / f"{code}.fatbin"
    source.write_text(KERNEL)
    compute = code.replace("sm_", "compute_")
    subprocess.run(["nvcc", "-fatbin", "-gencode", f"arch={compute},code={code}", "-o", str(out), str(source)], check=True)
    return out


def library_of(path: Path) -> Library:
    (library,) = collect(SingleFile(path)).libraries
    return library


def check_prediction(gpu: Gpu, path: Path, code: str) -> bool:
    library = library_of(path)
    predicted = library_choice(running_units(library), gpu.capability).mode
    report = verify(path).as_dict()["libraries"][0]
    found = [*report["sm"], *report["ptx"]]
    status, module = gpu.load(path.read_bytes())
    if status == 0:
        x = array.array("f", ((i % 1000) / 7 for i in range(N)))
        y = array.array("f", ((i % 331) / 3 for i in range(N)))
        result = gpu.axpy(module, 1.5, x, y)
        # A fused multiply-add rounds once, the CPU's two steps twice: one unit in the last place of 32 bits at most.
        right = all(abs(got - (1.5 * a + b)) <= 1e-6 * max(1.0, abs(got)) for got, a, b in zip(result, x, y, strict=True))
        happened = "runs, result right" if right else "runs, result WRONG"
        good = right and predicted is not Mode.NO
    else:
        happened = f"driver answers {status}"
        good = predicted is Mode.NO and status == CUDA_ERROR_NO_BINARY_FOR_GPU
    good = good and found == [code]
    print(f"{'ok  ' if good else 'FAIL'} {code:12} census {','.join(found):12} predicted {predicted.value:12} {happened}")
    return good


def check_torch() -> bool:
    """The census of libtorch_cuda.so against what torch says that it was compiled for."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        print("skip  torch is not installed")
        return True
    import torch

    path = Path(spec.origin).parent / "lib" / "libtorch_cuda.so"
    report = verify(path).as_dict()["libraries"][0]
    found = {**report["sm"], **report["ptx"]}
    # torch names its global list. Single files are built for more besides: variants, and since 2.7 one for sm_89.
    everywhere = {name for name, amount in found.items() if 2 * amount["entries"] >= report["units"]}
    said = set(torch.cuda.get_arch_list())
    good = everywhere == said
    print(f"{'ok  ' if good else 'FAIL'} torch {torch.__version__}: in most of {report['units']} units {sorted(everywhere)}")
    print(
        f"     get_arch_list {sorted(said)}; besides, in single units: { ({k: v['entries'] for k, v in found.items() if k not in everywhere}) }"
    )
    return good


def main() -> int:
    gpu = Gpu()
    print(f"{gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}")
    with tempfile.TemporaryDirectory() as directory:
        codes = [
            "sm_90",
            "sm_80",
            "sm_100",
            "sm_75",
            "sm_86",
            "sm_89",
            "sm_90a",
            "sm_100a",
            "sm_120",
            "compute_80",
            "compute_90",
            "compute_100",
        ]
        results = [check_prediction(gpu, compile_for(Path(directory), code), code) for code in codes]
    results.append(check_torch())
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
