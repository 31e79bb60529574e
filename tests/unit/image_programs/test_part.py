"""Stack/cloud-build/part.sh: what a worker runs for a part of a tier, with a product that only notes how it was called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

RECORD = "--record e2-highcpu-8@sha256:12ab"
SCRIPT = ROOT / "Stack/cloud-build/part.sh"
PRODUCT = """import os, sys, time
words = [word for word in sys.argv[1:] if word not in ("--yes", "--engine", "buildah")]
with open("calls", "a") as file:
    file.write(" ".join(words) + "\\n")
deadline = time.monotonic() + 30
while words[0] == "launch" and open("calls").read().count("push") < int(os.environ.get("COMPILES_UNTIL", "0")) and time.monotonic() < deadline:
    time.sleep(0.05)
sys.exit(3 if " ".join(words[:2]) in os.environ.get("FAILS", "").split(",") else 0)
"""


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    """A /workspace of a worker, with a product in it."""
    (tmp_path / "CLI").mkdir()
    (tmp_path / "CLI/cli.py").write_text(PRODUCT)
    (tmp_path / ".arrstack-worker").write_text("sha256:12ab")
    (tmp_path / "meminfo").write_text("MemTotal: 8147204 kB\nMemAvailable:    7864320 kB\n")  # an e2-highcpu-8
    shutil.copy(SCRIPT, tmp_path)
    return tmp_path


def run(worker: Path, part: str, **settings: str) -> tuple[int, list[str]]:
    """The script's status, and the product's calls in order."""
    environment = {**os.environ, "MAX_JOBS": "4", "MACHINE": "e2-highcpu-8", "MEMINFO": "meminfo", **settings}
    done = subprocess.run(["bash", "part.sh", "base", part], cwd=worker, env=environment, capture_output=True, check=False)
    return done.returncode, (worker / "calls").read_text().splitlines()


def test_a_wheel_has_the_cache_brought_before_and_kept_after(worker: Path) -> None:
    assert run(worker, "torch") == (0, ["cache pull", f"launch base --only torch --jobs 4 {RECORD}", "cache push"])


def test_more_jobs_than_fit_into_memory_are_not_begun(worker: Path) -> None:
    assert run(worker, "image", MAX_JOBS="176") == (0, [f"launch base --only image --jobs 5 {RECORD}"])
    (worker / "calls").unlink()
    (worker / "meminfo").write_text("MemAvailable:    738197504 kB\n")  # a c3-standard-176
    assert run(worker, "image", MAX_JOBS="176") == (0, [f"launch base --only image --jobs 176 {RECORD}"])


def test_a_failed_wheel_keeps_the_cache_too_and_its_status(worker: Path) -> None:
    assert run(worker, "torch", FAILS="launch base") == (
        3,
        ["cache pull", f"launch base --only torch --jobs 4 {RECORD}", "cache push"],
    )


def test_a_cache_that_cannot_be_brought_or_kept_fails_nothing(worker: Path) -> None:
    assert run(worker, "torch", FAILS="cache pull,cache push")[0] == 0


def test_the_cache_is_kept_while_a_wheel_is_compiled(worker: Path) -> None:
    _, calls = run(worker, "torch", COMPILES_UNTIL="2", KEEP_SECONDS="0.1")
    assert calls.count("cache push") >= 3


def test_the_image_is_proved_without_a_cache_and_moves_no_tag(worker: Path) -> None:
    assert run(worker, "image") == (0, [f"launch base --only image --jobs 4 {RECORD}"])


def test_the_tag_is_moved_by_a_launch_that_finds_all_there(worker: Path) -> None:
    assert run(worker, "tag") == (0, ["launch base --jobs 4"])
