"""Moments of tables with gaps, principal factors, and how many of them count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
import torch
from numpy.testing import assert_allclose

from psmimpute import impute
from psmimpute.inference.config import FitConfig
from psmimpute.inference.factors import (
    complete_correlation,
    count_factors,
    find_moments,
    latent_correlation,
    principal_factors,
    unexplained_variances,
)
from psmimpute.inference.structure import CommonFit
from psmimpute.model.layout import lay_out
from psmimpute.model.rows import store_rows
from psmimpute.table.encoding import encode
from psmimpute.table.infer import infer_schema


def _gappy(x, rng, rate=0.2):
    x = np.where(rng.random(x.shape) < rate, np.nan, x)
    return (x - np.nanmean(x, 0)) / np.nanstd(x, 0)


def _moments(x, linear_gaussian):
    exact = linear_gaussian(n_rows=4, n_sets=1, n_members=1, n_columns=x.shape[1]).with_rows(x)
    return find_moments(exact.store().all(), exact.model().spec.layout)


def _factor_table(n, d, k, rng, noise=0.5):
    return rng.normal(size=(n, k)) @ rng.normal(size=(k, d)) + noise * rng.normal(size=(n, d))


def test_moments_are_those_of_the_rows_that_show_both_columns(linear_gaussian, rng):
    x = _gappy(_factor_table(400, 4, 2, rng), rng)
    found = _moments(x, linear_gaussian)
    seen = ~np.isnan(x)
    assert_allclose(found.mean, np.nanmean(x, 0), atol=1e-6)
    assert_allclose(found.sd, np.nanstd(x, 0), atol=1e-6)
    n = (seen[:, 0] & seen[:, 1]).sum()
    by_hand = np.nansum(found.scores[:, 0] * found.scores[:, 1]) / (n + 5)
    assert found.correlation[0, 1] == pytest.approx(by_hand, abs=1e-9)
    pairs = [(seen[:, i] & seen[:, j]).sum() for i in range(4) for j in range(4) if i != j]
    assert found.n_pairs == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("loading", [0.5, 0.8, 0.95])
def test_columns_never_seen_together_start_independent_given_the_others(loading):
    known = np.full((3, 3), loading)
    np.fill_diagonal(known, 1.0)
    known[0, 1] = known[1, 0] = 0.0  # not definite where the loading is large
    pairs = np.full((3, 3), 100.0)
    pairs[0, 1] = pairs[1, 0] = 0.0
    found = complete_correlation(known, pairs)
    assert found[0, 1] == pytest.approx(loading**2, abs=1e-3)
    assert np.linalg.inv(found)[0, 1] == pytest.approx(0.0, abs=0.1)
    assert_allclose(found[:, 2], known[:, 2])
    assert complete_correlation(known, np.full((3, 3), 6.0)) is known


def test_many_pairs_are_completed_at_once(rng):
    """Two surveys that share three columns: the conditional covariance between them is zero."""
    full = np.corrcoef(rng.normal(size=(40, 9)) @ rng.normal(size=(9, 9)), rowvar=False)
    first, second, shared = [0, 1, 2], [3, 4, 5], [6, 7, 8]
    pairs = np.full((9, 9), 50.0)
    pairs[np.ix_(first, second)] = pairs[np.ix_(second, first)] = 0.0
    given = np.where(pairs > 0, full, 0.0)
    found = complete_correlation(given, pairs)
    implied = full[np.ix_(first, shared)] @ np.linalg.inv(full[np.ix_(shared, shared)])
    assert_allclose(found[np.ix_(first, second)], implied @ full[np.ix_(shared, second)], atol=0.02)
    assert_allclose(found, found.T)


def test_correlations_that_do_not_go_together_tell_nothing_of_what_is_left(linear_gaussian, rng):
    x = rng.normal(size=(900, 3))
    x[:, 1:] = 0.95 * x[:, :1] + 0.3 * x[:, 1:]
    x[:300, 0] = x[300:600, 1] = np.nan
    left = unexplained_variances(_moments(x, linear_gaussian), np.ones(3, bool))
    assert (left > 0.04).all()
    assert (left[[0]] < 0.12).all()
    is_number = np.array([True, False, True])
    assert unexplained_variances(_moments(x, linear_gaussian), is_number)[1] == 1


def test_what_other_columns_leave_of_a_column_is_found_however_little_it_is(linear_gaussian, rng):
    first, other, noise = rng.normal(size=(3, 2000))
    second = first + 0.05 * rng.normal(size=2000)
    total = first + other + 0.1 * rng.normal(size=2000)
    x = np.column_stack([first, second, other, total, noise])
    left = unexplained_variances(_moments(x, linear_gaussian), np.ones(5, bool))
    # Of its variances, by the precisions that the columns tell of each other; one row shrinks.
    assert left[0] == pytest.approx(1 / (1 / 0.05**2 + 1 / 0.1**2 + 1), abs=0.0015)
    assert left[1] == pytest.approx(0.05**2, abs=0.0015)
    assert left[3] == pytest.approx(0.1**2 / 2, abs=0.0025)
    assert left[4] > 0.95
    of_two = unexplained_variances(
        _moments(_gappy(x[:, :2], rng), linear_gaussian), np.ones(2, bool)
    )
    assert_allclose(of_two, 0.05**2, atol=0.002)
    few = unexplained_variances(_moments(x[:99], linear_gaussian), np.ones(5, bool))
    assert_allclose(few, 1.0)


@pytest.mark.parametrize(("size", "has_levels"), [(0.05, False), (0.1, True)])
def test_the_difference_of_columns_that_are_nearly_one_keeps_its_size_and_its_effect(
    size, has_levels
):
    rng = np.random.default_rng(0)
    first, noise, level = rng.normal(size=(3, 400))
    frame = pd.DataFrame({"first": first, "second": first + size * noise})
    frame["y"] = noise + rng.normal(size=400)
    if has_levels:  # which keeps members of numbers alone from their way
        frame["above"] = level + first > 0
    gaps = rng.random(400) < 0.3
    gappy = frame.assign(second=frame["second"].mask(gaps))
    imp = impute(gappy, m=5, seed=1, n_sets=1)
    change = np.mean([(d["second"] - d["first"])[gaps].std() for d in imp])
    assert change == pytest.approx(size, rel=0.12)
    formula = f"y ~ first + I((second - first) / {size})"
    effect = imp.pool(formula, model=smf.ols).params.iloc[2]
    seen = smf.ols(formula, gappy.dropna()).fit().params.iloc[2]
    assert effect == pytest.approx(seen, abs=0.1)


def test_principal_factors_reproduce_a_factor_model(rng):
    loadings = rng.uniform(-0.6, 0.6, size=(2, 9))
    correlation = loadings.T @ loadings
    np.fill_diagonal(correlation, 1.0)
    found, uniqueness = principal_factors(correlation, 2)
    assert_allclose(found.T @ found + np.diag(uniqueness), correlation, atol=0.03)


@pytest.mark.parametrize("k", [3, 9, 20])
def test_as_many_factors_count_as_there_are(k, linear_gaussian, rng):
    table = _gappy(_factor_table(1500, 60, k, rng), rng, rate=0.0)
    moments = _moments(table, linear_gaussian)
    assert k <= count_factors(moments, 1, 48) <= k + 2
    assert count_factors(moments, 1, 5) == min(k, 5)
    assert count_factors(moments, 25, 48) == 25


@pytest.mark.parametrize("n_columns", [0, 1])
def test_fewer_than_two_columns_have_no_pairs(n_columns, linear_gaussian, rng):
    exact = linear_gaussian(n_rows=4, n_sets=1, n_members=1, n_columns=2)
    rows, layout = exact.store().all(), exact.model().spec.layout
    kept = slice(0, n_columns)
    rows = rows._replace(inputs=rows.inputs[..., kept], observed=rows.observed[..., kept])
    block = replace(layout.blocks[0], features=kept)
    found = find_moments(rows, replace(layout, blocks=(block,) if n_columns else ()))
    assert found.n_pairs == 4
    assert count_factors(found, 1, 48) == 1


def test_no_factor_counts_in_noise(linear_gaussian, rng):
    moments = _moments(_gappy(rng.normal(size=(800, 40)), rng), linear_gaussian)
    assert count_factors(moments, 1, 48) == 1


def test_few_rows_show_fewer_factors(linear_gaussian, rng):
    x = np.empty((1500, 60))
    x[:, 0] = rng.normal(size=1500)
    for j in range(1, 60):  # every column is like its neighbours: there is no end of factors
        x[:, j] = 0.5 * x[:, j - 1] + np.sqrt(0.75) * rng.normal(size=1500)
    many, few = (
        count_factors(_moments(_gappy(t, rng), linear_gaussian), 1, 48) for t in (x, x[:150])
    )
    assert 20 < many <= 30
    assert few < many


def _chosen(x, linear_gaussian, **config):
    exact = linear_gaussian(n_rows=4, n_sets=1, n_members=1, n_columns=x.shape[1]).with_rows(x)
    spec = exact.model().spec
    spec = replace(spec, config=replace(spec.config, **{"latent_dim": "auto"} | config))
    fit = FitConfig(max_steps=40)
    return CommonFit(spec, exact.store(), fit=fit, seed=1, on_step=None).choose(sets=None)


def test_z_has_room_for_the_factors_of_a_wide_table(linear_gaussian, rng):
    wide = _gappy(_factor_table(1000, 50, 20, rng, noise=1.0), rng)
    chosen = _chosen(wide, linear_gaussian)
    assert 20 <= chosen.spec.latent_dim <= 22
    assert f"1 set linear, {chosen.spec.latent_dim} latents, " in chosen.reason
    assert _chosen(wide, linear_gaussian, latent_dim=3).spec.latent_dim == 3


def test_z_is_as_wide_as_a_row_where_columns_are_nearly_sums_of_others(linear_gaussian, rng):
    x = rng.normal(size=(800, 16))
    sums = np.stack([x[:, j] + x[:, j + 1] for j in range(8)], 1)
    chosen = _chosen(_gappy(np.hstack([x, sums]), rng), linear_gaussian)
    assert chosen.spec.latent_dim == 24
    assert [row["latents"] for row in chosen.comparisons[:2]] == [12, 24]


def test_rows_held_out_refuse_latents_that_tell_nothing(linear_gaussian, rng):
    # Pairwise correlations of rows with gaps show factors that are not there.
    few = _gappy(_factor_table(1500, 60, 3, rng), rng)
    chosen = _chosen(few, linear_gaussian)
    assert chosen.spec.latent_dim == 12
    assert chosen.comparisons[1]["latents"] > 12


def test_truth_values_hang_together_as_the_normal_values_behind_them(rng):
    n, cuts = 200_000, (0.0, 1.5)
    latent = rng.multivariate_normal(np.zeros(3), 0.5 + 0.5 * np.eye(3), size=n)
    frame = pd.DataFrame(
        {"x": latent[:, 0]} | {f"b{j}": latent[:, j + 1] > cut for j, cut in enumerate(cuts)}
    )
    table = encode(infer_schema(frame), frame)
    layout = lay_out(table.features, n_columns=3)
    moments = find_moments(store_rows(table, layout, device=torch.device("cpu")).all(), layout)
    found = latent_correlation(moments, layout)
    # With a number exactly; of two truth values it is an approximation.
    assert_allclose(found[0, 1:], 0.5, atol=0.01)
    assert_allclose(found[1, 2], 0.5, atol=0.05)
    assert (np.abs(moments.correlation[0, 1:]) < [0.41, 0.28]).all()
    assert moments.correlation[1, 2] < 0.25


def test_effects_of_a_rare_truth_value_are_not_shrunk(rng):
    """From loadings that began too small, three quarters of a slope were learned."""
    n = 4000
    x = rng.normal(size=n)
    b = rng.random(n) < 1 / (1 + np.exp(4 - x))
    full = pd.DataFrame({"x": x, "b": b, "y": x + 1.5 * b + rng.normal(size=n)})
    gaps = rng.random(n) < 1 / (1 + np.exp(1 - 0.5 * x))
    holed = full.assign(b=full["b"].astype("boolean").mask(gaps))
    imp = impute(holed, 8, seed=6, n_sets=1, missingness="ignorable", progress=False)
    seen = smf.logit("b ~ x + y", full.assign(b=full["b"] * 1.0)[~gaps]).fit(disp=0)
    stacked = pd.concat([frame[gaps].assign(b=lambda d: d["b"].astype(float)) for frame in imp])
    drawn = smf.logit("b ~ x + y", stacked).fit(disp=0)
    assert abs(drawn.params["y"] - seen.params["y"]) < 1.5 * seen.bse["y"]
    fit = smf.ols("y ~ x + b", full.assign(b=full["b"] * 1.0)).fit()
    pooled = imp.assign(b=lambda d: d["b"].astype(float)).pool("y ~ x + b", model=smf.ols)
    assert abs(pooled.params["b"] - fit.params["b"]) < 1.5 * pooled.bse["b"]
