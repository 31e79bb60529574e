"""PyTorch's own tests on ours and on a reference: the same passes, the same failures, or each difference by name.

    python bench/torch_tests.py OURS REFERENCE TREE [FILE[::SELECTION] ...]

OURS and REFERENCE are references in buildah's store, images with python3 that import torch 2.6.0; TREE is PyTorch's source, for its
`test` folder. Without files: test_torch.py, test_autograd.py, and the tests of test_ops.py whose operator is in a fixed sample. In a
container of each image pytest, a compiler and what else the tests use are installed by apt, then both run the same tests, beside each
other. Prints the counts, and each test whose outcome differs.
"""

import collections
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PACKAGES = (
    "python3-pytest python3-pytest-timeout python3-expecttest python3-hypothesis python3-setuptools python3-numpy python3-scipy "
    "python3-psutil g++ ninja-build binutils python3-dev"  # some tests compile an extension, or name the lines of a C++ stack
)
SAMPLE = "add mul matmul softmax sigmoid cumsum sort topk gather index_select conv2d layer_norm linalg_qr fft_fft max_pool2d bmm var_mean"
DEFAULT = ["test_torch.py", "test_autograd.py", "test_ops.py"]
# A test that forks hangs on GNU OpenMP where its threads were started before: hence one thread each, and a limit of time.
# The old CPU fuser calls the compiler that libtorch was built by unless it is told another: clang++ in ours.
ENVIRONMENT = ["CXX=g++", "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "OMP_NUM_THREADS=1"]
TAIL = 25
OPTIONS = "-q --timeout 300 -p no:cacheprovider --junit-xml /out/result.xml"


def run(container: str, script: str, *volumes: str) -> int:
    mounts = [word for volume in volumes for word in ("--volume", volume)]
    command = ["buildah", "run", *mounts, container, "--", "env", "-i", *ENVIRONMENT, "bash", "-c", script]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print("\n".join(f"  | {line}" for line in done.stdout.splitlines()[-TAIL:]), file=sys.stderr)
    return done.returncode


def selected(file: str) -> str:
    """pytest's arguments for a file."""
    if file == "test_ops.py":
        names = " or ".join(
            f"test_{kind}_{name}_cpu"
            for kind in ("out", "variant_consistency_eager", "noncontiguous_samples")
            for name in SAMPLE.split()
        )
        return f"test_ops.py -k '{names}'"
    return file


def outcomes(reference: str, tree: Path, files: list[str]) -> dict[str, str]:
    """Test -> passed, failed or skipped, of all files."""
    container = subprocess.run(
        ["buildah", "from", "--pull-never", reference], check=True, capture_output=True, text=True
    ).stdout.strip()
    found: dict[str, str] = {}
    try:
        if run(container, f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {PACKAGES} >/dev/null"):
            sys.exit(f"{reference}: the test tools cannot be installed")
        for file in files:
            with tempfile.TemporaryDirectory() as out:
                script = f"rm -rf /tmp/test && cp -r /tree/test /tmp/test && cd /tmp/test && python3 -m pytest {OPTIONS} {selected(file)}"
                run(container, script, f"{tree}:/tree:ro", f"{out}:/out")
                found |= read(Path(out) / "result.xml")
    finally:
        subprocess.run(["buildah", "rm", container], stdout=subprocess.DEVNULL)
    return found


def read(result: Path) -> dict[str, str]:
    found = {}
    for case in ET.parse(result).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found[f"{case.get('classname')}::{case.get('name')}"] = outcome
    return found


def main(ours: str, reference: str, tree: Path, files: list[str]) -> int:
    with ThreadPoolExecutor() as pool:
        a, b = pool.map(lambda image: outcomes(image, tree, files), (ours, reference))
    for name, told in ((ours, a), (reference, b)):
        print(f"{name}: {dict(collections.Counter(told.values()))}")
    different = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    for name in different:
        print(f"  {name}: {a.get(name, 'not run')} / {b.get(name, 'not run')}")
    print(f"{len(different)} of {len(a.keys() | b.keys())} differ")
    return 1 if different else 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:] or DEFAULT))
