"""Pinned files from the package index, fetched once and kept; a test skips, and says why, where they cannot be had."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT_S = 120


def download(requirements: list[str], name: str) -> Path:
    """The directory with these wheels (`NAME==VERSION --hash=sha256:...` each). Skips the test where there is no network."""
    directory = Path(os.environ.get("ARRSTACK_TEST_DOWNLOADS") or Path.home() / ".cache" / "arrstack-tests") / name
    stamp = directory / "complete"
    if stamp.exists() and stamp.read_text() == "\n".join(requirements):
        return directory
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        pytest.skip("the pinned wheels are those of Linux on x86-64")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "requirements.txt").write_text("\n".join(requirements) + "\n")
    options = ["download", "-q", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--retries", "1", "--timeout", "20"]
    target = ["--python-version", "3.11", "-r", str(directory / "requirements.txt"), "-d", str(directory)]
    # The pins are of the public index: a person's own pip configuration does not count.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_") or key == "PIP_CERT"}
    environment["PIP_CONFIG_FILE"] = os.devnull
    try:
        done = subprocess.run([*_pip(), *options, *target], capture_output=True, text=True, timeout=TIMEOUT_S, env=environment)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the package index did not answer within {TIMEOUT_S} s")
    if done.returncode:
        if "DO NOT MATCH THE HASHES" in done.stderr:
            pytest.fail(done.stderr)
        pytest.skip(f"the package index cannot be reached: {done.stderr.strip().splitlines()[-1:]}")
    stamp.write_text("\n".join(requirements))
    return directory


def _pip() -> list[str]:
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return [sys.executable, "-m", "pip"]
    if found := shutil.which("pip3") or shutil.which("pip"):
        return [found]
    pytest.skip("there is no pip to fetch with")
