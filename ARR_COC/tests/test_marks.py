"""The made task: it is the same each time, its best allocation is what it says, and its order is a function of the step."""

import functools
import operator

import numpy
import pytest

from ARR_COC.errors import SettingsError
from ARR_COC.Tasks.marks import Marks, codewords, marks
from ARR_COC.Training.order import Budgets, Order, Parts, learning_rate
from ARR_COC.Training.settings import read


def test_an_image_is_the_same_whatever_it_is_made_with() -> None:
    split = Marks(seed=3)
    together, alone = split.samples([5, 7, 9]), split.samples([7])
    assert all(numpy.array_equal(left[1:2], right) for left, right in zip(together, alone, strict=False))
    assert not numpy.array_equal(alone.images, Marks(seed=4).samples([7]).images)
    assert not numpy.array_equal(alone.images, Marks(seed=3, stream=1).samples([7]).images)


def test_a_target_is_readable_with_what_it_needs_and_not_with_less() -> None:
    split = Marks(seed=1)
    samples = split.samples(range(500))
    right = [(split.read(samples, samples.needs - less) == samples.answers).mean() for less in (0, 1)]
    everything = (split.read(samples, numpy.full_like(samples.needs, 8)) == samples.answers).mean()
    assert right[0] == everything > 0.95
    assert right[1] < 0.2  # one of eight classes


def test_every_image_has_its_targets_and_decoys_of_all_three_kinds() -> None:
    samples = Marks(seed=2).samples(range(100))
    assert (samples.needs > 0).sum(axis=1).tolist() == [4] * 100
    assert set(samples.needs[samples.needs > 0].tolist()) == set(range(2, 9))
    tiles = samples.images.reshape(100, 3, 8, 8, 8, 8).transpose(0, 2, 4, 1, 3, 5).reshape(100, 64, 3, 64)
    colour = tiles.mean(axis=-1)
    written = tiles.mean(axis=2).std(axis=-1) > 0.03
    light = colour.mean(axis=-1)
    standing_out = numpy.abs(light - numpy.median(light, axis=1, keepdims=True)) > 0.08
    asked = colour.argmax(axis=-1) == samples.queries[:, None]
    target = samples.needs > 0
    assert (asked & standing_out & written)[target].mean() > 0.95
    for kind in (~asked & standing_out & written, asked & ~standing_out & written, asked & standing_out & ~written):
        assert (kind & ~target).sum(axis=1).mean() > 2


def test_codewords_are_as_far_apart_as_they_can_be() -> None:
    assert numpy.array_equal(codewords(8) @ codewords(8).T, 8 * numpy.eye(8))


def test_sizes_that_can_hold_no_writing_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"model.depth=64"):
        marks(read(["model.depth=64"], {}))


def test_an_epoch_has_every_image_once_and_the_next_another_order() -> None:
    order = Order(seed=1, size=30, batch=10)
    epochs = [functools.reduce(operator.iadd, (order.whole(step) for step in range(start, start + 3)), []) for start in (0, 3)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(30))
    assert epochs[0] != epochs[1]


def test_a_batch_goes_on_in_the_next_epoch() -> None:
    order = Order(seed=1, size=7, batch=10)
    images = functools.reduce(operator.iadd, (order.whole(step) for step in range(7)), [])
    assert all(sorted(images[start : start + 7]) == list(range(7)) for start in range(0, 70, 7))


@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (2, 1), (1, 4), (3, 2)])
def test_processes_and_parts_share_a_step(processes: int, parts: int) -> None:
    order = Order(seed=1, size=100, batch=24, parts=parts)
    shared = [image for rank in range(processes) for part in order.of(5, rank, processes) for image in part]
    assert sorted(shared) == sorted(order.whole(5))


def test_a_run_that_goes_on_sees_what_it_would_have_seen() -> None:
    order = Order(seed=1, size=100, batch=12, parts=2)
    assert list(Parts(order, 0, 1, 3, 9)) == list(Parts(order, 0, 1, 0, 9))[6:]
    assert len(Parts(order, 0, 1, 3, 9)) == 12


def test_budgets_are_in_their_range_and_follow_from_the_step() -> None:
    budgets = Budgets(seed=1, batch=1000, patches=64, low=1.125, high=4.0, least=1, depth=8, explore=0.25)
    tokens, uniform = budgets.of(7)
    assert tokens[~uniform].min() >= 72 and tokens[~uniform].max() <= 256
    assert tokens[uniform].min() >= 64 and 500 < tokens[uniform].max() <= 512
    assert 0.2 < uniform.float().mean() < 0.3
    assert tokens.equal(budgets.of(7)[0]) and not tokens.equal(budgets.of(8)[0])


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, 1.0, 10) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10) and rates[0] == pytest.approx(0.1) and rates[-1] < 0.01
