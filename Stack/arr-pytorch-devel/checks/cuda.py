"""Where PyTorch has CUDA: nvcc makes code for each of its architectures, triton is there, no driver is."""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

if not torch.version.cuda:
    print("no CUDA in this profile")
    sys.exit()
wrong = []
architectures = torch._C._cuda_getArchFlags().split()
with tempfile.TemporaryDirectory() as folder:
    source, cubin = Path(folder, "twice.cu"), Path(folder, "twice.cubin")
    source.write_text('extern "C" __global__ void twice(float* values) { values[threadIdx.x] *= 2; }\n')
    for architecture in architectures:
        nvcc = subprocess.run(["nvcc", "-cubin", f"-arch={architecture}", "-o", cubin, source], capture_output=True, text=True)
        if nvcc.returncode or cubin.read_bytes()[:4] != b"\x7fELF":
            wrong.append(f"nvcc makes nothing for {architecture}: {nvcc.stderr[-500:]}")
    source.write_text("int main() { cudaDeviceSynchronize(); return 0; }\n")
    nvcc = subprocess.run(["nvcc", "-o", Path(folder, "program"), source], capture_output=True, text=True)
    if nvcc.returncode or subprocess.run([Path(folder, "program")]).returncode:
        wrong.append(f"nvcc links no program: {nvcc.stderr[-500:]}")
import triton

driver = [str(path) for path in Path("/usr/lib/x86_64-linux-gnu").glob("libcuda.so.*")]
wrong += [f"{path} is the driver's, which comes from the machine" for path in driver]
if wrong:
    sys.exit("; ".join(wrong))
print(f"nvcc makes code for {', '.join(architectures)}; triton {triton.__version__}")
