"""From the columns of a frame to the features of the model, and back to the columns' values."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import SchemaError, SupportError
from psmimpute.table.assigning import assign_cells
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.reading import (
    Storage,
    column_at,
    column_names,
    is_missing,
    read_labels,
    read_numbers,
    read_times,
    row_of,
    storage_of,
)
from psmimpute.table.schema import ColumnSchema, TableSchema
from psmimpute.table.support import check_bounds, check_finite, check_kind
from psmimpute.table.transforms import Transform, TransformKind

__all__ = ["assign_cells", "decode_column", "encode"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_MOST_LEVELS_SHOWN = 8
_TIME_STORAGE = {
    ColumnKind.DATETIME: Storage.DATETIME,
    ColumnKind.TIMEDELTA: Storage.TIMEDELTA,
}


@dataclass(frozen=True, slots=True)
class _Block:
    """The features of one column: arrays of shape (n_rows, n_features of the column)."""

    values: FloatArray
    observed: BoolArray
    lower: FloatArray | None = None
    upper: FloatArray | None = None


def encode(
    schema: TableSchema, df: pd.DataFrame, *, unseen: Literal["error", "missing"] = "error"
) -> EncodedTable:
    """Turn a table into the numbers that the model sees.

    Parameters
    ----------
    schema : TableSchema
        Inferred from this frame, or from another with the same columns.
    df : DataFrame
        The modelled columns in any order; others are not looked at.
    unseen : {"error", "missing"}, default "error"
        What a level is taken for that was not observed when the schema was inferred.

    Returns
    -------
    EncodedTable
        One row for each row of `df`.

    Raises
    ------
    SchemaError
        If a column name is duplicated, a modelled column is not there, or it holds something else
        than the schema says.
    SupportError
        If a level was not observed when the schema was inferred and `unseen` is ``"error"``, or
        a number is infinite, outside
        its bounds, or not one that its kind allows.

    Examples
    --------
    >>> from psmimpute.table.infer import infer_schema
    >>> df = pd.DataFrame({"dose": ["low", "high", None], "x": [0.5, 1.5, 2.5]})
    >>> encode(infer_schema(df), df).values.round(3)
    array([[ 1.   , -1.225],
           [ 0.   ,  0.   ],
           [ 0.   ,  1.225]])
    """
    positions = _locate(schema, df)
    features = schema.features
    shape = len(df), len(features)
    values, observed = np.zeros(shape), np.zeros(shape, dtype=bool)
    nowhere = np.broadcast_to(np.nan, shape)  # takes no memory
    lower, upper = nowhere, nowhere
    observed_cells = np.zeros((len(df), len(schema.columns)), dtype=bool)
    for j, (column, place) in enumerate(zip(schema.columns, schema.feature_slices, strict=True)):
        series = column_at(df, positions[column.name], column.name)
        observed_cells[:, j] = ~is_missing(series)
        if unseen == "missing":
            observed_cells[:, j] &= ~unseen_levels(column, series)
            series = series.where(observed_cells[:, j]) if column.has_levels else series
        block = _encode_column(column, series, observed_cells[:, j])
        values[:, place], observed[:, place] = block.values, block.observed
        if block.lower is not None and block.upper is not None:
            if lower is nowhere:
                lower, upper = np.full(shape, np.nan), np.full(shape, np.nan)
            lower[:, place], upper[:, place] = block.lower, block.upper
    return EncodedTable(features, values, lower, upper, observed, observed_cells)


def unseen_levels(column: ColumnSchema, series: pd.Series) -> BoolArray:
    """Tell which cells hold a level that the model was not taught.

    Parameters
    ----------
    column : ColumnSchema
        The column as it was learnt.
    series : Series
        The column as it is.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        False throughout where the column is one of numbers or times.
    """
    if not column.has_levels:
        return np.zeros(len(series), dtype=bool)
    known = (column.constant,) if column.levels is None else column.levels
    codes, values = read_labels(series)
    strange = np.array([value not in known for value in values] + [False])
    return np.asarray(strange[codes])


def _locate(schema: TableSchema, df: pd.DataFrame) -> dict[Hashable, int]:
    positions = {name: position for position, name in enumerate(column_names(df))}
    absent = [name for name in schema.column_names if name not in positions]
    if absent:
        raise SchemaError(
            f"the frame lacks modelled columns: {', '.join(map(repr, absent))}; add them, "
            "with missing values if nothing is known, as absent='missing' of impute does"
        )
    return positions


def _encode_column(column: ColumnSchema, series: pd.Series, observed: BoolArray) -> _Block:
    if not observed.any():
        empty = np.zeros((len(series), column.n_features))
        return _Block(empty, empty > 0)
    if column.levels is not None:
        return _encode_levels(column, series, column.levels)
    if column.is_constant:
        return _encode_constant(column, series)
    x = _raw_numbers(column, series)
    transform = _transform_of(column)
    if column.kind is ColumnKind.SEMICONTINUOUS:
        return _encode_semicontinuous(x, observed, transform)
    if column.kind is ColumnKind.COUNT or column.is_rounded:
        return _encode_rounded(x, observed, transform, _support_of(column))
    values = np.zeros(len(x))
    values[observed] = transform.forward(x[observed])
    return _Block(values[:, None], observed[:, None])


def _transform_of(column: ColumnSchema) -> Transform:
    if column.transform is None:
        raise SchemaError(f"the schema of column {column.name!r} has no transform: infer it anew")
    return column.transform


def _raw_numbers(column: ColumnSchema, series: pd.Series) -> FloatArray:
    """Numbers, or seconds on the column's axis of time, checked against the schema."""
    _check_storage(column, series)
    if column.time is not None:
        cells = read_times(series)
        if (cells.zone is None) is not (column.time.zone is None):
            raise SchemaError(
                f"column {column.name!r} was learnt with dtype {column.dtype} and now has "
                f"{series.dtype}: use .dt.tz_localize so that both have a time zone, or neither"
            )
        x = np.where(is_missing(series), np.nan, column.time.seconds(cells))
        check_bounds(column, x, series.index)
        return x
    x = read_numbers(series)
    check_finite(column.name, x, series.index)
    check_kind(column.name, column.kind, x, series.index)
    check_bounds(column, x, series.index)
    return x


