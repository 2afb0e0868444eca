"""Mass of a normal variable in an interval, beside that in double precision, also far out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from psmimpute.likelihoods.interval import expand_normal_interval, log_normal_mass

LOWER = np.array([-1000.0, -40.0, -6.0, -1.0, -0.2, 0.0, 1.5, 5.0, 12.0, -0.5])
UPPER = np.array([-0.3, -39.0, -5.5, 0.5, 0.2, 8.0, 1.6, 5.01, 14.0, 900.0])


def _log_mass(lower, upper):
    """From the tail on whose side the interval lies."""
    flip = lower + upper > 0
    low, high = np.where(flip, -upper, lower), np.where(flip, -lower, upper)
    below, all_below = stats.norm.logcdf(low), stats.norm.logcdf(high)
    return all_below + np.log(-np.expm1(below - all_below))


@pytest.fixture
def ends():
    return torch.tensor(LOWER, dtype=torch.float32), torch.tensor(UPPER, dtype=torch.float32)


def test_mass_is_that_in_double_precision(ends):
    assert_allclose(log_normal_mass(*ends), _log_mass(LOWER, UPPER), rtol=2e-4, atol=1e-6)


def test_an_interval_without_width_has_a_finite_mass():
    at = torch.tensor([-30.0, 0.0, 30.0])
    assert torch.isfinite(log_normal_mass(at, at)).all()


def test_score_and_information_are_derivatives(ends):
    lower, upper = (x.double() for x in ends)
    shift = torch.zeros_like(lower, requires_grad=True)
    (score,) = torch.autograd.grad(
        log_normal_mass(lower - shift, upper - shift).sum(), shift, create_graph=True
    )
    (second,) = torch.autograd.grad(score.sum(), shift)
    found = expand_normal_interval(lower, upper)
    assert_allclose(found.score, score.detach(), rtol=1e-5, atol=1e-8)
    assert_allclose(found.information, (-second).clamp(1e-6, 1.0), rtol=1e-3, atol=1e-6)
