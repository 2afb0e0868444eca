"""Checks that observed values are ones that their column's kind and bounds allow."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import SupportError
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.reading import row_of
from psmimpute.table.schema import ColumnSchema

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def check_finite(name: Hashable, x: FloatArray, index: pd.Index) -> None:
    """Refuse infinite values.

    Parameters
    ----------
    name : hashable
        The column's name.
    x : ndarray, shape (n_rows,)
        NaN where missing.
    index : Index
        Row labels.

    Raises
    ------
    SupportError
        If a value is infinite.
    """
    _refuse(np.isinf(x), name, x, index, "is infinite: set it to missing, or to a number")


def check_kind(name: Hashable, kind: ColumnKind, x: FloatArray, index: pd.Index) -> None:
    """Refuse values that a column of this kind cannot have.

    Parameters
    ----------
    name : hashable
        The column's name.
    kind : ColumnKind
        A kind of numbers; others pass.
    x : ndarray, shape (n_rows,)
        NaN where missing.
    index : Index
        Row labels.

    Raises
    ------
    SupportError
        If a count is negative or not whole, a semicontinuous value is negative, or a positive
        one is not positive.
    """
    kinds = f"give another kind, kinds={{{name!r}: 'continuous'}} say, or correct the value"
    match kind:
        case ColumnKind.COUNT:
            bad = (x < 0) | (x != np.rint(x)) & ~np.isnan(x)
            _refuse(bad, name, x, index, f"is not a count (0, 1, 2, ...): {kinds}")
        case ColumnKind.SEMICONTINUOUS:
            _refuse(x < 0, name, x, index, f"is neither zero nor positive: {kinds}")
        case ColumnKind.POSITIVE:
            _refuse(x <= 0, name, x, index, f"is not positive: {kinds}")
        case _:
            pass


def check_bounds(column: ColumnSchema, x: FloatArray, index: pd.Index) -> None:
    """Refuse values outside the user's bounds.

    Parameters
    ----------
    column : ColumnSchema
        A column of numbers or times.
    x : ndarray, shape (n_rows,)
        Numbers, or seconds on the column's axis of time; NaN where missing.
    index : Index
        Row labels.

    Raises
    ------
    SupportError
        If a value is outside.
    """
    if column.bounds is not None:
        low, high = column.bounds
        allowed = f"({', '.join(map(column.in_words, column.bounds))})"
        problem = f"is outside the bounds {allowed}: widen them, or correct the value"
        _refuse((x < low) | (x > high), column.name, x, index, problem, say=column.in_words)


def _refuse(
    bad: BoolArray,
    name: Hashable,
    x: FloatArray,
    index: pd.Index,
    problem: str,
    say: Callable[[float], str] = "{:g}".format,
) -> None:
    if bad.any():
        rows = np.flatnonzero(bad)
        also = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
        row = int(rows[0])
        raise SupportError(f"column {name!r}, {row_of(index, row)}{also}: {say(x[row])} {problem}")