def _check_storage(column: ColumnSchema, series: pd.Series) -> None:
    storage = storage_of(series)
    expected = _TIME_STORAGE.get(column.kind, Storage.NUMBER)
    if storage is not expected:
        raise SchemaError(
            f"column {column.name!r} was learnt as {column.kind} (dtype {column.dtype}) and now "
            f"holds {storage} (dtype {series.dtype}): convert it to {expected}"
        )


def _encode_rounded(
    x: FloatArray, observed: BoolArray, transform: Transform, ends: tuple[float, float]
) -> _Block:
    """Encode a whole number k with the latent values that are rounded to it.

    They go from k - 1/2 to k + 1/2; those of the `ends` that there can be go on for ever. Codes
    that were not there when their scores were taken tell as much as the outermost that were.
    """
    k = x[observed]
    if transform.kind is TransformKind.NORMAL_SCORES:
        k = np.clip(k, math.ceil(transform.knots_x[0]), math.floor(transform.knots_x[-1]))
    values, lower, upper = np.zeros(len(x)), np.full(len(x), np.nan), np.full(len(x), np.nan)
    values[observed] = transform.forward(k)
    lowest, highest = ends
    lower[observed] = np.where(
        k > lowest, transform.forward(np.maximum(k - 0.5, lowest)), -math.inf
    )
    upper[observed] = np.where(
        k < highest, transform.forward(np.minimum(k + 0.5, highest)), math.inf
    )
    return _Block(values[:, None], observed[:, None], lower[:, None], upper[:, None])


def _encode_semicontinuous(x: FloatArray, observed: BoolArray, transform: Transform) -> _Block:
    """Encode whether there is an amount, and how much."""
    has_amount = observed & (x > 0)
    values = np.zeros((len(x), 2))
    values[:, 0] = has_amount
    values[has_amount, 1] = transform.forward(x[has_amount])
    return _Block(values, np.column_stack([observed, has_amount]))


