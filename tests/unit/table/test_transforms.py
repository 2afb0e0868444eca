"""Transforms: standardised, increasing, and undone by their inverse."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize
from scipy.stats import kurtosis, norm, rankdata, skew

from psmimpute.table.transforms import (
    N_KNOTS,
    Transform,
    TransformKind,
    choose_for_continuous,
    choose_for_count,
    choose_for_positive,
    location_scale,
    rounded_log_likelihood,
    shape_moments,
)

POSITIVE = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=300, unique=True)


@pytest.fixture(params=list(TransformKind))
def kind(request):
    return request.param


def test_observed_values_are_standardised(kind, rng):
    x = rng.lognormal(size=500)
    y = Transform.fitted(kind, x).forward(x)
    assert_allclose([y.mean(), y.std()], [0, 1], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(list(TransformKind)), x=POSITIVE)
def test_inverse_undoes_forward(kind, x):
    transform = Transform.fitted(kind, x)
    # The affine steps lose what the mean and the largest value are apart in size.
    assert_allclose(transform.inverse(transform.forward(x)), x, rtol=1e-9, atol=1e-13 * max(x))


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(list(TransformKind)), x=POSITIVE)
def test_both_ways_are_monotone_far_beyond_the_data(kind, x):
    transform = Transform.fitted(kind, x)
    wide = np.linspace(1e-4, 2 * max(x), 200)
    forward = transform.forward(wide)
    assert np.isfinite(forward).all()
    assert (np.diff(forward) >= 0).all()
    inverse = transform.inverse(np.array([-1e300, -50.0, -3.0, 0.0, 3.0, 50.0, 1e300]))
    assert (np.diff(inverse) >= 0).all()
    assert not np.isnan(inverse).any()


def test_normal_scores_are_the_scores_of_mid_ranks():
    x = np.array([3.0, -1.0, 7.0, 7.0, 2.0])
    transform = Transform.fitted(TransformKind.NORMAL_SCORES, x)
    scores = norm.ppf((rankdata(x) - 0.5) / len(x))
    assert_allclose(transform.forward(x), (scores - scores.mean()) / scores.std(), rtol=1e-12)


def test_normal_scores_stay_in_the_observed_range_and_go_on_beyond_it(rng):
    x = rng.standard_cauchy(2000)
    transform = Transform.fitted(TransformKind.NORMAL_SCORES, x)
    assert len(transform.knots_x) <= N_KNOTS
    assert abs(shape_moments(transform.forward(x))[0]) < 0.05
    assert_array_equal(transform.inverse([-99.0, 99.0]), [x.min(), x.max()])
    beyond = transform.forward([x.max(), x.max() + 1, x.max() + 2])
    assert beyond[0] < beyond[1]
    assert_allclose(np.diff(beyond)[0], np.diff(beyond)[1], rtol=1e-4)


def test_logarithm_never_gives_zero_or_infinity():
    transform = Transform.fitted(TransformKind.LOG, [1.0, 2.0, 50.0])
    ends = transform.inverse([-1e9, 1e9])
    assert ends[0] > 0
    assert np.isfinite(ends).all()


def test_inverse_table_tabulates_the_inverse(kind, rng):
    transform = Transform.fitted(kind, rng.lognormal(size=200))
    grid, values = transform.inverse_table(9, lo=-2, hi=2)
    assert_allclose(grid, np.linspace(-2, 2, 9))
    assert_array_equal(values, transform.inverse(grid))
    assert len(transform.inverse_table()[0]) == 512


def test_json_gives_the_same_transform(kind, rng):
    transform = Transform.fitted(kind, rng.lognormal(size=200))
    text = json.dumps(transform.to_dict(), allow_nan=False)
    assert Transform.from_dict(json.loads(text)) == transform


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_moments_agree_with_scipy_at_any_magnitude(rng, size):
    x = rng.gamma(2.0, size=400)
    assert_allclose(shape_moments(size * x), [skew(x), kurtosis(x)], rtol=1e-10)
    assert_allclose(location_scale(size * x), [size * x.mean(), size * x.std()], rtol=1e-12)


def test_equal_values_have_scale_one(kind):
    transform = Transform.fitted(kind, [2.0, 2.0])
    assert transform.scale == 1
    assert_allclose(transform.inverse(transform.forward([2.0])), [2.0])
    assert shape_moments(np.full(3, 2.0)) == (0.0, -3.0)


def test_choices(rng):
    n = 5000
    assert choose_for_continuous(rng.normal(size=n)).kind == "identity"
    assert choose_for_continuous(rng.exponential(size=n)).kind == "sqrt"
    assert choose_for_continuous(rng.exponential(size=n) - 0.1).kind == "normal_scores"
    assert choose_for_continuous(rng.lognormal(sigma=1.5, size=n)).kind == "normal_scores"
    assert choose_for_continuous(rng.standard_t(6, size=n)).kind == "identity"
    assert choose_for_continuous(rng.standard_t(1.5, size=n)).kind == "normal_scores"
    assert choose_for_continuous(rng.exponential(size=30)).kind == "identity"
    assert choose_for_positive(rng.lognormal(size=n)).kind == "log"
    assert choose_for_positive(rng.gamma(2.0, size=n)).kind == "cube_root"
    assert choose_for_positive(rng.normal(170, 10, size=n)).kind == "sqrt"
    outlier = np.append(rng.lognormal(size=300), 1e5)
    assert choose_for_positive(outlier).kind == "log"
    assert choose_for_positive(np.exp(rng.exponential(size=n))).kind == "normal_scores"
    assert choose_for_positive(rng.beta(0.3, 0.3, size=n)).kind == "cube_root"
    assert choose_for_count(rng.binomial(20, 0.5, size=n).astype(float)).kind == "identity"
    assert choose_for_count(rng.poisson(3.5, size=n).astype(float)).kind == "sqrt"
    assert choose_for_count(rng.negative_binomial(3, 0.3, size=n).astype(float)).kind == "sqrt"
    assert choose_for_count(rng.geometric(0.1, size=n) - 1.0).kind == "cube_root"
    assert choose_for_count(rng.geometric(0.02, size=n) ** 2.0).kind == "log1p"


def test_codes_have_scores_of_their_own(rng):
    """Where they pile up at an end or follow no order; counts with many zeros are still counts."""
    piled = rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], size=2000, p=[0.05, 0.05, 0.1, 0.3, 0.5])
    assert choose_for_count(piled).kind == "normal_scores"
    assert choose_for_count(rng.integers(1, 8, size=500).astype(float)).kind == "normal_scores"
    assert choose_for_count(piled[:40]).kind != "normal_scores"
    assert choose_for_count(rng.integers(0, 25, size=2000).astype(float)).kind != "normal_scores"
    inflated = np.where(rng.random(2000) < 0.5, 0.0, rng.poisson(3.0, size=2000))
    assert choose_for_count(inflated).kind != "normal_scores"
    assert choose_for_count(np.repeat([3.0, 4.0], 50)).kind == "identity"


def test_a_normal_value_rounds_to_codes_as_often_as_they_were_observed(rng):
    shares = {0.0: 0.3, 1.0: 0.05, 4.0: 0.25, 5.0: 0.4}  # 2 and 3 are no codes
    x = np.repeat([*shares], [int(1000 * share) for share in shares.values()])
    transform = choose_for_count(x)
    assert transform.kind == "normal_scores"
    assert_allclose(transform.forward(x).std(), 1.0)
    z = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    drawn = np.rint(transform.inverse((z - transform.loc) / transform.scale))
    values, counts = np.unique(drawn, return_counts=True)
    assert dict(zip(values, counts / z.size, strict=True)) == pytest.approx(shares, abs=2e-4)
    # What rounds to the outermost codes has no end, but a code that only new rows have is near.
    assert 5.5 < transform.forward(5.5) < transform.forward(6.5) < 12
    assert -12 < transform.forward(-1.5) < transform.forward(-0.5) < -5.5
    assert_array_equal(np.rint(transform.inverse([-50, -6, 6, 50])), [0, 0, 5, 5])


def test_of_very_many_counts_quantiles_choose_the_scale(rng):
    x = rng.poisson(rng.gamma(2.0, 5e4, size=20_000)).astype(float)
    assert choose_for_count(x).kind == choose_for_count(x[:400]).kind == "cube_root"


def test_the_likelihood_of_rounded_counts_is_that_of_their_best_normal(rng):
    x = np.maximum(np.rint(rng.normal(6.0, 2.0, size=4000)), 0)
    values, counts = np.unique(x, return_counts=True)
    transform = Transform.fitted("identity", x)

    def loss(parameters):
        law = norm(parameters[0], np.exp(parameters[1]))
        lower = np.where(values == 0, -np.inf, values - 0.5)
        return -(counts * np.log(law.cdf(values + 0.5) - law.cdf(lower))).sum()

    best = -optimize.minimize(loss, [6.0, 0.7]).fun
    assert rounded_log_likelihood(transform, values, counts) == pytest.approx(best, abs=0.1)


def test_few_values_do_not_prove_a_stronger_transform(rng):
    x = rng.lognormal(size=2000)
    assert choose_for_positive(x).kind == "log"
    assert choose_for_positive(x[:12]).kind == "sqrt"


@pytest.mark.parametrize("size", [1e-250, 1.0, 1e250])
def test_the_unit_does_not_choose_the_transform(rng, size):
    for x, kind in ((rng.gamma(2.0, size=500), "cube_root"), (rng.lognormal(size=500), "log")):
        assert choose_for_positive(size * x).kind == kind
