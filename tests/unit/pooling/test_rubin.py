"""Rubin's rules against mice, against their defining identities, and at their edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose

from psmimpute.exceptions import ConfigError, PoolingError
from psmimpute.pooling.rubin import pool_rubin

# mice works in double precision; the CSV keeps 17 digits. In "huge_between" 1 - lambda cancels.
RTOL = {"huge_between": 1e-8}
PROPER = ["mild", "infinite_n", "severe", "two", "huge_between", "tiny"]


def _column(cell: str) -> np.ndarray:
    return np.array(cell.split(), dtype=float)[:, None]


@pytest.fixture
def mice_case(reference_dir):
    path = reference_dir / "rubin" / "pool_scalar.csv"
    table = pd.read_csv(path, comment="#", index_col="case")
    return lambda name: table.loc[name]


@pytest.mark.parametrize("case", PROPER)
def test_agrees_with_mice(mice_case, case):
    expected = mice_case(case)
    pooled = pool_rubin(_column(expected.qhat), _column(expected.u), dfcom=expected.dfcom)
    for name in ["qbar", "ubar", "b", "t", "riv", "df", "fmi"]:
        rtol = RTOL.get(case, 1e-12)
        assert_allclose(getattr(pooled, name), expected[name], rtol=rtol, err_msg=name)


@pytest.mark.parametrize("case", [*PROPER, "no_between"])
def test_synthetic_data_rules_agree_with_mice(mice_case, case):
    expected = mice_case(case)
    pooled = pool_rubin(_column(expected.qhat), _column(expected.u), rule="reiter2003")
    assert_allclose(pooled.t, expected.t_reiter2003, rtol=1e-12)
    assert_allclose(pooled.df, expected.df_reiter2003, rtol=1e-12)
    assert np.isnan(pooled.fmi).all()


def test_no_between_variance_has_no_floor_where_mice_has_one(mice_case):
    expected = mice_case("no_between")
    pooled = pool_rubin(_column(expected.qhat), _column(expected.u), dfcom=49)
    assert_allclose(pooled.df, 49 * 50 / 52)
    # mice 3.15 floors lambda at 1e-4, which costs a trifle of the degrees of freedom.
    assert_allclose(pooled.df, expected.df, rtol=2e-4)


def test_estimands_are_pooled_one_by_one(rng):
    q, u = rng.normal(size=(10, 3)), rng.gamma(2, size=(10, 3))
    together = pool_rubin(q, u, dfcom=30)
    for j in range(3):
        alone = pool_rubin(q[:, [j]], u[:, [j]], dfcom=30)
        assert_allclose(together.fmi[j], alone.fmi[0], rtol=1e-12)


FLOATS = st.floats(-1e3, 1e3)
ESTIMATES = hnp.arrays(float, st.tuples(st.integers(2, 9), st.integers(1, 4)), elements=FLOATS)


@given(q=ESTIMATES, factor=st.floats(1e-3, 1e3), dfcom=st.floats(1, 1e6))
def test_scaling_an_estimand_scales_its_variances_and_no_ratio(q, factor, dfcom):
    u = 0.5 + np.abs(q)
    pooled, scaled = (
        pool_rubin(q, u, dfcom=dfcom),
        pool_rubin(factor * q, factor**2 * u, dfcom=dfcom),
    )
    assert_allclose(scaled.t, factor**2 * pooled.t, rtol=1e-9)
    assert_allclose(scaled.lambda_, pooled.lambda_, rtol=1e-6, atol=1e-12)
    assert_allclose(scaled.df, pooled.df, rtol=1e-6)


@given(q=ESTIMATES, data=st.data())
def test_the_order_of_the_imputations_does_not_matter(q, data):
    u = 0.5 + np.abs(q)
    order = data.draw(st.permutations(range(len(q))))
    pooled, shuffled = pool_rubin(q, u, dfcom=40), pool_rubin(q[order], u[order], dfcom=40)
    for name in ["qbar", "t", "df", "fmi"]:
        assert_allclose(
            getattr(shuffled, name), getattr(pooled, name), rtol=1e-9, atol=1e-9, err_msg=name
        )


@given(q=ESTIMATES, dfcom=st.floats(1, 1e6))
def test_degrees_of_freedom_stay_below_those_of_the_complete_data(q, dfcom):
    pooled = pool_rubin(q, 0.5 + np.abs(q), dfcom=dfcom)
    assert (pooled.df <= dfcom).all()
    assert ((pooled.fmi >= 0) & (pooled.fmi <= 1 + 1e-12)).all()


@pytest.mark.parametrize(("dfcom", "df"), [(np.inf, np.inf), (27, 27 * 28 / 30)])
def test_equal_imputations_leave_the_complete_data_analysis(dfcom, df):
    # 0.1 has no finite binary expansion: a mean of equal numbers must not differ from them.
    pooled = pool_rubin(np.full((3, 1), 0.1), np.full((3, 1), 0.2), dfcom=dfcom)
    assert_allclose(pooled.df, df)
    assert pooled.b == 0
    assert_allclose(pooled.t, pooled.ubar)


@pytest.mark.parametrize(("method", "df"), [("rubin1987", 4 / 0.75**2), ("infinite", np.inf)])
def test_other_degrees_of_freedom_ignore_the_sample_size(method, df):
    # b = 2.5 and m = 5 make lambda = 3 / (1 + 3).
    q = np.array([[0.0], [1], [2], [3], [4]])
    pooled = pool_rubin(q, np.ones((5, 1)), dfcom=3, df=method)
    assert_allclose(pooled.df, df)


@pytest.mark.parametrize(
    ("q", "u", "message"),
    [
        (np.ones((1, 2)), np.ones((1, 2)), "at least 2 imputations"),
        (np.ones((3, 2)), np.ones((3, 1)), r"got \(3, 2\) and \(3, 1\)"),
        (
            np.ones((3, 1)),
            np.array([[1.0], [0.0], [1.0]]),
            "estimand 0 of analysis 1 .* got 1.0 and 0.0",
        ),
        (
            np.array([[1.0], [np.nan]]),
            np.ones((2, 1)),
            "estimand 0 of analysis 1 .* got nan and 1.0",
        ),
    ],
)
def test_refuses_what_cannot_be_pooled(q, u, message):
    with pytest.raises(PoolingError, match=message):
        pool_rubin(q, u)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dfcom": 0}, "dfcom must be positive, got 0"),
        ({"dfcom": float("nan")}, "dfcom must be positive, got nan"),
        ({"df": "satterthwaite"}, "df must be one of .* got 'satterthwaite'"),
        ({"rule": "harel"}, "rule must be .* got 'harel'"),
    ],
)
def test_refuses_options_that_do_not_exist(options, message):
    with pytest.raises(ConfigError, match=message):
        pool_rubin(np.ones((3, 1)), np.ones((3, 1)), **options)
