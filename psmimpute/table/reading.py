"""From a pandas column of any dtype to NumPy: which cells are missing, and what the others hold."""

from __future__ import annotations

import datetime
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import SchemaError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TICK_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class Storage(StrEnum):
    """What the cells of a column are, whichever dtype holds them."""

    BOOLEAN = "true or false"
    NUMBER = "numbers"
    LABEL = "labels"
    CATEGORY = "categories"
    DATETIME = "dates or times"
    TIMEDELTA = "durations"


@dataclass(frozen=True, slots=True)
class TimeCells:
    """Points in time, or durations, as whole ticks.

    Attributes
    ----------
    ticks : ndarray of int, shape (n_rows,)
        Ticks since 1970 (UTC if the column has a time zone), or the duration; 0 where missing.
    unit : str
        The tick: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
    zone : str or None
        Time zone, by a name that pandas reads.
    """

    ticks: IntArray
    unit: str
    zone: str | None


# What pandas.api.types.infer_dtype says of an object column that can be modelled.
_OBJECT_STORAGE = {
    "string": Storage.LABEL,
    "bytes": Storage.LABEL,
    "boolean": Storage.BOOLEAN,
    "integer": Storage.NUMBER,
    "floating": Storage.NUMBER,
    "mixed-integer-float": Storage.NUMBER,
    "date": Storage.DATETIME,
}
# What makes a column of a dtype that cannot be modelled one that can.
_CONVERSIONS: dict[type, str] = {
    pd.PeriodDtype: " by .dt.to_timestamp()",
    pd.IntervalDtype: " by .astype('category')",
    pd.SparseDtype: " by .sparse.to_dense()",
}
_KIND_STORAGE = {
    "b": Storage.BOOLEAN,
    "i": Storage.NUMBER,
    "u": Storage.NUMBER,
    "f": Storage.NUMBER,
    "U": Storage.LABEL,
    "M": Storage.DATETIME,
    "m": Storage.TIMEDELTA,
}


def storage_of(series: pd.Series) -> Storage:
    """Tell what the observed cells of a column are.

    Parameters
    ----------
    series : Series
        At least one of its cells is observed.

    Returns
    -------
    Storage
        The same for every dtype that can hold such cells.

    Raises
    ------
    SchemaError
        If the cells are of several types, or of a type that cannot be modelled.

    Examples
    --------
    >>> storage_of(pd.Series(["a", None], dtype=object))
    <Storage.LABEL: 'labels'>
    """
    dtype: Any = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return Storage.CATEGORY
    if isinstance(dtype, pd.StringDtype):
        return Storage.LABEL
    if isinstance(dtype, pd.ArrowDtype):
        storage = _arrow_storage(dtype)
    elif isinstance(dtype, (pd.PeriodDtype, pd.IntervalDtype, pd.SparseDtype)):
        storage = None
    elif dtype.kind == "O":
        return _object_storage(series)
    else:
        storage = _KIND_STORAGE.get(dtype.kind)
    if storage is None:
        how = next((remedy for kind, remedy in _CONVERSIONS.items() if isinstance(dtype, kind)), "")
        raise SchemaError(
            f"column {series.name!r} has dtype {dtype}, which cannot be modelled: convert it{how}, "
            f"or give exclude=[{series.name!r}] to leave it as it is"
        )
    return storage


def _arrow_storage(dtype: pd.ArrowDtype) -> Storage | None:
    """Arrow types by their name, so that pyarrow itself is not needed to look."""
    name = str(dtype.pyarrow_dtype)
    if name.startswith(("decimal", "int", "uint", "float", "double", "halffloat")):
        return Storage.NUMBER
    if name.startswith(("string", "large_string", "binary", "large_binary", "dictionary")):
        return Storage.LABEL
    return _KIND_STORAGE.get(dtype.kind)


