"""What the kept parts of GPU code are named by beside their own text: the tools that make them, and the name of Thrust's namespace.

identity.of(["/usr/lib/nvidia-cuda-toolkit", "/usr/bin/ptxas"], "arrstack")
identity.namespace_for(["/opt/pytorch", "/usr/include"])     # "arrstack", ""
"""

import hashlib
import os
from pathlib import Path

FORMAT = "1"
"""Another one where nvcc.py makes another object of the same source."""
NAMESPACES = ("thrust/detail/config/namespace.h", "cub/util_namespace.cuh")
"""Who reads the list of architectures, for the name of a namespace alone (CCCL 2.3)."""
HEADERS = (".h", ".hh", ".hpp", ".hxx", ".cuh", ".inl", ".inc", ".ipp", ".tpp", ".cu", ".c", ".cc", ".cpp", ".cxx", "")


class NoTool(Exception):
    """A path that has no file. Its message is the path."""


def of(tools: "list[str]", namespace: str) -> str:
    """A digest of what makes the objects; a folder counts with every file in it, also by way of links: Debian's `nvvm/libdevice` is one.
    Raises NoTool."""
    told = hashlib.sha256(f"{FORMAT} {namespace}".encode())
    for tool in tools:
        path = Path(tool).resolve()
        files = sorted(files_below(path, frozenset())) if path.is_dir() else [path]
        if not files or not files[0].exists():
            raise NoTool(tool)
        for file in files:
            told.update(hashlib.sha256(file.read_bytes()).digest())
    return told.hexdigest()


def files_below(folder: Path, above: "frozenset[Path]") -> "list[Path]":
    """`above` are the folders that it was reached through: a link to one of them leads nowhere new."""
    above |= {folder.resolve()}
    found = []
    for path in folder.iterdir():
        if path.is_file():
            found.append(path)
        elif path.is_dir() and path.resolve() not in above:
            found += files_below(path, above)
    return found


def namespace_for(folders: "list[str]") -> "tuple[str, str]":
    """The name, and who makes it impossible: a file that reads the list of architectures for something else."""
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                path = f"{root}/{name}"
                if os.path.splitext(name)[1] in HEADERS and os.path.isfile(path) and not path.endswith(NAMESPACES):
                    with open(path, "rb") as file:
                        if b"__CUDA_ARCH_LIST__" in file.read():
                            return "", path
    return "arrstack", ""
