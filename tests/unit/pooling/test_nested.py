"""The nested rules: their closed form, their limits, and when they are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from psmimpute.exceptions import ConfigError, ImproperPoolingWarning, PoolingError
from psmimpute.pooling.joint import d1
from psmimpute.pooling.moments import pool_columns, pooled_moments, scalar_pool
from psmimpute.pooling.nested import choose_rule, nested_variances
from psmimpute.pooling.rubin import pool_rubin

MEMBERS, EACH = 4, 5


@pytest.fixture
def nested(rng):
    """Estimates of 2 parameters in 4 members of 5 imputations."""
    centres = rng.normal(size=(MEMBERS, 1, 2))
    q = (centres + 0.3 * rng.normal(size=(MEMBERS, EACH, 2))).reshape(-1, 2)
    u = np.array([np.diag(v) for v in rng.gamma(5, 0.1, size=(MEMBERS * EACH, 2))])
    return q, u, np.repeat(np.arange(MEMBERS), EACH)


def test_balanced_variances_are_those_of_shen(nested):
    q, u, member_of = nested
    pooled = scalar_pool(pooled_moments(q, u, rule="nested", member_of=member_of))
    grouped = q.reshape(MEMBERS, EACH, 2)
    between = grouped.mean(axis=1).var(axis=0, ddof=1)
    within = grouped.var(axis=1, ddof=1).mean(axis=0)
    b, w = (1 + 1 / MEMBERS) * between, (1 - 1 / EACH) * within
    ubar = np.diagonal(u, axis1=1, axis2=2).mean(axis=0)
    t = ubar + b + w
    assert_allclose(pooled.qbar, q.mean(axis=0))
    assert_allclose(pooled.t, t)
    inverse_df = (b / t) ** 2 / (MEMBERS - 1) + (w / t) ** 2 / (MEMBERS * (EACH - 1))
    assert_allclose(pooled.df, 1 / inverse_df)


def test_one_imputation_for_each_member_is_rubins_rules(nested):
    q, u, _ = nested
    moments = pooled_moments(q, u, rule="nested", member_of=np.arange(len(q)))
    plain = pooled_moments(q, u)
    for name in ["qbar", "t", "df", "fmi", "riv"]:
        ours = getattr(scalar_pool(moments, dfcom=30), name)
        assert_allclose(ours, getattr(scalar_pool(plain, dfcom=30), name), err_msg=name)


def test_scalars_alone_agree_with_the_diagonal(nested):
    q, u, member_of = nested
    variances = np.diagonal(u, axis1=1, axis2=2)
    alone = pool_columns(q, variances, rule="nested", member_of=member_of, dfcom=50)
    together = scalar_pool(pooled_moments(q, u, rule="nested", member_of=member_of), dfcom=50)
    for name in ["qbar", "ubar", "b", "t", "riv", "df", "fmi", "lambda_"]:
        assert_allclose(getattr(alone, name), getattr(together, name), err_msg=name)


def test_order_and_labels_of_members_do_not_matter(nested, rng):
    q, u, member_of = nested
    order = rng.permutation(len(q))
    labels = np.array(["d", "a", "c", "b"])[member_of]
    ours = scalar_pool(pooled_moments(q[order], u[order], rule="nested", member_of=labels[order]))
    expected = scalar_pool(pooled_moments(q, u, rule="nested", member_of=member_of))
    assert_allclose(ours.t, expected.t)
    assert_allclose(ours.df, expected.df)


def test_unequal_members_have_an_unbiased_total_variance(rng):
    # var of the weighted mean = (sigma_b^2 + sigma_w^2 mean(1/n)) / M; the rest is what a new
    # imputation would add: sigma_b^2 + sigma_w^2.
    counts, sigma_b, sigma_w, repeats = np.array([1, 2, 5]), 1.0, 2.0, 4_000
    member_of = np.repeat(np.arange(3), counts)
    added = []
    for _ in range(repeats):
        centres = sigma_b * rng.normal(size=3)
        q = centres[member_of] + sigma_w * rng.normal(size=len(member_of))
        pooled = pool_columns(
            q[:, None], np.full((len(q), 1), 1e-9), rule="nested", member_of=member_of
        )
        added.append(pooled.t[0])
    var_mean = (sigma_b**2 + sigma_w**2 * (1 / counts).mean()) / 3
    expected = sigma_b**2 + sigma_w**2 + var_mean
    standard_error = np.std(added) / np.sqrt(repeats)
    assert abs(np.mean(added) - expected) < 4 * standard_error


def test_joint_test_with_one_parameter_is_the_square_of_t(nested):
    q, u, member_of = nested
    moments = pooled_moments(q[:, :1], u[:, :1, :1], rule="nested", member_of=member_of)
    pooled, test = scalar_pool(moments, dfcom=60), d1(moments, dfcom=60)
    assert_allclose(test.statistic, pooled.qbar[0] ** 2 / pooled.t[0])
    assert_allclose(test.df2, pooled.df[0])


def test_plain_rules_understate_what_nested_rules_see(nested):
    q, u, member_of = nested
    nested_t = scalar_pool(pooled_moments(q, u, rule="nested", member_of=member_of)).t
    assert (nested_t > pool_rubin(q, np.diagonal(u, axis1=1, axis2=2)).t).all()


def test_shared_members_turn_the_rules_with_a_warning():
    with pytest.warns(ImproperPoolingWarning, match="4 imputations come from 2 members"):
        assert choose_rule("rubin", [0, 0, 1, 1]) == "nested"


def test_one_member_alone_cannot_be_nested():
    with pytest.warns(ImproperPoolingWarning, match="all 3 imputations come from one member"):
        assert choose_rule("rubin", [7, 7, 7]) == "rubin"


@pytest.mark.parametrize(("rule", "member_of"), [("nested", [0, 0, 1]), ("rubin", [0, 1, 2])])
def test_no_warning_when_there_is_nothing_to_say(rule, member_of):
    assert choose_rule(rule, member_of) == rule


@pytest.mark.parametrize(
    ("member_of", "message"),
    [([0, 1], "one member for each of the 3 analyses"), ([1, 1, 1], "at least 2 members, got 1")],
)
def test_refuses_members_that_do_not_fit(member_of, message):
    with pytest.raises(PoolingError, match=message):
        nested_variances(np.arange(3.0)[:, None], member_of)


def test_nested_rules_need_to_know_the_members():
    with pytest.raises(ConfigError, match="needs member_of"):
        pool_columns(np.ones((3, 1)), np.ones((3, 1)), rule="nested")
