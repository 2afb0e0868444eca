"""How even the importance weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import IMPUTED, OBSERVED, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Above it importance sampling is unreliable: Vehtari et al. (2024), section 3.2.4.
PARETO_K_LIMIT = 0.7


def plot_weights(imp: ImputedTable, *, ax: Axes | None = None) -> Axes:
    """Draw the rows' effective sample sizes; red where the weights' tail is too heavy.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        A histogram over rows; rows with a Pareto k above 0.7 are stacked in red.

    Raises
    ------
    ImputationError
        If the imputations carry no effective sample sizes.

    References
    ----------
    .. [1] Vehtari, A., Simpson, D., Gelman, A., Yao, Y. and Gabry, J. (2024). Pareto smoothed
       importance sampling. Journal of Machine Learning Research 25(72).
    """
    if imp.info.ess is None:
        raise ImputationError("these imputations carry no effective sample sizes")
    ess = np.asarray(imp.info.ess, dtype=float)
    finite = np.isfinite(ess)
    pareto_k = imp.info.pareto_k
    poor = np.zeros(len(ess), bool) if pareto_k is None else pareto_k > PARETO_K_LIMIT
    ax = new_axes(ax)
    groups = [ess[finite & ~poor], ess[finite & poor]]
    ax.hist(
        groups,
        bins=30,
        range=(0.0, float(ess[finite].max(initial=1.0))),
        stacked=True,
        color=[OBSERVED, IMPUTED],
        label=["Pareto k up to 0.7", "Pareto k above 0.7"],
    )
    ax.set(xlabel="effective sample size", ylabel="rows")
    if pareto_k is not None:
        ax.legend(frameon=False)
    return ax
