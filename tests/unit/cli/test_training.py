"""`launch --submit`: what is refused before anything is built, and where a job could run."""

import json
import os
import subprocess

import pytest

from tests.conftest import ROOT
from tests.fakes.command_line import arrstack

SERVER = ("--registry", "registry.invalid/prefix")
CUDA = ("--profile", "debian-cuda")


def launch(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("ARRSTACK_", "GOOGLE_", "CLOUDSDK_"))]:
            patch.delenv(name)
        return arrstack("--stack", str(ROOT / "stack.toml"), "launch", *words, **environment)


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--queue", "q"), 2, "--queue without --submit"),
        (("--gpu", "L4"), 2, "--gpu without --submit"),
        (("--gpus", "2"), 2, "--gpus without --submit or --run"),
        (("--where",), 2, "--where without --submit"),
        (("--submit", "--dry-run", "--queue", "q", "--machine", "e2-standard-4", *SERVER), 2, "--submit with --dry-run"),
        (("--submit", "--machine", "e2-standard-4", *SERVER), 2, "no queue is named"),
        (("--submit", "--queue", "q", "--machine", "e2-standard-4"), 2, "Vertex AI cannot pull an image from oci:"),
        (("--submit", "--queue", "q", *SERVER), 2, "no machine is named"),
        (("--submit", "--queue", "q", "--gpus", "all", "--gpu", "L4", *SERVER), 2, "--gpus all with --submit: it takes a number"),
        (("--submit", "--queue", "q", "--gpu", "L4", *SERVER), 6, "L4 (8.9) does not run an image with no GPU code"),
        (("--submit", "--queue", "q", "--gpu", "B200", *SERVER, *CUDA), 6, "B200 (10.0) does not run an image with sm_75, sm_80"),
        (("--submit", "--queue", "q", "--machine", "a4x-highgpu-4g", *SERVER, *CUDA), 6, "has no x86-64 processors"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_is_refused_with_its_status_before_anything_is_built(
    words: tuple[str, ...], status: int, told: str
) -> None:
    done = launch(*words)
    assert done.returncode == status, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_where_lists_the_machines_that_run_it_with_what_is_not_known(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = str(tmp_path_factory.mktemp("home"))
    done = launch("--submit", "--where", "--gpu", "L4", "--gpus", "1", *CUDA, HOME=home, XDG_DATA_HOME=home)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert "arr-trainer, by the list of profile debian-cuda" in lines
    first = next(line for line in lines if line.startswith("g2-standard-4 with 1 L4"))
    assert "native" in first and "price not known; regions not known" in first
    assert not any("A100" in line or "T4" in line for line in lines)
    assert "regions are not known: no Google Cloud project is named" in lines


def test_where_as_json_has_the_documented_form(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = str(tmp_path_factory.mktemp("home"))
    told = json.loads(launch("--submit", "--where", "--json", *CUDA, HOME=home, XDG_DATA_HOME=home).stdout)
    assert set(told) == {"tier", "judged_by", "source", "regions_not_known", "machines"}
    assert (told["tier"], told["judged_by"], told["regions_not_known"]) == (
        "arr-trainer",
        "profile",
        "no Google Cloud project is named",
    )
    one = next(each for each in told["machines"] if each["machine"] == "a2-highgpu-1g")
    assert one == {
        "machine": "a2-highgpu-1g", "gpu": "A100", "gpus": 1, "gpu_memory_gb": 40, "processors": 12, "memory_gb": 85, "runs": "native",
        "dollars_an_hour": None, "regions": None,
    }  # fmt: skip
