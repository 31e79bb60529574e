#!/usr/bin/env python3
"""record.py NAME SITE: prints the build record of one wheel as JSON.

It holds what was really used: the compiler; the distribution's packages and their versions; the shared libraries of the
distribution that the wheel's own libraries load, and the packages that ship these, which a runtime needs. Nothing in it
depends on when or how fast the build ran: what each edge cost stays in the build directory.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

# What comes with the GPU's driver, from the machine that runs the image: a builder may have a copy, an image must not.
DRIVER = re.compile(r"lib(cuda|cudadebugger|nvidia-[\w-]+|nvcuvid)\.so")


def output(*command: str) -> str:
    # torchvision and torchaudio find torch's libraries because torch is imported first; ldd has to be told.
    beside = [str(path) for site in sys.path for path in Path(site).glob("torch/lib") if site]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(beside)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def elf_files(site: Path) -> "list[Path]":
    return sorted(p for p in site.rglob("*") if p.is_file() and not p.is_symlink() and p.open("rb").read(4) == b"\x7fELF")


def resolved(site: Path) -> "tuple[set[Path], list[str]]":
    """The libraries outside the wheel that ldd finds for it, and those that it does not find."""
    found, missing = set(), []
    own = {p.name for p in elf_files(site)}
    for library in elf_files(site):
        for line in output("ldd", str(library)).splitlines():
            name, _, rest = line.strip().partition(" => ")
            if DRIVER.match(name):
                continue
            if rest.startswith("not found") and name not in own:
                missing.append(f"{library.relative_to(site)}: {name}")
            elif rest.startswith("/") and not rest.startswith(str(site)):
                found.add(Path(rest.split(" (")[0]))
    return found, missing


def package_of(library: Path) -> str:
    """The distribution's package that ships a library, through links and alternatives and a merged /usr."""
    real = library.resolve()
    for path in (real, library, Path("/" + str(real).removeprefix("/usr/"))):
        asked = subprocess.run(["dpkg-query", "--search", str(path)], capture_output=True, text=True)
        if asked.returncode == 0:
            return asked.stdout.split(":")[0]
    return ""


def main(name: str, site: Path) -> int:
    libraries, missing = resolved(site)
    outside = {str(path): package_of(path) for path in sorted(libraries) if not str(path).startswith(("/opt/site", "/usr/local"))}
    if missing:
        sys.exit("error: shared libraries that nothing provides: " + "; ".join(missing))
    json.dump(
        {
            "name": name,
            "compiler": output(os.environ["CXX"], "--version").splitlines()[0],
            "runtime_packages": sorted({package for package in outside.values() if package}),
            "libraries": outside,
            "packages": dict(
                line.split("\t") for line in output("dpkg-query", "-W", "-f", "${Package}\t${Version}\n").splitlines()
            ),
        },
        sys.stdout,
        indent=1,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
