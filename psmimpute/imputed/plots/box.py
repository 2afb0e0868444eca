"""Box plots of observed and imputed values, imputation by imputation."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import (
    IMPUTED,
    OBSERVED,
    as_numbers,
    column_cells,
    imputation_ticks,
    label_values,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_box(imp: ImputedTable, column: Hashable, *, ax: Axes | None = None) -> Axes:
    """Draw a box for the observed values, in blue, and for each imputation's, in red.

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
        Boxes from quartile to quartile with the median; whiskers reach the last value within
        1.5 interquartile ranges.

    Raises
    ------
    ImputationError
        If there is no such column, or it is categorical.
    """
    cells = column_cells(imp, column)
    groups = [as_numbers(values, column) for values in (cells.observed, *cells.imputed)]
    ax = new_axes(ax)
    label_values(ax, cells.observed, column, axis="y")
    drawn = ax.boxplot(
        groups,
        positions=range(len(groups)),
        widths=0.6,
        patch_artist=True,
        manage_ticks=False,
        flierprops={"markersize": 2},
        medianprops={"color": "white"},
    )
    for number, patch in enumerate(drawn["boxes"]):
        color = IMPUTED if number else OBSERVED
        patch.set(facecolor=color, edgecolor=color)
    imputation_ticks(ax, imp.m)
    return ax
