"""What the model's parts promise."""

import itertools

import pytest
import torch

from ARR_COC.Model import allocation
from ARR_COC.Model.model import Fixed, Patches, RelevanceNet
from ARR_COC.Model.relevance import Coupling, Information
from ARR_COC.Model.spectrum import cosines
from ARR_COC.Training.gradients import Gradients
from ARR_COC.Training.settings import Model

SHAPES = [(64, 1, 8), (9, 1, 8), (16, 4, 25), (256, 64, 400)]
"""Patches of an image, the least and the most tokens of a patch; the last are those of the original."""


def budgets_of(patches: int, least: int, most: int, count: int) -> torch.Tensor:
    """From the least that is possible to the most."""
    return torch.linspace(patches * least, patches * most, count).round().long()


@pytest.mark.parametrize(("patches", "least", "most"), SHAPES)
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_allocations_are_integers_in_bounds_that_sum_to_the_budget(patches: int, least: int, most: int, spread: float) -> None:
    torch.manual_seed(patches)
    budgets = budgets_of(patches, least, most, 200)
    capacities = allocation.capacity(spread * torch.randn(200, patches), budgets, least, most)
    tokens = allocation.rounded(capacities, budgets, least, most)
    assert torch.equal(tokens.sum(dim=1), budgets)
    assert tokens.min() >= least and tokens.max() <= most
    assert (tokens - capacities).abs().max() < 1.01


@pytest.mark.parametrize(("patches", "least", "most"), SHAPES)
def test_the_ways_without_looking_spend_the_same(patches: int, least: int, most: int) -> None:
    torch.manual_seed(0)
    budgets = budgets_of(patches, least, most, 50)
    needs = torch.randint(least, most + 1, (50, patches)) * (torch.rand(50, patches) < 0.2)
    for tokens in (
        allocation.uniform(patches, budgets, least, most),
        allocation.random(patches, budgets, least, most, torch.Generator()),
        allocation.oracle(needs, budgets, least, most),
    ):
        assert torch.equal(tokens.sum(dim=1), budgets)
        assert tokens.min() >= least and tokens.max() <= most
    even = allocation.uniform(patches, budgets, least, most)
    assert (even.amax(dim=1) - even.amin(dim=1)).max() <= 1


def test_the_derivative_of_an_allocation_is_the_one_of_its_values() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    budgets = torch.tensor([10, 20, 30])
    assert torch.autograd.gradcheck(lambda s: allocation.capacity(s, budgets, 1, 8), scores, atol=1e-4)


def test_a_higher_score_gets_more_and_takes_it_from_the_others() -> None:
    before = allocation.capacity(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([12]), 1, 8)
    after = allocation.capacity(torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([12]), 1, 8)
    assert (after - before)[0].sign().tolist() == [-1, -1, 1]


def test_training_sees_whole_tokens_and_learns_from_those_at_the_edge() -> None:
    capacities = torch.tensor([[2.4, 1.0]], requires_grad=True)
    kept = allocation.kept(capacities, torch.tensor([[2, 1]]), 4, 0.7)
    assert torch.allclose(kept, torch.tensor([[[1.0, 1, 0, 0], [1, 0, 0, 0]]]), atol=1e-6)
    kept[0, 0, 2].backward()
    assert capacities.grad is not None and capacities.grad[0, 0] > 0.3


def test_no_allocation_serves_more_targets_than_the_best_one() -> None:
    torch.manual_seed(1)
    for _ in range(50):
        needs = torch.randint(2, 6, (1, 6)) * (torch.rand(1, 6) < 0.6)
        budget = int(torch.randint(6, 20, ()))
        tokens = allocation.oracle(needs, torch.tensor([budget]), 1, 8)
        served = int(((needs > 0) & (tokens >= needs)).sum())
        targets = [int(need) - 1 for need in needs[0] if need]
        possible = [n for n in range(len(targets) + 1) if any(sum(c) <= budget - 6 for c in itertools.combinations(targets, n))]
        assert served == max(possible)


def test_the_first_tokens_of_a_patch_are_it_at_a_lower_resolution() -> None:
    basis = torch.from_numpy(cosines(8).copy())
    assert torch.allclose(basis @ basis.T, torch.eye(64), atol=1e-5)
    image = torch.rand(1, 3, 16, 24)
    seen = Patches(8, 8)(image)
    assert seen.colour.shape == (1, 6, 3) and seen.detail.shape == (1, 6, 7, 9)
    light = torch.cat([seen.colour.mean(-1, keepdim=True)[0] * 8, seen.detail.flatten(2)[0]], dim=-1) @ basis
    tiles = image.mean(1).unfold(1, 8, 8).unfold(2, 8, 8).reshape(6, 64)
    assert torch.allclose(light, tiles, atol=1e-5)
    blurred = torch.cat([light @ basis.T[:, :10]], dim=-1) @ basis[:10]
    assert 0 < (blurred - tiles).norm() < tiles.norm()


def test_information_content_depends_on_energy_alone() -> None:
    view, detail = Information(8, 16), torch.randn(2, 5, 7, 9)
    assert torch.allclose(view(detail), view(-detail.flip(-1)), atol=1e-5)


def test_coupling_says_only_which_query_a_patch_belongs_to() -> None:
    torch.manual_seed(0)
    view, colour = Coupling(3, 16), torch.rand(1, 5, 3)
    likely = torch.stack([view(colour, torch.tensor([query])) for query in range(3)])
    assert torch.allclose(likely.exp().mean(dim=0), torch.ones(1, 5), atol=1e-5)
    assert torch.allclose(likely, torch.stack([view(colour + 0.3, torch.tensor([query])) for query in range(3)]), atol=1e-4)


def test_what_is_not_kept_does_not_reach_the_answer() -> None:
    torch.manual_seed(0)
    net = RelevanceNet(3, 8).eval()
    images, queries, budgets = torch.rand(1, 3, 64, 64), torch.tensor([1]), torch.tensor([80])
    coarse = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(images, 8), scale_factor=8)
    fixed = Fixed(torch.tensor([True]), torch.ones(1, 64, dtype=torch.long))
    assert torch.allclose(net(images, queries, budgets, fixed).logits, net(coarse, queries, budgets, fixed).logits, atol=1e-4)
    assert not torch.allclose(net(images, queries, budgets).logits, net(coarse, queries, budgets).logits, atol=1e-4)


def test_a_point_of_view_that_is_left_out_is_not_there() -> None:
    net = RelevanceNet(3, 8, Model(without=("salience",)))
    assert list(net.relevance) == ["information", "coupling"]
    assert net(torch.rand(2, 3, 64, 64), torch.tensor([0, 2]), torch.tensor([80, 100])).weights.shape == (2, 2)


def test_gradients_are_one_tensor_that_backward_writes_to() -> None:
    layer = torch.nn.Linear(2, 3)
    gradients = Gradients(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    assert gradients.flat.tolist() == [1.0] * 9
    assert float(gradients.clip(1.0)) == pytest.approx(3.0)
    assert float(gradients.flat.norm()) == pytest.approx(1.0, abs=1e-4)
    gradients.clear()
    assert layer.weight.grad is not None and not layer.weight.grad.any()
