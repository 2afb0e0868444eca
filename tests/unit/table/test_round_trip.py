"""What holds for every frame: encoding loses nothing, filling keeps dtypes, nothing is changed."""

from __future__ import annotations

import datetime
import decimal
import json
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from psmimpute.exceptions import PSMWarning
from psmimpute.table.encoding import assign_cells, decode_column, encode
from psmimpute.table.infer import infer_schema
from psmimpute.table.reading import missing_cells
from psmimpute.table.schema import TableSchema

EPS = np.finfo(np.float64).eps
LABELS = st.sampled_from(["a", "b", "c", "Zoë", ""])
WHOLE = st.integers(-120, 120)
REAL = st.floats(-1e6, 1e6, allow_subnormal=False)
DATES = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))
TIMES = st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2100, 1, 1))
SPANS = st.timedeltas(datetime.timedelta(-9999), datetime.timedelta(9999))


def _pandas(dtype):
    return lambda cells: pd.Series(cells, dtype=dtype)


def _arrow(arrow_type):
    return lambda cells: pd.Series(pd.arrays.ArrowExtensionArray(pa.array(cells, arrow_type)))


def _dictionary(cells):
    return pd.Series(
        pd.arrays.ArrowExtensionArray(pa.array(cells, pa.string()).dictionary_encode())
    )


def _times(unit, zone=None):
    def build(cells):
        times = np.array([np.datetime64("NaT") if c is None else c for c in cells], f"M8[{unit}]")
        series = pd.Series(times)
        return series if zone is None else series.dt.tz_localize("UTC").dt.tz_convert(zone)

    return build


def _categories(ordered):
    dtype = pd.CategoricalDtype(["c", "a", "", "b", "Zoë", "never"], ordered=ordered)
    return lambda cells: pd.Series(pd.Categorical(cells, dtype=dtype))


def _intervals(cells):
    return pd.cut(pd.Series(cells, dtype=float), [-1e7, -50.0, 0.0, 50.0, 1e7])


# Values, the column made of them, and whether a bit of every value survives the way there and back.
COLUMNS = {
    "float64": (REAL, _pandas("float64"), False),
    "float64 whole": (WHOLE, _pandas("float64"), True),
    "float64 huge": (st.floats(-1e150, 1e150), _pandas("float64"), False),
    "float32": (st.floats(-1e6, 1e6, width=32), _pandas("float32"), False),
    "object text": (LABELS, _pandas(object), True),
    "object bytes": (st.sampled_from([b"x", b"y", b"z"]), _pandas(object), True),
    "object bool": (st.booleans(), _pandas(object), True),
    "object int": (WHOLE, _pandas(object), True),
    "object float": (REAL, _pandas(object), False),
    "object date": (DATES, _pandas(object), True),
    "category": (LABELS, _categories(ordered=False), True),
    "ordered category": (LABELS, _categories(ordered=True), True),
    "interval category": (WHOLE, _intervals, True),
    "Int64": (WHOLE, _pandas("Int64"), True),
    "UInt8": (st.integers(0, 255), _pandas("UInt8"), True),
    "Float64": (REAL, _pandas("Float64"), False),
    "boolean": (st.booleans(), _pandas("boolean"), True),
    "string python": (LABELS, _pandas("string[python]"), True),
    "string pyarrow": (LABELS, _pandas("string[pyarrow]"), True),
    "string": (LABELS, _pandas("str"), True),
    "arrow int16": (WHOLE, _arrow(pa.int16()), True),
    "arrow double": (REAL, _arrow(pa.float64()), False),
    "arrow bool": (st.booleans(), _arrow(pa.bool_()), True),
    "arrow string": (LABELS, _arrow(pa.string()), True),
    "arrow large string": (LABELS, _arrow(pa.large_string()), True),
    "arrow dictionary": (LABELS, _dictionary, True),
    "arrow decimal": (
        st.decimals(-999, 999, places=2).map(decimal.Decimal),
        _arrow(pa.decimal128(12, 2)),
        False,
    ),
    "arrow date32": (DATES, _arrow(pa.date32()), True),
    "arrow date64": (DATES, _arrow(pa.date64()), True),
    "arrow timestamp": (TIMES, _arrow(pa.timestamp("us")), False),
    "arrow timestamp tz": (TIMES, _arrow(pa.timestamp("ms", "Europe/Berlin")), False),
    "arrow duration": (SPANS, _arrow(pa.duration("us")), False),
    "datetime64[ns]": (TIMES, _times("ns"), False),
    "datetime64[us]": (TIMES, _times("us"), False),
    "datetime64[s]": (TIMES, _times("s"), True),
    "datetime64[s] tz": (TIMES, _times("s", "America/New_York"), True),
    "datetime64[ns] tz": (TIMES, _times("ns", "Asia/Kathmandu"), False),
    "timedelta64": (SPANS, _pandas("timedelta64[ns]"), False),
}
if not hasattr(pd.StringDtype(), "na_value") or pd.__version__ < "3":
    del COLUMNS["string"]  # the default string dtype of pandas 3


