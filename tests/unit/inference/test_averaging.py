"""The mean of parameters that a run keeps, on numbers that are told in advance."""

from __future__ import annotations

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from psmimpute.inference.averaging import PATIENCE, BestAverage, paired_gain
from psmimpute.inference.flat import FlatParameters


class _Number(nn.Module):
    def __init__(self):
        super().__init__()
        self.x = nn.Parameter(torch.zeros(2, 1))


@pytest.fixture
def flat():
    """One number for each of two members, at zero."""
    return FlatParameters(_Number())


def _follow(average, flat, path):
    for step, values in enumerate(path, start=1):
        flat.values.copy_(torch.tensor(values))
        average.add(step)
        average.look(step)


def test_each_member_keeps_its_own_best(flat):
    aims = torch.tensor([1.0, 4.0])
    average = BestAverage(flat, lambda: (flat.values - aims).abs(), weight=1.0, every=1)
    _follow(average, flat, [[1.0, 2.0], [3.0, 4.0], [0.0, 9.0]])
    assert average.best_step.tolist() == [1, 2]
    assert_allclose(flat.values, [0.0, 9.0])  # judging leaves what is in training as it is
    average.restore()
    assert_allclose(flat.values, [1.0, 4.0])
    assert_allclose(average.best_loss, 0.0)


def test_the_mean_is_of_all_steps_before_it_forgets(flat):
    average = BestAverage(flat, lambda: -flat.values, weight=0.25, every=1)
    _follow(average, flat, [[3.0, 3.0], [6.0, 6.0]])
    assert_allclose(average.mean, 3.0)  # of 0, 3 and 6
    for step, value in ((3, 7.0), (4, 8.0)):
        flat.values.fill_(value)
        average.add(step)
    assert_allclose(average.mean, 0.75 * 4.0 + 0.25 * 8.0)  # of 0, 3, 6 and 7 the mean is 4


def test_the_last_is_kept_where_nobody_may_judge(flat):
    average = BestAverage(flat, lambda: flat.values.abs(), weight=1.0, every=1, keep_last=True)
    _follow(average, flat, [[1.0, 1.0], [5.0, 5.0]])
    average.restore()
    assert_allclose(flat.values, 5.0)


def test_a_member_settles_when_patience_is_spent(flat):
    average = BestAverage(flat, lambda: flat.values.abs(), every=10)
    assert not average.settled(10 * PATIENCE - 1).any()
    assert average.settled(10 * PATIENCE).all()


def test_paired_gain_by_hand():
    gain, error = paired_gain(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0]))
    assert_allclose([gain, error], [2.0, 1 / 3**0.5])
