"""Observed and imputed values as points, imputation by imputation."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np

from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import (
    IMPUTED,
    OBSERVED,
    as_numbers,
    column_cells,
    imputation_ticks,
    jitter,
    label_values,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Half the width of a strip; strips are one apart.
SPREAD = 0.3


def plot_strip(imp: ImputedTable, column: Hashable, *, ax: Axes | None = None) -> Axes:
    """Draw each value of a column as a point: observed in blue, imputations in red.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    column : hashable
        A numeric, date or duration column.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        One collection of points for the observed values, one for each imputation.

    Raises
    ------
    ImputationError
        If there is no such column, or it is categorical.
    """
    cells = column_cells(imp, column)
    strips = [as_numbers(values, column) for values in (cells.observed, *cells.imputed)]
    ax = new_axes(ax)
    label_values(ax, cells.observed, column, axis="y")
    largest = max(len(strip) for strip in strips)
    alpha = float(np.clip(20 / np.sqrt(largest + 1), 0.15, 0.8))
    for number, values in enumerate(strips):
        ax.scatter(
            number + jitter(len(values), spread=SPREAD),
            values,
            s=10,
            alpha=alpha,
            linewidths=0,
            color=IMPUTED if number else OBSERVED,
        )
    imputation_ticks(ax, imp.m)
    return ax
