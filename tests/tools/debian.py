"""Programs for tests from Debian packages that are unpacked, not installed: the machine stays as it is."""

import os
import shutil
import subprocess
from pathlib import Path


def archive_uri() -> str:
    """The archive that this machine's apt uses. Raises LookupError where apt knows no Debian archive."""
    asked = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(RELEASE) $(REPO_URI)", "Created-By: Packages"]
    for update in (False, True):
        if update and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-qq"], check=False)
        for line in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines():
            origin, component, release, uri = line.split()
            if (origin, component) == ("Debian", "main") and "-" not in release:
                return uri
    raise LookupError("apt knows no Debian archive")


def unpacked(packages: list[str], suite: str, cache: Path) -> Path:
    """A folder with the packages' files, of a Debian suite's newest versions; their dependencies are not fetched."""
    folder = cache / f"{suite}-{'-'.join(sorted(packages))}"
    if folder.exists():
        return folder
    new = folder.with_name(f"{folder.name}.{os.getpid()}")
    apt, debs = new / "apt", new / "debs"
    for part in (apt / "lists/partial", apt / "cache/archives/partial", debs):
        part.mkdir(parents=True)
    (apt / "status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "sources.list").write_text(f"deb [signed-by={keys}] {archive_uri()} {suite} main\n")
    # A world of its own: neither the machine's sources and lists nor what is installed count.
    own = [
        f"Dir::Etc::sourcelist={apt}/sources.list",
        "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State::lists={apt}/lists",
        f"Dir::State::status={apt}/status",
        f"Dir::Cache={apt}/cache",
        "APT::Sandbox::User=root",
    ]
    options = ["-qq", *(word for setting in own for word in ("-o", setting))]
    subprocess.run(["apt-get", *options, "update"], check=True)
    subprocess.run(["apt-get", *options, "download", *packages], check=True, cwd=debs)
    for deb in debs.glob("*.deb"):
        subprocess.run(["dpkg", "-x", deb, new], check=True)
    shutil.rmtree(apt)
    shutil.rmtree(debs)
    try:
        new.rename(folder)
    except OSError:  # another test process was faster
        shutil.rmtree(new)
    return folder


def suite_here() -> str:
    """This machine's own suite."""
    told = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return told.get("VERSION_CODENAME", "").strip('"')


def program(name: str, package: str, cache: Path) -> str:
    """A program's path: the installed one, else that of its package in this machine's own suite."""
    if found := shutil.which(name):
        return found
    folder = unpacked([package], suite_here(), cache)
    return next(str(path) for path in folder.rglob(f"bin/{name}") if os.access(path, os.X_OK))  # not its init script
