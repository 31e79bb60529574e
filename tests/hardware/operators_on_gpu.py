"""PyTorch on a GPU: does every family of operators compute what the CPU computes, and how long does each take?

    python3 operators_on_gpu.py check [--archs "sm_90"]     a line a family that differs; status 1 where one does
    python3 operators_on_gpu.py measure                     JSON: operator -> microseconds on the GPU
    python3 operators_on_gpu.py compare OURS.json REFERENCE.json [OURS.json REFERENCE.json ...]
    python3 operators_on_gpu.py reduce PROCESSES            an all-reduce by NCCL, a process on each GPU

Needs nothing but the torch that it judges. `check` computes each operator twice, with the same inputs, and compares by what the type
holds; flash and memory-efficient attention are asked for by name, forward and backward, and held to the plain formula in double precision.
It also says what `torch.cuda.get_arch_list()` is, and holds it to `--archs`. `compare` prints medians of pairs of `measure`.
"""

import json
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as f
from torch.nn.attention import SDPBackend, sdpa_kernel

Operator = Callable[[dict[str, torch.Tensor]], Any]
SIZE = 1 << 20
EXACT = {torch.bool, torch.uint8, torch.int32, torch.int64}
TOLERANCE = {torch.float16: 5e-3, torch.bfloat16: 3e-2, torch.float32: 3e-4, torch.float64: 1e-10, torch.complex64: 3e-4}
"""Of the largest value."""
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
}
UNTIL, TRIES = 20_000.0, 7
"""Microseconds of one loop, and how many loops: the least counts."""


def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    vector = torch.randn(SIZE)
    return {
        "v": vector,
        "w": torch.randn(SIZE),
        "positive": vector.abs() + 0.1,
        "half": vector.half(),
        "bf": vector.bfloat16(),
        "double": vector.double(),
        "complex": torch.complex(vector, torch.randn(SIZE)),
        "int": torch.randint(-1000, 1000, (SIZE,)),
        "byte": torch.randint(0, 255, (SIZE,), dtype=torch.uint8),
        "bool": vector > 0,
        "matrix": torch.randn(1024, 1024),
        "square": torch.randn(256, 256) + 16 * torch.eye(256),
        "batch": torch.randn(16, 128, 96),
        "image": torch.randn(8, 32, 56, 56),
        "volume": torch.randn(2, 8, 12, 14, 14),
        "weight": torch.randn(64, 32, 3, 3),
        "weight1": torch.randn(64, 96, 3),
        "weight3": torch.randn(8, 8, 3, 3, 3),
        "grid": torch.rand(8, 28, 28, 2) * 2 - 1,
        "table": torch.randn(10_000, 64),
        "rows": torch.randint(0, 10_000, (4096,)),
        "classes": torch.randint(0, 1024, (1024,)),
        "sparse": (torch.randn(1024, 1024) * (torch.rand(1024, 1024) < 0.01)),
    }


