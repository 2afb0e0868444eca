"""Little's test against R, and under mechanisms that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import kstest

import psmimpute as psm
from psmimpute.exceptions import SchemaError
from psmimpute.table.mcar import little_test


def _case(name, folder):
    if name == "boys":
        boys = psm.load_boys()
        return boys.loc[boys["age"] >= 10, ["age", "hgt", "wgt", "hc", "tv"]]
    return pd.read_csv(folder / f"{name}.csv")


@pytest.mark.parametrize("name", ["airquality", "nhanes", "boys"])
def test_agrees_with_r(name, reference_dir):
    folder = reference_dir / "mcar"
    theirs = pd.read_csv(folder / "little.csv").set_index("case").loc[name]
    ours = little_test(_case(name, folder))
    assert_allclose(ours.statistic, theirs["statistic"], rtol=1e-10)
    assert_allclose(ours.p_value, theirs["p_value"], rtol=1e-10)
    assert (ours.df, ours.n_patterns) == (theirs["df"], theirs["n_patterns"])


def test_airquality_as_naniar_prints_it(reference_dir):
    found = little_test(pd.read_csv(reference_dir / "mcar" / "airquality.csv"))
    assert round(found.statistic, 1) == 35.1
    assert round(found.p_value, 5) == 0.00142


def test_units_do_not_matter(reference_dir):
    data = pd.read_csv(reference_dir / "mcar" / "nhanes.csv")
    moved = data * [1, 1e6, 1e-6, 3] + [0, -7, 2, 100]
    assert_allclose(little_test(moved).statistic, little_test(data).statistic, rtol=1e-8)


def test_p_values_are_uniform_under_mcar_and_small_under_mar():
    rng = np.random.default_rng(0)
    found, biased = [], []
    for _ in range(60):
        x = rng.multivariate_normal(np.zeros(3), 0.5 + 0.5 * np.eye(3), 300)
        frame = pd.DataFrame(x, columns=["a", "b", "c"])
        found.append(little_test(frame.mask(rng.random(frame.shape) < 0.15)).p_value)
        gone = rng.random(300) < 1 / (1 + np.exp(-2 * x[:, 0]))
        biased.append(little_test(frame.assign(b=frame["b"].mask(gone))).p_value)
    assert kstest(found, "uniform").pvalue > 1e-4
    assert max(biased) < 0.01


def test_other_columns_are_passed_over():
    frame = pd.DataFrame({"x": [1.0, 2.0, None, 4.0], "g": ["u", "v", "u", None]})
    assert little_test(frame).columns == ("x",)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"g": ["a", "b"]}), "a column of numbers"),
        (pd.DataFrame({"x": [1.0, 1.0, None], "y": [1.0, 2.0, 3.0]}), "'x' does not vary"),
        (pd.DataFrame({"x": [1.0, 2.0], "y": [np.nan, np.nan]}), "'y' was never observed"),
        (pd.DataFrame({"x": [1.0, 2, 4, 3, 1], "y": [2.0, 4, 8, 6, 2]}), "linearly dependent"),
    ],
)
def test_what_cannot_be_tested_is_named(frame, message):
    with pytest.raises(SchemaError, match=message):
        little_test(frame)
