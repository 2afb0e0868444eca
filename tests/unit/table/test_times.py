"""Times as seconds: exact where they can be, on the grid and in the zone they came from."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from psmimpute.exceptions import SchemaError, SupportError
from psmimpute.table.encoding import assign_cells, decode_column, encode
from psmimpute.table.infer import infer_schema
from psmimpute.table.reading import TimeCells, read_times, zone_name
from psmimpute.table.schema import ColumnSchema
from psmimpute.table.times import TimeAxis


def _schema(series):
    return infer_schema(series.to_frame("t"))


@pytest.mark.parametrize(
    ("text", "step"),
    [
        (["2020-01-01", "2020-03-01", "2021-01-01"], "day"),
        (["2020-01-01 03:00", "2020-03-01", "2021-01-01"], "hour"),
        (["2020-01-01 03:10", "2020-03-01", "2021-01-01"], "minute"),
        (["2020-01-01 03:10:07", "2020-03-01", "2021-01-01"], "second"),
        (["2020-01-01 03:10:07.5", "2020-03-01", "2021-01-01"], "millisecond"),
        (["1960-01-01 00:00:00.000001", "2020-03-01", "2021-01-01"], "microsecond"),
    ],
)
def test_imputed_times_lie_on_the_grid_of_the_observed_ones(text, step, rng):
    series = pd.Series(pd.to_datetime(text, format="mixed"))
    column = _schema(series).columns[0]
    assert column.time.step_name == step
    drawn = decode_column(column, rng.normal(size=(50, 1)))
    ticks = drawn.astype("datetime64[ns]").view(np.int64)
    assert (ticks % column.time.step == 0).all()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "UTC"])
def test_local_midnights_stay_midnights_over_changes_of_the_clock(zone):
    mondays = pd.date_range("2017-01-02", "2019-12-31", freq="7D")  # clocks change on Sundays
    days = pd.Series(mondays.tz_localize(zone), name="t")
    column = _schema(days).columns[0]
    assert column.time.step_name == "day"
    latent = np.linspace(-1.7, 1.7, 300)[:, None]
    gaps = pd.Series(pd.DatetimeIndex([pd.NaT] * 300).tz_localize(zone).as_unit("ns"))
    filled = assign_cells(gaps, np.arange(300), decode_column(column, latent))
    assert filled.dtype == gaps.dtype
    # A midnight that the clock skips becomes the first hour of that day.
    local = filled.dt.tz_localize(None)
    skipped = local != local.dt.normalize()
    assert (local[skipped].dt.hour == 1).all()
    assert skipped.mean() < 0.02


def test_both_hours_of_a_clock_set_back_are_kept():
    hours = pd.Series(pd.date_range("2023-10-28 22:00", periods=9, freq="h", tz="Europe/Berlin"))
    schema = _schema(hours)
    decoded = decode_column(schema.columns[0], encode(schema, hours.to_frame("t")).values)
    assert assign_cells(hours, np.arange(9), decoded).equals(hours)


def test_seconds_are_exact_across_units():
    axis = TimeAxis(False, "ns", None, 1_500_000_000_000_000_001, 1)
    seconds = axis.seconds(TimeCells(np.array([1_500_000_001]), "s", None))
    assert_allclose(seconds, 1 - 1e-9, rtol=1e-15)
    ancient = TimeAxis(False, "s", None, -60_000_000_000 * 10**9, 10**9)
    assert_allclose(ancient.seconds(TimeCells(np.array([0]), "ns", None)), 6e10)


def test_new_rows_in_another_unit_and_zone_are_the_same_moments():
    berlin = pd.Series(pd.to_datetime(["2020-01-01", "2020-05-01", "2020-09-01"]), name="t")
    berlin = berlin.dt.tz_localize("Europe/Berlin")
    tokyo = berlin.dt.tz_convert("Asia/Tokyo").dt.as_unit("s")
    schema = _schema(berlin)
    found = encode(schema, tokyo.to_frame("t")).values
    assert_allclose(found, encode(schema, berlin.to_frame("t")).values, atol=1e-14)


def test_extreme_latent_values_stay_within_reach_of_the_observed_times():
    series = pd.Series(pd.to_datetime(["2020-01-01", "2020-01-11", "2020-01-03"]))
    low, high = decode_column(_schema(series).columns[0], [[-1e9], [1e9]])
    assert low == np.datetime64("2019-12-22")
    assert high == np.datetime64("2020-01-21")
    ends = pd.Series([pd.Timestamp.min, pd.Timestamp.max, pd.Timestamp("2020-01-01")])
    drawn = decode_column(_schema(ends.dt.as_unit("ns")).columns[0], [[-99.0], [0.0], [99.0]])
    assert not np.isnat(drawn).any()
    assert drawn[0] < drawn[1] < drawn[2]


def test_durations_keep_their_sign_and_skewed_ones_are_logarithmic(rng):
    spans = pd.Series(pd.to_timedelta(np.ceil(rng.lognormal(5, 1, size=300)), unit="s"))
    column = _schema(spans).columns[0]
    assert column.transform.kind == "log"
    assert decode_column(column, [[-99.0]])[0] == np.timedelta64(1, "s")
    signed = pd.Series(pd.to_timedelta([-5, 3, 0, 7], unit="h"))
    assert decode_column(_schema(signed).columns[0], [[-99.0]])[0] < np.timedelta64(-5, "h")
    none_below_zero = pd.Series(pd.to_timedelta([0, 3, 5, 7], unit="h"))
    assert decode_column(_schema(none_below_zero).columns[0], [[-99.0]])[0] == np.timedelta64(
        0, "h"
    )


@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "America/Sao_Paulo"])
@pytest.mark.parametrize(
    ("bounds", "first", "last", "words"),
    [
        (("2019-01-01", "2021-03-01"), "2019-01-01", "2021-03-01", "2019-01-01 to 2021-03-01"),
        (
            ("2019-01-01 12:00", pd.Timestamp("2021-03-01 11:59")),
            "2019-01-02",
            "2021-03-01",
            "2019-01-01 12:00:00 to 2021-03-01 11:59:00",
        ),
    ],
)
def test_times_stay_on_the_grid_inside_their_bounds(zone, bounds, first, last, words):
    days = pd.Series(pd.to_datetime(["2020-01-01", "2020-05-07", "2021-01-01", None]))
    df = days.dt.tz_localize(zone).to_frame("t")
    column = infer_schema(df, bounds={"t": bounds})["t"]
    drawn = pd.DatetimeIndex(decode_column(column, [[-99.0], [99.0]]))
    local = drawn.tz_localize("UTC").tz_convert(zone).tz_localize(None) if zone else drawn
    assert [str(day.date()) for day in local] == [first, last]
    assert (local == local.normalize()).all()
    assert column.bounds_in_words == words
    assert ColumnSchema.from_dict(column.to_dict()) == column


def test_an_end_that_bounds_leave_open_is_as_far_off_as_without_them():
    days = pd.to_datetime(["2020-01-01", "2020-05-07", "2021-01-01"]).to_series(name="t").to_frame()
    for bounds, ends, words in (
        ((datetime.date(2019, 11, 2), None), ["2019-11-02", "2022-01-02"], "at least 2019-11-02"),
        ((None, np.datetime64("2021-01-02")), ["2018-12-31", "2021-01-02"], "at most 2021-01-02"),
    ):
        column = infer_schema(days, bounds={"t": bounds})["t"]
        assert [str(day)[:10] for day in decode_column(column, [[-99.0], [99.0]])] == ends
        assert column.bounds_in_words == words


def test_times_are_told_without_what_a_double_adds():
    days = pd.DataFrame({"t": pd.date_range("2020-01-01", periods=3000).astype("datetime64[ns]")})
    column = infer_schema(days)["t"]
    seconds = np.arange(3000) * 86_400.0
    assert [column.in_words(s) for s in seconds] == days["t"].dt.strftime("%Y-%m-%d").tolist()
    assert column.in_words(1.5) == "2020-01-01 00:00:01.500000"


def test_durations_stay_inside_their_bounds():
    spans = pd.DataFrame({"t": pd.to_timedelta([2, 5, 9], unit="h")})
    column = infer_schema(spans, bounds={"t": ("90min", np.timedelta64(10, "h"))})["t"]
    low, high = decode_column(column, [[-99.0], [99.0]])
    assert (low, high) == (np.timedelta64(2, "h"), np.timedelta64(10, "h"))
    assert column.bounds_in_words == "0 days 01:30:00 to 0 days 10:00:00"


@pytest.mark.parametrize(
    ("bounds", "error", "message"),
    [
        ((2019, 2021), SchemaError, r"no pair .* of points in time .*\(2019 is a number\)"),
        (("soon", None), SchemaError, "no pair .* points in time .*soon"),
        (("2021-01-01", "2019-01-01"), SchemaError, "no pair .* low < high; None leaves"),
        ((pd.NaT, "2021-01-01"), SchemaError, "NaT is missing"),
        ((pd.Timestamp("2019", tz="UTC"), None), SchemaError, "the column has none"),
        (("2020-01-02", None), SupportError, r"row 0: 2020-01-01 is outside .*\(2020-01-02, inf\)"),
    ],
)
def test_bounds_that_do_not_fit_times_are_refused(bounds, error, message):
    days = pd.DataFrame({"t": pd.to_datetime(["2020-01-01", "2020-05-07", None])})
    with pytest.raises(error, match=message):
        infer_schema(days, bounds={"t": bounds})


def test_new_times_are_held_to_the_bounds_and_gaps_are_not():
    days = pd.DataFrame({"t": pd.to_datetime(["2020-01-01", "2020-05-07", None])})
    schema = infer_schema(days, bounds={"t": ("2020-01-01", "2020-12-31")})
    assert not encode(schema, days).observed[2].any()
    days.loc[1, "t"] = pd.Timestamp("2021-01-01")
    with pytest.raises(SupportError, match=r"row 1: 2021-01-01 is outside"):
        encode(schema, days)


def test_zone_names_are_ones_that_pandas_reads():
    assert zone_name("Europe/Berlin") == "Europe/Berlin"
    assert zone_name(pd.Timestamp("2020-01-01T00:00+05:30").tz) == "UTC+05:30"
    assert zone_name("+01:00") == "UTC+01:00"
    assert zone_name("Nowhere/Land") == "UTC"


def test_missing_times_read_as_zero_ticks():
    cells = read_times(pd.Series(pd.to_datetime(["1970-01-02", None])))
    assert cells.ticks[1] == 0
    assert cells.zone is None