def operators() -> dict[str, Operator]:
    """By family; each takes the inputs on one device and gives back a tensor or several."""
    return {
        "add": lambda x: x["v"] + x["w"],
        "add, bfloat16": lambda x: x["bf"] + x["bf"],
        "mul by a number": lambda x: x["v"] * 2.5,
        "mul, half": lambda x: x["half"] * x["half"],
        "mul, complex": lambda x: x["complex"] * x["complex"],
        "div": lambda x: x["v"] / x["positive"],
        "remainder": lambda x: torch.remainder(x["int"], 7),
        "bitwise and": lambda x: x["int"] & 255,
        "shift": lambda x: x["int"] << 3,
        "compare": lambda x: x["v"] < x["w"],
        "where": lambda x: torch.where(x["bool"], x["v"], 0.0),
        "exp": lambda x: x["v"].exp(),
        "log": lambda x: x["positive"].log(),
        "pow": lambda x: x["positive"].pow(1.7),
        "sin, double": lambda x: x["double"].sin(),
        "tanh": lambda x: x["v"].tanh(),
        "erfinv": lambda x: torch.erfinv(x["v"].tanh() * 0.99),
        "lgamma": lambda x: torch.lgamma(x["positive"]),
        "gelu": lambda x: f.gelu(x["v"]),
        "silu, bfloat16": lambda x: f.silu(x["bf"]),
        "clamp": lambda x: x["v"].clamp(-1, 1),
        "cast": lambda x: x["v"].to(torch.int32),
        "foreach add": lambda x: torch._foreach_add([x["v"], x["w"]], 1.0),
        "sum": lambda x: x["v"].sum(),
        "mean over rows": lambda x: x["matrix"].mean(1),
        "variance": lambda x: x["matrix"].var(0),
        "norm": lambda x: torch.linalg.vector_norm(x["matrix"], dim=1),
        "max over rows": lambda x: x["matrix"].max(1).values,
        "argmin": lambda x: x["matrix"].argmin(0),
        "any": lambda x: x["bool"].any(),
        "product": lambda x: (1 + x["matrix"] * 1e-3).prod(1),
        "cumsum": lambda x: x["matrix"].cumsum(1),
        "logcumsumexp": lambda x: x["matrix"].logcumsumexp(1),
        "cummax": lambda x: x["matrix"].cummax(0).values,
        "sort": lambda x: x["v"].sort().values,
        "sort of rows": lambda x: x["matrix"].sort(1).values,
        "top k": lambda x: x["matrix"].topk(16).values,
        "median": lambda x: x["matrix"].median(1).values,
        "unique": lambda x: x["int"].unique(),
        "nonzero": lambda x: x["bool"].nonzero(),
        "masked select": lambda x: x["v"][x["bool"]],
        "bincount": lambda x: torch.bincount(x["byte"]),
        "histogram": lambda x: torch.histc(x["v"], 64, -3, 3),
        "softmax": lambda x: x["matrix"].softmax(1),
        "log softmax, bfloat16": lambda x: x["matrix"].bfloat16().log_softmax(1),
        "cross entropy": lambda x: f.cross_entropy(x["matrix"], x["classes"]),
        "layer norm": lambda x: f.layer_norm(x["matrix"], (1024,)),
        "group norm": lambda x: f.group_norm(x["image"], 8),
        "batch norm": lambda x: f.batch_norm(x["image"], None, None, training=True),
        "max pool": lambda x: f.max_pool2d(x["image"], 3, 2),
        "average pool": lambda x: f.avg_pool2d(x["image"], 2),
        "adaptive average pool": lambda x: f.adaptive_avg_pool2d(x["image"], 7),
        "max pool, volume": lambda x: f.max_pool3d(x["volume"], 2),
        "bilinear": lambda x: f.interpolate(x["image"], scale_factor=2.0, mode="bilinear"),
        "bicubic": lambda x: f.interpolate(x["image"], scale_factor=1.5, mode="bicubic"),
        "grid sample": lambda x: f.grid_sample(x["image"], x["grid"], align_corners=False),
        "pixel shuffle": lambda x: f.pixel_shuffle(x["image"], 2),
        "reflection pad": lambda x: f.pad(x["image"], (2, 2, 2, 2), mode="reflect"),
        "unfold": lambda x: f.unfold(x["image"], 3),
        "convolution": lambda x: f.conv2d(x["image"], x["weight"]),
        "convolution, 1d": lambda x: f.conv1d(x["batch"].transpose(1, 2), x["weight1"]),
        "convolution, 3d": lambda x: f.conv3d(x["volume"], x["weight3"]),
        "depthwise convolution": lambda x: f.conv2d(x["image"], x["weight"][:32, :1], groups=32),
        "transposed convolution": lambda x: f.conv_transpose2d(x["image"], x["weight"].transpose(0, 1)),
        "matmul": lambda x: x["matrix"] @ x["matrix"],
        "matmul, bfloat16": lambda x: x["matrix"].bfloat16() @ x["matrix"].bfloat16(),
        "batched matmul": lambda x: x["batch"] @ x["batch"].transpose(1, 2),
        "solve": lambda x: torch.linalg.solve(x["square"], x["square"] + 1),
        "cholesky": lambda x: torch.linalg.cholesky(x["square"] @ x["square"].T),
        "singular values": lambda x: torch.linalg.svdvals(x["square"]),
        "fft": lambda x: torch.fft.rfft(x["matrix"]),
        "sparse matmul": lambda x: x["sparse"].to_sparse_coo() @ x["matrix"],
        "distances": lambda x: torch.cdist(x["batch"], x["batch"].flip(0)),
        "triangle": lambda x: x["matrix"].tril(),
        "roll": lambda x: x["matrix"].roll(7, 1),
        "flip": lambda x: x["matrix"].flip(0),
        "concatenate": lambda x: torch.cat([x["matrix"], x["matrix"]], 1),
        "transpose": lambda x: x["matrix"].t().contiguous(),
        "index": lambda x: x["table"][x["rows"]],
        "embedding": lambda x: f.embedding(x["rows"], x["table"]),
        "index add": lambda x: torch.zeros_like(x["table"]).index_add_(0, x["rows"], x["table"][:4096]),
        "scatter add": lambda x: torch.zeros_like(x["table"]).scatter_add_(
            0, x["rows"][:, None].expand(-1, 64), x["table"][:4096]
        ),
        "gather": lambda x: x["matrix"].gather(1, x["classes"][:, None].expand(-1, 16)),
        "index put": lambda x: x["table"].index_put((x["rows"],), torch.ones((), device=x["v"].device), accumulate=True),
        "a step of training": training_step,
        "an LSTM": recurrent,
    }