def _object_storage(series: pd.Series) -> Storage:
    storage = _OBJECT_STORAGE.get(pd.api.types.infer_dtype(series, skipna=True))
    if storage is not None:
        return storage
    types = sorted({type(value).__name__ for value in series[~series.isna()]})
    if len(types) == 1:
        raise SchemaError(
            f"column {series.name!r} has dtype object and holds values of type {types[0]}, which "
            "cannot be modelled: convert it (pd.to_datetime, pd.to_timedelta, .astype(float), "
            f".astype(str)) or give exclude=[{series.name!r}]"
        )
    raise SchemaError(
        f"column {series.name!r} mixes values of the types {', '.join(types)}: convert it to one "
        f"type (pd.to_numeric, .astype(str)) or give exclude=[{series.name!r}]"
    )


def is_missing(series: pd.Series) -> BoolArray:
    """Tell which cells of a column are missing.

    As ``series.isna()``, but NaN is missing in the nullable and Arrow float dtypes too.

    Parameters
    ----------
    series : Series
        Any dtype.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        True where missing.
    """
    missing = series.isna().to_numpy(dtype=bool)
    dtype = series.dtype
    if isinstance(dtype, pd.api.extensions.ExtensionDtype) and dtype.kind == "f":
        missing = missing | np.isnan(series.to_numpy(dtype=np.float64, na_value=np.nan))
    return missing


def missing_cells(df: pd.DataFrame) -> BoolArray:
    """Tell which cells of a table are missing.

    Parameters
    ----------
    df : DataFrame
        Any dtypes.

    Returns
    -------
    ndarray of bool, shape (n_rows, n_columns)
        True where missing.
    """
    missing = np.zeros(df.shape, dtype=bool)
    for position in range(df.shape[1]):
        missing[:, position] = is_missing(df.iloc[:, position])
    return missing


def read_numbers(series: pd.Series) -> FloatArray:
    """Read a column of numbers.

    Parameters
    ----------
    series : Series
        Its storage is :attr:`Storage.NUMBER`.

    Returns
    -------
    ndarray, shape (n_rows,)
        NaN where missing.
    """
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def read_labels(series: pd.Series) -> tuple[IntArray, list[Any]]:
    """Read a column as codes and the values that the codes stand for.

    Parameters
    ----------
    series : Series
        Any storage; meant for columns of few distinct values.

    Returns
    -------
    codes : ndarray of int, shape (n_rows,)
        Position in `values`, or -1 where missing.
    values : list
        As Python objects: all categories, in their order, of a categorical column; else the
        distinct observed values, in order of appearance.
    """
    dtype: Any = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return np.asarray(series.cat.codes, dtype=np.int64), dtype.categories.tolist()
    if isinstance(dtype, pd.ArrowDtype) and str(dtype.pyarrow_dtype).startswith("dictionary"):
        series = pd.Series(series.to_numpy(dtype=object), dtype=object)
    found, values = pd.factorize(series)
    codes = np.where(is_missing(series), -1, found).astype(np.int64)
    plain = [v.item() if isinstance(v, np.generic) else v for v in pd.Index(values).tolist()]
    return codes, plain


def read_times(series: pd.Series) -> TimeCells:
    """Read a column of dates, times or durations.

    Parameters
    ----------
    series : Series
        Its storage is :attr:`Storage.DATETIME` or :attr:`Storage.TIMEDELTA`.

    Returns
    -------
    TimeCells
        One tick count for each row.
    """
    dtype: Any = series.dtype
    if isinstance(dtype, pd.ArrowDtype):
        return _read_arrow_times(series)
    if dtype.kind == "O":
        days = np.array([_date(cell) for cell in series], dtype="datetime64[D]")
        return TimeCells(_ticks(days.astype("datetime64[s]"), series), "s", None)
    if isinstance(dtype, pd.DatetimeTZDtype):
        utc = series.dt.tz_convert("UTC").dt.tz_localize(None)
        return TimeCells(_ticks(utc.to_numpy(), series), dtype.unit, zone_name(dtype.tz))
    return TimeCells(_ticks(series.to_numpy(), series), np.datetime_data(dtype)[0], None)


