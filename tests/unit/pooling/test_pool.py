"""Scalars and tables: the same numbers as fitted models, and the columns that mice writes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose

from psmimpute.exceptions import ImproperPoolingWarning, PoolingError, PoolingWarning
from psmimpute.imputed.analyses import Analyses
from psmimpute.pooling.pool import pool, pool_scalar, pool_table
from psmimpute.pooling.rubin import pool_rubin


@pytest.fixture
def fits(completed):
    return [smf.ols("chl ~ age + bmi", frame).fit() for frame in completed("nhanes2_m5")]


@pytest.fixture
def table(fits):
    blocks = [
        pd.DataFrame(
            {
                ".imp": i,
                "term": fit.params.index,
                "estimate": fit.params.to_numpy(),
                "std_error": fit.bse.to_numpy(),
                "df": fit.df_resid,
            }
        )
        for i, fit in enumerate(fits, start=1)
    ]
    return pd.concat(blocks, ignore_index=True)


def test_scalars_in_one_dimension_give_scalars(rng):
    q, u = rng.normal(size=6), rng.gamma(3, size=6)
    ours, expected = pool_scalar(q, u, dfcom=20), pool_rubin(q[:, None], u[:, None], dfcom=20)
    for name in ["qbar", "ubar", "b", "t", "riv", "lambda_", "df", "fmi", "r"]:
        assert np.ndim(getattr(ours, name)) == 0
        assert getattr(ours, name) == getattr(expected, name)[0]
    assert ours.m == 6


def test_scalars_in_two_dimensions_are_pooled_along_the_first(rng):
    q, u = rng.normal(size=(6, 3)), rng.gamma(3, size=(6, 3))
    assert_allclose(pool_scalar(q, u).t[1], pool_scalar(q[:, 1], u[:, 1]).t)


@pytest.mark.parametrize("q", [1.0, np.ones((2, 2, 2)), np.ones(3)], ids=["0d", "3d", "shape"])
def test_scalars_of_other_shapes_are_refused(q):
    with pytest.raises(PoolingError, match=r"must share a shape \(m,\) or \(m, k\)"):
        pool_scalar(q, np.ones(2))


def test_one_imputation_is_refused_everywhere(fits, table):
    for call in (
        lambda: pool(fits[:1]),
        lambda: pool_scalar([1.0], [1.0]),
        lambda: pool_table(table[table[".imp"] == 1]),
    ):
        with pytest.raises(PoolingError, match="at least 2 imputations"):
            call()


def test_a_table_pools_like_the_fits_it_was_made_of(fits, table):
    ours, expected = pool_table(table).to_frame(), pool(fits).to_frame()
    pd.testing.assert_frame_equal(ours, expected, check_names=False)


def test_a_table_in_the_spelling_of_r_without_imputation_numbers(fits, table):
    other = table.drop(columns=[".imp", "df"]).rename(columns={"std_error": "std.error"})
    assert_allclose(pool_table(other, dfcom=21).df, pool(fits).df)
    assert pool_table(other).dfcom == np.inf


def test_rows_are_told_apart_by_more_than_the_term(table):
    doubled = pd.concat([table.assign(y_level="a"), table.assign(y_level="b", estimate=1.0)])
    pooled = pool_table(doubled)
    assert list(pooled.params.index[:2]) == ["a, Intercept", "a, age[T.40-59]"]
    assert pooled.params["b, bmi"] == 1


def test_a_table_pools_in_the_order_of_terms_of_the_first_imputation(table):
    shuffled = pd.concat([table[table[".imp"] == 1], table[table[".imp"] > 1].iloc[::-1]])
    assert_allclose(pool_table(shuffled).t, pool_table(table).t)


@pytest.mark.parametrize("column", ["term", "estimate", "std_error"])
def test_a_table_without_a_column_is_refused(table, column):
    with pytest.raises(PoolingError, match=f"the table lacks the column {column}: it needs"):
        pool_table(table.drop(columns=column))


def test_a_table_with_a_term_missing_is_refused(table):
    with pytest.raises(PoolingError, match="imputation 2 lacks the term 'bmi'"):
        pool_table(table.drop(index=table.index[(table[".imp"] == 2) & (table["term"] == "bmi")]))


def test_degrees_of_freedom_in_a_table_may_vary_with_a_word(table):
    table.loc[table[".imp"] == 3, "df"] = 20
    with pytest.warns(PoolingWarning, match=r"from 20 \(imputation 3\)"):
        assert pool_table(table).dfcom == 20


def test_shared_members_reach_pooling_from_the_analyses(fits):
    analyses = Analyses(fits, member_of=[0, 0, 1, 1, 2])
    with pytest.warns(ImproperPoolingWarning, match="5 imputations come from 3 members"):
        automatic = analyses.pool()
    asked = analyses.pool(rule="nested")
    assert_allclose(automatic.t, asked.t)
    with pytest.warns(ImproperPoolingWarning):
        assert_allclose(pool(analyses).t, asked.t)
    assert not np.allclose(asked.t, pool(fits).t)
    assert asked.wald_test("bmi = 0").df_denom == pytest.approx(asked.df["bmi"])
    assert "Nested" in asked.summary().as_text()
    assert_allclose(asked.t, asked.ubar + 1.2 * asked.b)


def test_own_members_of_each_imputation_say_nothing(fits):
    assert_allclose(Analyses(fits, member_of=range(5)).pool().t, pool(fits).t)


def test_nested_rules_pool_predictions_too(fits, completed):
    new = completed("nhanes2_m5")[0].head(3)
    nested = pool(fits, rule="nested", member_of=[0, 0, 1, 1, 2]).get_prediction(new)
    assert_allclose(nested.predicted_mean.shape, 3)
    assert not np.allclose(nested.se_mean, pool(fits).get_prediction(new).se_mean)


def test_rows_of_a_generator_are_enough(fits):
    assert_allclose(pool(fit for fit in fits).t, pool(fits).t)