def training_step(x: dict[str, torch.Tensor]) -> torch.Tensor:
    weight = x["matrix"].clone().requires_grad_()
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    f.mse_loss(f.gelu(x["matrix"] @ weight / 32), x["matrix"]).backward()
    optimizer.step()
    return weight.detach()


def recurrent(x: dict[str, torch.Tensor]) -> torch.Tensor:
    torch.manual_seed(1)
    net = torch.nn.LSTM(96, 64, 2).to(x["v"].device)
    return net(x["batch"])[0].detach()


def attention(backend: SDPBackend, causal: bool, dtype: torch.dtype, dim: int) -> list[torch.Tensor]:
    """What comes out and the gradients of q, k, v."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 256, dim, device="cuda", dtype=dtype, requires_grad=True) for _ in range(3))
    with sdpa_kernel(backend):
        out = f.scaled_dot_product_attention(q, k, v, is_causal=causal)
    out.backward(torch.ones_like(out) / 16)
    return [out.detach(), *(each.grad for each in (q, k, v) if each.grad is not None)]


def plain_attention(causal: bool, dtype: torch.dtype, dim: int) -> list[torch.Tensor]:
    """The formula, in double precision, of the same inputs."""
    torch.manual_seed(0)
    given = [torch.randn(2, 4, 256, dim, device="cuda", dtype=dtype).double().requires_grad_() for _ in range(3)]
    q, k, v = given
    scores = q @ k.transpose(-1, -2) / math.sqrt(dim)
    if causal:
        scores = scores.masked_fill(torch.ones(256, 256, device="cuda", dtype=torch.bool).triu(1), -math.inf)
    out = scores.softmax(-1) @ v
    out.backward(torch.ones_like(out) / 16)
    return [out.detach(), *(each.grad for each in given if each.grad is not None)]


def tensors(found: Any) -> list[torch.Tensor]:
    return list(found) if isinstance(found, (list, tuple)) else [found]


def difference(ours: torch.Tensor, theirs: torch.Tensor, dtype: "torch.dtype | None" = None) -> str:
    """'' where they are the same, by what the type holds."""
    if ours.shape != theirs.shape:
        return f"shapes {tuple(ours.shape)}, {tuple(theirs.shape)}"
    if ours.dtype in EXACT:
        wrong = int((ours.cpu() != theirs.cpu()).sum())
        return f"{wrong} of {ours.numel()} values" if wrong else ""
    wide = torch.complex128 if ours.is_complex() else torch.float64
    a, b = ours.cpu().to(wide), theirs.cpu().to(wide)
    if not torch.equal(a.isnan(), b.isnan()) or not torch.equal(a.isinf(), b.isinf()):
        return "infinite or not a number in one alone"
    finite = b.isfinite()
    a, b = a[finite], b[finite]
    worst = float((a - b).abs().max()) if a.numel() else 0.0
    allowed = TOLERANCE[dtype or ours.dtype] * max(float(b.abs().max()) if b.numel() else 0.0, 1.0)
    return "" if worst <= allowed else f"{worst:.3g}, {allowed:.3g} allowed"


def check(archs: str) -> int:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    capability, name = torch.cuda.get_device_capability(), torch.cuda.get_device_name()
    listed = " ".join(torch.cuda.get_arch_list())
    print(f"{name}, {capability}, torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, for {listed}")
    wrong = [f"get_arch_list() is {listed}, not {archs}"] if archs and listed != archs else []
    here = inputs()
    there = {key: value.cuda() for key, value in here.items()}
    families = operators()
    for family, operator in families.items():
        try:
            pairs = zip(tensors(operator(there)), tensors(operator(here)), strict=True)
            found = [told for ours, theirs in pairs if (told := difference(ours, theirs))]
        except RuntimeError as error:
            found = [str(error).splitlines()[0]]
        wrong += [f"{family}: {told}" for told in found]
    count = 0
    for label, backend in BACKENDS.items():
        for dtype in (torch.float16, torch.bfloat16):
            for causal in (False, True):
                for dim in (32, 64, 96, 128, 160, 192, 224, 256) if label == "flash" else (64, 128):
                    count += 1
                    try:
                        pairs = zip(attention(backend, causal, dtype, dim), plain_attention(causal, dtype, dim), strict=True)
                        found = [told for ours, theirs in pairs if (told := difference(ours, theirs, dtype))]
                    except RuntimeError as error:
                        found = [str(error).splitlines()[0]]
                    wrong += [f"{label} attention, {dtype}, dimension {dim}, causal {causal}: {told}" for told in found]
    for line in wrong:
        print(f"  {line}")
    print(f"{len(families)} operators and {count} kinds of attention, forward and backward: {len(wrong)} differ")
    return 1 if wrong else 0


def microseconds(operator: Operator, given: dict[str, torch.Tensor]) -> float:
    """Of one call on the GPU: the least of several loops."""
    for _ in range(3):
        operator(given)
    torch.cuda.synchronize()
    count, found = 1, []
    while len(found) < TRIES:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(count):
            operator(given)
        end.record()
        end.synchronize()
        took = float(begin.elapsed_time(end)) * 1e3
        if took < UNTIL and not found and count < 1000:
            count = min(1000, max(count * 2, int(count * UNTIL / max(took, 1.0))))
            continue
        found.append(took / count)
    return min(found)


def timed() -> dict[str, float]:
    given = {key: value.cuda() for key, value in inputs().items()}
    # Large enough that the GPU works longer than the call takes.
    for key in ("v", "w", "positive", "half", "bf", "double", "int", "byte", "bool", "complex"):
        given[key] = given[key].repeat(32 if key not in ("complex", "double") else 8)
    given["matrix"] = torch.randn(8192, 1024, device="cuda")
    given["classes"] = torch.randint(0, 1024, (8192,), device="cuda")
    given["image"] = torch.randn(64, 32, 112, 112, device="cuda")
    given["grid"] = torch.rand(64, 112, 112, 2, device="cuda") * 2 - 1
    skipped = {
        "matmul",
        "matmul, bfloat16",
        "solve",
        "cholesky",
        "singular values",
        "sparse matmul",
        "a step of training",
        "an LSTM",
    }
    found = {name: microseconds(each, given) for name, each in operators().items() if name not in skipped}
    for label in ("flash", "memory-efficient"):
        for dim in (64, 128):
            found[f"{label} attention, {dim}"] = microseconds(lambda _, b=BACKENDS[label], d=dim: long_attention(b, d), given)
    return found


def long_attention(backend: SDPBackend, dim: int) -> None:
    key = ("qkv", dim)
    if key not in held:
        held[key] = [torch.randn(4, 16, 2048, dim, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    q, k, v = held[key]
    with sdpa_kernel(backend):
        out = f.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.autograd.grad(out, (q, k, v), out)


held: dict[tuple[str, int], list[torch.Tensor]] = {}


def compare(files: list[str]) -> int:
    rounds = [json.loads(Path(file).read_text()) for file in files]
    pairs = list(zip(rounds[::2], rounds[1::2], strict=True))
    ratios = {name: statistics.median(ours[name] / theirs[name] for ours, theirs in pairs) for name in rounds[0]}
    for name, ratio in sorted(ratios.items(), key=lambda item: -item[1]):
        ours, theirs = (statistics.median(each[side][name] for each in pairs) for side in (0, 1))
        print(f"{name:28} {ratio:5.2f}   {ours:9.1f} us / {theirs:9.1f} us")
    mean = math.exp(statistics.fmean(math.log(ratio) for ratio in ratios.values()))
    over = sum(ratio > 1.1 for ratio in ratios.values())
    print(f"geometric mean of {len(ratios)} operators: {mean:.3f}; {over} over 1.1")
    return 0


def reduced(rank: int, count: int) -> None:
    import torch.distributed as dist

    dist.init_process_group("nccl", init_method="tcp://127.0.0.1:29533", rank=rank, world_size=count)
    torch.cuda.set_device(rank)
    mine = torch.full((1 << 24,), float(rank + 1), device="cuda")
    dist.all_reduce(mine)
    wanted = count * (count + 1) / 2
    right = bool((mine == wanted).all())
    print(f"process {rank}: the sum of {count} is {'right' if right else 'WRONG'}")
    dist.destroy_process_group()
    if not right:
        raise SystemExit(1)


def main(argv: list[str]) -> int:
    if argv[:1] == ["check"]:
        return check(argv[2] if argv[1:2] == ["--archs"] else "")
    if argv == ["measure"]:
        print(json.dumps(timed()))
        return 0
    if argv[:1] == ["compare"] and len(argv) > 2 and len(argv) % 2:
        return compare(argv[1:])
    if argv[:1] == ["reduce"] and len(argv) == 2:
        import torch.multiprocessing as processes

        processes.spawn(reduced, (int(argv[1]),), int(argv[1]))
        return 0
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