def _date(cell: object) -> datetime.date | None:
    return cell if isinstance(cell, datetime.date) else None


def _ticks(times: npt.NDArray[Any], series: pd.Series) -> IntArray:
    return np.where(series.isna().to_numpy(dtype=bool), 0, times.view(np.int64))


def _read_arrow_times(series: pd.Series) -> TimeCells:
    import pyarrow as pa  # noqa: PLC0415 (a column of this dtype means it is loaded already)

    cells = series.array.__arrow_array__()
    if pa.types.is_date(cells.type):
        cells = cells.cast(pa.timestamp("s" if pa.types.is_date32(cells.type) else "ms"))
    zone = getattr(cells.type, "tz", None)
    ticks = cells.cast(pa.int64()).fill_null(0).to_numpy()
    return TimeCells(np.asarray(ticks), cells.type.unit, None if zone is None else zone_name(zone))


def zone_name(zone: object) -> str:
    """Return a name of a time zone that pandas reads back.

    Parameters
    ----------
    zone : object
        A ``tzinfo``, or its name.

    Returns
    -------
    str
        ``"UTC"`` if the zone has no such name; only the rounding of imputed times to whole
        days or hours of local time depends on it.
    """
    for name in (str(zone), f"UTC{zone}"):
        try:
            return str(pd.DatetimeTZDtype("ns", name).tz)
        except (TypeError, ValueError, KeyError, AttributeError):
            continue
    return "UTC"


def row_of(index: pd.Index, position: int) -> str:
    """Name a row in a message: by its label, and its position where that differs.

    Parameters
    ----------
    index : Index
        Row labels of the table.
    position : int
        The row, from 0.

    Returns
    -------
    str
        For example ``"row 'b' (position 1)"``.
    """
    label: Hashable = index[position]
    label = label.item() if isinstance(label, np.generic) else label
    if label == position:
        return f"row {label}"
    return f"row {label!r} (position {position})"


def full_label(name: Hashable, columns: pd.Index) -> Hashable:
    """Return a name of a new column as columns of several levels take it.

    Parameters
    ----------
    name : hashable
        The name; a tuple is taken as it is.
    columns : Index
        Columns of the frame.

    Returns
    -------
    hashable
        The name itself beside columns of one level.

    Examples
    --------
    >>> full_label("x", pd.MultiIndex.from_tuples([("a", "b")])), full_label("x", pd.Index(["a"]))
    (('x', ''), 'x')
    """
    below = [""] * (columns.nlevels - 1)
    return (name, *below) if below and not isinstance(name, tuple) else name


def column_names(df: pd.DataFrame) -> list[Hashable]:
    """Return the names of the columns of a frame, checked.

    Parameters
    ----------
    df : DataFrame
        What the user gave.

    Returns
    -------
    list of hashable
        As Python objects, in order.

    Raises
    ------
    SchemaError
        If `df` is no data frame, or a name is there twice.
    """
    if not isinstance(df, pd.DataFrame):
        raise SchemaError(f"expected a pandas DataFrame, got {type(df).__name__}")
    repeated = df.columns[df.columns.duplicated()].unique().tolist()
    if repeated:
        raise SchemaError(
            f"duplicated column names: {', '.join(map(repr, repeated))}; rename them, for example "
            "df.columns = [...], so that each name is there once"
        )
    return [*df.columns.tolist()]


def column_at(df: pd.DataFrame, position: int, name: Hashable) -> pd.Series:
    """Return a column of a frame, under its name as a Python object.

    Parameters
    ----------
    df : DataFrame
        The frame.
    position : int
        Of the column.
    name : hashable
        Its name, from :func:`column_names`.

    Returns
    -------
    Series
        For reading only: it may share its memory with the frame.
    """
    series = df.iloc[:, position]
    series.name = name
    return series
