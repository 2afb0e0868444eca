"""Joint tests: identities, limits and refusals; values are compared in test_against_r."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from psmimpute.exceptions import ConfigError, PoolingError
from psmimpute.pooling.joint import d1, d1_denominator_df, d2
from psmimpute.pooling.likelihood_ratio import StackedLikelihoods, d3, d4
from psmimpute.pooling.moments import pooled_moments, scalar_pool


def _estimates(rng, m: int, k: int):
    root = rng.normal(size=(m, k, k + 2))
    return rng.normal(size=(m, k)), root @ root.transpose(0, 2, 1) / (k + 2)


@pytest.mark.parametrize("dfcom", [15.0, np.inf])
def test_d1_with_one_parameter_is_the_square_of_t(rng, dfcom):
    moments = pooled_moments(*_estimates(rng, 10, 1))
    pooled, test = scalar_pool(moments, dfcom=dfcom), d1(moments, dfcom=dfcom)
    assert_allclose(test.statistic, pooled.qbar[0] ** 2 / pooled.t[0])
    assert_allclose(test.riv, pooled.riv[0])


def test_d1_does_not_depend_on_how_the_hypothesis_is_written(rng):
    moments = pooled_moments(*_estimates(rng, 12, 3))
    mixed = moments.contrast(rng.normal(size=(3, 3)))
    assert_allclose(d1(mixed, dfcom=40).statistic, d1(moments, dfcom=40).statistic)
    assert_allclose(d1(mixed, dfcom=40).df2, d1(moments, dfcom=40).df2)


def test_d1_works_with_fewer_imputations_than_parameters(rng):
    test = d1(pooled_moments(*_estimates(rng, 3, 6)), dfcom=50)
    assert np.isfinite(test.statistic)
    assert 0 < test.p_value < 1


def test_equal_imputations_give_the_complete_data_wald_test(rng):
    q, u = _estimates(rng, 1, 3)
    q, u = np.repeat(q, 5, axis=0), np.repeat(u, 5, axis=0)
    wald = q[0] @ np.linalg.solve(u[0], q[0])
    test = d1(pooled_moments(q, u))
    assert_allclose(test.statistic, wald / 3)
    assert test.df2 == np.inf
    assert_allclose(test.p_value, stats.chi2.sf(wald, 3))
    assert_allclose(d2(np.full(5, wald), k=3).p_value, stats.chi2.sf(wald, 3))


@given(
    riv=st.floats(0, 50),
    k=st.integers(1, 12),
    m=st.integers(2, 40),
    dfcom=st.one_of(st.just(np.inf), st.floats(1, 1e5)),
)
def test_degrees_of_freedom_are_positive_everywhere(riv, k, m, dfcom):
    assert d1_denominator_df(riv, k=k, m=m, dfcom=dfcom) > 0


def test_reiter_degrees_of_freedom_approach_the_large_sample_ones():
    small = d1_denominator_df(0.4, k=3, m=20, dfcom=1e9)
    assert_allclose(small, d1_denominator_df(0.4, k=3, m=20, dfcom=np.inf), rtol=0.05)


def test_d2_does_not_know_the_order(rng):
    statistics = rng.chisquare(3, size=8)
    assert_allclose(d2(statistics, k=3).p_value, d2(statistics[::-1], k=3).p_value)


def test_likelihood_ratios_without_missing_information_are_the_complete_data_ones():
    lr = np.full(6, 7.0)
    assert_allclose(d3(lr, lr, k=2).p_value, stats.chi2.sf(7, 2))
    full, null = StackedLikelihoods(lr, 7.0, 5), StackedLikelihoods(lr - 3.5, 3.5, 3)
    assert_allclose(d4(full, null).p_value, stats.chi2.sf(7, 2))


def test_a_negative_increase_in_variance_can_be_raised_to_zero():
    fitted, pooled = np.array([5.0, 5.2, 4.9]), np.array([6.0, 6.1, 5.9])
    assert d3(fitted, pooled, k=1).riv < 0
    assert d3(fitted, pooled, k=1, ariv="positive").riv == 0


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ([1.0], "2 or more imputations"),
        ([1.0, np.nan], "imputation 2 is nan"),
        ([-0.5, 1.0], "imputation 1 is -0.5"),
    ],
)
def test_refuses_statistics_that_are_none(statistics, message):
    with pytest.raises(PoolingError, match=message):
        d2(statistics, k=1)


def test_refuses_restrictions_that_repeat_each_other(rng):
    moments = pooled_moments(*_estimates(rng, 6, 2))
    with pytest.raises(PoolingError, match="restriction repeats the others"):
        d1(moments.contrast(np.array([[1.0, 0.0], [2.0, 0.0]])))


@pytest.mark.parametrize(
    "call",
    [
        lambda: d2([1.0, 2.0], k=0),
        lambda: d2([1.0, 2.0], k=1, ariv="robust"),
        lambda: d3([1.0, 2.0], [1.0, 2.0], k=1, ariv="robust"),
        lambda: d4(
            StackedLikelihoods(np.ones(2), 1.0, 2),
            StackedLikelihoods(np.ones(2), 1.0, 1),
            ariv="bold",
        ),
    ],
    ids=["no parameter", "D2", "D3", "D4"],
)
def test_refuses_options_that_do_not_exist(call):
    with pytest.raises(ConfigError, match=r"must differ|ariv"):
        call()


def test_d4_refuses_models_of_different_imputations():
    with pytest.raises(PoolingError, match="same imputations, got 2 and 3"):
        d4(StackedLikelihoods(np.ones(2), 1.0, 2), StackedLikelihoods(np.ones(3), 1.0, 1))


def test_statsmodels_names_reach_the_same_numbers():
    test = d2([6.2, 8.1, 7.4], k=2)
    assert (test.fvalue, test.pvalue) == (test.statistic, test.p_value)
    assert (test.df_num, test.df_denom) == (test.df1, test.df2)
