"""Amputation: as many gaps as asked for, where the mechanism says, and the same for a seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom

from psmimpute.exceptions import ConfigError, SchemaError
from psmimpute.table.ampute import AmputationPattern, _probabilities, ampute

N = 4000
# Bands hold with probability 1 - 1e-6 for a binomial count.
ALPHA = 1e-6


@pytest.fixture
def complete(rng):
    cov = 0.5 + 0.5 * np.eye(3)
    df = pd.DataFrame(rng.multivariate_normal(np.zeros(3), cov, N), columns=list("xyz"))
    return df.assign(g=pd.Categorical(np.where(df["x"] > 0, "a", "b")))


def _in_band(count, n, share):
    low, high = binom.interval(1 - ALPHA, n, share)
    return low <= count <= high


@pytest.mark.parametrize("mechanism", ["mcar", "mar", "mnar"])
@pytest.mark.parametrize("shape", ["RIGHT", "LEFT", "MID", "TAIL"])
def test_the_share_of_incomplete_rows_is_as_asked(complete, mechanism, shape):
    gappy = ampute(complete, mechanism=mechanism, prop=0.3, seed=1, shape=shape)
    incomplete = gappy.isna().any(axis=1)
    assert _in_band(incomplete.sum(), N, 0.3)
    assert gappy.isna().sum(axis=1).max() == 1
    assert all(_in_band(count, N, 0.3 / 4) for count in gappy.isna().sum())
    seen = gappy.notna()
    assert gappy.where(seen).equals(complete.where(seen).astype(gappy.dtypes.to_dict()))


def test_the_share_of_missing_cells_is_as_asked(complete):
    gappy = ampute(complete, mechanism="mcar", prop=0.2, seed=1, by="cell")
    assert _in_band(gappy.isna().any(axis=1).sum(), N, 0.8)


@pytest.mark.parametrize(
    ("shape", "moved"),
    [
        ("RIGHT", lambda z: z.mean() > 0.2),
        ("LEFT", lambda z: z.mean() < -0.2),
        ("MID", lambda z: z.std() < 0.9),
        ("TAIL", lambda z: z.std() > 1.1),
    ],
)
@pytest.mark.parametrize("mechanism", ["mar", "mnar"])
def test_the_mechanism_decides_which_rows_lose_values(complete, mechanism, shape, moved):
    column = "y" if mechanism == "mnar" else "x"
    pattern = AmputationPattern(missing=["y"], weights={column: 1.0}, shape=shape)
    gappy = ampute(complete, mechanism=mechanism, prop=0.4, seed=2, patterns=[pattern])
    z = complete[column] / complete[column].std()
    assert moved(z[gappy["y"].isna()])


def test_at_random_means_unrelated_to_the_values(complete):
    gappy = ampute(complete, mechanism="mcar", prop=0.5, seed=3, patterns=[_both()])
    hit = gappy["y"].isna()
    assert (hit == gappy["z"].isna()).all()
    difference = complete.loc[hit, "x"].mean() - complete.loc[~hit, "x"].mean()
    assert abs(difference) < 5 * 2 / np.sqrt(N)


def _both():
    return AmputationPattern(missing=["y", "z"])


def test_patterns_share_the_rows(complete):
    patterns = [AmputationPattern(["x"], share=3.0), AmputationPattern(["y", "z"], share=1.0)]
    gappy = ampute(complete, prop=0.5, seed=4, patterns=patterns).isna()
    assert _in_band(gappy["x"].sum(), N, 0.5 * 0.75)
    assert _in_band(gappy["y"].sum(), N, 0.5 * 0.25)
    assert not (gappy["x"] & gappy["y"]).any()


@pytest.mark.parametrize("shape", ["RIGHT", "LEFT", "MID", "TAIL"])
def test_probabilities_have_the_mean_and_the_shape(shape, rng):
    score = rng.normal(2, 5, size=501)
    probability = _probabilities(score, shape, 0.15)
    assert_allclose(probability.mean(), 0.15, rtol=1e-8)
    z = (score - score.mean()) / score.std()
    order = {"RIGHT": z, "LEFT": -z, "MID": -np.abs(z), "TAIL": np.abs(z)}[shape]
    assert (np.diff(probability[np.argsort(order)]) >= 0).all()


def test_a_seed_gives_the_same_gaps_and_the_frame_is_left_alone(complete):
    before = complete.copy(deep=True)
    first, again = (ampute(complete, seed=5) for _ in range(2))
    assert first.equals(again)
    assert not first.equals(ampute(complete, seed=6))
    assert ampute(complete, seed=np.random.default_rng(5)).equals(first)
    pd.testing.assert_frame_equal(complete, before)


def test_columns_of_all_sorts_can_go_missing():
    df = pd.DataFrame(
        {
            "i": np.arange(60),
            "b": np.arange(60) % 3 == 0,
            "s": ["u", "v", "w"] * 20,
            "d": pd.date_range("2020", periods=60, tz="Europe/Berlin"),
            "n": pd.array(range(60), dtype="Int64"),
        }
    )
    gappy = ampute(df, mechanism="mar", prop=0.9, seed=1)
    assert gappy.isna().any().all()
    assert gappy["n"].dtype == "Int64"
    assert gappy["d"].dtype == df["d"].dtype


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prop": 0}, ConfigError, "prop=0 must lie between 0 and 1"),
        ({"prop": 1.2}, ConfigError, "prop=1.2"),
        ({"mechanism": "MAR"}, ConfigError, "mechanism='MAR': choose one of 'mcar', 'mar', 'mnar'"),
        ({"shape": "up"}, ConfigError, "shape='up': choose one of 'RIGHT'"),
        ({"by": "column"}, ConfigError, "by='column': choose one of 'row', 'cell'"),
        ({"by": "cell", "prop": 0.5}, ConfigError, "these patterns reach less than 0.25"),
        ({"patterns": [AmputationPattern(["q"])]}, SchemaError, "does not have: 'q'"),
        ({"patterns": [AmputationPattern([])]}, ConfigError, "without missing columns"),
        ({"patterns": [AmputationPattern(["x"], share=0)]}, ConfigError, "must be positive, got 0"),
        ({"patterns": [AmputationPattern([*"xyzg"])]}, ConfigError, "needs a column that stays"),
    ],
)
def test_bad_options_are_named(complete, options, error, message):
    with pytest.raises(error, match=message):
        ampute(complete, **options)


def test_incomplete_or_empty_data_are_refused(complete):
    complete.loc[3, "y"] = np.nan
    with pytest.raises(SchemaError, match="column 'y' has missing cells already"):
        ampute(complete)
    with pytest.raises(SchemaError, match="no rows"):
        ampute(complete.iloc[:0])


def test_odds_set_the_rates_of_equal_groups(rng):
    n = 40_000
    data = pd.DataFrame({"x": rng.normal(size=n), "y": 0.0})
    pattern = AmputationPattern(["y"], weights={"x": 1.0}, odds=(1, 0, 3, 4))
    gone = ampute(data, prop=0.2, seed=1, patterns=[pattern])["y"].isna()
    rates = gone.groupby(pd.qcut(data["x"], 4, labels=False)).mean()
    expected = 0.2 * 4 * np.array([1, 0, 3, 4]) / 8
    # Five standard errors of a share of 10,000 rows.
    error = 5 * np.sqrt(expected * (1 - expected) / 10_000)
    assert (np.abs(rates - expected) <= error).all()


def test_equal_scores_have_equal_odds():
    data = pd.DataFrame({"x": np.repeat([0.0, 1.0], 500), "y": 0.0})
    pattern = AmputationPattern(["y"], weights={"x": 1.0}, odds=(0, 1))
    gone = ampute(data, prop=0.4, seed=1, patterns=[pattern])["y"].isna()
    assert not gone[data["x"] == 0].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"odds": (1, -1)}, "must be numbers from 0"),
        ({"odds": (0, 0)}, "not all of them 0"),
        ({"odds": (0, 1)}, "need a probability of 1.4"),
        ({"odds": (1, 2), "shape": "MID"}, "a shape or odds, not both"),
    ],
)
def test_impossible_odds_are_refused(options, message):
    data = pd.DataFrame({"x": np.arange(50.0), "y": 0.0})
    pattern = AmputationPattern(["y"], weights={"x": 1.0}, **options)
    with pytest.raises(ConfigError, match=message):
        ampute(data, prop=0.7, seed=1, patterns=[pattern])
