"""Column names and levels as JSON values, and back with their types."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Hashable
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pandas as pd

from psmimpute.exceptions import SchemaError

JSONValue: TypeAlias = str | int | float | bool | dict[str, Any] | None
Unit: TypeAlias = Literal["s", "ms", "us", "ns"]

_TYPE, _VALUE = "type", "value"


def _timestamp(text: str, unit: Unit, zone: str | None = None) -> pd.Timestamp:
    time = pd.Timestamp(text).as_unit(unit)
    if zone is None:
        return time
    here = time.tz_convert(zone)
    if here.utcoffset() == time.utcoffset() or zone not in available_timezones():
        return here
    # pandas may go by a library whose rules of summer time end in 2037: not those of the text.
    return time.tz_convert(ZoneInfo(zone))


def _timestamp_parts(time: pd.Timestamp) -> list[Any]:
    """Text, unit and, where it has a name, the time zone, which one offset does not tell."""
    zone = getattr(time.tz, "key", None) or getattr(time.tz, "zone", None)
    return [time.isoformat(), time.unit, None if zone is None else str(zone)]


def _interval_parts(value: pd.Interval[Any]) -> list[Any]:
    return [to_json(value.left), to_json(value.right), value.closed]


def _interval(parts: list[Any]) -> pd.Interval[Any]:
    return pd.Interval(from_json(parts[0]), from_json(parts[1]), parts[2])


# Type, its tag, and the ways to JSON and back. Subclasses first: a Timestamp is a datetime,
# a datetime is a date.
_CODECS: tuple[tuple[type, str, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    (pd.Timestamp, "timestamp", _timestamp_parts, lambda v: _timestamp(*v)),
    (pd.Timedelta, "timedelta", lambda v: [v.isoformat(), v.unit], lambda v: _timedelta(*v)),
    (datetime.date, "date", lambda v: v.isoformat(), datetime.date.fromisoformat),
    (pd.Interval, "interval", _interval_parts, _interval),
    (tuple, "tuple", lambda v: [to_json(item) for item in v], lambda v: tuple(map(from_json, v))),
    (bytes, "bytes", bytes.hex, bytes.fromhex),
    (decimal.Decimal, "decimal", str, decimal.Decimal),
)
_TAGS = {tag: decode for _, tag, _, decode in _CODECS}


def _timedelta(text: str, unit: Unit) -> pd.Timedelta:
    return pd.Timedelta(text).as_unit(unit)


def to_json(value: object) -> JSONValue:
    """Return a column name or a level as a JSON value.

    Parameters
    ----------
    value : object
        Text, bytes, a number, a truth value, a date, a time, a duration, an interval, or a
        tuple of these.

    Returns
    -------
    str, int, float, bool, None or dict
        For :func:`from_json`.

    Raises
    ------
    SchemaError
        If the value is of another type.

    Examples
    --------
    >>> from_json(to_json(("a", 1)))
    ('a', 1)
    """
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    for cls, tag, encode, _ in _CODECS:
        if isinstance(value, cls):
            return {_TYPE: tag, _VALUE: encode(value)}
    raise SchemaError(
        f"{value!r}, of type {type(value).__name__}, cannot be stored as a column name or level: "
        "use text, numbers, dates or intervals"
    )


def from_json(state: JSONValue) -> Hashable:
    """Return the value that :func:`to_json` described.

    Parameters
    ----------
    state : str, int, float, bool, None or dict
        What :func:`to_json` returned.

    Returns
    -------
    object
        Equal to the value described.
    """
    if isinstance(state, dict):
        decoded: Hashable = _TAGS[str(state[_TYPE])](state[_VALUE])
        return decoded
    return state
