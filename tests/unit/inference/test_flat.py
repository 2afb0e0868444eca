"""The optimiser on one vector against torch's AdamW, and the views it works on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from psmimpute.inference.flat import FlatAdamW, FlatParameters


class _Toy(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.a = nn.Parameter(torch.randn(2, 3, generator=generator))
        self.fixed = nn.Parameter(torch.ones(2, 2), requires_grad=False)
        self.net = nn.Linear(4, 2)
        self.net.weight.data = torch.randn(2, 4, generator=generator)
        self.net.bias.data = torch.randn(2, generator=generator)

    def loss(self, step):
        target = 0.3 * step
        return (
            ((self.a - target) ** 4).sum()
            + ((self.net.weight - 1) ** 2).sum()
            + (self.net.bias.exp().sum())
        )


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_those_of_torch(decay):
    flat_toy, toy = _Toy(), _Toy()
    flat = FlatParameters(flat_toy)
    rates = torch.full_like(flat.values, 0.02)
    network = flat.select(("net",))
    rates[network] = 0.05
    ours = FlatAdamW(flat, rates, decay * network.float())
    theirs = torch.optim.AdamW(
        [
            {"params": [toy.a], "lr": 0.02, "weight_decay": 0.0},
            {"params": list(toy.net.parameters()), "lr": 0.05, "weight_decay": decay},
        ],
        betas=FlatAdamW._BETAS,
        eps=FlatAdamW._EPS,
    )
    for step in range(30):
        flat_toy.loss(step).backward()
        ours.step(1.0)
        theirs.zero_grad()
        toy.loss(step).backward()
        theirs.step()
    for mine, reference in zip(flat_toy.parameters(), toy.parameters(), strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-6, rtol=1e-5)


def test_the_schedule_scales_rate_and_decay_alike():
    toys = [_Toy(), _Toy()]
    flats = [FlatParameters(toy) for toy in toys]
    decay = torch.full_like(flats[0].values, 0.3)
    halved = FlatAdamW(flats[0], torch.full_like(decay, 0.04), decay)
    plain = FlatAdamW(flats[1], torch.full_like(decay, 0.02), decay)
    for step in range(5):
        for toy in toys:
            toy.loss(step).backward()
        halved.step(0.5)
        plain.step(1.0)
    torch.testing.assert_close(flats[0].values, flats[1].values)


def test_a_gradient_that_is_not_finite_moves_nothing():
    toy = _Toy()
    flat = FlatParameters(toy)
    optimiser = FlatAdamW(flat, torch.full_like(flat.values, 0.1), torch.zeros_like(flat.values))
    before = flat.values.clone()
    flat.gradients[:3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    flat.gradients[3] = 1.0
    optimiser.step(1.0)
    assert bool((flat.values[:3] == before[:3]).all())
    assert flat.values[3] < before[3]
    assert bool(torch.isfinite(flat.values).all())
    assert not flat.gradients.any()


def test_parameters_and_gradients_are_views_with_their_member():
    toy = _Toy()
    flat = FlatParameters(toy)
    assert flat.values.numel() == 6 + 8 + 2
    flat.values[flat.spans["a"]] = torch.arange(6.0)
    assert toy.a.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert flat.member[flat.spans["a"]].tolist() == [0, 0, 0, 1, 1, 1]
    assert flat.member[flat.spans["net.weight"]].tolist() == [0] * 4 + [1] * 4
    (toy.a * torch.arange(6.0).reshape(2, 3)).sum().backward()
    assert flat.gradients[flat.spans["a"]].tolist() == list(range(6))
    assert "fixed" not in flat.spans
