"""Columns of completed frames, as statistics and formulas need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.rubin import FloatArray


def column_of(frame: pd.DataFrame, name: str, i: int, *, skipna: bool = True) -> pd.Series:
    """Find a column of a completed frame.

    Parameters
    ----------
    frame : DataFrame
        Completed frame of imputation `i`.
    name : str
        Column.
    i : int
        Position of the imputation, for messages.
    skipna : bool, default True
        Whether missing values may remain.

    Returns
    -------
    Series

    Raises
    ------
    PoolingError
        If there is no such frame or column, or values are missing and may not be.
    """
    if not isinstance(frame, pd.DataFrame):
        raise PoolingError(
            f"needs the completed frames, such as those of imp, got a {type(frame).__name__}"
        )
    try:
        known = name in frame.columns
    except TypeError:  # of a list, say
        known = False
    if not known:
        raise PoolingError(
            f"imputation {i + 1} has no column {name!r}, but {', '.join(map(str, frame.columns))}"
        )
    found: object = frame[name]
    if isinstance(found, pd.DataFrame):
        raise PoolingError(
            f"{name!r} names {found.shape[1]} columns: a column of several levels is given by all "
            "of them, and pool_mean takes it in a list"
        )
    column = frame[name]
    if not skipna and column.isna().any():
        raise PoolingError(
            f"the column {name!r} of imputation {i + 1} still has missing values: impute it, "
            "or leave the rows out of all imputations; pool_mean and pool_proportion take those to "
            "which a column applies with skipna=True"
        )
    return column


def numbers_of(
    frame: pd.DataFrame, names: Sequence[str], i: int, *, skipna: bool = False
) -> FloatArray:
    """Read columns of a completed frame as numbers.

    Parameters
    ----------
    frame : DataFrame
        Completed frame of imputation `i`.
    names : sequence of str
        Columns.
    i : int
        Position of the imputation, for messages.
    skipna : bool, default False
        Whether missing values may remain; they are NaN then.

    Returns
    -------
    ndarray, shape (n, len(names))

    Raises
    ------
    PoolingError
        If a column is absent, holds no numbers, or has missing values that it may not have.
    """
    return np.column_stack(
        [_as_numbers(column_of(frame, name, i, skipna=skipna)) for name in names]
    )


def truths_of(frame: pd.DataFrame, name: str, i: int) -> npt.NDArray[np.bool_]:
    """Read a column of a completed frame as truth values.

    Parameters
    ----------
    frame : DataFrame
        Completed frame of imputation `i`.
    name : str
        Column of truth values, or of the numbers 0 and 1.
    i : int
        Position of the imputation, for messages.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    PoolingError
        If the column is absent, has missing values, or holds anything but 0, 1, False and True.
    """
    column = column_of(frame, name, i, skipna=False)
    try:
        values = column.to_numpy(dtype=float)
    except (TypeError, ValueError):
        values = None
    if values is None or not np.isin(values, (0.0, 1.0)).all():
        found = ", ".join(repr(value) for value in pd.unique(column).tolist()[:3])
        raise PoolingError(
            f"the column {name!r} must hold 0 and 1 or truth values, not {found}: make one that "
            f"does, such as imp.assign(event=lambda d: d[{name!r}] == ...)"
        )
    return np.asarray(values == 1)


def plain_columns(frame: pd.DataFrame, *, outcome: str = "") -> pd.DataFrame:
    """Return a frame as formulas take it: of nullable columns, the plain ones of the same values.

    Parameters
    ----------
    frame : DataFrame
        With columns of any dtype.
    outcome : str, optional
        Column that is 0 and 1 afterwards if it holds truth values.

    Returns
    -------
    DataFrame
        Shallow copy; missing numbers are NaN, missing truth values None.
    """
    frame = frame.copy(deep=False)
    for position, dtype in enumerate(frame.dtypes):
        column = frame.iloc[:, position]
        truth = pd.api.types.is_bool_dtype(dtype)
        if truth and frame.columns[position] == outcome:
            frame.isetitem(position, column.astype("Float64").to_numpy(float, na_value=np.nan))
        elif truth and not isinstance(dtype, np.dtype):
            plain = column.astype(object if column.isna().any() else bool)
            frame.isetitem(position, cast("Any", plain.where(column.notna(), None)))
        elif not isinstance(dtype, np.dtype) and pd.api.types.is_numeric_dtype(dtype):
            frame.isetitem(position, column.to_numpy(float, na_value=np.nan))
    return frame


def _as_numbers(column: pd.Series) -> FloatArray:
    if column.dtype.kind in "mM":
        raise PoolingError(
            f"the column {column.name!r} holds {column.dtype} values, no numbers: assign their "
            "difference from a date in days, or durations over a unit, and pool that"
        )
    try:
        return column.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise PoolingError(
            f"the column {column.name!r} holds {column.dtype} values, no numbers: pool_proportion "
            "pools the share of a level"
        ) from None
