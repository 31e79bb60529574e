#!/usr/bin/env python3
"""fetch.py DIRECTORY PIN METHOD ARGUMENT...: unpacks one pinned source tree into DIRECTORY, once.

    debian PACKAGE VERSION   a source package with its patches; PIN is the SHA-256 of its .dsc, which names the other files
    orig FILE                a source package's original tarball alone; PIN is its SHA-256
    tarball URL              a tarball; PIN is its SHA-256
    git URL TAG              a shallow clone with its submodules; PIN is the commit that TAG must name: a tag may move

A stamp written last tells a complete tree from one whose unpacking was interrupted. All files get one date, so that
ninja neither trusts an object older than a changed source nor forgets a good one.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Optional

STAMP, LOCK = ".arrstack-fetched", ".arrstack-lock"
PROFILE = Path("/build/profile.env")
APT_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*")
CURL = ("curl", "-fsSL", "--retry", "4", "--retry-all-errors", "--connect-timeout", "20")
# Debian's patch of the version would add +debian to what the profile pins.
UNWANTED_PATCHES = ("2000-version.patch",)
USAGES = {"debian": "debian PACKAGE VERSION", "orig": "orig FILE", "tarball": "tarball URL", "git": "git URL TAG"}


class FetchError(Exception):
    """A source that cannot be had, or is not the pinned one. Its text is for the person who reads the log."""


def run(*command: "str | Path", folder: Optional[Path] = None) -> str:
    """What a command prints. Raises FetchError where it fails, with all that it said in the log."""
    words = [str(word) for word in command]
    process = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    output = process.stdout.decode("utf-8", "replace")
    if process.returncode:
        sys.stderr.write(output)
        raise FetchError(f"{' '.join(words)}: ended with status {process.returncode}")
    return output


# -- files that are pinned by SHA-256


def verify(path: Path, sha256: str) -> None:
    """Raises FetchError for a file that is not the pinned one."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != sha256:
        raise FetchError(f"{path.name} is not the file that stack.toml pins (sha256 {sha256}): it is {digest.hexdigest()}")


def download(url: str, sha256: str, folder: Path) -> Path:
    """The verified file in `folder`, under the last part of its address."""
    path = folder / url.rsplit("/", 1)[-1]
    if subprocess.run([*CURL, "-o", str(path), url]).returncode:
        raise FetchError(f"cannot fetch {url}: the pin in stack.toml may have left the archive")
    verify(path, sha256)
    return path


def unpack(tarball: Path, tree: Path) -> None:
    tree.mkdir()
    run("tar", "-xf", tarball, "-C", tree, "--strip-components=1", "--no-same-owner")


# -- Debian's archive


def archive(texts: "list[str]") -> str:
    """The archive that this image's own apt uses: the first http address in its sources (sources.list(5), both formats)."""
    for line in (line for text in texts for line in text.splitlines()):
        words = line.split()
        if words and words[0] in ("deb", "URIs:"):
            for word in words[1:]:
                if re.match("https?:", word):
                    return word.rstrip("/")
    raise FetchError("apt's sources name no http archive: nothing to fetch a Debian source from")


def read_sources(patterns: "tuple[str, ...]") -> "list[str]":
    paths = [Path(path) for pattern in patterns for path in sorted(glob.glob(pattern))]
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]


def pool(package: str) -> str:
    """The folder of a source package, below the archive. Names that begin with lib are spread over more letters."""
    return f"pool/main/{package[: 4 if package.startswith('lib') else 1]}/{package}"


def named_files(dsc: str) -> "list[tuple[str, str]]":
    """SHA-256 and name of each file that a .dsc names (deb-src-control(5), Checksums-Sha256)."""
    block = re.search(r"^Checksums-Sha256:[^\n]*\n((?: [^\n]*\n)+)", dsc, re.MULTILINE)
    return re.findall(r"^ ([0-9a-f]{64}) [0-9]+ (\S+)$", block[1], re.MULTILINE) if block else []


def wanted_patches(series: str) -> "list[str]":
    """The names in a quilt series, without comments and without what a wheel must not have."""
    names = (line.split("#")[0].strip() for line in series.splitlines())
    return [name for name in names if name and name not in UNWANTED_PATCHES]


