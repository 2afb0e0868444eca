"""Imputations made elsewhere come in as they were, or are refused with a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.from_long import from_long

LONG = pd.DataFrame(
    {
        ".imp": [0, 0, 0, 1, 1, 1, 2, 2, 2],
        ".id": ["a", "b", "c"] * 3,
        "x": [1.0, np.nan, 3.0, 1.0, 5.0, 3.0, 1.0, 6.0, 3.0],
        "g": pd.Categorical(["u", "v", None, "u", "v", "v", "u", "v", "u"]),
    }
)


def test_round_trip(imp):
    again = from_long(imp.complete("long", include=True, pattern_set=True))
    for k in range(5):
        assert_frame_equal(again.complete(k, pattern_set=True), imp.complete(k, pattern_set=True))
    assert_frame_equal(again.where, imp.where)


def test_blocks_and_rows_may_come_in_any_order():
    shuffled = LONG.sample(frac=1, random_state=3)
    assert from_long(shuffled).complete(2).loc[["a", "b", "c"], "x"].tolist() == [1.0, 6.0, 3.0]


def test_without_identifiers_rows_are_numbered():
    imp = from_long(LONG.drop(columns=".id"))
    assert imp.data.index.equals(pd.RangeIndex(3))
    assert imp.imputed_values("g").loc[2].tolist() == ["v", "u"]


def test_numbered_rows_get_their_range_back():
    imp = from_long(LONG.assign(**{".id": [0, 1, 2] * 3}))
    assert imp.data.index.equals(pd.RangeIndex(3))


def test_other_names_for_the_two_columns():
    renamed = LONG.rename(columns={".imp": "_mi_m", ".id": "_mi_id"})
    assert from_long(renamed, imp="_mi_m", id="_mi_id") == from_long(LONG)


def test_cells_that_nobody_imputed_stay_missing():
    imp = from_long(LONG.assign(y=[1.0, np.nan, 2.0] * 3))
    assert not imp.where["y"].any()
    assert imp.complete(1)["y"].isna().tolist() == [False, True, False]


def test_overimputed_cells():
    changed = LONG.assign(x=LONG["x"].where(LONG.index != 3, 9.0))
    with pytest.raises(ImputationError, match=r"1 observed cells of column 'x' .* row 'a'"):
        from_long(changed)
    imp = from_long(changed, overimputed=True)
    assert imp.where["x"].tolist() == [True, True, False]
    assert imp.complete(0)["x"].tolist()[0] == 1.0
    assert imp.complete(1)["x"].tolist()[0] == 9.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop(columns=".imp"), r"no column '\.imp'"),
        (lambda d: d[d[".imp"] > 0], r"must hold 0 .* it holds \[1, 2\]"),
        (lambda d: d[d[".imp"] == 0], r"it holds \[0\]"),
        (lambda d: d[d.index != 4], r"number of rows: \[3, 2, 3\]"),
        (lambda d: d.assign(**{".id": ["a", "a", "c"] * 3}), "'a' occurs twice in imputation 0"),
        (lambda d: d.assign(**{".id": [*"abcabdabc"]}), "imputation 1 has a row 'd'"),
        (lambda d: d.assign(pattern_set=[None] * 3 + ["one"] * 6), "must hold set numbers"),
        (lambda d: d.assign(pattern_set=[None] * 3 + [0] * 6), "set numbers from 1"),
    ],
)
def test_refuses_what_is_not_a_long_frame(change, message):
    with pytest.raises(ImputationError, match=message):
        from_long(change(LONG))


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.date_range("2020", periods=4, tz="Europe/Berlin")),
        pd.Series(pd.date_range("2020", periods=4)).dt.as_unit("s"),
        pd.Series(pd.to_timedelta([1, 2, 3, 4], unit="h")),
        pd.Series([1, 2, 3, 4], dtype="Int16"),
        pd.Series([1.5, 2, 3, 4], dtype="Float64"),
        pd.Series([True, False, True, True], dtype="boolean"),
        pd.Series(["p", "q", "r", "s"], dtype="string[pyarrow]"),
        pd.Series([1, 2, 3, 4], dtype="int64[pyarrow]"),
        pd.Series([1.5, 2, 3, 4], dtype="double[pyarrow]"),
        pd.Series(pd.date_range("2020", periods=4), dtype="timestamp[us][pyarrow]"),
        pd.Series(["p", "q", "r", "s"], dtype="category"),
        pd.Series(["p", "q", 3, "s"], dtype=object),
    ],
    ids=lambda column: str(column.dtype),
)
def test_every_dtype_survives(column, frame):
    blocks = [
        column.where(np.arange(4) != 1),
        column,
        column.where(np.arange(4) != 1, column.iloc[3]),
    ]
    long = pd.concat(blocks, ignore_index=True).astype(column.dtype).to_frame("x")
    long.insert(0, ".imp", np.repeat([0, 1, 2], 4))
    imp = from_long(long.assign(other=[1.0, 2.0, 3.0, 5.0] * 3))
    for k, block in enumerate(blocks):
        got = imp.complete(k)["x"]
        assert got.dtype == column.dtype
        assert got.astype(object).equals(block.astype(column.dtype).astype(object))


def test_cells_that_apply_in_some_imputations_only_come_back():
    blocks = [["a", None, "b"], ["a", "b", "b"], ["a", None, "b"]]
    long = pd.DataFrame(
        {".imp": np.repeat([0, 1, 2], 3), "x": pd.Categorical(np.concatenate(blocks))}
    )
    imp = from_long(long)
    assert imp.imputed_values("x").isna().to_numpy().tolist() == [[False, True]]
    assert imp.complete(2)["x"].isna().tolist() == [False, True, False]
    assert from_long(imp.complete("long", include=True)) == imp
