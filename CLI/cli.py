#!/usr/bin/env python3
"""The documented entry: makes the product's own environment where it is missing, then calls it.

Standard library only. `.venv` beside this folder is made from requirements.lock, with hashes, and a stamp that is
written last says for which lock and which Python. Once it is there, this costs the start of one interpreter: what only the
making needs is imported there.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
VENV = f"{ROOT}/.venv"
PYTHON = f"{VENV}/bin/python"
STAMP = f"{VENV}/arrstack-stamp"
OLDEST = (3, 11)
MISSING = 5
"""Exit status: something is missing on this machine."""


def stop(message: str, hint: str) -> "NoReturn":
    print(f"error: {message}\nwhat to do: {hint}", file=sys.stderr)
    raise SystemExit(MISSING)


def wanted(lock: str) -> str:
    """What the environment is for: this Python, this lock."""
    with open(lock) as file:
        return f"{sys.version.split()[0]} {os.path.basename(lock)}\n{file.read()}"


def current(lock: str) -> bool:
    try:
        with open(STAMP) as file:
            return file.read() == wanted(lock) and os.path.exists(PYTHON)
    except OSError:
        return False


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


def make(lock: str) -> None:
    """Makes `.venv` from the lock. Two at once: the second waits and finds it made."""
    import fcntl
    import shutil
    from pathlib import Path

    with open(f"{ROOT}/.venv.lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if current(lock):
            return
        try:
            import ensurepip  # noqa: F401
        except ImportError:
            install_venv_module()
        print(f"making {VENV} from {os.path.basename(lock)}", file=sys.stderr)
        if os.path.exists(STAMP) or not os.path.exists(PYTHON):
            shutil.rmtree(VENV, ignore_errors=True)
            run(sys.executable, "-m", "venv", VENV)
        run(
            PYTHON,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--no-deps",
            "-r",
            lock,
        )
        packages = next(Path(VENV, "lib").glob("python*/site-packages"))
        (packages / "arrstack.pth").write_text(f"{ROOT}/src\n")
        # pip compiles what it installs; our own files would be compiled at every start where Python may not keep them.
        run(PYTHON, "-m", "compileall", "-q", f"{ROOT}/src")
        command = Path(VENV, "bin/arrstack")
        command.write_text(f'#!/bin/sh\nexec "{PYTHON}" -m arrstack "$@"\n')
        command.chmod(0o755)
        Path(STAMP).write_text(wanted(lock))


def main() -> None:
    if sys.version_info < OLDEST:
        stop(f"this is Python {sys.version.split()[0]}", f"arrstack needs Python {OLDEST[0]}.{OLDEST[1]} or later")
    lock = f"{ROOT}/requirements.lock"
    development = f"{ROOT}/requirements-dev.lock"
    if sys.argv[1:] == ["--environment"]:  # what `make` calls: the same environment with the developer's tools
        make(development)
    elif current(lock) or current(development):
        os.execv(PYTHON, [PYTHON, "-m", "arrstack", *sys.argv[1:]])
    else:
        try:
            make(lock)
        except OSError as error:
            stop(f"{VENV} cannot be made: {error.strerror}", "the project's folder must be writable once")
        os.execv(PYTHON, [PYTHON, "-m", "arrstack", *sys.argv[1:]])


if __name__ == "__main__":
    main()
