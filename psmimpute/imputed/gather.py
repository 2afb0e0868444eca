"""From m completed columns to one incomplete column and the values of its imputed cells."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.extensions import ExtensionDtype

from psmimpute.exceptions import ImputationError

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class GatheredColumn:
    """A column with gaps and what m imputations put there.

    Attributes
    ----------
    column : Series
        The incomplete column.
    rows : ndarray of bool, shape (n_rows,)
        Its imputed cells.
    cells : ndarray, shape (m, n_imputed_cells)
        Their values.
    """

    column: pd.Series
    rows: BoolArray
    cells: npt.NDArray[Any]


def gather_column(
    completed: Sequence[pd.Series],
    *,
    name: Hashable,
    missing: BoolArray,
    data: pd.Series | None = None,
) -> GatheredColumn:
    """Find the cells of a column that imputations fill or change, and take their values.

    Parameters
    ----------
    completed : sequence of Series
        The column in each of the m completed frames, of one length and dtype.
    name : hashable
        Its name, for messages.
    missing : ndarray of bool, shape (n_rows,)
        Cells known to be missing in the incomplete data.
    data : Series, optional
        The column of the incomplete data. Without it, it is made from the first imputation
        by emptying the cells that imputations fill or change.

    Returns
    -------
    GatheredColumn
        Integer and boolean columns that had to be emptied are nullable.

    Raises
    ------
    ImputationError
        If the dtype differs between imputations.

    Examples
    --------
    >>> one, two = pd.Series([1.0, 5.0]), pd.Series([1.0, 6.0])
    >>> gathered = gather_column([one, two], name="x", missing=np.array([False, False]))
    >>> gathered.column.tolist(), gathered.cells.tolist()
    ([1.0, nan], [[5.0], [6.0]])
    """
    first = completed[0]
    for number, column in enumerate(completed, start=1):
        if column.dtype != first.dtype:
            raise ImputationError(
                f"column {name!r} has dtype {first.dtype} in imputation 1 but {column.dtype} in "
                f"imputation {number}: give it one dtype (for categories, one list of levels)"
            )
    rows = missing & np.logical_or.reduce([c.notna().to_numpy(dtype=bool) for c in completed])
    reference = first if data is None else data
    for column in completed:
        rows |= ~same_cells(reference, column) & ~missing
    for column in completed[1:]:
        rows |= ~same_cells(first, column)
    cells = np.stack([cell_values(column, rows) for column in completed])
    return GatheredColumn(_blank(first, rows) if data is None else data, rows, cells)


def same_cells(a: pd.Series, b: pd.Series) -> BoolArray:
    """Return where two columns of one dtype hold the same value, or are both missing.

    Parameters
    ----------
    a, b : Series
        Columns of one length; their indexes are ignored.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        Whether the cells agree.
    """
    left, right = (
        # Two pd.NA among objects are neither equal nor different.
        c.where(c.notna(), None) if c.dtype == object else c
        for c in (a.reset_index(drop=True), b.reset_index(drop=True))
    )
    both_missing = (left.isna() & right.isna()).to_numpy(dtype=bool)
    equal = left.eq(right).fillna(False).to_numpy(dtype=bool)
    return np.asarray(both_missing | equal)


def cell_values(column: pd.Series, rows: BoolArray) -> npt.NDArray[Any]:
    """Return some values of a column as a NumPy array that the column can take back.

    Parameters
    ----------
    column : Series
        A column of any dtype.
    rows : ndarray of bool, shape (n_rows,)
        The rows to take.

    Returns
    -------
    ndarray, shape (n_selected,)
        Of the column's dtype if that is NumPy's; dates with a time zone in UTC; else of
        objects.
    """
    taken = column[rows]
    dtype = taken.dtype
    if isinstance(dtype, np.dtype):
        return taken.to_numpy(dtype=dtype)
    kind = getattr(dtype, "kind", "O")
    if kind == "M":
        dates = pd.DatetimeIndex(taken.astype(object))
        naive = dates if dates.tz is None else dates.tz_convert("UTC").tz_localize(None)
        return naive.to_numpy()
    if kind == "m":
        return taken.to_numpy(dtype="timedelta64[ns]", na_value=np.timedelta64("NaT"))
    if kind == "f" or "decimal" in str(dtype):
        return taken.to_numpy(dtype=np.float64, na_value=np.nan)
    return taken.to_numpy(dtype=object)


def _nullable(dtype: np.dtype[Any]) -> ExtensionDtype:
    if dtype.kind == "b":
        return pd.BooleanDtype()
    name = f"{'U' if dtype.kind == 'u' else ''}Int{8 * dtype.itemsize}"
    return cast("ExtensionDtype", pd.api.types.pandas_dtype(name))


def _blank(column: pd.Series, rows: BoolArray) -> pd.Series:
    """Return a copy with `rows` missing; integers and booleans become nullable for it."""
    if not rows.any():
        return column.copy()
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biu":
        column = column.astype(_nullable(column.dtype))
    return column.mask(pd.Series(rows, index=column.index))
