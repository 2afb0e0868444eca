"""Scores on arrays small enough to work out by hand, and where their truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from benchmarks.masks import Deletion
from benchmarks.scores import crps, energy_distance, interval_coverage, pit_coverage, rmse


def _deletion(full, masked):
    full = np.asarray(full, dtype=float)
    return Deletion(full, np.asarray(masked, dtype=bool), np.zeros(len(full), dtype=bool))


@pytest.fixture
def numbers():
    """One continuous column from 0 to 24, whose cells 2 and 6 are taken away."""
    full = np.arange(25.0)[:, None]
    masked = np.zeros_like(full, dtype=bool)
    masked[[2, 6]] = True
    return _deletion(full, masked)


@pytest.fixture(scope="module")
def standard_normal():
    """A column of 4,000 standard normal values, all taken away but 30."""
    rng = np.random.default_rng(11)
    full = rng.normal(size=(4030, 1))
    masked = np.ones_like(full, dtype=bool)
    masked[-30:] = False
    return _deletion(full, masked)


def test_rmse_is_in_ranges(numbers):
    imputed = numbers.full.copy()
    imputed[2], imputed[6] = 5, 2  # errors 3 and 4
    assert_allclose(rmse(numbers, imputed), np.sqrt(12.5) / 24, rtol=1e-6)


def test_discrete_columns_are_rounded_first():
    full = np.tile([0.0, 1.0], 10)[:, None]
    masked = np.zeros_like(full, dtype=bool)
    masked[:2] = True
    imputed = full.copy()
    imputed[0], imputed[1] = 0.4, 0.4
    assert_allclose(rmse(_deletion(full, masked), imputed), np.sqrt(0.5), rtol=1e-5)


def test_crps_by_hand(numbers):
    draws = np.tile(numbers.full, (2, 1, 1))
    draws[:, 2, 0], draws[:, 6, 0] = (1, 5), (6, 6)
    # Cell 2: (1 + 3)/2 - 4/2 = 0; cell 6: 0.
    assert_allclose(crps(numbers, draws), 0, atol=1e-12)
    draws[:, 6, 0] = 7, 9  # (1 + 3)/2 - 2/2 = 1
    assert_allclose(crps(numbers, draws), 0.5 / 24, rtol=1e-6)


def test_crps_of_the_true_law(standard_normal):
    """The expected score of N(0, 1) about a value of its own is 1/sqrt(pi)."""
    draws = np.random.default_rng(5).normal(size=(20, 4030, 1))
    spread = np.ptp(standard_normal.full)
    # Its standard deviation over cells is below 0.6: four standard errors of 4,000 are 0.04.
    assert_allclose(crps(standard_normal, draws) * spread, 1 / np.sqrt(np.pi), atol=0.04)


@pytest.mark.parametrize("m", [19, 20, 39])
def test_interval_of_the_true_law_covers_its_level(standard_normal, m):
    draws = np.random.default_rng(m).normal(size=(m, 4030, 1))
    # Four binomial standard errors of 4,000 cells.
    assert_allclose(interval_coverage(standard_normal, draws), 0.9, atol=0.019)
    narrow = interval_coverage(standard_normal, 0.5 * draws)
    low, high = norm.cdf(0.5 * norm.ppf(0.97)), norm.cdf(0.5 * norm.ppf(0.93))
    assert 2 * high - 1 - 0.05 < narrow < 2 * low - 1 + 0.05


@pytest.mark.parametrize("m", [5, 20])
def test_central_transforms_of_the_true_law_with_ties(m):
    """Nine in ten values are zero; cells and draws are of one law, or draws never zero."""
    rng = np.random.default_rng(m)
    full = np.where(rng.random((8000, 1)) < 0.9, 0.0, rng.exponential(size=(8000, 1)))
    deletion = _deletion(full, np.arange(8000)[:, None] < 4000)
    draws = np.stack([rng.permutation(full[4000:])[:4000] for _ in range(m)])
    draws = np.concatenate([draws, draws], 1)
    # Four standard errors of 4,000 cells.
    assert_allclose(pit_coverage(deletion, draws), 0.9, atol=0.019)
    if m == 20:
        assert interval_coverage(deletion, draws) > 0.94
        assert pit_coverage(deletion, 1 + draws) < 0.15


def test_central_transforms_without_ties(standard_normal):
    draws = np.random.default_rng(1).normal(size=(19, 4030, 1))
    assert_allclose(
        pit_coverage(standard_normal, draws), interval_coverage(standard_normal, draws), atol=1e-12
    )


def test_central_transforms_keep_discrete_columns_apart(numbers):
    draws = np.tile(numbers.full, (20, 1, 1))  # each tie may be anywhere
    assert_allclose(pit_coverage(numbers, draws), 0.9)
    assert np.isnan(pit_coverage(numbers, draws, discrete=True))


def test_coverage_keeps_discrete_columns_apart(numbers):
    draws = np.tile(numbers.full, (20, 1, 1))
    assert interval_coverage(numbers, draws) == 1
    assert np.isnan(interval_coverage(numbers, draws, discrete=True))


def test_energy_distance_by_hand():
    full = np.array([[0.0], [2.0]])
    deletion = _deletion(full, [[True], [True]])  # standard deviation 1
    assert energy_distance(deletion, full) == 0
    # X = {1, 1}, Y = {0, 2}: 2 * 1 - 0 - (0 + 2 + 2 + 0)/4
    assert_allclose(energy_distance(deletion, np.ones((2, 1))), 1.0)


def test_energy_distance_tells_means_from_draws(standard_normal):
    drawn = np.random.default_rng(6).normal(size=(4030, 1))
    means = np.zeros((4030, 1))
    assert energy_distance(standard_normal, drawn) < 0.3 * energy_distance(standard_normal, means)
