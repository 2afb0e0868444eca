"""A scatter plot of two columns of a completed frame."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.numbers import imputation_number
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
    imputation_number(imputation, imp.m, smallest=1)
    imputed = imputed_rows(imp, x) | imputed_rows(imp, y)
    across = imp.complete_columns(imputation, [x])[x]
    along = imp.complete_columns(imputation, [y])[y]
    shown = (across.notna() & along.notna()).to_numpy(dtype=bool)
    ax = new_axes(ax, width=4.6, height=4.2)
    groups = (("observed", OBSERVED, shown & ~imputed), ("imputed", IMPUTED, shown & imputed))
    for label, color, rows in groups:
        places = as_numbers(across[rows], x), as_numbers(along[rows], y)
        ax.scatter(*places, s=12, alpha=0.6, linewidths=0, color=color, label=label)
    label_values(ax, across, x, axis="x")
    label_values(ax, along, y, axis="y")
    ax.legend(frameon=False)
    return ax
