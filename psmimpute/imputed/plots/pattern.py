"""The patterns of missing cells, as ``mice::md.pattern`` draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import IMPUTED, OBSERVED, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

BoolArray = npt.NDArray[np.bool_]

# More columns than this are drawn half as wide, so that a figure fits a page.
MANY_COLUMNS = 25


def plot_pattern(imp: ImputedTable, *, max_patterns: int = 25, ax: Axes | None = None) -> Axes:
    """Draw the patterns of missing cells: blue observed, red missing.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    max_patterns : int, default 25
        How many patterns to draw, the most frequent first.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        One row for each pattern with its number of rows on the left and of missing columns on
        the right; columns run from the most to the least observed, with the number of missing
        cells below.
    """
    missing = imp.data.isna()
    columns = np.argsort(missing.sum().to_numpy(), kind="stable")
    patterns, counts = _patterns(missing.to_numpy(dtype=bool)[:, columns])
    shown = patterns[:max_patterns]
    n_patterns, n_columns = shown.shape
    many = n_columns > MANY_COLUMNS
    size = 7 if many else None
    width = (0.15 if many else 0.3) * n_columns + 2
    ax = new_axes(ax, width=width, height=0.24 * n_patterns + 2)
    mesh = ax.pcolormesh(shown, cmap=_two_colors(), vmin=0, vmax=1, edgecolors="white", lw=0.5)
    mesh.set_label("missing")
    ax.invert_yaxis()
    ax.spines[:].set_visible(False)
    names = [str(missing.columns[j]) for j in columns]
    below = [str(n) for n in missing.sum().to_numpy()[columns]]
    middles = np.arange(n_columns) + 0.5
    ax.set_xticks(middles, below, rotation=90, fontsize=size)
    ax.set_yticks(np.arange(n_patterns) + 0.5, [str(n) for n in counts[:max_patterns]])
    ax.tick_params(length=0)
    ax.set(xlabel="missing cells", ylabel="rows")
    above = ax.secondary_xaxis("top")
    above.set_xticks(middles, names, rotation=90, fontsize=size)
    right = ax.secondary_yaxis("right")
    right.set_yticks(np.arange(n_patterns) + 0.5, [str(n) for n in shown.sum(axis=1)])
    right.set_ylabel("missing columns" + _left_out(len(patterns) - n_patterns))
    for axis in (above, right):
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    return ax


def _patterns(missing: BoolArray) -> tuple[BoolArray, npt.NDArray[np.int64]]:
    """Return the distinct rows, the most frequent first, and how often each occurs."""
    patterns, counts = np.unique(missing, axis=0, return_counts=True)
    order = np.lexsort((patterns.sum(axis=1), -counts))
    return patterns[order], counts[order]


def _left_out(n: int) -> str:
    return f"\n({n} rarer patterns not shown)" if n > 0 else ""


def _two_colors() -> Colormap:
    from matplotlib.colors import ListedColormap

    return ListedColormap([OBSERVED, IMPUTED])
