"""Imports the finished torch and asserts what the profile promises: version, features, and that it computes."""

import ctypes
import os
import sys

import torch
import torch.backends.xnnpack

failures = []


def expect(what: str, holds: bool) -> None:
    if not holds:
        failures.append(what)


def on(name: str) -> bool:
    return os.environ.get(name, "0").upper() in ("1", "ON", "YES", "TRUE")


def libuv_works() -> bool:
    try:
        store = torch.distributed.TCPStore("127.0.0.1", 0, 1, True, use_libuv=True)
    except RuntimeError:
        return False
    store.set("key", "value")
    return store.get("key") == b"value"


def gcc_finds(*symbols: str) -> bool:
    library = ctypes.CDLL(f"{os.path.dirname(torch.__file__)}/lib/libtorch_cpu.so")
    return all(hasattr(library, symbol) for symbol in symbols)


config, settings = torch.__config__.show(), torch.__config__._cxx_flags()
expect(f"version {os.environ['TORCH_VERSION']}, not {torch.__version__}", torch.__version__ == os.environ["TORCH_VERSION"])
# const_data_ptr<float>() and <int64_t>(), as gcc up to 14 and clang up to 17 name them: without them extensions do not load.
names = (f"_ZNK2at10TensorBase14const_data_ptrI{letter}Li0EEEPKT_v" for letter in "fl")
expect("the names of templates that extensions by gcc look for", gcc_finds(*names))
expect("OpenMP", torch.backends.openmp.is_available())
expect("LAPACK", torch._C.has_lapack)
expect("MKLDNN", torch.backends.mkldnn.is_available() == on("USE_MKLDNN"))
expect("XNNPACK", torch.backends.xnnpack.enabled == on("USE_XNNPACK"))
expect("QNNPACK", ("qnnpack" in torch.backends.quantized.supported_engines) == on("USE_PYTORCH_QNNPACK"))
expect("distributed", torch.distributed.is_available() == on("USE_DISTRIBUTED"))
expect("Kineto", torch.profiler.kineto_available() == on("USE_KINETO"))
expect("gloo", not on("USE_DISTRIBUTED") or torch.distributed.is_gloo_available())
expect("tensorpipe", not on("USE_TENSORPIPE") or hasattr(torch._C._distributed_rpc, "TensorPipeAgent"))
expect("libuv, which torchrun's store asks for", not on("USE_DISTRIBUTED") or libuv_works())
blas = {"OpenBLAS": "open", "MKL": "mkl", "Generic": "generic"}.get(os.environ.get("BLAS", ""), "")
expect(f"BLAS {blas}", f"BLAS_INFO={blas}" in config)
if on("USE_CUDA"):
    wanted = {"sm_" + arch.replace(".", "") for arch in os.environ["TORCH_CUDA_ARCH_LIST"].split(";")}
    built = set((torch._C._cuda_getArchFlags() or "").split())
    expect(f"architectures {sorted(wanted)}, not {sorted(built)}", wanted <= built)
    expect(f"cuDNN 9, not {torch.backends.cudnn.version()}", (torch.backends.cudnn.version() or 0) // 10000 == 9)
    expect("NCCL", not on("USE_DISTRIBUTED") or torch.distributed.is_nccl_available())
    expect("flash attention", torch.backends.cuda.is_flash_attention_available())
torch.manual_seed(0)
a = torch.randn(64, 64, dtype=torch.float64)
expect("a linear system is solved", torch.allclose(a @ torch.linalg.solve(a, a), a))
x = torch.randn(2, 3, 16, 16, requires_grad=True)
torch.nn.functional.conv2d(x, torch.randn(4, 3, 3, 3)).square().sum().backward()
expect("a convolution has a finite gradient", x.grad is not None and bool(torch.isfinite(x.grad).all()))
expect("NumPy both ways", (torch.from_numpy(torch.ones(3).numpy()) == 1).all().item())
expect("the JIT scripts", torch.jit.script(torch.nn.ReLU())(torch.tensor([-1.0])).item() == 0)
if failures:
    print(config, settings, sep="\n")
    sys.exit("torch does not hold what the profile promises: " + "; ".join(failures))
print(f"torch {torch.__version__}: {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
