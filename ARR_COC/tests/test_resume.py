"""A run that is stopped anywhere ends with the weights of one that was not, to the bit."""

import os
import signal
from collections.abc import Callable

import pytest
import torch

from ARR_COC.tests.conftest import Trainer, same, signalled
from ARR_COC.Training import stores

Undisturbed = Callable[..., "dict[str, torch.Tensor]"]
KINDS = [
    pytest.param((), 1, id="one process"),
    pytest.param(("workers=2", "accumulation=2"), 1, id="data workers and parts"),
    pytest.param(("precision=bf16",), 1, id="bf16"),
    pytest.param(("workers=1",), 2, id="two processes"),
    pytest.param(("batch=24",), 3, id="three processes"),
]


@pytest.mark.parametrize(("words", "processes"), KINDS)
def test_a_run_stopped_twice_by_sigterm_ends_with_the_same_weights(
    trainer: Trainer, undisturbed: Undisturbed, words: "tuple[str, ...]", processes: int
) -> None:
    for step in (1, 3):  # both in the first of two epochs: a signal at the report of a step ends the next one
        stopped = trainer.run(*words, "model.dropout=0.3", processes=processes, before=signalled(signal.SIGTERM, step))
        assert stopped == 143, trainer.log
    assert trainer.run(*words, "model.dropout=0.3", processes=processes) == 0, trainer.log
    assert "resuming" in trainer.log
    assert same(trainer.weights(), undisturbed(*words, "model.dropout=0.3", processes=processes))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_killed_again_and_again_ends_with_the_same_weights(
    trainer: Trainer, undisturbed: Undisturbed, processes: int
) -> None:
    for step in (1, 4, 5, 8, 10):
        assert trainer.run(processes=processes, before=signalled(signal.SIGKILL, step)) == 137
    assert trainer.run(processes=processes) == 0
    assert same(trainer.weights(), undisturbed(processes=processes))


@pytest.mark.parametrize("write", range(1, 7))
def test_a_run_killed_within_a_checkpoint_takes_the_one_before(trainer: Trainer, undisturbed: Undisturbed, write: int) -> None:
    def killed_at_a_write() -> None:
        flush, count = stores._flush, iter(range(1000))

        def dying(path: os.PathLike[str]) -> None:
            if next(count) == 5 + write:  # each checkpoint has six of them; this one is the second
                os.kill(os.getpid(), signal.SIGKILL)
            flush(path)

        stores._flush = dying

    assert trainer.run(before=killed_at_a_write) == 137
    assert sorted(path.name for path in trainer.folder.glob("step-??????")) == ["step-000003", "step-000006"][: 1 + (write == 6)]
    assert trainer.run() == 0
    assert "resuming" in trainer.log and not list(trainer.folder.glob("*partial*"))
    assert same(trainer.weights(), undisturbed())


def test_another_seed_and_another_number_of_processes_give_other_weights(trainer: Trainer, undisturbed: Undisturbed) -> None:
    assert not same(undisturbed(), undisturbed("seed=1"))
    assert not same(undisturbed(), undisturbed(processes=2))


def test_processes_and_parts_change_how_a_step_is_computed_and_not_what(trainer: Trainer) -> None:
    losses = []
    for name, words, processes in (("one", (), 1), ("parts", ("accumulation=4",), 1), ("two", ("accumulation=2",), 2)):
        run = Trainer(trainer.folder.with_name(name))
        assert run.run("model.dropout=0", *words, processes=processes) == 0
        losses.append(run.losses())
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert losses[2] == pytest.approx(losses[0], rel=0.01)
