"""assign and filter: still imputations, of other columns or fewer rows."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from psmimpute.exceptions import ImputationError


def ratio(frame):
    return frame["weight"] / frame["height"]


def test_assigned_columns_are_computed_in_each_frame(imp):
    more = imp.assign(ratio=ratio, twice=lambda d: 2 * d["ratio"], one=1)
    for k, completed in enumerate(more, start=1):
        plain = imp.complete(k)
        assert_allclose(completed["ratio"], plain["weight"] / plain["height"])
        assert_allclose(completed["twice"], 2 * completed["ratio"])
        assert (completed["one"] == 1).all()
        assert_frame_equal(completed[plain.columns], plain)
    assert [*more.columns][-3:] == more.assigned == ["ratio", "twice", "one"]
    assert more.data["ratio"].isna().sum() == (imp.where["weight"] | imp.where["height"]).sum()
    assert "ratio" not in imp.complete(1)


def test_formulas_can_be_assigned_and_other_texts_are_values(imp):
    more = imp.assign(tall="height > 170", twice="2 * tall", arm="control", copy="height")
    for completed in more:
        assert_frame_equal(
            completed[["tall"]], (completed[["height"]] > 170).set_axis(["tall"], axis=1)
        )
        assert_allclose(completed["twice"], 2.0 * completed["tall"])
        assert (completed["arm"] == "control").all()
        assert (completed["copy"] == "height").all()
    with pytest.raises(ImputationError, match=r"'tall' could not be computed.*tallness"):
        imp.assign(tall="tallness > 170 and height > 0")


def test_assigned_columns_store_nothing(imp):
    assert imp.assign(ratio=ratio).values.keys() == imp.values.keys()


def test_an_assigned_column_can_replace_one(imp):
    metres = imp.assign(height=lambda d: d["height"] / 100)
    assert_allclose(metres.complete(2)["height"], imp.complete(2)["height"] / 100)
    assert [*metres.columns] == [*imp.columns]


def test_assigned_columns_survive_pickling_as_stored_ones(imp):
    more = imp.assign(ratio=lambda d: d["weight"] / d["height"], n=lambda d: d["visits"] + 1)
    again = pickle.loads(pickle.dumps(more))
    assert again.assigned == []
    for k in range(5):
        assert_frame_equal(again.complete(k), more.complete(k))
    assert again.where["ratio"].equals(more.data["ratio"].isna())


@pytest.mark.parametrize("dtype", ["int64", "bool", "category", "datetime64[ns, UTC]"])
def test_stored_columns_hold_what_was_computed(imp, dtype):
    more = imp.assign(new=lambda d: (d["height"] > 170).astype("int64").astype(dtype))
    stored = more.materialized()
    for a, b in zip(more, stored, strict=True):
        assert a["new"].tolist() == b["new"].tolist()
    assert stored.where["new"].sum() <= imp.where["height"].sum()


def test_a_function_that_fails_is_told_with_its_imputation(imp):
    with pytest.raises(ImputationError, match="'bad' could not be computed on imputation 1"):
        imp.assign(bad=lambda d: d["nope"])
    strict = imp.assign(whole=lambda d: d["height"].astype(int))
    # It cannot take gaps, so that the imputations tell what the data give.
    known = strict.complete(0)["whole"].notna()
    seen = imp.data["height"].notna()
    assert (known | ~seen).all()
    assert not known.all()
    long = strict.complete("long", include=True)
    assert (long.loc[long[".imp"] == 0, "whole"].notna().to_numpy() == known).all()
    assert long.loc[long[".imp"] > 0, "whole"].notna().all()
    assert (
        strict.materialized()
        .complete(1)["whole"]
        .equals(strict.complete(1)["whole"].astype("Int64"))
    )


def test_levels_must_agree_between_imputations(imp):
    coded = imp.assign(town=lambda d: (d["height"] + d["weight"]).astype(str).astype("category"))
    with pytest.raises(ImputationError, match="one list of levels"):
        coded.materialized()


@pytest.mark.parametrize("as_series", [True, False])
def test_filter_keeps_the_rows_in_every_imputation(imp, frame, as_series):
    rows = frame["done"] > 0
    kept = imp.filter(rows if as_series else (lambda d: d["done"] > 0))
    for k in range(5):
        assert_frame_equal(
            kept.complete(k, pattern_set=True), imp.complete(k, pattern_set=True)[rows]
        )
    assert_frame_equal(kept.pattern_set_probabilities, imp.pattern_set_probabilities[rows])
    assert len(kept.info.ess) == rows.sum()
    assert kept.info.extend is None


def test_filter_to_rows_without_gaps(imp, frame):
    complete = imp.filter(frame.notna().all(axis=1))
    assert complete.values == {}
    assert_frame_equal(complete.complete(1), frame.dropna())


def test_filter_refuses_rows_that_differ(imp):
    with pytest.raises(ImputationError, match=r"other rows in imputation \d .* imputed values"):
        imp.filter(lambda d: d["height"] > 170)


@pytest.mark.parametrize("condition", [np.ones(3, bool), np.arange(40), [None] * 40, "done + 1"])
def test_filter_needs_booleans(imp, condition):
    with pytest.raises(ImputationError, match="one boolean for each of the 40 rows"):
        imp.filter(condition)


def test_nullable_conditions_without_gaps_serve(imp):
    assert imp.filter("done > 0 and done < 1").n_rows == imp.data["done"].between(0, 1).sum()
    assert imp.filter(pd.array([True] * 3 + [False] * 37, dtype="boolean")).n_rows == 3
