"""A root file system with this machine's Python, its standard library, and distributions of this environment: an image for tests without a download.

write(Path("rootfs.tar"), ["wandb"])
"""

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = ("test", "tests", "idlelib", "lib2to3", "ensurepip", "site-packages", "__pycache__", "tkinter", "turtledemo")
FOLDERS = ("tmp", "proc", "dev", "sys", "etc", "root", "var/tmp", "gcs")
PACKAGES = "/packages"


def write(archive: Path, distributions: "list[str]") -> None:
    """The root file system as a tar archive. `python` is on its PATH, the distributions and all they need are importable."""
    python = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    found = {path: path for path in [python, *files(library)]}
    packages = {path: Path(PACKAGES) / name for each in closure(distributions) for path, name in contents(each)}
    binaries = [path for path in (*found, *packages) if path == python or re.search(r"\.so(\.|$)", path.name)]
    libraries = {each: each for each in needed(binaries)}
    with tarfile.open(archive, "w") as tar:
        for name in FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(folder)
        for path, inside in (found | packages | libraries).items():
            tar.add(path.resolve(), str(inside).lstrip("/"), recursive=False)
        link = tarfile.TarInfo("bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, str(python)
        tar.addfile(link)


def files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in LEFT_OUT or path.suffix in (".a", ".pyc"):
            continue
        if path.is_dir():
            yield from files(path)
        elif path.is_file():
            yield path


def closure(names: "list[str]") -> "list[importlib.metadata.Distribution]":
    """The distributions and all that they need here, without extras."""
    found: dict[str, importlib.metadata.Distribution] = {}
    left = list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # of another platform
            continue
        for line in found[name].requires or []:
            if "extra ==" not in line:
                left.append(re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0])
    return list(found.values())


def contents(distribution: importlib.metadata.Distribution) -> Iterator["tuple[Path, str]"]:
    for file in distribution.files or []:
        path = Path(str(distribution.locate_file(file)))
        if not str(file).startswith("..") and path.is_file() and path.suffix != ".pyc":
            yield path, str(file)


def needed(binaries: "list[Path]") -> "set[Path]":
    """The shared libraries of the machine that binaries load, by the loader itself."""
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    return {Path(each) for each in re.findall(r"(?:=> |^\s+)(/\S+)", told, re.MULTILINE)}