def _encode_levels(column: ColumnSchema, series: pd.Series, levels: tuple[Any, ...]) -> _Block:
    codes, values = read_labels(series)
    position_of = {level: position for position, level in enumerate(levels)}
    positions = np.array([position_of.get(value, -1) for value in values] + [0])
    encoded = positions[codes]  # a missing cell, code -1, meets the zero at the end
    unseen = np.flatnonzero(encoded < 0)
    if len(unseen):
        row = int(unseen[0])
        raise SupportError(
            f"column {column.name!r}, {row_of(series.index, row)}: level {values[codes[row]]!r} "
            f"was not observed when the schema was inferred, {_shown(levels)} were: set it to "
            "missing, or learn from data that have it"
        )
    return _Block(encoded[:, None].astype(np.float64), (codes >= 0)[:, None])


def _shown(levels: tuple[Any, ...]) -> str:
    shown = ", ".join(repr(level) for level in levels[:_MOST_LEVELS_SHOWN])
    return shown + (", ..." if len(levels) > _MOST_LEVELS_SHOWN else "")


def _encode_constant(column: ColumnSchema, series: pd.Series) -> _Block:
    """Encode no feature, but refuse another label than the constant one."""
    if column.kind in (ColumnKind.BINARY, ColumnKind.NOMINAL, ColumnKind.ORDINAL):
        _encode_levels(column, series, (column.constant,))
    else:
        _raw_numbers(column, series)
    empty = np.zeros((len(series), 0))
    return _Block(empty, empty > 0)


def decode_column(column: ColumnSchema, features: npt.ArrayLike) -> npt.NDArray[Any]:
    """Turn the features of cells back into values of their column.

    Parameters
    ----------
    column : ColumnSchema
        The column.
    features : array_like, shape (n_cells, n_features of the column)
        Latent values of Gaussian and count features, codes of the others. The amount of a
        semicontinuous cell whose first feature is 0 is not looked at.

    Returns
    -------
    ndarray, shape (n_cells,)
        Numbers as float64, whole ones as int64; levels in their own NumPy dtype, text as
        objects; times as ``datetime64``, in UTC if the column has a time zone, or
        ``timedelta64``. :func:`assign_cells` brings them into the column's dtype.
    """
    cells = np.asarray(features, dtype=np.float64)
    if column.levels is not None:
        codes = np.clip(np.rint(cells[:, 0]), 0, len(column.levels) - 1).astype(np.int64)
        return _level_array(column.levels)[codes]
    if column.time is not None:
        low, high = _support_of(column)
        if column.is_constant:
            return column.time.times(np.full(len(cells), low))
        return column.time.times(np.clip(_transform_of(column).inverse(cells[:, 0]), low, high))
    if column.is_constant:
        return np.repeat(_level_array((column.constant,)), len(cells))
    if column.kind is ColumnKind.SEMICONTINUOUS:
        amounts = _decode_numbers(column, cells[:, 1])
        return np.where(cells[:, 0] > 0.5, amounts, np.zeros_like(amounts))
    return _decode_numbers(column, cells[:, 0])


def _support_of(column: ColumnSchema) -> tuple[float, float]:
    if column.support is None:
        raise SchemaError(f"the schema of column {column.name!r} has no support: infer it anew")
    return column.support


def _decode_numbers(column: ColumnSchema, latent: FloatArray) -> npt.NDArray[Any]:
    x = _transform_of(column).inverse(latent)
    if column.is_integer:
        return np.clip(np.rint(x), *_support_of(column)).astype(np.int64)
    return np.asarray(np.clip(x, *_support_of(column)))


def _level_array(levels: tuple[Any, ...]) -> npt.NDArray[Any]:
    """Levels as an array of their own type; of objects where NumPy has none that is exact."""
    if all(isinstance(level, bool) for level in levels):
        return np.array(levels, dtype=bool)
    if all(isinstance(level, float) for level in levels):
        return np.array(levels, dtype=np.float64)
    if all(type(level) is int and abs(level) < 2**63 for level in levels):
        return np.array(levels, dtype=np.int64)
    objects = np.empty(len(levels), dtype=object)
    objects[:] = levels
    return objects
