"""Encoding new rows under a stored schema, and decoding to values that a column can have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from psmimpute.exceptions import ConstantColumnWarning, SchemaError, SupportError
from psmimpute.table.encoding import assign_cells, decode_column, encode
from psmimpute.table.infer import infer_schema

OLD = pd.DataFrame(
    {
        "k": [0, 1, 4, 2],
        "g": pd.Categorical(["a", "b", "c", "a"]),
        "b": [True, False, True, True],
        "x": [0.5, 1.5, 2.5, 3.5],
        "when": pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-04", "2020-01-09"]),
    }
)


@pytest.fixture
def schema():
    return infer_schema(OLD)


def test_what_is_rounded_stands_for_an_interval_on_either_side():
    df = pd.DataFrame({"delay": [-2, -1, 0, 1, 2, 0, -1, None, 3]})
    schema = infer_schema(df)
    transform = schema["delay"].transform
    encoded = encode(schema, df)
    seen = df.delay.dropna().to_numpy()
    at = encoded.observed[:, 0]
    assert_allclose(encoded.values[at, 0], transform.forward(seen))
    assert_allclose(encoded.lower[at, 0], transform.forward(seen - 0.5))
    assert_allclose(encoded.upper[at, 0], transform.forward(seen + 0.5))
    assert not at[7]
    drawn = decode_column(schema["delay"], transform.forward([-3.4, -0.6, 0.4])[:, None])
    assert_array_equal(drawn, [-3, -1, 0])


def test_values_of_each_family():
    encoded = encode(infer_schema(OLD), OLD)
    assert [str(f.family) for f in encoded.features] == [
        "count",
        "categorical",
        "bernoulli",
        "gaussian",
        "gaussian",
    ]
    assert_array_equal(encoded.values[:, 1], [0, 1, 2, 0])
    assert_array_equal(encoded.values[:, 2], [1, 0, 1, 1])
    assert_allclose(encoded.values[:, 3], np.array([-3, -1, 1, 3]) / np.sqrt(5))
    assert encoded.n_rows == 4
    assert encoded.observed.all()


def test_semicontinuous_columns_are_two_features():
    rain = pd.DataFrame({"rain": [0.0, 2.0, None, 8.0, 0.0, 4.0]})
    schema = infer_schema(rain, kinds={"rain": "semicontinuous"})
    encoded = encode(schema, rain)
    assert_array_equal(encoded.values[:, 0], [0, 1, 0, 1, 0, 1])
    assert_array_equal(encoded.observed[:, 0], [True, True, False, True, True, True])
    assert_array_equal(encoded.observed[:, 1], [False, True, False, True, False, True])
    amounts = encoded.values[[1, 5, 3], 1]
    assert_allclose(amounts, np.array([-1, 0, 1]) * np.sqrt(1.5), atol=1e-12)
    decoded = decode_column(schema.columns[0], [[0, 9.0], [1, amounts[2]], [1, -1e9]])
    assert_allclose(decoded[:2], [0, 8])
    assert decoded[2] > 0


def test_other_dtypes_of_the_same_values_are_accepted(schema):
    new = pd.DataFrame(
        {
            "other": [1, 2, 3, 4],
            "x": OLD["x"].astype("Float32"),
            "b": OLD["b"].astype(object),
            "when": OLD["when"].astype("datetime64[s]"),
            "g": OLD["g"].astype(object),
            "k": OLD["k"].astype(float),
        }
    )
    assert_allclose(encode(schema, new).values, encode(schema, OLD).values, atol=1e-6)
    assert encode(schema, new).observed.all()


def test_rows_and_columns_without_any_value(schema):
    empty = OLD.astype(object).iloc[[0, 1]].copy()
    empty[:] = None
    encoded = encode(schema, empty)
    assert not encoded.observed.any()
    assert not encoded.observed_cells.any()
    assert encode(schema, OLD.iloc[:0]).values.shape == (0, 5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"g": ["a", "z", "c", "a"]},
            SupportError,
            r"'g', row 1: level 'z' was not .*'a', 'b', 'c'",
        ),
        ({"g": [1, 2, 3, 4]}, SupportError, "'g', row 0: level 1 was not observed"),
        ({"k": [0, -1, 2, 3]}, SupportError, "'k', row 1: -1 is not a count"),
        ({"k": [0, 1.5, 2, 3]}, SupportError, "'k', row 1: 1.5 is not a count"),
        ({"x": [0, 1, 2, np.inf]}, SupportError, "'x', row 3: inf is infinite"),
        ({"x": list("abcd")}, SchemaError, "'x' was learnt as continuous .* now holds labels"),
        ({"x": OLD["when"]}, SchemaError, "convert it to numbers"),
        ({"when": OLD["x"]}, SchemaError, "convert it to dates or times"),
        ({"when": OLD["when"].dt.tz_localize("UTC")}, SchemaError, "use .dt.tz_localize"),
    ],
)
def test_new_rows_that_do_not_fit_are_refused(schema, change, error, message):
    with pytest.raises(error, match=message):
        encode(schema, OLD.assign(**change))


def test_absent_and_duplicated_columns_are_refused(schema):
    with pytest.raises(SchemaError, match="lacks modelled columns: 'k', 'x'"):
        encode(schema, OLD.drop(columns=["x", "k"]))
    with pytest.raises(SchemaError, match="duplicated column names: 'k'"):
        encode(schema, pd.concat([OLD, OLD[["k"]]], axis=1))


@pytest.mark.parametrize(
    "values",
    [
        [2.5, None, 2.5],
        pd.array([3, None, 3], dtype="Int64"),
        ["a", None, "a"],
        pd.to_datetime(["2020-01-01", None, "2020-01-01"]).tz_localize("Asia/Tokyo"),
        pd.to_timedelta(["3h", None, "3h"]),
    ],
)
def test_constant_columns_decode_to_their_constant(values):
    df = pd.DataFrame({"c": values, "x": [1.5, 2.5, 3.5]})
    with pytest.warns(ConstantColumnWarning):
        schema = infer_schema(df)
    assert encode(schema, df).values.shape == (3, 1)
    filled = assign_cells(df["c"], [1], decode_column(schema["c"], np.zeros((1, 0))))
    assert filled[1] == df["c"][0]
    assert filled.dtype == df["c"].dtype


def test_another_label_in_a_constant_column_is_refused():
    with pytest.warns(ConstantColumnWarning):
        schema = infer_schema(pd.DataFrame({"c": ["a", "a"], "x": [1.5, 2.5]}))
    with pytest.raises(SupportError, match="'c', row 0: level 'b' was not observed"):
        encode(schema, pd.DataFrame({"c": ["b"], "x": [1.0]}))


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float32", "Int8"])
def test_bounds_hold_in_the_dtype_of_the_column(dtype):
    low, high = (-3, 100) if dtype == "Int8" else (-0.1, 0.7)
    series = pd.Series([low, 0, 0.25 if low > -1 else 50, None, high], dtype=dtype, name="x")
    schema = infer_schema(series.to_frame(), bounds={"x": (low, high)})
    filled = assign_cells(series, [3, 3], decode_column(schema.columns[0], [[-99.0], [99.0]]))
    assert filled[3] == series[4]
    filled = assign_cells(series, [3], decode_column(schema.columns[0], [[-99.0]]))
    assert filled[3] == series[0]


def test_imputed_integers_stay_in_their_dtype():
    series = pd.Series([-128, -100, None, 127], dtype="Int8", name="x")
    column = infer_schema(series.to_frame()).columns[0]
    assert decode_column(column, [[-1e12], [1e12]]).tolist() == [-128, 127]
    huge = pd.Series([2**61, 2**60 + 1, None, 5], dtype="Int64", name="x")
    column = infer_schema(huge.to_frame()).columns[0]
    assert assign_cells(huge, [2], decode_column(column, [[1e30]])).iloc[2] == 2**62


def test_filling_does_not_touch_the_column_it_is_given():
    series = pd.Series([1.0, np.nan, 3.0], index=list("abc"), name="x")
    filled = assign_cells(series, [1], np.array([2.0]))
    assert filled.tolist() == [1, 2, 3]
    assert series.isna().tolist() == [False, True, False]


def test_filling_gives_objects_of_the_column_s_own_types():
    whole = assign_cells(pd.Series([1, None], dtype=object), [1], np.array([4]))
    assert type(whole[1]) is int
    assert assign_cells(pd.Series([1, 2]), [1], np.array([3.7])).tolist() == [1, 4]


def test_unseen_categories_stay_in_the_dtype_and_are_never_imputed():
    series = pd.Series(pd.Categorical(["a", None, "c", "d"], categories=list("dcba")), name="g")
    schema = infer_schema(series.to_frame())
    column = schema.columns[0]
    assert column.levels == ("d", "c", "a")
    assert decode_column(column, [[0], [1], [2]]).tolist() == ["d", "c", "a"]
    filled = assign_cells(series, [1], decode_column(column, [[1]]))
    assert filled.cat.categories.tolist() == list("dcba")
    assert filled[1] == "c"


def test_codes_that_are_new_tell_as_much_as_the_outermost():
    codes = pd.DataFrame({"x": np.repeat([2.0, 3.0, 4.0, 5.0], [10, 20, 70, 300])})
    schema = infer_schema(codes)
    assert schema["x"].transform.kind == "normal_scores"
    found = encode(schema, pd.DataFrame({"x": [2.0, 0.0, 5.0, 9.0]}))
    for part in (found.values, found.lower, found.upper):
        np.testing.assert_array_equal(part[[0, 2]], part[[1, 3]])


def test_the_ends_of_ratings_take_what_lies_beyond():
    df = pd.DataFrame({"x": np.repeat([1.0, 2.0, 3.0, 4.0], [20, 40, 30, 30])})
    found = encode(infer_schema(df), df)
    assert (found.lower[:20] == -np.inf).all()
    assert (found.upper[-30:] == np.inf).all()
    assert np.isfinite(found.lower[20:]).all()
    assert np.isfinite(found.upper[:-30]).all()
    np.testing.assert_allclose(found.upper[0], found.lower[20])
