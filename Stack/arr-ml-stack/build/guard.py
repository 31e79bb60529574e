#!/usr/bin/env python3
"""The guard of the compiled torch: no tier above the first may replace it, or add or change GPU packages.

    guard.py snapshot FILE    what is there now
    guard.py compare FILE     ends with status 1 and says what differs from it, and which package asked for that

Guarded are the trio, by the hash of every file that its RECORD lists and of the RECORD itself, and the packages that
bring GPU libraries or compilers of their own, pip's and the distribution's, by version. A plain `pip install -U` of
something harmless is enough to lose hours of compiling without a word: the replacement imports just as well.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

TRIO = ("torch", "torchvision", "torchaudio")
GPU = re.compile(r"nvidia-|cuda-|(pytorch-)?triton(-|$)|lib(cudnn|cublas|nccl|cusparse|torch)|python3-(torch|triton)")


def normalised(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def guarded(name: str) -> bool:
    return name in TRIO or GPU.match(name) is not None


def sha256(path: Path) -> str:
    """As RECORD writes it: URL-safe base64 without padding."""
    digest = hashlib.sha256(path.read_bytes()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Site:
    """The distributions on a search path, pip's, and the distribution's packages where there is a dpkg."""

    def __init__(self, path: "list[str]", dpkg: "str | None") -> None:
        self.distributions = [found for found in metadata.distributions(path=path) if found.metadata["Name"]]
        self.debian = list(self._debian(dpkg)) if dpkg else []

    @staticmethod
    def _debian(dpkg: str) -> "list[tuple[str, str, str]]":
        """Name, version and dependencies of each installed package."""
        form = "${db:Status-Status}\t${Package}\t${Version}\t${Depends}\n"
        lines = subprocess.run([dpkg, "-W", "-f", form], check=True, capture_output=True, text=True).stdout.splitlines()
        return [tuple(line.split("\t")[1:4]) for line in lines if line.startswith("installed\t")]

    def snapshot(self) -> "dict[str, list[str]]":
        """Name to versions, each with the hash of its RECORD. Two of one name are both there: one hides the other."""
        found: "dict[str, list[str]]" = {}
        for distribution in self.distributions:
            name = normalised(distribution.metadata["Name"])
            if guarded(name):
                record = hashlib.sha256((distribution.read_text("RECORD") or "").encode()).hexdigest()
                found.setdefault(name, []).append(f"{distribution.version} {record}")
        for name, version, _ in self.debian:
            if guarded(name):
                found.setdefault(f"{name} (Debian package)", []).append(version)
        return {name: sorted(found[name]) for name in sorted(found)}

    def askers(self, name: str) -> "list[str]":
        """Who requires a package, by their metadata: `accelerate 1.15.0 (torch>=2.0.0)`."""
        if name.endswith(" (Debian package)"):
            plain = re.compile(rf"(^|[,|] *){re.escape(name.split()[0])}([ :(,|]|$)")
            return sorted(f"{asker} {version}" for asker, version, depends in self.debian if plain.search(depends))
        found = set()
        for distribution in self.distributions:
            for requirement in distribution.requires or []:
                wanted, _, marker = requirement.partition(";")
                if normalised(re.match(r"[\w.-]+", wanted.strip()).group()) == name and "extra ==" not in marker:
                    found.add(f"{distribution.metadata['Name']} {distribution.version} ({wanted.strip()})")
        return sorted(found)

    def damaged(self, name: str) -> "list[str]":
        """The files of a distribution that are not what its RECORD says, and files in its folders that it does not list."""
        wrong = []
        for distribution in self.distributions:
            if normalised(distribution.metadata["Name"]) != name:
                continue
            site = Path(str(distribution.locate_file("")))
            rows = [row for row in csv.reader(io.StringIO(distribution.read_text("RECORD") or "")) if row]
            listed = {(site / row[0]).resolve() for row in rows}
            for path, digest, _ in rows:
                file = site / path
                if not file.is_file():
                    wrong.append(f"{path} is gone")
                elif digest and sha256(file) != digest:
                    wrong.append(f"{path} was changed")
            for folder in sorted({row[0].split("/")[0] for row in rows if "/" in row[0] and not row[0].startswith("..")}):
                for file in sorted((site / folder).rglob("*")):
                    if file.is_file() and "__pycache__" not in file.parts and file.resolve() not in listed:
                        wrong.append(f"{file.relative_to(site)} was added")
        return wrong


def versions(entries: "list[str]") -> str:
    return " and ".join(entry.split()[0] for entry in entries)


def differences(before: "dict[str, list[str]]", site: Site) -> "list[str]":
    """One sentence for each violation, each naming who asked for it."""
    after = site.snapshot()
    found = []
    for name in sorted(set(before) | set(after)):
        old, new = before.get(name, []), after.get(name, [])
        if not new:
            found.append(f"{name} {versions(old)} was removed")
            continue
        if old != new:
            was = f"was replaced: {versions(old)} before" if old else "was added"
            asked = ", ".join(site.askers(name)) or "no installed package: the install itself named it"
            found.append(f"{name} {versions(new)} {was}. It is asked for by {asked}")
        if name in TRIO:
            wrong = site.damaged(name)
            if wrong:
                found.append(f"{name}: {len(wrong)} files differ from its RECORD: {', '.join(wrong[:5])}")
    found += [f"{name} is not installed" for name in TRIO if name not in before and name not in after]
    return found


def main(arguments: "list[str]") -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("snapshot", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--path", action="append", help="search here instead of this Python's path, and at no Debian packages")
    options = parser.parse_args(arguments)
    site = Site(options.path or sys.path, None if options.path else shutil.which("dpkg-query"))
    if options.action == "snapshot":
        missing = [name for name in TRIO if name not in site.snapshot()]
        if missing:
            print(f"error: the image below has no {', '.join(missing)}", file=sys.stderr)
            return 1
        options.file.write_text(json.dumps(site.snapshot(), indent=1) + "\n")
        return 0
    found = differences(json.loads(options.file.read_text()), site)
    for line in found:
        print(f"error: {line}", file=sys.stderr)
    if not found:
        print("guard: torch, torchvision and torchaudio are as they were compiled, and no GPU package came or changed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
