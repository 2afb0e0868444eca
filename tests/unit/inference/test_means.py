"""Conditional means: against their closed form, and streaming in bounded blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from psmimpute.inference import means
from psmimpute.inference.means import MeanEstimator


def _estimate(exact, *, n_samples, inverse=None, keys=None, model=None):
    n_rows, n_columns = exact.x.shape
    return MeanEstimator(
        (model or exact.model()).requires_grad_(False),
        exact.store(),
        inverses=[inverse or (lambda y: y)] * n_columns,
        limits=np.tile([-np.inf, np.inf], (n_columns, 1)),
        row_keys=np.arange(n_rows, dtype=np.uint64) if keys is None else keys,
        seed=3,
        n_samples=n_samples,
    ).estimate()


def _standardised(exact):
    """Linear predictors well inside ten standard deviations, where the means are tabulated."""
    return replace(exact, loadings=0.4 * exact.loadings)


@pytest.mark.parametrize(("n_sets", "hidden_dim"), [(1, 0), (3, 0), (5, 4)])
def test_the_conditional_mean_is_its_formula(linear_gaussian, n_sets, hidden_dim):
    exact = _standardised(linear_gaussian(n_sets=n_sets))
    expected = np.mean([exact.conditional_mean(e) for e in range(2)], 0)
    found = _estimate(exact, n_samples=4096, model=exact.model(hidden_dim=hidden_dim)).numbers
    for j in range(5):
        # 4,096 quasi-random samples: an error of about 1e-3 standard deviations.
        assert_allclose(found[j], expected[np.isnan(exact.x[:, j]), j], atol=3e-3)


def test_the_mean_is_taken_on_the_columns_own_scale(linear_gaussian):
    """E exp(x), not exp of E x: that of a log-normal cell."""
    exact = _standardised(linear_gaussian(n_sets=1, n_members=1))
    found = _estimate(exact, n_samples=4096, inverse=lambda y: np.exp(y / 2)).numbers
    for j in range(5):
        rows = np.flatnonzero(np.isnan(exact.x[:, j]))
        location, scale = np.array([exact.conditional(0, i, j) for i in rows])[:, :, 0].T
        expected = stats.lognorm(scale / 2, scale=np.exp(location / 2)).mean()
        # 64 noise nodes leave a little of the upper tail out.
        assert_allclose(found[j], expected, rtol=0.02)


def _bent(exact):
    """A model whose decoder is not linear, so that the weights are uneven."""
    model = exact.model(hidden_dim=8)
    model.reset([torch.Generator().manual_seed(e) for e in range(exact.n_members)])
    with torch.no_grad():
        model.decoder.head.weight.normal_(0, 2, generator=torch.Generator().manual_seed(1))
    return model


def test_blocks_and_rows_of_any_size_give_the_same(linear_gaussian, monkeypatch):
    exact = linear_gaussian()
    whole = _estimate(exact, n_samples=300, model=_bent(exact)).numbers
    monkeypatch.setattr(means, "_MOST_FLOATS", 2000)
    pieces = _estimate(exact, n_samples=300, model=_bent(exact)).numbers
    for j in range(5):
        assert_allclose(pieces[j], whole[j], atol=1e-4)


def test_memory_does_not_grow_with_the_number_of_samples(linear_gaussian, monkeypatch):
    exact = linear_gaussian(n_rows=300)
    limit, sizes, real = 100_000, [], means.propose

    def spy(*given, **named):
        found = real(*given, **named)
        sizes.append((found.z.numel(), named["n_samples"]))
        return found

    monkeypatch.setattr(means, "propose", spy)
    monkeypatch.setattr(means, "_MOST_FLOATS", limit)
    largest, taken = [], []
    for n_samples in (200, 3000):
        sizes.clear()
        _estimate(exact, n_samples=n_samples)
        largest.append(max(size for size, _ in sizes))
        taken.append(sum(n for _, n in sizes))
    assert max(largest) <= limit
    assert largest[1] <= 1.5 * largest[0]
    # Every chunk of rows has seen all samples.
    assert taken[0] % 200 == 0
    assert taken[1] % 3000 == 0


def test_a_rows_mean_depends_on_its_key_not_on_its_company(linear_gaussian):
    exact = linear_gaussian()
    whole = _estimate(exact, n_samples=50).numbers
    order = np.array([7, 3, 20, 0])
    part = _estimate(
        exact.with_rows(exact.x[order]), n_samples=50, keys=order.astype(np.uint64)
    ).numbers
    missing = np.isnan(exact.x)
    for j in range(5):
        place = np.cumsum(missing[:, j]) - 1
        assert_allclose(part[j], whole[j][place[order][missing[order, j]]], atol=1e-4)


def test_a_table_without_gaps_has_nothing_to_estimate(linear_gaussian):
    exact = linear_gaussian()
    found = _estimate(exact.with_rows(np.zeros((4, 5))), n_samples=10)
    assert all(a.shape == (0,) for a in found.numbers.values())


def test_predictors_are_clipped_a_standard_deviation_beyond_what_was_observed(linear_gaussian):
    exact = linear_gaussian(n_sets=1)
    n_rows, n_columns = exact.x.shape
    found = MeanEstimator(
        exact.model().requires_grad_(False),
        exact.store(),
        inverses=[lambda y: y] * n_columns,
        limits=np.tile([-9.0, -8.0], (n_columns, 1)),
        row_keys=np.arange(n_rows, dtype=np.uint64),
        seed=3,
        n_samples=4,
    ).estimate()
    for values in found.numbers.values():
        assert_allclose(values, -7.0, atol=0.02)
