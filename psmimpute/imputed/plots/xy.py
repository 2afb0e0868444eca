"""A scatter plot of two columns of a completed frame."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import (
    IMPUTED,
    OBSERVED,
    as_numbers,
    imputed_rows,
    label_values,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_xy(
    imp: ImputedTable,
    x: Hashable,
    y: Hashable,
    *,
    imputation: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw two columns against each other: rows with both observed in blue, others in red.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    x, y : hashable
        Numeric, date or duration columns.
    imputation : int, default 1
        The completed frame to draw, from 1 to m.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        Two collections of points: observed and imputed.

    Raises
    ------
    ImputationError
        If there is no such column or imputation, or a column is categorical.
    """
    if imp.imputation_number(imputation) == 0:
        raise ImputationError("imputation=0 are the incomplete data: give a number from 1")
    imputed = imputed_rows(imp, x) | imputed_rows(imp, y)
    frame = imp.complete_columns(imputation, [x, y])
    shown = frame.notna().all(axis=1).to_numpy(dtype=bool)
    ax = new_axes(ax, width=4.6, height=4.2)
    groups = (("observed", OBSERVED, shown & ~imputed), ("imputed", IMPUTED, shown & imputed))
    for label, color, rows in groups:
        across, along = as_numbers(frame[x][rows], x), as_numbers(frame[y][rows], y)
        ax.scatter(across, along, s=12, alpha=0.6, linewidths=0, color=color, label=label)
    label_values(ax, frame[x], x, axis="x")
    label_values(ax, frame[y], y, axis="y")
    ax.legend(frameon=False)
    return ax
