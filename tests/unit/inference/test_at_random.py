"""Gaps explained as missing at random: by hand, and as what pattern sets have to beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import expit

from psmimpute import PSMImputer
from psmimpute.inference.at_random import GapsAtRandom
from psmimpute.inference.members import fold_rows


def _block(rng, n):
    """Two columns that are missing together, by a column with a few gaps of its own."""
    x = rng.normal(size=n)
    table = np.column_stack([x, 0.7 * x[:, None] + 0.7 * rng.normal(size=(n, 2))])
    table[rng.random(n) < 0.05, 0] = np.nan
    away = rng.random(n) < expit(3 * np.nan_to_num(table[:, 0]) - 1)
    table[away, 1:] = np.nan
    return table


def _at_random(linear_gaussian, table):
    exact = linear_gaussian(n_rows=4, n_sets=1, n_members=2, n_columns=table.shape[1])
    exact = exact.with_rows(table)
    gappy = tuple(np.flatnonzero(np.isnan(table).any(0)).tolist())
    model = exact.model(missingness="shared", gappy=gappy)
    folds = fold_rows(len(table), n_folds=2, seed=0)
    return GapsAtRandom(exact.store(), model.spec.layout, gappy, folds), model, folds


def test_a_column_with_more_gaps_is_regressed_on_those_with_fewer(linear_gaussian, rng):
    table = rng.normal(size=(60, 4))
    for column, n in ((1, 30), (2, 10), (3, 20)):
        table[:n, column] = np.nan
    at_random, *_ = _at_random(linear_gaussian, table)
    # Columns with gaps are 1, 2 and 3; the regressors are the inputs of all four, then their gaps.
    expected = np.array(
        [[1, 1, 1], [0, 0, 0], [1, 0, 1], [1, 0, 0], [0, 0, 0], [1, 0, 1], [1, 0, 0]]
    )
    assert np.array_equal(at_random.allowed, expected)
    for e in range(2):
        held = at_random.coefficients[e, 1:][torch.from_numpy(expected == 0)]
        assert np.array_equal(held, np.zeros(held.shape))


def test_the_gain_is_the_difference_of_log_probabilities(linear_gaussian, rng):
    table = _block(rng, 200)
    at_random, model, folds = _at_random(linear_gaussian, table)
    with torch.no_grad():
        model.missingness.intercept.copy_(torch.tensor([2.5, 0.2, 0.3]).expand(2, 1, 3))
    gain = at_random.gain(model)
    seen = ~np.isnan(table)
    regressors = np.column_stack([np.ones(200), np.nan_to_num(table), 2.0 * seen - 1])
    for e in range(2):
        logits = regressors @ at_random.coefficients[e].numpy()
        plain = np.tile([2.5, 0.2, 0.3], (200, 1))
        found = [np.where(seen, expit(t), expit(-t)) for t in (logits, plain)]
        expected = np.log(found[0]).sum(1) - np.log(found[1]).sum(1)
        assert_allclose(gain[e], expected[folds.held_out[e]], atol=1e-3)


def test_what_explains_gaps_no_better_gains_nothing(linear_gaussian, rng):
    table = rng.normal(size=(40, 5))
    table[rng.random(table.shape) < 0.3] = np.nan
    at_random, model, folds = _at_random(linear_gaussian, table)
    with torch.no_grad():
        rate = 1 - np.isnan(table).mean(0)
        model.missingness.intercept.copy_(torch.from_numpy(np.log(rate / (1 - rate))))
    assert np.array_equal(at_random.gain(model), np.zeros(folds.held_out.shape))


@pytest.mark.parametrize("missingness", ["shared", "ignorable"])
def test_a_block_that_is_missing_at_random_makes_no_set(rng, missingness):
    frame = pd.DataFrame(_block(rng, 400), columns=["x", "a", "b"])
    imputer = PSMImputer(2, seed=1, missingness=missingness, progress=False).fit(frame)
    assert imputer.n_sets_ == 1


def test_values_that_lie_in_two_groups_still_make_sets(rng):
    """The gaps of each group hang on the value itself."""
    second = rng.random(600) < 0.5
    values = rng.normal(size=(600, 4)) * 0.4 + np.where(second, 1.5, -1.5)[:, None]
    frame = pd.DataFrame(values, columns=[*"abcd"])
    gaps = rng.random((600, 2)) < np.where(second, 0.6, 0.05)[:, None]
    frame.loc[gaps[:, 0], "a"] = np.nan
    frame.loc[gaps[:, 1], "b"] = np.nan
    imputer = PSMImputer(2, seed=1, progress=False).fit(frame)
    assert imputer.n_sets_ >= 2
