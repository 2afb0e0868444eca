"""What tells the pattern sets apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.style import IMPUTED, NEUTRAL, OBSERVED, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]
Shown = Literal["missing", "mean", "membership"]

# Cells with more columns than this are too small to hold a number.
MAX_ANNOTATED = 16


def plot_pattern_sets(
    imp: ImputedTable, *, show: Shown = "missing", ax: Axes | None = None
) -> Axes:
    """Draw the profile of the pattern sets, or how clearly rows belong to them.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    show : {"missing", "mean", "membership"}, default "missing"
        ``"missing"``: the share of missing cells by set and column, among columns with gaps.
        ``"mean"``: by set and numeric column the mean over rows and imputations, as
        difference from the overall mean in standard deviations. ``"membership"``: the
        distribution over rows of the probability of the most probable set.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        A heat map with one row for each set (with one column for each, where the data have many
        columns), or a histogram.

    Raises
    ------
    ImputationError
        If the imputations carry no pattern sets, or `show` is none of the three.
    """
    if show == "membership":
        return _membership(imp, ax)
    if show == "missing":
        profile, limits, colors, title = (
            missing_rates(imp),
            (0.0, 1.0),
            "Reds",
            "Share of missing cells",
        )
    elif show == "mean":
        profile, title = (
            standardized_means(imp),
            "Mean, in standard deviations from overall",
        )
        reach = max(1.0, float(np.nanmax(np.abs(profile.to_numpy()), initial=0.0)))
        limits, colors = (-reach, reach), "RdBu_r"
    else:
        raise ImputationError(f"show={show!r}: give 'missing', 'mean' or 'membership'")
    return _heat_map(profile, limits, colors, title, ax)


def missing_rates(imp: ImputedTable) -> pd.DataFrame:
    """Return the expected share of missing cells by pattern set and column.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.

    Returns
    -------
    DataFrame, shape (n_sets, n_columns_with_gaps)
        Rows weighted by the probability of the set.

    Raises
    ------
    ImputationError
        If the imputations carry no pattern sets.
    """
    weights = imp.pattern_set_probabilities.to_numpy()
    missing = imp.data.isna()
    missing = missing.loc[:, missing.any().to_numpy()]
    rates = _weighted_means(weights, missing.to_numpy(dtype=float))
    return pd.DataFrame(rates, index=range(1, imp.n_sets + 1), columns=missing.columns)


def standardized_means(imp: ImputedTable) -> pd.DataFrame:
    """Return the means of numeric columns by pattern set, standardised over all rows.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.

    Returns
    -------
    DataFrame, shape (n_sets, n_numeric_columns)
        Averages over imputations; 0 is the overall mean, 1 a standard deviation above it.

    Raises
    ------
    ImputationError
        If the imputations carry no pattern sets, or no column is numeric.
    """
    weights = imp.pattern_set_probabilities.to_numpy()
    names = [*imp.data.select_dtypes("number").columns]
    if not names:
        raise ImputationError("no column is numeric: there are no means to show")
    total = np.zeros((imp.n_sets, len(names)))
    for k in range(1, imp.m + 1):
        values = imp.complete_columns(k, names).to_numpy(dtype=float, na_value=np.nan)
        spread = np.nanstd(values, axis=0)
        scaled = (values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1.0)
        total += _weighted_means(weights, np.nan_to_num(scaled))
    return pd.DataFrame(total / imp.m, index=range(1, imp.n_sets + 1), columns=names)


def _weighted_means(weights: FloatArray, values: FloatArray) -> FloatArray:
    """Return means by set; NaN for a set that no row can belong to."""
    size = weights.sum(axis=0)[:, None]
    means = weights.T @ values / np.where(size > 0, size, 1.0)
    return np.where(size > 0, means, np.nan)


def _heat_map(
    profile: pd.DataFrame,
    limits: tuple[float, float],
    colors: str,
    title: str,
    ax: Axes | None,
) -> Axes:
    n_sets, n_columns = profile.shape
    # Many columns go down the page, as many as a page is long.
    down = n_columns > MAX_ANNOTATED
    values = profile.to_numpy(dtype=float)
    names = [str(name) for name in profile.columns]
    sets = [str(label) for label in profile.index]
    if down:
        ax = new_axes(ax, width=max(4.0, 0.5 * n_sets + 2.5), height=0.16 * n_columns + 1.2)
        shown = values.T
        ax.set_yticks(np.arange(n_columns) + 0.5, names, fontsize=7)
        ax.set_xticks(np.arange(n_sets) + 0.5, sets)
    else:
        ax = new_axes(ax, width=max(4.0, 0.36 * n_columns + 2), height=0.4 * n_sets + 2)
        shown = values
        ax.set_xticks(np.arange(n_columns) + 0.5, names, rotation=90)
        ax.set_yticks(np.arange(n_sets) + 0.5, sets)
    mesh = ax.pcolormesh(shown, cmap=colors, vmin=limits[0], vmax=limits[1], edgecolors="white")
    ax.invert_yaxis()
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set(**{"xlabel" if down else "ylabel": "pattern set"})
    ax.set_title(title, fontsize=9, wrap=True)
    ax.figure.colorbar(mesh, ax=ax, pad=0.01)
    if not down:
        _annotate(ax, values, limits)
    return ax


def _annotate(ax: Axes, values: FloatArray, limits: tuple[float, float]) -> None:
    for (row, column), value in np.ndenumerate(values):
        dark = abs(value) > 0.6 * limits[1]
        ax.text(
            column + 0.5,
            row + 0.5,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )


def _membership(imp: ImputedTable, ax: Axes | None) -> Axes:
    largest = imp.pattern_set_probabilities.to_numpy().max(axis=1)
    ax = new_axes(ax)
    ax.hist(largest, bins=20, range=(min(1 / imp.n_sets, 0.95), 1.0), color=OBSERVED)
    ax.axvline(float(largest.mean()), color=IMPUTED, lw=1.5, label="mean")
    ax.set(xlabel="probability of the most probable set", ylabel="rows")
    ax.set_title(f"{imp.n_sets} pattern sets", fontsize=9, color=NEUTRAL)
    ax.legend(frameon=False)
    return ax
