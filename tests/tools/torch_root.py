"""A root file system with a torch, for the tests of the training code: Debian's packages unpacked, not installed, and wheels of the lock.

About 350 MB to download, 1.4 GB unpacked. Debian trixie has the torch of the images' version, without CUDA.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import ROOT

LOCK = ROOT / "Stack/arr-ml-stack/locks/cpu.txt"
WANTED = ("accelerate", "datasets", "gcsfs", "matplotlib", "msgspec", "pyyaml", "safetensors", "tqdm")
"""What ARR_COC/pyproject.toml names with its extras, but for torch and wandb; what these need is found in the lock."""
WANDB = ("wandb", "click", "platformdirs", "protobuf", "pydantic", "requests")
"""wandb with what a run of it needs: the lock has wandb[launch], which brings three clouds' clients, 450 MB."""
PACKAGES = "python3-torch,libopenblas0-pthread,python3-pytest,python3-numpy,mount"
PYTHON = "3.13"


class NoTorch(Exception):
    """Why there is none on this machine."""


def make(folder: Path) -> None:
    """Raises NoTorch where this machine can't make one, CalledProcessError where an archive does not answer."""
    if os.geteuid() or not shutil.which("mmdebstrap"):
        raise NoTorch("a root file system needs root and mmdebstrap")
    # To unpack takes a third of the time of an installation, and nothing of what that would configure is used here.
    subprocess.run(["mmdebstrap", "--quiet", "--variant=extract", f"--include={PACKAGES}", "trixie", folder], check=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (folder / name).exists():
            (folder / name).symlink_to(f"usr/{name}")
    for name in ("proc", "sys", "root", "repository"):
        (folder / name).mkdir(exist_ok=True)
    requirements = folder / "tmp/requirements.txt"
    requirements.write_text(locked(LOCK.read_text(), (*WANTED, *WANDB)))
    platforms = [word for minor in range(17, 42) for word in ("--platform", f"manylinux_2_{minor}_x86_64")]
    # pip holds a wheel's Requires-Python against its own Python even where another one is named.
    pip = f"{sys.executable} -m pip install --quiet --no-deps --no-compile --require-hashes --ignore-requires-python".split()
    pip += f"--only-binary=:all: --python-version {PYTHON} --platform manylinux2014_x86_64 --target {folder}/wheels".split()
    subprocess.run([*pip, *platforms, "-r", str(requirements)], check=True, stderr=subprocess.DEVNULL)


def locked(lock: str, wanted: tuple[str, ...]) -> str:
    """The part of a lock that the wanted packages and what they need are in, by the `# via` lines of uv. What wandb needs counts for nothing."""
    blocks = {match[1]: match[0] for match in re.finditer(r"^([a-z0-9-]+)==(?:.*\n?)(?:[ #].*\n?)*", lock, re.MULTILINE)}
    needed_by = {name: set(re.findall(r"^    #(?: via)?  *([a-z0-9-]+)$", text, re.MULTILINE)) for name, text in blocks.items()}
    found, grown = set(wanted), True
    while grown:
        more = {name for name, parents in needed_by.items() if (parents - {"wandb"}) & found}
        grown = not more <= found
        found |= more
    return "".join(text for name, text in blocks.items() if name in found)


def run(folder: Path, argv: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A program in the root file system, with this repository at /repository, in mounts of its own."""
    settings = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": "/root",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "/wheels:/repository",
        "LD_LIBRARY_PATH": "/usr/lib/x86_64-linux-gnu/openblas-pthread",
    }
    script = 'cd "$1" && mount --rbind "$2" repository && mount -t proc proc proc && mount -t tmpfs tmpfs tmp && mount --rbind /dev dev'
    script += ' && shift 2 && exec chroot . "$@"'
    return subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", str(folder), str(ROOT), *argv],
        env=settings | dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
