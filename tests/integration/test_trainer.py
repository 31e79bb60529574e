"""The training code's own tests, with a torch: ARR_COC/tests, where each is a sentence. They run in Debian's torch, not the compiled one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.google.cloud import google_cloud
from tests.tools import torch_root
from tests.tools.dockerd import quick_folder


@pytest.fixture(scope="session")
def root() -> Iterator[Path]:
    folder = quick_folder("torch-")
    try:
        torch_root.make(folder / "root")
        yield folder / "root"
    except torch_root.NoTorch as error:
        pytest.skip(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_the_training_code_passes_its_tests_and_resumes_exactly(root: Path, tmp_path: Path) -> None:
    with google_cloud(tmp_path) as cloud:
        cloud.storage.make("checkpoints")
        environment = {"STORAGE_EMULATOR_HOST": cloud.google.address, "OMP_NUM_THREADS": "1"}
        tests = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir=/repository"]
        done = torch_root.run(root, [*tests, "/repository/ARR_COC/tests"], environment)
    print(done.stdout)
    assert done.returncode == 0
    assert " passed" in done.stdout
