"""What all plots share: colours, axes and columns as numbers."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Blue and red of mice's mdc(): told apart with every common colour vision deficiency.
OBSERVED = "#006CC2"
IMPUTED = "#B61A51"
NEUTRAL = "#606060"


def new_axes(ax: Axes | None, *, width: float = 5.6, height: float = 3.8) -> Axes:
    """Return `ax`, or the axes of a new figure.

    Parameters
    ----------
    ax : matplotlib Axes, optional
        Where to draw.
    width, height : float
        Size of a new figure in inches.

    Returns
    -------
    matplotlib Axes
        Without top and right spines.

    Raises
    ------
    ImputationError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImputationError("plots need matplotlib: pip install 'psmimpute[plot]'") from error
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


@dataclass(frozen=True, slots=True)
class Cells:
    """One column, split into observed and imputed cells.

    Attributes
    ----------
    observed : Series
        The observed values.
    imputed : list of Series
        The imputed values in each imputation.
    """

    observed: pd.Series
    imputed: list[pd.Series]


def column_cells(imp: ImputedTable, column: Hashable) -> Cells:
    """Return the observed and the imputed values of a column, an assigned one included.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    column : hashable
        Name of a column.

    Returns
    -------
    Cells
        Values as they stand in the completed frames.

    Raises
    ------
    ImputationError
        If there is no such column.
    """
    missing = imputed_rows(imp, column)
    filled = [cells.dropna() for _, cells in imp.imputed_values(column).items()]
    observed = imp.complete_columns(0, [column])[column][~missing].dropna()
    return Cells(observed, filled)


def imputed_rows(imp: ImputedTable, column: Hashable) -> BoolArray:
    """Return the rows in which a column was imputed, or computed from imputed values.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    column : hashable
        Name of a column.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        For an assigned column the rows in which the incomplete data do not give it.

    Raises
    ------
    ImputationError
        If there is no such column.
    """
    if column in imp.assigned:
        return imp.complete_columns(0, [column])[column].isna().to_numpy(dtype=bool)
    return imp.where.to_numpy()[:, imp.position(column)]


def as_numbers(values: pd.Series, column: Hashable) -> FloatArray:
    """Return a column's values as numbers: dates as matplotlib's days, durations in days.

    Parameters
    ----------
    values : Series
        Without missing values.
    column : hashable
        The column's name, for messages.

    Returns
    -------
    ndarray, shape (n_values,)
        Numbers that an axis can show.

    Raises
    ------
    ImputationError
        If the values have no order of magnitude: categories and strings.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        naive = pd.DatetimeIndex(values.astype(object)).tz_localize(None)
        return np.asarray((naive - pd.Timestamp(0)) / pd.Timedelta(days=1), dtype=float)
    if pd.api.types.is_timedelta64_dtype(values.dtype):
        return np.asarray(pd.to_timedelta(values) / pd.Timedelta(days=1), dtype=np.float64)
    if not pd.api.types.is_numeric_dtype(values.dtype):
        raise ImputationError(
            f"column {column!r} of dtype {values.dtype} has no numbers to plot: use plot.bars"
        )
    return values.to_numpy(dtype=float)


def label_values(ax: Axes, values: pd.Series, column: Hashable, *, axis: str) -> None:
    """Name the axis that shows a column's values, and tell its unit where it is known.

    Parameters
    ----------
    ax : matplotlib Axes
        Where.
    values : Series
        Values of the column, for their dtype.
    column : hashable
        Name of the column.
    axis : {"x", "y"}
        Which axis.
    """
    durations = pd.api.types.is_timedelta64_dtype(values.dtype)
    ax.set(**{f"{axis}label": f"{column} (days)" if durations else str(column)})
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        shown: Any = ax.xaxis if axis == "x" else ax.yaxis
        shown.axis_date()
        if axis == "x":
            ax.tick_params(axis="x", rotation=30)


def interval_label(term: str, alpha: float) -> str:
    """Return the name of an axis that shows a term and its interval, in lines that fit.

    Parameters
    ----------
    term : str
        The term.
    alpha : float
        One minus the level of the interval.

    Returns
    -------
    str
        Lines of at most 36 characters.

    Examples
    --------
    >>> interval_label("age", 0.05).splitlines()
    ['age', '95 % interval']
    """
    return f"{fill(term, 36)}\n{100 * (1 - alpha):g} % interval"


def jitter(n: int, *, spread: float) -> FloatArray:
    """Return offsets that spread points evenly without chance.

    The fractional parts of the multiples of the golden ratio (an additive recurrence) are
    evenly spread for every `n`.

    Parameters
    ----------
    n : int
        Number of points.
    spread : float
        Largest offset, in axis units.

    Returns
    -------
    ndarray, shape (n,)
        Offsets in ``[-spread, spread)``.
    """
    golden = (np.sqrt(5) - 1) / 2
    return np.asarray(spread * (2 * (np.arange(1, n + 1) * golden % 1) - 1))


def imputation_ticks(ax: Axes, m: int) -> None:
    """Label the positions 0 (observed) to `m` of an axis, thinned where there are many.

    Parameters
    ----------
    ax : matplotlib Axes
        Where.
    m : int
        Number of imputations.
    """
    step = max(1, -(-m // 20))
    ticks = [0, *range(step, m + 1, step)]
    ax.set_xticks(ticks, ["obs.", *map(str, ticks[1:])])
    ax.set_xlabel("imputation")
