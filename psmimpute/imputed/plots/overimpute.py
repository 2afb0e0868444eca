"""Observed values against what would have been imputed for them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import IMPUTED, NEUTRAL, as_numbers, label_values, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_overimpute(imp: ImputedTable, column: Hashable, *, ax: Axes | None = None) -> Axes:
    """Draw observed values that were imputed too against their imputations.

    Parameters
    ----------
    imp : ImputedTable
        Multiply-imputed data some of whose imputed cells were observed.
    column : hashable
        A numeric, date or duration column.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        For each such cell the mean of its imputations and a line that holds the observed value
        in 90 % of the cells, if observed and imputed values follow one law; with fewer than 19
        imputations, the line from the smallest to the largest and a smaller share. The title
        tells how many lines do.

    Raises
    ------
    ImputationError
        If there is no such column, it is categorical, or none of its imputed cells were
        observed.

    References
    ----------
    .. [1] Honaker, J., King, G. and Blackwell, M. (2011). Amelia II: A Program for Missing
       Data. Journal of Statistical Software 45(7). Section 4.6.2.
    """
    imputed = imp.imputed_values(column)
    observed = imp.complete_columns(0, [column])[column][imp.where[column].to_numpy()]
    known = observed.notna().to_numpy(dtype=bool)
    if not known.any():
        raise ImputationError(
            f"no observed cell of column {column!r} was imputed: impute some with impute(where=...)"
        )
    truth = as_numbers(observed[known], column)
    draws = np.stack([as_numbers(imputed[k][known], column) for k in imputed.columns])
    # Of m draws and the value itself each rank is as likely: m + 1 places for it.
    expected = min(0.9, (len(draws) - 1) / (len(draws) + 1))
    tail = (1 - expected) / 2
    low, high = np.quantile(draws, (tail, 1 - tail), axis=0, method="weibull")
    inside = float(((low <= truth) & (truth <= high)).mean())
    ax = new_axes(ax, width=4.6, height=4.4)
    ends = [min(truth.min(), low.min()), max(truth.max(), high.max())]
    ax.plot(ends, ends, color=NEUTRAL, lw=0.8, ls="--")
    ax.vlines(truth, low, high, color=IMPUTED, lw=0.7, alpha=0.5)
    ax.scatter(truth, draws.mean(axis=0), s=10, color=IMPUTED, linewidths=0)
    label_values(ax, observed, column, axis="x")
    label_values(ax, observed, column, axis="y")
    ax.set(xlabel=f"{ax.get_xlabel()}, observed", ylabel=f"{ax.get_ylabel()}, imputed")
    share = f"{100 * inside:.0f} % of the lines hold the observed value"
    ax.set_title(f"{share}, {100 * expected:.0f} % expected", fontsize=9)
    return ax
