"""Operators on one thread, ours against a reference: run this file inside each of two containers, interleaved.

    python3 bench/operators.py measure             inside a container: one JSON object, operator -> microseconds (best of 5)
    python3 bench/operators.py compare OURS REF... outside: OURS and REF are engine references; prints the ratios

`compare` alternates the containers, five rounds each, with the same emptied environment and one thread on both sides,
and prints each operator's median ratio and their geometric mean.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import time

ROUNDS = 5


def operators():  # type: ignore[no-untyped-def]
    import torch

    torch.manual_seed(0)
    small, vector, square = torch.randn(8), torch.randn(1_000_000), torch.randn(512, 512)
    image, weight = torch.randn(8, 16, 56, 56), torch.randn(32, 16, 3, 3)
    integers, bytes_ = torch.randint(0, 1000, (1_000_000,)), torch.randint(0, 255, (1_000_000,), dtype=torch.uint8)
    half = vector.to(torch.bfloat16)
    table, rows = torch.randn(10_000, 64), torch.randint(0, 10_000, (4096,))
    linear = torch.nn.Linear(64, 64)
    tokens = torch.randn(32, 64)
    q = torch.randn(1, 4, 128, 32)
    f = torch.nn.functional

    def step() -> None:
        loss = linear(tokens).square().mean()
        loss.backward()
        linear.weight.grad = linear.bias.grad = None

    return {
        "overhead of add": lambda: small + small,
        "overhead of view": lambda: small.view(2, 4),
        "add": lambda: vector + vector,
        "mul": lambda: vector * 2.0,
        "integer add": lambda: integers + integers,
        "byte add": lambda: bytes_ + bytes_,
        "bfloat16 add": lambda: half + half,
        "exp": lambda: vector.exp(),
        "tanh": lambda: vector.tanh(),
        "gelu": lambda: f.gelu(vector),
        "sigmoid": lambda: vector.sigmoid(),
        "sum": lambda: vector.sum(),
        "max over rows": lambda: square.max(1),
        "argsort": lambda: vector[:100_000].argsort(),
        "cumsum": lambda: vector.cumsum(0),
        "softmax": lambda: square.softmax(1),
        "layer norm": lambda: f.layer_norm(square, (512,)),
        "batch norm": lambda: f.batch_norm(image, torch.zeros(16), torch.ones(16)),
        "matmul": lambda: square @ square,
        "batched matmul": lambda: torch.bmm(image.view(8, 16, 3136), image.view(8, 16, 3136).transpose(1, 2)),
        "solve": lambda: torch.linalg.solve(square, square),
        "convolution": lambda: f.conv2d(image, weight),
        "max pool": lambda: f.max_pool2d(image, 2),
        "bilinear upsampling": lambda: f.interpolate(image, scale_factor=2.0, mode="bilinear"),
        "index": lambda: table[rows],
        "embedding": lambda: f.embedding(rows, table),
        "scatter add": lambda: torch.zeros(10_000, 64).index_add_(0, rows, table[:4096]),
        "copy with transpose": lambda: square.t().contiguous(),
        "attention": lambda: f.scaled_dot_product_attention(q, q, q),
        "where": lambda: torch.where(vector > 0, vector, 0.0),
        "a training step": step,
    }


def best(action, least: float = 0.05, tries: int = 5) -> float:  # type: ignore[no-untyped-def]
    """Microseconds of one call: the best of several loops of at least `least` seconds."""
    action()
    count, took = 1, 0.0
    while True:
        began = time.perf_counter()
        for _ in range(count):
            action()
        took = time.perf_counter() - began
        if took >= least:
            break
        count = max(count * 2, int(count * least / max(took, 1e-6)))
    found = [took]
    for _ in range(tries - 1):
        began = time.perf_counter()
        for _ in range(count):
            action()
        found.append(time.perf_counter() - began)
    return min(found) / count * 1e6


def measure() -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    return {name: best(action) for name, action in operators().items()}


def in_container(reference: str, containers: dict[str, str]) -> dict[str, float]:
    if reference not in containers:
        containers[reference] = subprocess.run(
            ["buildah", "from", "--pull-never", reference], check=True, capture_output=True, text=True
        ).stdout.strip()
    command = [
        "buildah",
        "run",
        "--volume",
        f"{os.path.dirname(os.path.abspath(__file__))}:/bench:ro",
        containers[reference],
        "--",
    ]
    command += [
        "env",
        "-i",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "OMP_NUM_THREADS=1",
        "OPENBLAS_NUM_THREADS=1",
        "python3",
        "/bench/operators.py",
        "measure",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{reference}: status {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def compare(ours: str, reference: str) -> None:
    rounds: list[tuple[dict[str, float], dict[str, float]]] = []
    containers: dict[str, str] = {}
    try:
        for _ in range(ROUNDS):
            rounds.append((in_container(ours, containers), in_container(reference, containers)))
    finally:
        for container in containers.values():
            subprocess.run(["buildah", "rm", container], stdout=subprocess.DEVNULL)
    ratios = {name: statistics.median(a[name] / b[name] for a, b in rounds) for name in rounds[0][0]}
    for name, ratio in sorted(ratios.items(), key=lambda item: -item[1]):
        print(
            f"{name:24} {ratio:5.2f}   {statistics.median(a[name] for a, _ in rounds):10.1f} us / {statistics.median(b[name] for _, b in rounds):10.1f} us"
        )
    mean = math.exp(statistics.fmean(math.log(r) for r in ratios.values()))
    print(f"geometric mean of {len(ratios)} operators: {mean:.3f}  at most 1.0")


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        print(json.dumps(measure()))
    elif sys.argv[1:2] == ["compare"] and len(sys.argv) == 4:
        compare(*sys.argv[2:])
    else:
        sys.exit(__doc__)
