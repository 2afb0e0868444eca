"""Scales of skewed columns: chosen by what the columns with gaps leave of their regressions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from psmimpute.table.encoding import decode_column
from psmimpute.table.infer import infer_schema
from psmimpute.table.transforms import first_likely

N = 600


def _kinds(df):
    return {column.name: str(column.transform.kind) for column in infer_schema(df).columns}


def _straight(rng):
    """A skewed predictor, and an outcome that is skewed by it alone; a third of it missing."""
    x = rng.gamma(1.5, size=N)
    y = 3 + 2 * x + 0.8 * rng.normal(size=N)
    return pd.DataFrame({"x": x, "y": y}).assign(y=lambda f: f.y.where(rng.random(N) > 0.3))


def _curved(rng):
    """Logarithms on a straight line; a third of the outcome missing."""
    x = rng.normal(size=N)
    y = np.exp(1 + 0.8 * x + 0.5 * rng.normal(size=N))
    return pd.DataFrame({"x": x, "y": y}).assign(y=lambda f: f.y.where(rng.random(N) > 0.3))


def test_straight_lines_stay_straight(rng):
    df = _straight(rng)
    alone = {name: _kinds(df[[name]])[name] for name in df}
    assert alone == {"x": "cube_root", "y": "log"}
    assert _kinds(df) == {"x": "identity", "y": "identity"}


def test_a_skewed_rest_is_mended_though_the_line_is_straight(rng):
    z = rng.normal(size=N)
    x = rng.gamma(2.0, np.exp(0.3 * z))
    y = 1 + x - 0.5 * z + rng.normal(size=N)
    df = pd.DataFrame({"x": x, "z": z, "y": y}).assign(x=lambda f: f.x.where(rng.random(N) > 0.3))
    assert _kinds(df)["x"] in ("cube_root", "sqrt")


def test_curves_that_logarithms_straighten_are_straightened(rng):
    assert _kinds(_curved(rng)) == {"x": "identity", "y": "log"}


def test_the_choice_is_that_of_least_squares(rng):
    df = _straight(rng).assign(x=lambda f: f.x**1.2)
    seen = df.dropna()
    schema = infer_schema(df)

    def log_likelihood(power, predictor):
        g = seen.y**power / power
        design = np.column_stack([np.ones(len(seen)), seen.x**predictor])
        rest = g - design @ np.linalg.lstsq(design, g)[0]
        return -len(seen) / 2 * np.log(rest.var()) + (power - 1) * np.log(seen.y).sum()

    powers = {"identity": 1.0, "sqrt": 1 / 2, "cube_root": 1 / 3}
    likely = {(x, y): log_likelihood(powers[y], powers[x]) for x in powers for y in powers}
    chosen = tuple(str(schema[name].transform.kind) for name in ("x", "y"))
    assert max(likely.values()) - likely[chosen] < 2 * 1.92
    assert max(likely.values()) - min(likely.values()) > 50


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_a_column_does_not_matter(rng, unit):
    df = _straight(rng)
    assert _kinds(df * unit) == _kinds(df)


def test_columns_stay_as_they_are_alone_where_nothing_judges(rng):
    df = _straight(rng)
    alone = {name: _kinds(df[[name]])[name] for name in df}
    assert _kinds(df.dropna()) == alone  # no gaps
    few = df.head(60)
    assert few.y.count() < 50
    assert _kinds(few) == {name: _kinds(few[[name]])[name] for name in few}
    many = pd.DataFrame(rng.normal(size=(N, 40))).add_prefix("w")
    assert {name: _kinds(df.join(many))[name] for name in df} == alone
    wards = df.assign(ward=pd.Categorical(np.arange(N) % 50))
    found = infer_schema(wards)
    assert {name: str(found[name].transform.kind) for name in df} == alone


def _about_its_mean(rng):
    """A predictor too skewed to be left alone as it is, and an outcome on a line in it."""
    x = rng.gamma(0.9, size=N) - 0.9
    y = 1.5 * x + rng.normal(size=N)
    return pd.DataFrame({"x": x, "y": y}).assign(y=lambda f: f.y.where(rng.random(N) > 0.3))


def test_a_complete_predictor_on_a_line_leaves_normal_scores(rng):
    df = _about_its_mean(rng)
    assert _kinds(df[["x"]]) == {"x": "normal_scores"}
    assert _kinds(df)["x"] == "identity"
    assert "straighter" in infer_schema(df)["x"].reason


def test_a_predictor_of_nothing_or_with_gaps_keeps_normal_scores(rng):
    df = _about_its_mean(rng)
    other = df.assign(y=rng.permutation(df.y))
    gaps = df.assign(x=df.x.where(rng.random(N) > 0.2))
    assert _kinds(other)["x"] == _kinds(gaps)["x"] == "normal_scores"


def test_values_far_out_do_not_go_as_they_are(rng):
    df = _about_its_mean(rng)
    df.loc[0, ["x", "y"]] = [1e3, 1.5e3]
    assert _kinds(df)["x"] == "normal_scores"


def test_a_curve_through_normal_scores_stays_there(rng):
    x = np.expm1(rng.normal(size=N) * 0.9)
    score = (pd.Series(x).rank().to_numpy() - 0.5) / N
    y = 3 * score + 0.3 * rng.normal(size=N)
    df = pd.DataFrame({"x": x, "y": y}).assign(y=lambda f: f.y.where(rng.random(N) > 0.3))
    assert _kinds(df)["x"] == "normal_scores"


def test_factors_dates_and_nullable_numbers_are_predictors_too(rng):
    df = _straight(rng)
    df["group"] = pd.Categorical(rng.choice(["a", "b", "c"], size=N))
    df["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, N), "D")
    df["y"] = df["y"].astype("Float64")
    df["flag"] = pd.array(rng.random(N) > 0.5, dtype="boolean")
    kinds = {c.name: c.transform and str(c.transform.kind) for c in infer_schema(df).columns}
    assert (kinds["x"], kinds["y"]) == ("identity", "identity")


def test_the_first_is_taken_that_is_not_clearly_less_likely():
    assert first_likely({"a": -1.9, "b": 0.0, "c": -5.0}) == "a"
    assert first_likely({"a": -2.0, "b": 0.0, "c": -5.0}) == "b"


def test_positive_values_that_go_as_they_are_are_drawn_positive(rng):
    df = _straight(rng)
    column = infer_schema(df)["y"]
    assert (column.kind, column.transform.kind) == ("positive", "identity")
    assert column.support[0] == df.y.min() / 2
    assert (decode_column(column, np.array([[-9.0], [0.0]])) > 0).all()
