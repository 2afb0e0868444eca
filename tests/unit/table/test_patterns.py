"""Missing-data patterns against mice, and by counting rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from psmimpute.exceptions import SchemaError
from psmimpute.table.patterns import complete_cases, fico, flux, missing_pairs, missing_pattern

# mice and this package divide the same whole numbers; JSON keeps 15 digits.
RTOL = 1e-14


@pytest.fixture(params=["nhanes2", "boys", "lung", "quine"])
def mice_case(request, reference_dir):
    folder = reference_dir / "patterns"
    data = pd.read_csv(folder / f"{request.param}.csv").replace(0, np.nan)
    return data, json.loads((folder / f"{request.param}.json").read_text())


def test_pattern_agrees_with_mice(mice_case):
    data, mice = mice_case
    pattern = missing_pattern(data)
    assert_array_equal(pattern.to_numpy(), mice["pattern"])
    assert [*pattern.columns] == [*mice["columns"], "n_missing"]
    assert [*pattern.index] == [*mice["counts"], "total"]


def test_pairs_agree_with_mice(mice_case):
    data, mice = mice_case
    pairs = missing_pairs(data)
    for name in ("rr", "rm", "mr", "mm"):
        frame = getattr(pairs, name)
        assert_array_equal(frame.to_numpy(), mice["pairs"][name])
        assert [*frame.index] == [*frame.columns] == mice["variables"]


def test_flux_agrees_with_mice(mice_case):
    data, mice = mice_case
    found = flux(data)
    for name, values in mice["flux"].items():
        assert_allclose(found[name], values, rtol=RTOL)
    assert_allclose(fico(data), mice["fico"], rtol=RTOL)
    assert complete_cases(data).sum() == mice["n_complete"]


def test_each_row_has_one_pattern(rng):
    data = pd.DataFrame(rng.normal(size=(300, 12))).mask(rng.random((300, 12)) < 0.3)
    pattern = missing_pattern(data, margins=False)
    assert pattern.index.dtype == np.int64
    assert pattern.index.to_numpy().sum() == len(data)
    expected = data.isna().value_counts()
    assert len(pattern) == len(expected)
    assert (pattern["n_missing"] * pattern.index).sum() == data.isna().sum().sum()


def test_tables_without_gaps_and_rows_without_data():
    complete = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert missing_pattern(complete).to_numpy().tolist() == [[1, 1, 0], [0, 0, 0]]
    assert flux(complete)["outflux"].isna().all()
    empty_row = pd.DataFrame({"a": [1.0, np.nan], "b": [3.0, np.nan]})
    assert missing_pattern(empty_row, margins=False).loc[1].to_numpy().tolist() == [
        [1, 1, 0],
        [0, 0, 2],
    ]
    never = flux(pd.DataFrame({"a": [np.nan, np.nan], "b": [3.0, 4.0]}))
    assert np.isnan(never.loc["a", "fico"])
    assert never.loc["a", "influx"] == 1
    assert flux(pd.DataFrame({"a": [1.0, np.nan]}))["ainb"].tolist() == [0]


def test_names_of_any_type_are_kept():
    data = pd.DataFrame([[1.0, np.nan]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    assert [*missing_pattern(data).columns] == [("a", 1), ("b", 2), "n_missing"]
    assert flux(data).index.equals(data.columns)


def test_nan_in_a_nullable_float_is_missing():
    values = pd.arrays.FloatingArray(np.array([1.0, np.nan]), np.array([False, False]))
    assert missing_pattern(pd.DataFrame({"a": values})).loc["total"].tolist() == [1, 1]


@pytest.mark.parametrize("function", [missing_pattern, missing_pairs, flux, fico, complete_cases])
def test_bad_frames_are_refused(function):
    with pytest.raises(SchemaError, match="no rows"):
        function(pd.DataFrame({"a": []}))
    with pytest.raises(SchemaError, match="duplicated column names: 'a'"):
        function(pd.DataFrame([[1, 2]], columns=["a", "a"]))
