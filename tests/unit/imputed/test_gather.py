"""Incomplete columns recovered from completed ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.gather import cell_values, gather_column, same_cells


def test_cells_that_differ_or_were_missing_are_found():
    one, two = pd.Series([1, 2, 3]), pd.Series([1, 9, 3])
    gathered = gather_column([one, two], name="x", missing=np.array([False, False, True]))
    assert gathered.rows.tolist() == [False, True, True]
    assert gathered.cells.tolist() == [[2, 3], [9, 3]]
    assert gathered.column.dtype == "Int64"
    assert gathered.column.isna().tolist() == [False, True, True]


def test_equal_cells_need_no_gap():
    gathered = gather_column([pd.Series([True])] * 3, name="x", missing=np.array([False]))
    assert not gathered.rows.any()
    assert gathered.column.dtype == bool


@pytest.mark.parametrize("dtype", ["Int64", "float64", "string", "category", "datetime64[ns]"])
def test_missing_equals_missing(dtype):
    a = pd.Series([None, 1, 1]).astype(dtype)
    b = pd.Series([None, None, 1]).astype(dtype)
    b = b.astype(a.dtype)
    assert same_cells(a, b).tolist() == [True, False, True]


def test_a_level_may_be_there_in_some_imputations_only():
    levels = pd.CategoricalDtype(["a"])
    one, two = pd.Series(["a"], dtype=levels), pd.Series([None], dtype=levels)
    gathered = gather_column([one, two], name="g", missing=np.array([False]))
    assert gathered.column.isna().tolist() == gathered.rows.tolist() == [True]
    assert pd.isna(gathered.cells).tolist() == [[False], [True]]


def test_dates_with_a_time_zone_are_taken_in_utc():
    dates = pd.Series(pd.to_datetime(["2020-07-01 02:00"])).dt.tz_localize("Europe/Berlin")
    assert cell_values(dates, np.array([True])) == [np.datetime64("2020-07-01T00:00")]


def test_one_dtype_is_asked_for():
    one, two = pd.Series([1.0]), pd.Series(["a"], dtype="string")
    with pytest.raises(ImputationError, match="'g' has dtype float64 in imputation 1 but string"):
        gather_column([one, two], name="g", missing=np.array([False]))
