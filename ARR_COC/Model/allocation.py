"""Tokens for patches under a budget: differentiable in training, integers that sum to the budget in evaluation."""

import torch

HALVINGS = 24
"""Of the search for the price; a step of Newton's method follows, which doubles its digits."""


def capacity(scores: torch.Tensor, budgets: torch.Tensor, least: int, most: int) -> torch.Tensor:
    """Real numbers of tokens `(n, patches)` in [least, most] that sum to the budgets `(n,)`.

    A patch gets `least + (most - least) * sigmoid(score - price)`. The price is common to an image and such that the sum
    is right: water-filling with soft walls. Its derivative is the implicit one. A budget outside what the patches can take
    is moved to the nearest that they can.
    """
    room = float(most - least)
    share = ((budgets / scores.shape[1] - least) / room).clamp(1e-5, 1 - 1e-5).to(scores)
    with torch.no_grad():
        low, high = scores.amin(dim=1) - 15, scores.amax(dim=1) + 15
        for _ in range(HALVINGS):
            price = (low + high) / 2
            above = torch.sigmoid(scores - price[:, None]).mean(dim=1) > share
            low, high = torch.where(above, price, low), torch.where(above, high, price)
        price = (low + high) / 2
        spent = torch.sigmoid(scores - price[:, None])
        slope = (spent * (1 - spent)).mean(dim=1).clamp(min=1e-9)
    # It moves the price by next to nothing, and gives it its derivative by the scores.
    price = price + (torch.sigmoid(scores - price[:, None]).mean(dim=1) - share) / slope
    return least + room * torch.sigmoid(scores - price[:, None])


def rounded(capacities: torch.Tensor, budgets: torch.Tensor, least: int, most: int) -> torch.Tensor:
    """Integers `(n, patches)` in [least, most] that sum to the budgets, next to the capacities: largest remainder.

    The capacities sum to the budgets but for float's rounding. A budget that the patches can't take is moved as there.

    >>> rounded(torch.tensor([[1.2, 2.7, 1.1]]), torch.tensor([5]), 1, 4)
    tensor([[1, 3, 1]])
    """
    target = budgets.clamp(capacities.shape[1] * least, capacities.shape[1] * most)
    whole = capacities.floor().clamp(least, most).long()
    # What is missing goes to the largest remainders. Where float sums came out too high, the smallest give one back.
    remainder = capacities - whole
    whole = whole + _ranked(remainder.masked_fill(whole >= most, -torch.inf), target - whole.sum(dim=1))
    return whole - _ranked((whole - capacities).masked_fill(whole <= least, -torch.inf), whole.sum(dim=1) - target)


def _ranked(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """1 at the `counts` largest values of each row, the first of equals first; none at minus infinity."""
    order = values.argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)
    return ((rank < counts[:, None]) & (values > -torch.inf)).long()


def kept(capacities: torch.Tensor, tokens: torch.Tensor, depth: int, softness: float) -> torch.Tensor:
    """`(n, patches, depth)`: 1 where a token is kept, 0 where not, and a gradient as if the edge were soft.

    The values are those of the integers `tokens`, so training sees what evaluation sees; the derivative is that of a
    sigmoid at the capacity, `softness` tokens wide (a straight-through estimator: Bengio et al., 2013).
    """
    places = torch.arange(depth, device=tokens.device)
    hard = (places < tokens[..., None]).to(capacities)
    soft = torch.sigmoid((capacities[..., None] - places - 0.5) / softness)
    return hard + (soft - soft.detach())


def uniform(patches: int, budgets: torch.Tensor, least: int, most: int) -> torch.Tensor:
    """Every patch gets as many, `(n, patches)`, as near as integers come; the first ones get one more."""
    even = (budgets / patches)[:, None].expand(len(budgets), patches)
    return rounded(even, budgets, least, most)


def random(patches: int, budgets: torch.Tensor, least: int, most: int, source: torch.Generator) -> torch.Tensor:
    """Patches in a random order get all that they can take, `(n, patches)`, until the budget is spent."""
    values = torch.rand(len(budgets), patches, generator=source)
    spare = budgets[:, None] - patches * least - values.argsort(dim=1).argsort(dim=1) * (most - least)
    return least + spare.clamp(0, most - least)


def oracle(needs: torch.Tensor, budgets: torch.Tensor, least: int, most: int) -> torch.Tensor:
    """The best that can be done who knows each patch's need: the cheapest first, for each has the same part in the answer.

    What is left over is spread evenly, as it helps nobody.
    """
    cost = torch.where(needs > 0, needs - least, 0).clamp(min=0)
    order = torch.where(needs > 0, cost, most).argsort(dim=1, stable=True)
    sorted_cost = cost.gather(1, order)
    affordable = sorted_cost.cumsum(dim=1) <= (budgets - needs.shape[1] * least)[:, None]
    tokens = least + torch.zeros_like(cost).scatter_(1, order, torch.where(affordable, sorted_cost, 0))
    left = budgets - tokens.sum(dim=1)
    for _ in range(most - least):  # one more for each that can take one, as long as there are some
        more = _ranked(torch.where(tokens < most, 0.0, -torch.inf), left)
        tokens, left = tokens + more, left - more.sum(dim=1)
    return tokens
