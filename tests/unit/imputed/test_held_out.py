"""Hidden cells: ranks that are uniform when they should be, and verdicts in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import kstest

from psmimpute.imputed.checks import make_checks
from psmimpute.imputed.held_out import (
    HeldOutColumn,
    critical_z,
    predictive_ranks,
    summarize_held_out,
)

# Chance of a false alarm of each statistical check below.
ALARM = 1e-4


def column(truth, draws, *, ordered=True, member=None, usable=None, name="x"):
    draws = np.asarray(draws, dtype=float)
    return HeldOutColumn(
        name,
        ordered,
        np.asarray(truth, dtype=float),
        draws,
        np.arange(len(draws)) % 4 if member is None else member,
        np.ones(draws.shape, bool) if usable is None else usable,
    )


def laws(rng, n=4000, draws=13):
    """Values and draws of them from one law, different in each cell."""
    centre = rng.normal(size=n)
    levels = rng.dirichlet([1, 2, 3, 0.5], n).cumsum(axis=1)

    def level(size):
        return (rng.random((*size, 1)) > levels).sum(axis=-1)

    return {
        "normal": (True, centre + rng.normal(size=n), centre + rng.normal(size=(draws, n))),
        "count": (True, rng.poisson(np.exp(centre)), rng.poisson(np.exp(centre), (draws, n))),
        "levels": (False, level((n,)), level((draws, n))),
    }


@pytest.mark.parametrize("law", ["normal", "count", "levels"])
def test_ranks_are_uniform_whatever_the_law(rng, law):
    ordered, truth, draws = laws(rng)[law]
    ranks = predictive_ranks(column(truth, draws, ordered=ordered), rng)
    assert kstest(ranks, "uniform").pvalue > ALARM


def test_ranks_by_hand(rng):
    cells = column([2.5, 0.0], [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]])
    ranks = predictive_ranks(cells, rng)
    assert 2 / 6 < ranks[0] < 3 / 6
    assert 0 < ranks[1] < 1 / 6


def test_only_usable_draws_count(rng):
    usable = np.ones((8, 2), bool)
    usable[:4, 0] = usable[:3, 1] = False
    cells = column([1.5, 1.5], np.arange(8)[:, None] * [[1, 1]], usable=usable)
    ranks = predictive_ranks(cells, rng)
    assert np.isnan(ranks[0])
    assert 0 < ranks[1] < 1 / 6


def test_narrow_and_wide_predictions_are_told_apart(rng):
    n = 1500
    truth = rng.normal(size=n)
    columns = [
        column(truth, scale * rng.normal(size=(40, n)), name=name)
        for name, scale in (("narrow", 0.6), ("right", 1.0), ("wide", 1.7))
    ]
    table, ranks = summarize_held_out(columns, seed=1)
    assert table.loc["narrow", "coverage_90"] < 0.75
    assert table.loc["wide", "coverage_90"] > 0.95
    right = table.loc["right"]
    assert right["low_90"] < right["coverage_90"] < right["high_90"]
    assert len(ranks["right"]) == n
    empty = pd.DataFrame()
    checks = make_checks(table, pd.Series(dtype=float), empty, empty).set_index("check")
    row = checks.loc["coverage of 90 % intervals"]
    assert row["result"] == "warn"
    assert "off in both directions: 'narrow'" in row["detail"]
    assert "'right'" not in row["detail"]
    assert checks.loc["calibration", "result"] == "warn"
    only = make_checks(table.loc[["narrow"]], pd.Series(dtype=float), empty, empty)
    assert "too narrow" in only["detail"][1]


def test_a_little_too_narrow_everywhere_is_found_over_all_columns():
    """Each column alone is within what chance leaves of 30 cells; 1,200 cells are not."""
    table = pd.DataFrame(
        {"n_cells": 30, "coverage_50": 0.5, "coverage_90": 25 / 30, "calibration_p": 0.5},
        index=[f"x{j}" for j in range(40)],
    )
    empty = pd.DataFrame()
    checks = make_checks(table, pd.Series(dtype=float), empty, empty).set_index("check")
    row = checks.loc["coverage of 90 % intervals"]
    assert row["result"] == "warn"
    assert row["detail"] == "predictions are too narrow: 83 % of all 1200 cells"
    one = make_checks(table.head(1), pd.Series(dtype=float), empty, empty)["result"]
    assert one[:3].tolist() == ["pass"] * 3


def test_good_predictions_pass(rng):
    columns = [
        column(truth, draws, ordered=ordered, name=name)
        for name, (ordered, truth, draws) in laws(rng, n=600).items()
    ]
    table, _ = summarize_held_out(columns, seed=1)
    empty = pd.DataFrame()
    checks = make_checks(table, pd.Series(dtype=float), empty, empty)
    assert checks["result"].tolist() == ["pass"] * 3 + ["not done", "not done", "pass"]


def test_spread_between_members(rng):
    member = np.arange(4000) % 10
    shift = np.sqrt(0.5) * rng.normal(size=(10, 300))
    draws = shift[member] + rng.normal(size=(4000, 300))
    table, _ = summarize_held_out([column(np.zeros(300), draws, member=member)], seed=0)
    # 300 cells of 10 members: a variance estimated to 2 sqrt(2 / 2700) of itself, five times.
    assert_allclose(table.loc["x", "between_members"], 1 / 3, atol=5 * (2 / 9) * np.sqrt(2 / 2700))
    none = column(np.zeros(300), rng.normal(size=(4000, 300)), member=member)
    assert summarize_held_out([none], seed=0)[0].loc["x", "between_members"] < 0.01


def test_more_columns_allow_for_more_chance():
    assert critical_z(1) < critical_z(60) < 5


def test_verdicts_on_weights_training_and_support():
    empty = pd.DataFrame()
    weights = pd.Series({"ess_5_percent": 4.0, "pareto_k_above_0.7": 0.3})
    losses = [3.0, 3.1, 2.9, 7.5, np.nan]
    members = pd.DataFrame({"last_loss": losses, "last_oob_loss": losses})
    flags = pd.DataFrame({"pattern_set": [2], "column": ["tv"]})
    checks = make_checks(empty, weights, members, flags).set_index("check")
    assert checks["result"].tolist() == ["not done", "warn", "warn", "warn"]
    assert "n_draw_samples" in checks.loc["importance weights", "detail"]
    assert "members 3, 4 are far above the others" in checks.loc["training", "detail"]
    assert "'tv' in set 2" in checks.loc["support", "detail"]
