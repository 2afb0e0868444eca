"""Densities of observed and imputed values."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import (
    IMPUTED,
    OBSERVED,
    as_numbers,
    column_cells,
    label_values,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]

GRID = 256


def plot_density(imp: ImputedTable, column: Hashable, *, ax: Axes | None = None) -> Axes:
    """Draw kernel densities of a column: observed in blue, each imputation in red.

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
        One line for the observed values, one for each imputation with at least two distinct
        values.

    Raises
    ------
    ImputationError
        If there is no such column, or it is categorical.
    """
    cells = column_cells(imp, column)
    observed = as_numbers(cells.observed, column)
    imputed = [as_numbers(values, column) for values in cells.imputed]
    ax = new_axes(ax)
    label_values(ax, cells.observed, column, axis="x")
    for number, values in enumerate(imputed):
        _curve(ax, values, IMPUTED, 0.8, "imputed" if number == 0 else "_imputed")
    _curve(ax, observed, OBSERVED, 2.0, "observed")
    ax.set_ylabel("density")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax


def _curve(ax: Axes, values: FloatArray, color: str, width: float, label: str) -> None:
    if np.unique(values).size < 2:
        ax.plot([], [], color=color, lw=width, label=label)
        return
    from scipy.stats import gaussian_kde

    kernel = gaussian_kde(values)
    margin = 3 * np.sqrt(kernel.covariance[0, 0])
    grid = np.linspace(values.min() - margin, values.max() + margin, GRID)
    ax.plot(grid, kernel(grid), color=color, lw=width, label=label)