def fetch_debian(address: str, package: str, version: str, sha256: str, work: Path, tree: Path) -> None:
    base = f"{address}/{pool(package)}"
    dsc = download(f"{base}/{package}_{version}.dsc", sha256, work)
    for digest, name in named_files(dsc.read_text(encoding="utf-8")):
        download(f"{base}/{name}", digest, work)
    run("dpkg-source", "--no-check", "--skip-patches", "-x", dsc, tree, folder=work)
    patches = tree / "debian/patches"
    for name in wanted_patches((patches / "series").read_text(encoding="utf-8")):
        run("patch", "--quiet", "-d", tree, "-p1", "-i", patches / name)


# -- git


def fetch_git(url: str, tag: str, commit: str, tree: Path) -> None:
    """Submodules are named by the commit, so they are fetched once that is known to be the pinned one."""
    command = ["git", "clone", "--quiet", "--depth", "1", "--branch", tag, "--", url, str(tree)]
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
        raise FetchError(f"cannot fetch {tag} of {url}")
    found = run("git", "-C", tree, "rev-parse", "HEAD").strip()
    if found != commit:
        raise FetchError(
            f"{tag} of {url} is not the commit that stack.toml pins ({commit}): it is {found}. "
            "The tag was moved, or the pin belongs to another version"
        )
    run("git", "-C", tree, "submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1")


# -- one tree


def check_source(pin: str, method: str, arguments: "list[str]") -> None:
    """Raises FetchError for a source that nobody knows, or that nothing pins."""
    source = " ".join([method, *arguments])
    usage = USAGES.get(method)
    if not usage or len(usage.split()) != 1 + len(arguments):
        raise FetchError(f"no source: '{source}'; a source is {', '.join(USAGES.values())}")
    digits, what = (40, "the commit that its tag names") if method == "git" else (64, "the SHA-256 of its file")
    if not re.fullmatch(f"[0-9a-f]{{{digits}}}", pin):
        state = f"'{pin}' is no pin" if pin else "there is no pin"
        raise FetchError(f"{state} for the source '{source}': give {what}, {digits} hexadecimal digits, in stack.toml")


def clear(directory: Path) -> None:
    """Removes all but the lock, the stamp first: a removal that is interrupted leaves no tree that counts as complete."""
    (directory / STAMP).unlink(missing_ok=True)
    for path in directory.iterdir():
        if path.name == LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def set_dates(directory: Path, seconds: int) -> None:
    for folder, folders, files in os.walk(directory):
        for name in folders + files:
            if name != LOCK:
                os.utime(os.path.join(folder, name), (seconds, seconds), follow_symlinks=False)


def fetch(method: str, arguments: "list[str]", pin: str, work: Path, address: Callable[[], str]) -> Path:
    """The tree of a checked source, in `work`. `address` is asked for the archive by the methods that need one."""
    tree = work / "tree"
    if method == "debian":
        fetch_debian(address(), arguments[0], arguments[1], pin, work, tree)
    elif method == "git":
        fetch_git(arguments[0], arguments[1], pin, tree)
    else:
        name = arguments[0]
        url = name if method == "tarball" else f"{address()}/{pool(name.split('_')[0])}/{name}"
        unpack(download(url, pin, work), tree)
    return tree


def main(
    directory: Path,
    pin: str,
    method: str,
    arguments: "list[str]",
    profile: Path = PROFILE,
    sources: "tuple[str, ...]" = APT_SOURCES,
) -> int:
    # The stamp names what was unpacked, and for what: built by hand, another version or profile finds the same folder.
    flags = hashlib.sha256(profile.read_bytes()).hexdigest()
    stamp = " ".join([pin, method, *arguments, flags, os.environ.get("COMPILE_PLAN", "auto")]) + "\n"
    if (directory / STAMP).exists() and (directory / STAMP).read_text(encoding="utf-8") == stamp:
        print(f"fetch: {directory} is complete")
        return 0
    try:
        check_source(pin, method, arguments)
        directory.mkdir(parents=True, exist_ok=True)
        clear(directory)
        # In the same folder, which may be a mount of its own: the tree is then renamed and not copied.
        with tempfile.TemporaryDirectory(prefix=".arrstack-fetch-", dir=directory) as work:
            for path in fetch(method, arguments, pin, Path(work), lambda: archive(read_sources(sources))).iterdir():
                path.rename(directory / path.name)
    except FetchError as error:
        sys.exit(f"error: {error}")
    set_dates(directory, int(os.environ["SOURCE_DATE_EPOCH"]))
    (directory / STAMP).write_text(stamp, encoding="utf-8")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(f"error: a directory, a pin and a source are needed\n{__doc__}")
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3], sys.argv[4:]))
