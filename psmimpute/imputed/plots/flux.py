"""Outflux against influx of the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.labels import label_points
from psmimpute.imputed.plots.style import NEUTRAL, OBSERVED, new_axes
from psmimpute.table.patterns import flux

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_flux(imp: ImputedTable, *, ax: Axes | None = None) -> Axes:
    """Draw how much each column can give to, and needs from, the others.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        One point for each column. Columns far below the line have gaps where others are
        observed too seldom to help, and help others little.

    References
    ----------
    .. [1] van Buuren, S. (2018). Flexible Imputation of Missing Data, 2nd ed. CRC Press.
       Section 4.1.3.
    """
    table = flux(imp.data)
    ax = new_axes(ax, width=5.6, height=5.2)
    ax.plot([0, 1], [1, 0], color=NEUTRAL, lw=0.8, ls="--")
    ax.scatter(table["influx"], table["outflux"], s=14, color=OBSERVED, zorder=3)
    ax.set(xlim=(-0.05, 1.15), ylim=(-0.1, 1.15), xlabel="influx", ylabel="outflux")
    ax.set_title(" ", fontsize=8, color=NEUTRAL)
    names = [str(name) for name in table.index]
    across, along = table["influx"].to_numpy(dtype=float), table["outflux"].to_numpy(dtype=float)
    left_out = label_points(ax, across, along, names)
    if left_out:
        ax.title.set_text(f"{left_out} labels left out for lack of room")
    return ax
