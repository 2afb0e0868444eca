"""The numbers and times that dtype, kind and bounds leave for a column's imputed values."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionDtype

from psmimpute.exceptions import SchemaError
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.schema import ColumnSchema
from psmimpute.table.times import TimeAxis
from psmimpute.table.transforms import TransformKind

# Whole numbers pass through float64 and int64; this is safe in both.
_LARGEST_INTEGER = 2.0**62
_ROOTS = (TransformKind.SQRT, TransformKind.CUBE_ROOT)
# Their inverses are positive whatever was drawn.
_ALWAYS_POSITIVE = (TransformKind.LOG, TransformKind.NORMAL_SCORES)


@dataclass(frozen=True, slots=True)
class NumberLimits:
    """What a dtype of numbers can hold.

    Attributes
    ----------
    low, high : float
        Its ends.
    smallest : float
        Its smallest positive number.
    is_integer : bool
        Whether it holds whole numbers only.
    float_type : type or None
        NumPy type to which bounds are rounded, for a float dtype.
    """

    low: float
    high: float
    smallest: float
    is_integer: bool
    float_type: type[np.floating[Any]] | None = None

    def representable(self, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        """Round bounds as the dtype rounds the values that lie on them.

        Parameters
        ----------
        bounds : tuple of float or None
            The user's.

        Returns
        -------
        tuple of float or None
            In float32, say, 0.1 becomes 0.10000000149.
        """
        if bounds is None or self.float_type is None:
            return bounds
        with np.errstate(over="ignore"):
            low, high = (float(self.float_type(end)) for end in bounds)
        return low, high


def number_limits(dtype: np.dtype[Any] | ExtensionDtype) -> NumberLimits:
    """Return what a dtype of numbers can hold.

    Parameters
    ----------
    dtype : dtype
        NumPy, nullable or Arrow; object stands for float64.

    Returns
    -------
    NumberLimits
        Whole numbers are held within 2**62.
    """
    if isinstance(dtype, pd.ArrowDtype) and str(dtype.pyarrow_dtype).startswith("decimal"):
        scale, precision = dtype.pyarrow_dtype.scale, dtype.pyarrow_dtype.precision
        high = 10.0 ** (precision - scale) * (1 - 1e-15) - 10.0**-scale
        return NumberLimits(-high, high, 10.0**-scale, is_integer=scale == 0)
    held: Any = np.dtype(getattr(dtype, "numpy_dtype", dtype))  # type: ignore[arg-type]
    if held.kind in "iu":
        info = np.iinfo(held)
        low, high = max(float(info.min), -_LARGEST_INTEGER), min(float(info.max), _LARGEST_INTEGER)
        return NumberLimits(low, high, 1.0, is_integer=True)
    held = np.dtype(np.float64) if held.kind != "f" else held
    ends = np.finfo(held)
    smallest = float(ends.smallest_normal)
    return NumberLimits(float(ends.min), float(ends.max), smallest, False, held.type)


def read_bounds(
    name: Hashable, ends: tuple[object, object], read: Callable[[Any], float], what: str
) -> tuple[float, float]:
    """Read the ends of the range to which the user holds a column.

    Parameters
    ----------
    name : hashable
        The column's name.
    ends : tuple of object
        Lowest and highest allowed value; None leaves an end open.
    read : callable
        From an end to a number; raises `TypeError` or `ValueError` where it is none.
    what : str
        What the ends should be, for the message.

    Returns
    -------
    tuple of float

    Raises
    ------
    SchemaError
        If an end cannot be read, or the lower end is not lower.
    """
    low, high = ends
    problem = ""
    try:
        found = -math.inf if low is None else read(low), math.inf if high is None else read(high)
        if found[0] < found[1]:
            return found
    except (TypeError, ValueError) as error:
        problem = f" ({error})"
    raise SchemaError(
        f"column {name!r}: bounds {ends!r} are no pair (low, high) of {what} with low < high"
        f"{problem}; None leaves an end open"
    )


def time_support(
    column: ColumnSchema, axis: TimeAxis, low: float, high: float
) -> tuple[float, float]:
    """Return the range to which imputed times are clipped.

    Parameters
    ----------
    column : ColumnSchema
        A column of times, its bounds known.
    axis : TimeAxis
        Its axis.
    low, high : float
        The earliest and the latest observed time, seconds.

    Returns
    -------
    tuple of float
        As far beyond the observed times as these are apart, so far as dtype and bounds allow; a
        duration keeps its sign.

    Raises
    ------
    SchemaError
        If the bounds leave no time.
    """
    lowest, highest = axis.limits()
    first, last = max(2 * low - high, lowest), min(2 * high - low, highest)
    if axis.is_duration and low >= 0:
        first = axis.step / 1e9 if low > 0 else 0.0
    if column.bounds is None:
        return first, last
    first, last = axis.within(max(first, column.bounds[0]), min(last, column.bounds[1]))
    if first > last:
        raise SchemaError(
            f"column {column.name!r}: bounds {column.bounds_in_words} leave no "
            f"{axis.step_name}: widen them"
        )
    return first, last


def number_support(
    column: ColumnSchema, limits: NumberLimits, lowest: float, highest: float = math.inf
) -> tuple[float, float]:
    """Return the range to which imputed numbers are clipped.

    Parameters
    ----------
    column : ColumnSchema
        A column of numbers, its support not yet known.
    limits : NumberLimits
        Of its dtype.
    lowest : float
        Smallest observed value. Half of it bounds positive values that go by a root or as they
        are: nothing else keeps what is drawn above zero. Of ratings it is the end.
    highest : float, default inf
        Of ratings, the largest.

    Returns
    -------
    tuple of float
        Lowest and highest; of a semicontinuous column, of the amounts.

    Raises
    ------
    SchemaError
        If the bounds leave no value that the kind and the dtype allow.
    """
    low, high = limits.low, limits.high
    kind = None if column.transform is None else column.transform.kind
    if column.kind in (ColumnKind.POSITIVE, ColumnKind.SEMICONTINUOUS):
        low = 1.0 if column.is_integer else limits.smallest
        low = low if kind in _ALWAYS_POSITIVE else max(low, lowest / 2)
    elif column.kind is ColumnKind.COUNT or kind in _ROOTS:  # then no observed value is negative
        low = 0.0
    if column.kind is ColumnKind.COUNT and math.isfinite(highest):
        low, high = lowest, highest
    if column.bounds is not None:
        low, high = max(low, column.bounds[0]), min(high, column.bounds[1])
    if column.is_integer:
        low, high = math.ceil(max(low, -_LARGEST_INTEGER)), math.floor(min(high, _LARGEST_INTEGER))
    if low > high:
        raise SchemaError(
            f"column {column.name!r}: bounds {column.bounds} leave no value for kind "
            f"{str(column.kind)!r} in dtype {column.dtype}: widen them"
        )
    return float(low), float(high)
