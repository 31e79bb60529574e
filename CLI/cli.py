#!/usr/bin/env python3
"""The documented entry: makes the product's own environment where it is missing, then calls it.

Standard library only. An environment is a folder of `.venvs`, named by what it is for (this Python, this lock, this
checkout), and never changed once it is finished; `.venv` is a link to the one that was wanted last. Whoever runs from one holds a lock
on it, so that neither another Python nor a changed lock takes it from under a launch of hours. Every Python that is
started here is isolated (`-I`): the current folder's files are no modules of ours. Once an environment is there, this costs the
start of one interpreter: what only the making needs is imported there.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
ENTRY = os.path.realpath(__file__)
VENV = f"{ROOT}/.venv"
VENVS = f"{ROOT}/.venvs"
STAMP = "arrstack-stamp"
"""Written last: an environment without it was not finished."""
OLDEST = (3, 11)
MISSING = 5
"""Exit status: something is missing on this machine."""


def stop(message: str, hint: str) -> "NoReturn":
    print(f"error: {message}\nwhat to do: {hint}", file=sys.stderr)
    raise SystemExit(MISSING)


def place(lock: str) -> str:
    """The folder of the environment for this Python and this lock, here. A copied checkout has one of its own."""
    import hashlib

    with open(lock) as file:
        text = file.read()
    python = f"{sys.implementation.cache_tag} {sys.base_prefix}"
    key = hashlib.sha256("\n".join([python, ROOT, os.path.basename(lock), text]).encode()).hexdigest()
    return f"{VENVS}/{key[:16]}"


def finished(folder: str) -> bool:
    return os.path.exists(f"{folder}/{STAMP}") and os.path.exists(f"{folder}/bin/python")


def run(*command: str) -> None:
    import subprocess  # here and below: most calls only hand on to the environment that is there

    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-8:])
        stop(
            f"{' '.join(command[:6])} ... failed:\n{last}",
            "check the network and its certificates (PIP_CERT, SSL_CERT_FILE), then run the same command again",
        )


def install_venv_module() -> None:
    """Debian ships venv's ensurepip in a package of its own."""
    import shutil

    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if "--no-setup" in sys.argv or not shutil.which("apt-get") or os.geteuid():
        stop(
            f"this Python cannot make environments: {package} is missing",
            f"as root: apt-get update && apt-get install -y {package}",
        )
    print(f"installing {package} with apt-get", file=sys.stderr)
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run("apt-get", "update", "-qq")
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package)


def make(lock: str) -> str:
    """The environment for the lock, made if need be. Two at once: the second waits and finds it made."""
    import fcntl
    import shutil

    folder = place(lock)
    os.makedirs(VENVS, exist_ok=True)
    with open(f"{VENVS}/lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not finished(folder):
            made = f"{os.path.relpath(folder, ROOT)} from {os.path.basename(lock)}"
            print(f"making {made}: once, for a minute or more", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            fill(folder, lock)
        point(folder)
        sweep(folder)
    return folder


def fill(folder: str, lock: str) -> None:
    """Installs what the lock names, by hash and as wheels: a source distribution's build would run code that has none."""
    from pathlib import Path

    try:
        import ensurepip  # noqa: F401
    except ImportError:
        install_venv_module()
    python = f"{folder}/bin/python"
    run(sys.executable, "-I", "-m", "venv", folder)
    quiet = ("--quiet", "--disable-pip-version-check")
    run(python, "-I", "-m", "pip", "install", *quiet, "--require-hashes", "--only-binary", ":all:", "--no-deps", "-r", lock)
    packages = next(Path(folder, "lib").glob("python*/site-packages"))
    (packages / "arrstack.pth").write_text(f"{ROOT}/src\n")
    # pip compiles what it installs; our own files would be compiled at every start where Python may not keep them.
    run(python, "-I", "-m", "compileall", "-q", f"{ROOT}/src")
    command = Path(folder, "bin/arrstack")
    command.write_text(f'#!/bin/sh\nexec "{python}" -I -m arrstack "$@"\n')
    command.chmod(0o755)
    Path(folder, STAMP).write_text("")


def point(folder: str) -> None:
    """Makes `.venv` the link to this environment; what stood there as a folder was an older version's."""
    import shutil

    target = os.path.relpath(folder, ROOT)
    if os.path.islink(VENV) and os.readlink(VENV) == target:
        return
    if not os.path.islink(VENV):
        shutil.rmtree(VENV, ignore_errors=True)
    new = f"{VENVS}/link-{os.getpid()}"
    os.symlink(target, new)
    os.replace(new, VENV)


def sweep(folder: str) -> None:
    """Removes the other environments that no process runs from."""
    import fcntl
    import shutil

    for name in os.listdir(VENVS):
        other = f"{VENVS}/{name}"
        if other == folder or not os.path.isdir(other) or os.path.islink(other):
            continue
        descriptor = os.open(other, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(other, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)


def typed(program: str) -> str:
    """How a person calls this again: the name of a link to it that is on the PATH, else this file."""
    import shlex

    name = os.path.basename(program)
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if program != ENTRY and any(os.path.join(each, name) == program for each in folders):
        return shlex.quote(name)
    return f"python3 {shlex.quote(program)}"


def call(folder: str) -> "NoReturn":
    """Becomes the product, in this environment, and holds it for as long as that runs."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.set_inheritable(descriptor, True)
    os.environ["ARRSTACK_COMMAND"] = typed(sys.argv[0])
    python = f"{folder}/bin/python"
    os.execv(python, [python, "-I", "-m", "arrstack", *sys.argv[1:]])


def main() -> None:
    if sys.version_info < OLDEST:
        stop(f"this is Python {sys.version.split()[0]}", f"arrstack needs Python {OLDEST[0]}.{OLDEST[1]} or later")
    lock, development = f"{ROOT}/requirements.lock", f"{ROOT}/requirements-dev.lock"
    try:
        if sys.argv[1:] == ["--environment"]:  # what `make` calls: the same environment with the developer's tools
            make(development)
            return
        locks = [each for each in (development, lock) if os.path.exists(each)]  # a copy for a build elsewhere has the one alone
        folder = next((each for each in map(place, locks) if finished(each)), None) or make(lock)
    except OSError as error:
        stop(f"{VENVS} cannot be written: {error.strerror}", "the project's folder must be writable once")
    call(folder)


if __name__ == "__main__":
    main()
