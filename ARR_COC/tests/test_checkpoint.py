"""What happens to a run whose checkpoints are damaged, foreign, or can't be written."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ARR_COC.tests.conftest import Trainer, same, signalled
from ARR_COC.Training.gradients import Gradients

Undisturbed = Callable[..., "dict[str, torch.Tensor]"]


def stopped_at(trainer: Trainer, step: int, *words: str) -> None:
    assert trainer.run(*words, before=signalled(signal.SIGKILL, step)) == 137


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "about.json"])
def test_a_cut_file_is_told_and_the_checkpoint_before_it_is_taken(trainer: Trainer, undisturbed: Undisturbed, name: str) -> None:
    stopped_at(trainer, 8)
    path = trainer.folder / "step-000006" / name
    os.truncate(path, path.stat().st_size // 2)
    assert trainer.run() == 0
    assert f"step-000006 in {trainer.folder} is not whole: {name} has" in trainer.log
    assert "3 of 10 steps are done" in trainer.log
    assert same(trainer.weights(), undisturbed())


def test_a_changed_byte_is_found(trainer: Trainer, undisturbed: Undisturbed) -> None:
    stopped_at(trainer, 5)
    path = trainer.folder / "step-000003/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert trainer.run() == 0
    assert "has other contents than were written" in trainer.log
    assert same(trainer.weights(), undisturbed())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("model.hidden=24",), "it has (8, 16) for the weight head.answer.weight, this model (8, 24)"),
        (("lr=0.5",), "lr: 0.02 there, 0.5 here"),
        (("seed=7",), "seed: 0 there, 7 here"),
    ],
)
def test_a_checkpoint_of_another_run_ends_this_one_and_stays(trainer: Trainer, words: "tuple[str, ...]", expected: str) -> None:
    assert trainer.run("steps=3") == 0
    assert trainer.run("steps=3", *words) == 4
    assert expected in trainer.log and "Traceback" not in trainer.log
    assert trainer.run("steps=3") == 0


def test_settings_that_change_no_weights_may_change(trainer: Trainer, undisturbed: Undisturbed) -> None:
    stopped_at(trainer, 4)
    assert trainer.run("save_every=5", "workers=1", "keep=7") == 0
    assert "resuming" in trainer.log
    assert same(trainer.weights(), undisturbed())


@pytest.fixture
def small_disk(trainer: Trainer) -> Iterator[Path]:
    """The output folder on a small file system of its own."""
    trainer.folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", trainer.folder], check=False).returncode:
        pytest.skip("needs root to mount a small file system")
    yield trainer.folder
    subprocess.run(["umount", trainer.folder], check=True)


def test_a_full_disk_ends_a_run_that_then_goes_on_from_the_checkpoint_before(
    trainer: Trainer, small_disk: Path, undisturbed: Undisturbed
) -> None:
    stopped_at(trainer, 5)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(bytes(2 << 20))
    os.truncate(filler, filler.stat().st_size - 8192)  # room for the settings, and for no checkpoint
    assert trainer.run() == 4
    assert "the checkpoint of step 6 can't be written" in trainer.log and "No space left on device" in trainer.log
    assert "the newest one is of step 3" in trainer.log and "Traceback" not in trainer.log
    assert [path.name for path in small_disk.glob("step-*")] == ["step-000003"]
    filler.unlink()
    assert trainer.run() == 0
    assert same(trainer.weights(), undisturbed())


def test_only_the_newest_checkpoints_stay(trainer: Trainer) -> None:
    assert trainer.run("keep=2", "save_every=2") == 0
    assert sorted(path.name for path in trainer.folder.glob("step-*")) == ["step-000008", "step-000010"]


def test_an_output_that_takes_no_file_is_told_before_the_first_step(trainer: Trainer, small_disk: Path) -> None:
    with contextlib.suppress(OSError):
        (small_disk / "filler").write_bytes(bytes(2 << 20))
    assert trainer.run() == 4
    assert f"the output {small_disk} can't be written: [Errno 28] No space left on device" in trainer.log
    assert "step 1/" not in trainer.log


def test_without_resume_a_run_does_not_begin_beside_checkpoints(trainer: Trainer) -> None:
    assert trainer.run("steps=3") == 0
    assert trainer.run("steps=3", "resume=false") == 4
    assert "has a checkpoint of step 3, and resume is off" in trainer.log


def test_a_run_whose_loss_is_no_number_ends(trainer: Trainer) -> None:
    def poisoned() -> None:
        Gradients.clip = lambda self, longest: self.flat.fill_(float("nan"))  # type: ignore[method-assign]

    assert trainer.run(before=poisoned) == 5
    assert "the loss is nan at step 2" in trainer.log and "Traceback" not in trainer.log
