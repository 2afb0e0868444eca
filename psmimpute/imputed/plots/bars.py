"""Shares of the levels of a categorical column."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import IMPUTED, OBSERVED, column_cells, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]

# A bar for each distinct value says nothing beyond this.
MAX_LEVELS = 60


def plot_bars(imp: ImputedTable, column: Hashable, *, ax: Axes | None = None) -> Axes:
    """Draw the share of each level: observed in blue, the mean over imputations in red.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    column : hashable
        A column with few distinct values.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        Two bars for each level; a line spans the smallest and the largest share over the
        imputations.

    Raises
    ------
    ImputationError
        If there is no such column, or it has more than 60 distinct values.
    """
    cells = column_cells(imp, column)
    levels = _levels(cells.observed, cells.imputed)
    if len(levels) > MAX_LEVELS:
        raise ImputationError(
            f"column {column!r} has {len(levels)} distinct values, bars show at most "
            f"{MAX_LEVELS}: use plot.density"
        )
    observed = _shares(cells.observed, levels)
    imputed = np.stack([_shares(values, levels) for values in cells.imputed])
    mean = imputed.mean(axis=0)
    ax = new_axes(ax, width=max(4.6, 0.5 * len(levels) + 1.5))
    places = np.arange(len(levels))
    ax.bar(places - 0.2, observed, width=0.38, color=OBSERVED, label="observed")
    ax.bar(places + 0.2, mean, width=0.38, color=IMPUTED, label="imputed")
    ax.vlines(places + 0.2, imputed.min(axis=0), imputed.max(axis=0), color="black", lw=1)
    names = [str(level) for level in levels]
    steep = len(names) > 12 or max(map(len, names), default=0) > 8
    ax.set_xticks(places, names, rotation=90 if steep else 0)
    ax.set(xlabel=str(column), ylabel="share", ylim=(0, None))
    ax.legend(frameon=False)
    return ax


def _levels(observed: pd.Series, imputed: list[pd.Series]) -> list[Any]:
    if isinstance(observed.dtype, pd.CategoricalDtype):
        return [*observed.cat.categories]
    values = pd.concat([observed, *imputed], ignore_index=True).dropna()
    try:
        return sorted(values.unique())
    except TypeError:
        return [*values.unique()]


def _shares(values: pd.Series, levels: list[Any]) -> FloatArray:
    counts = values.value_counts().reindex(levels, fill_value=0).to_numpy(dtype=float)
    return np.asarray(counts / max(1.0, counts.sum()))
