"""Dtypes of pandas that Parquet does not bring back: levels that are no text, and objects."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_object_dtype

from psmimpute.table.json_values import from_json, to_json

_LEVELS, _ORDERED, _OF, _OBJECT = "levels", "ordered", "of", "object"


def describe_dtypes(df: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Describe the columns whose dtype would be lost.

    Parameters
    ----------
    df : DataFrame

    Returns
    -------
    dict of str to dict
        By position, as JSON values.

    Raises
    ------
    SchemaError
        If a level has no JSON value.
    """
    found: dict[str, dict[str, Any]] = {}
    for j in range(df.shape[1]):
        dtype = df.dtypes.iloc[j]
        if isinstance(dtype, pd.CategoricalDtype):
            levels = [to_json(level) for level in dtype.categories]
            if not all(isinstance(level, str) for level in levels):
                of = str(dtype.categories.dtype)
                found[str(j)] = {_LEVELS: levels, _ORDERED: bool(dtype.ordered), _OF: of}
        elif is_object_dtype(dtype) and all(isinstance(v, str) for v in df.iloc[:, j].dropna()):
            found[str(j)] = {_OBJECT: True}
    return found


def levels_as_text(
    df: pd.DataFrame, values: dict[int, npt.NDArray[Any]]
) -> tuple[pd.DataFrame, dict[int, npt.NDArray[Any]]]:
    """Write levels that Parquet would change as text: intervals, durations and zoned times.

    Parameters
    ----------
    df : DataFrame
    values : dict of int to ndarray
        Imputed values by position.

    Returns
    -------
    DataFrame, dict of int to ndarray
        New ones, if there are such levels.
    """
    df, values = df.copy(deep=False), dict(values)
    for j in range(df.shape[1]):
        dtype = df.dtypes.iloc[j]
        if not _goes_as_text(dtype):
            continue
        df.isetitem(j, cast("Any", df.iloc[:, j].cat.rename_categories(str)))
        if j in values:
            as_text = {level: str(level) for level in dtype.categories}
            values[j] = _mapped(values[j], as_text)
    return df, values


def restore_dtypes(frame: pd.DataFrame, described: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Bring the dtypes back.

    Parameters
    ----------
    frame : DataFrame
        As read; changed in place.
    described : dict of str to dict
        From :func:`describe_dtypes`.

    Returns
    -------
    DataFrame
        `frame`.

    Raises
    ------
    ValueError, LookupError
        If the description does not fit.
    """
    for place, what in described.items():
        j = int(place)
        column = frame.iloc[:, j]
        if _LEVELS not in what:
            frame.isetitem(j, cast("Any", column.astype(object)))
            continue
        dtype = _dtype_of(what)
        if _goes_as_text(dtype):
            column = column.astype(object).map({str(level): level for level in dtype.categories})
        elif isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(object)
        restored = column.astype(dtype)
        if restored.isna().sum() > frame.iloc[:, j].isna().sum():
            raise ValueError(f"column {j} has values that are none of its levels")
        frame.isetitem(j, cast("Any", restored))
    return frame


def restore_cells(cells: npt.NDArray[Any], what: dict[str, Any] | None) -> npt.NDArray[Any]:
    """Turn imputed cells that were stored as text into the levels they stand for.

    Parameters
    ----------
    cells : ndarray
    what : dict, optional
        Description of their column.

    Returns
    -------
    ndarray
    """
    if what is None or _LEVELS not in what:
        return cells
    dtype = _dtype_of(what)
    if not _goes_as_text(dtype):
        return cells
    return _mapped(cells, {str(level): level for level in dtype.categories})


def _dtype_of(what: dict[str, Any]) -> pd.CategoricalDtype:
    levels = pd.Index([from_json(level) for level in what[_LEVELS]])
    of = what.get(_OF)
    if isinstance(of, str) and not isinstance(levels.dtype, pd.IntervalDtype):
        levels = levels.astype(of)
    return pd.CategoricalDtype(levels, ordered=bool(what[_ORDERED]))


def _goes_as_text(dtype: object) -> bool:
    if not isinstance(dtype, pd.CategoricalDtype):
        return False
    of = dtype.categories.dtype
    return isinstance(of, pd.IntervalDtype | pd.DatetimeTZDtype) or of.kind == "m"


def _mapped(cells: npt.NDArray[Any], names: dict[Any, Any]) -> npt.NDArray[Any]:
    found = np.empty(cells.size, dtype=object)
    found[:] = [names.get(cell) for cell in cells.ravel()]
    return found.reshape(cells.shape)
