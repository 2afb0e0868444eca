"""Names and levels through JSON, with their types."""

from __future__ import annotations

import datetime
import decimal
import json
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import SchemaError
from psmimpute.table.json_values import from_json, to_json
from psmimpute.table.schema import TableSchema


@pytest.mark.parametrize(
    "value",
    [
        "text",
        7,
        2.5,
        True,
        None,
        b"\x00\xff",
        ("a", 1, ("b", None)),
        datetime.date(2020, 2, 29),
        decimal.Decimal("1.20"),
        pd.Timestamp("2020-01-01 03:00:00.000000001"),
        pd.Timestamp("2020-01-01", tz="Europe/Berlin"),
        pd.Timedelta("-1 days 3h"),
        pd.Interval(0.0, 1.5, "left"),
        pd.Interval(pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01")),
    ],
)
def test_values_come_back_equal_and_of_their_type(value):
    back = from_json(json.loads(json.dumps(to_json(value))))
    assert back == value
    assert type(back) is type(value)


def test_numbers_of_numpy_become_plain_ones():
    for value in (np.int64(1), np.float32(0.5), np.bool_(True)):
        assert to_json(value) == value
        assert type(to_json(value)) in (int, float, bool)


def test_a_time_keeps_its_zone():
    back = from_json(to_json(pd.Timestamp("2020-07-01", tz="Europe/Berlin")))
    assert str(back.tz) == "Europe/Berlin"


def test_other_types_are_refused():
    with pytest.raises(SchemaError, match="of type complex, cannot be stored"):
        to_json(1j)


def test_a_later_format_is_refused():
    with pytest.raises(SchemaError, match="format 99, this version reads up to 1: update"):
        TableSchema.from_dict({"format": 99})


def test_summer_time_after_2037_is_that_of_the_library_that_told_it():
    """Where pytz is installed pandas goes by it, and it knows no summer time then."""
    utc = pd.Timestamp("2038-04-01", tz="UTC")
    for zone in (ZoneInfo("Europe/Berlin"), "Europe/Berlin"):
        time = utc.tz_convert(zone)
        back = from_json(json.loads(json.dumps(to_json(time))))
        assert (back, back.utcoffset(), str(back)) == (time, time.utcoffset(), str(time))