EACH_SORT = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def columns(draw, sort):
    """A sort of column, with gaps, and at least one observed cell."""
    values, build, _ = COLUMNS[sort]
    n_rows = draw(st.integers(2, 25))
    cells = draw(st.lists(st.none() | values, min_size=n_rows, max_size=n_rows))
    cells[draw(st.integers(0, n_rows - 1))] = draw(values)
    return build(cells).rename(sort)


@st.composite
def frames(draw):
    """A few columns side by side, under names and row labels of any sort."""
    picked = draw(st.lists(st.sampled_from([*COLUMNS]).flatmap(columns), min_size=1, max_size=4))
    n_rows = min(len(series) for series in picked)
    parts = [series.iloc[:n_rows].reset_index(drop=True) for series in picked]
    parts = [part for part in parts if not part.isna().all()] or [pd.Series(range(n_rows))]
    labels = [0, "x", ("deep", 1), pd.Timestamp("2020-01-01")][: len(parts)]
    frame = pd.concat(parts, axis=1)
    frame.columns = pd.Index(labels, dtype=object, tupleize_cols=False)
    if draw(st.booleans()):
        frame.index = pd.MultiIndex.from_arrays([range(n_rows), ["row"] * n_rows])
    return frame


def _inferred(df, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PSMWarning)
        return infer_schema(df, **options)


def _time_error(found, expected):
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)).total_seconds()


@pytest.mark.parametrize("sort", COLUMNS)
@EACH_SORT
@given(data=st.data())
def test_decoding_undoes_encoding(sort, data):
    series, exact = data.draw(columns(sort)), COLUMNS[sort][2]
    df = series.to_frame()
    schema = _inferred(df)
    column = schema.columns[0]
    encoded = encode(schema, df)
    seen = encoded.observed_cells[:, 0]
    assert (seen == series.notna()).all()
    decoded = decode_column(column, encoded.values[seen])
    rows = np.flatnonzero(seen)
    back = assign_cells(series, rows, decoded).iloc[rows]
    if exact or column.levels is not None or column.is_constant:
        pd.testing.assert_series_equal(back, series.iloc[rows], check_exact=True)
    elif column.time is not None:
        span = max(abs(a - b) for a in series.dropna() for b in series.dropna()).total_seconds()
        assert _time_error(back, series.iloc[rows]) <= 64 * EPS * span + 1e-9
    else:
        expected = series.iloc[rows].to_numpy(dtype=float)
        size = 64 * EPS * np.abs(expected).max()
        assert_allclose(back.to_numpy(dtype=float), expected, rtol=0, atol=size)


@pytest.mark.parametrize("sort", COLUMNS)
@EACH_SORT
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([1.0, 100.0]))
def test_filling_keeps_dtype_and_observed_cells(sort, data, seed, spread):
    series = data.draw(columns(sort))
    df = series.to_frame()
    before = df.copy(deep=True)
    schema = _inferred(df)
    column = schema.columns[0]
    rows = np.flatnonzero(missing_cells(df)[:, 0])
    latent = np.random.default_rng(seed).normal(scale=spread, size=(len(rows), column.n_features))
    filled = assign_cells(series, rows, decode_column(column, latent))
    assert filled.dtype == series.dtype
    assert filled.index.equals(series.index)
    assert filled.name == series.name
    assert not missing_cells(filled.to_frame()).any()
    seen = np.setdiff1d(np.arange(len(series)), rows)
    pd.testing.assert_series_equal(filled.iloc[seen], series.iloc[seen], check_exact=True)
    pd.testing.assert_frame_equal(df, before, check_exact=True)
    if column.levels is not None:
        assert set(filled) <= set(series.dropna())
    if series.dtype == object:
        assert {type(cell) for cell in filled} <= {type(cell) for cell in series.dropna()}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames())
