"""Training losses, member by member."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import IMPUTED, OBSERVED, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEEDED = {"member", "step", "loss"}


def plot_trace(imp: ImputedTable, *, ax: Axes | None = None) -> Axes:
    """Draw the loss of each member during training, on its own rows and out of bag.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        For each member a blue line, its training loss where that was recorded, and a red one,
        its out-of-bag loss.

    Raises
    ------
    ImputationError
        If the imputations carry no training history.
    """
    history = pd.DataFrame([*imp.info.history])
    if history.empty or not set(history.columns) >= NEEDED:
        raise ImputationError("these imputations carry no training history: nothing to trace")
    ax = new_axes(ax)
    lines = (("loss", OBSERVED, "training"), ("oob_loss", IMPUTED, "out of bag"))
    for name, color, label in lines:
        if name not in history.columns:
            continue
        first = True
        for _, records in history.dropna(subset=[name]).groupby("member"):
            shown = label if first else f"_{label}"
            ax.plot(records["step"], records[name], color=color, lw=0.8, alpha=0.7, label=shown)
            first = False
    ax.set(xlabel="step", ylabel="loss (nats for each row)")
    ax.legend(frameon=False)
    return ax
