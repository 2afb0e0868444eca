"""Values into the cells of a column, whichever dtype it has, and the dtype stays."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.extensions import ExtensionArray, ExtensionDtype


def assign_cells(
    series: pd.Series, positions: npt.ArrayLike, values: npt.NDArray[Any]
) -> pd.Series:
    """Return a column with some of its cells filled.

    Parameters
    ----------
    series : Series
        The column, which is left as it is.
    positions : array_like of int, shape (n_cells,)
        Positions of the rows to fill.
    values : ndarray, shape (n_cells,)
        As from :func:`psmimpute.table.encoding.decode_column`. Where one is missing, the cell
        becomes missing, if the dtype can hold that.

    Returns
    -------
    Series
        Same index, name and dtype; all other cells bit for bit the same.

    Examples
    --------
    >>> column = pd.Series([1, None], dtype="Int64")
    >>> assign_cells(column, [1], np.array([5]))
    0    1
    1    5
    dtype: Int64
    """
    where = np.asarray(positions, dtype=np.intp)
    values, where, emptied = _present(np.asarray(values), where)
    dtype: Any = series.dtype
    if isinstance(dtype, np.dtype):
        cells: Any = series.to_numpy(copy=True)
        cells[where] = _numpy_cells(dtype, values)
    else:
        cells = series.array.copy()
        cells[where] = _extension_cells(dtype, values)
    _empty(cells, emptied)
    filled: pd.Series = pd.Series(
        cells, index=series.index, name=series.name, dtype=dtype, copy=False
    )
    return filled


def _present(
    values: npt.NDArray[Any], where: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Split off missing values: those of rows to which the column does not apply."""
    if values.dtype.kind not in "fOmM":
        return values, where, where[:0]
    gone = np.asarray(pd.isna(values))
    return values[~gone], where[~gone], where[gone]


def _empty(cells: Any, where: npt.NDArray[np.intp]) -> None:  # noqa: ANN401
    """Make cells missing that are not, in place; which marker a missing one has stays."""
    if not where.size:
        return
    kept = where[~np.asarray(pd.isna(cells[where]))]
    kind = cells.dtype.kind if isinstance(cells, np.ndarray) else ""
    if kind in "biu" and kind:
        return
    markers: dict[str, Any] = {"f": np.nan, "m": np.timedelta64("NaT"), "M": np.datetime64("NaT")}
    cells[kept] = pd.NA if not kind else markers.get(kind)


def _numpy_cells(dtype: np.dtype[Any], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if dtype.kind in "iu" and values.dtype.kind == "f":
        values = np.rint(values)
    if dtype.kind == "O" and values.dtype.kind == "M":  # the objects are days
        values = values.astype("datetime64[D]")
    cells: npt.NDArray[Any] = values.astype(dtype)
    return cells


def _extension_cells(
    dtype: ExtensionDtype, values: npt.NDArray[Any]
) -> ExtensionArray | npt.NDArray[Any]:
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical(dtype, values)
    if isinstance(dtype, pd.DatetimeTZDtype):
        utc = pd.DatetimeIndex(values.astype(f"datetime64[{dtype.unit}]")).tz_localize("UTC")
        return utc.tz_convert(dtype.tz).array
    if isinstance(dtype, pd.ArrowDtype) and "dictionary" in str(dtype):
        return values.astype(object)
    if isinstance(dtype, pd.ArrowDtype):
        return _arrow_cells(dtype, values)
    cells: Any = values
    return pd.array(cells, dtype=dtype)


def _categorical(dtype: pd.CategoricalDtype, values: npt.NDArray[Any]) -> pd.Categorical:
    code_of = {category: code for code, category in enumerate(dtype.categories.tolist())}
    codes = np.array([code_of[value] for value in values.tolist()], dtype=np.int64)
    return pd.Categorical.from_codes(codes, dtype=dtype)


def _arrow_cells(dtype: pd.ArrowDtype, values: npt.NDArray[Any]) -> ExtensionArray:
    import pyarrow as pa  # noqa: PLC0415 (a column of this dtype means it is loaded already)

    target = dtype.pyarrow_dtype
    if pa.types.is_decimal(target):
        unit = decimal.Decimal(1).scaleb(-target.scale)
        cells = pa.array([decimal.Decimal(str(x)).quantize(unit) for x in values.tolist()], target)
    elif pa.types.is_timestamp(target):
        ticks = values.astype(f"datetime64[{target.unit}]")
        utc = pa.timestamp(target.unit, None if target.tz is None else "UTC")
        cells = pa.array(ticks, utc).cast(target)
    else:
        cells = pa.array(values).cast(target)
    return pd.arrays.ArrowExtensionArray(cells)