def test_a_frame_is_encoded_column_by_column_and_left_alone(df):
    before = df.copy(deep=True)
    schema = _inferred(df)
    encoded = encode(schema, df)
    pd.testing.assert_frame_equal(df, before, check_exact=True)
    assert encoded.features == schema.features
    assert encoded.values.shape == (len(df), len(schema.features))
    assert np.isfinite(encoded.values).all()
    assert (encoded.values[~encoded.observed] == 0).all()
    for j, feature in enumerate(encoded.features):
        cells = encoded.observed_cells[:, feature.column]
        assert not (encoded.observed[:, j] & ~cells).any()
        bounded = encoded.observed[:, j] & (feature.family == "count")
        assert (np.isnan(encoded.lower[:, j]) == ~bounded).all()
        assert (encoded.lower[bounded, j] < encoded.values[bounded, j]).all()
        assert (encoded.values[bounded, j] < encoded.upper[bounded, j]).all()
    reordered = encode(schema, df.iloc[::-1, ::-1])
    np.testing.assert_array_equal(reordered.values, encoded.values[::-1])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames())
def test_a_schema_survives_json(df):
    schema = _inferred(df)
    text = json.dumps(schema.to_dict(), allow_nan=False)
    restored = TableSchema.from_dict(json.loads(text))
    assert restored == schema
    assert repr(restored) == repr(schema)
    np.testing.assert_array_equal(encode(restored, df).values, encode(schema, df).values)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 200), min_size=3, max_size=60).filter(lambda k: len(set(k)) > 2),
    st.floats(1e-6, 1 - 1e-6),
)
@example([0, 0, 0, 0, 1, 200], 0.999999)
def test_every_latent_value_of_a_count_decodes_to_it(counts, share):
    df = pd.DataFrame({"k": counts})
    schema = infer_schema(df, kinds={"k": "count"})
    encoded = encode(schema, df)
    lower, upper = encoded.lower[:, 0], encoded.upper[:, 0]
    assert ((lower == -np.inf) == (df["k"] == 0)).all()
    start = np.where(np.isinf(lower), upper - 50.0, lower)
    inside = start + share * (upper - start)
    np.testing.assert_array_equal(decode_column(schema.columns[0], inside[:, None]), counts)


NUMBERS = st.lists(st.floats(0.01, 1e4), min_size=4, max_size=30).filter(lambda x: len(set(x)) > 2)


@settings(max_examples=150, deadline=None)
@given(
    NUMBERS,
    st.sampled_from(["positive", "semicontinuous", "count", "continuous"]),
    st.sampled_from(["float64", "float32", "Float32", "Int16"]),
    st.floats(-300, 300),
)
def test_imputed_numbers_stay_on_their_support(numbers, kind, dtype, latent):
    whole = kind == "count" or dtype == "Int16"
    numbers = [round(x) + 1.0 if whole else x for x in numbers]
    series = pd.Series([0.0 if kind == "semicontinuous" else 1.0, *numbers], name="x", dtype=dtype)
    df = series.to_frame()
    highest = float(series.max())
    schema = _inferred(df, kinds={"x": kind}, bounds={"x": (None, highest)})
    column = schema.columns[0]
    if column.is_constant:
        return
    cells = np.array([[1.0, latent] if kind == "semicontinuous" else [latent]])
    filled = assign_cells(series, [0], decode_column(column, cells))
    value = float(filled.iloc[0])
    assert np.isfinite(value)
    assert value <= highest
    if kind in ("positive", "semicontinuous"):
        assert value > 0
    if whole:
        assert value == round(value)
    if kind == "count":
        assert value >= 0
    assert filled.dtype == dtype


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1.5, 2.5, np.nan]),
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series(["a", "b", None], dtype=object),
        pd.Series(["a", "b", None], dtype="string"),
        pd.Series(["a", "b", None], dtype="category"),
        pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02", None])),
        pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02", None])).dt.tz_localize("Asia/Tokyo"),
        pd.Series(pd.to_timedelta([1, 2, None], unit="h")),
        pd.Series([1, 2, None], dtype="int64[pyarrow]"),
        pd.Series([1.5, 2.5, None], dtype="double[pyarrow]"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_missing_values_empty_their_cells_and_the_others_are_filled(column):
    value = column.iloc[1]
    given = np.array([None, value], dtype=object)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fmM":
        given = pd.Series([None, value], dtype=column.dtype).to_numpy()
    elif isinstance(column.dtype, pd.DatetimeTZDtype):
        given = np.array(["NaT", value.tz_convert("UTC").tz_localize(None)], "datetime64[ns]")
    found = assign_cells(column, [0, 2], given)
    assert found.isna().tolist() == [True, False, False]
    assert found.iloc[2] == value
    assert found.dtype == column.dtype
    assert column.iloc[0] is not None
