#!/usr/bin/env python3
"""Where the libraries of the trio come from: every one resolves, and torch's own are the wheel's, each there once.

A wheel whose libraries have no RUNPATH takes another torch of the same name where one is installed, and works; one that
packs a library under three names is hundreds of megabytes larger, and works. Neither shows until much later.
"""

import hashlib
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

TRIO = ("torch", "torchvision", "torchaudio")
OWN = re.compile(r"lib(torch(_\w+)?|c10(_\w+)?|caffe2(_\w+)?|shm)\.so")  # what PyTorch calls its libraries
DRIVER = re.compile(r"lib(cuda|nvidia-[\w-]+|nvcuvid)\.so")
"""What comes with the GPU's driver, from the machine that runs the image."""


def libraries(name: str) -> "list[Path]":
    """The ELF files that a distribution installed."""
    paths = (Path(str(file.locate())) for file in metadata.files(name) or [])
    return sorted(path for path in paths if path.is_file() and path.open("rb").read(4) == b"\x7fELF")


def unresolved(library: Path, loaded_before: "set[str]") -> "list[str]":
    """The names that ldd does not find, but for those that an import has loaded by then, and the driver's."""
    lines = subprocess.run(["ldd", str(library)], check=True, capture_output=True, text=True).stdout.splitlines()
    names = [line.split()[0] for line in lines if "not found" in line]
    return [f"{library}: {name} is not found" for name in names if name not in loaded_before and not DRIVER.match(name)]


def packed_twice(paths: "list[Path]") -> "list[str]":
    seen, twice = {}, []
    for path in paths:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in seen:
            twice.append(f"{path} is {seen[digest]} once more")
        seen[digest] = path
    return twice


def mapped_from_elsewhere(folder: Path) -> "list[str]":
    """PyTorch's libraries that a running process has loaded from outside the wheel."""
    program = f"import {', '.join(TRIO)}; print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    loaded = {Path(line.split(None, 5)[5]) for line in maps.splitlines() if len(line.split(None, 5)) == 6 and "/" in line}
    own = sorted(path for path in loaded if OWN.match(path.name))
    if not any(path.name.startswith("libtorch") for path in own):
        return ["no library of torch is loaded after importing it"]
    return [f"{path} is loaded, which is not the wheel's" for path in own if folder not in path.parents]


def main() -> None:
    torch_folder = Path(str(metadata.distribution("torch").locate_file("torch")))
    installed = {name: libraries(name) for name in TRIO}
    # Whoever imports torchvision has torch loaded, and torchaudio loads its own in order. torch has nothing before it.
    earlier = {path.name for paths in installed.values() for path in paths}
    wrong = [
        line for name in TRIO for path in installed[name] for line in unresolved(path, set() if name == "torch" else earlier)
    ]
    wrong += [line for paths in installed.values() for line in packed_twice(paths)]
    wrong += mapped_from_elsewhere(torch_folder)
    if wrong:
        sys.exit("the trio's libraries are not as they should be:\n  " + "\n  ".join(wrong))
    print(f"{sum(map(len, installed.values()))} libraries of torch, torchvision and torchaudio resolve")


if __name__ == "__main__":
    main()
