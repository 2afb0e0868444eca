"""Scores of imputations against the true values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from benchmarks.masks import Deletion

_FEWEST_VALUES = 20  # columns with fewer distinct observed values are rounded, as in the paper
_MOST_ROWS = 1000  # of an energy distance: it takes all pairs

Array = npt.NDArray[np.float64]


def discrete_columns(deletion: Deletion) -> npt.NDArray[np.bool_]:
    """Tell which columns have fewer than 20 distinct observed values, shape (d,)."""
    seen = deletion.seen
    return np.array(
        [len(np.unique(x[~np.isnan(x)])) < _FEWEST_VALUES for x in seen.T], dtype=np.bool_
    )


def rounded(deletion: Deletion, imputed: Array) -> Array:
    """Round imputations of discrete columns; `imputed` has the shape (..., n, d)."""
    return np.where(discrete_columns(deletion), np.round(imputed), imputed)


def spread(full: Array) -> Array:
    """Range of each column, in units of which errors are measured, shape (d,)."""
    return np.asarray(np.nanmax(full, 0) - np.nanmin(full, 0) + 1e-6)


def rmse(deletion: Deletion, imputed: Array) -> float:
    """Root mean squared error over masked cells, each scaled by its column's range."""
    error = (rounded(deletion, imputed) - deletion.full) / spread(deletion.full)
    return float(np.sqrt((error[deletion.masked] ** 2).mean()))


def crps(deletion: Deletion, draws: Array) -> float:
    """Continuous ranked probability score of draws, mean over masked cells, in ranges.

    Parameters
    ----------
    deletion : Deletion
    draws : ndarray, shape (m, n, d)
        Two or more draws of the table.

    Returns
    -------
    float
        ``E|X - x| - E|X - X'| / 2``, the second mean over pairs of different draws: unbiased
        for the score of the distribution drawn from, at every m.
    """
    x, truth = _scaled_cells(deletion, draws)
    m = len(x)
    ordered = np.sort(x, axis=0)
    weights = 2 * np.arange(1, m + 1) - m - 1
    between = 2 * (weights[:, None] * ordered).sum(0) / (m * (m - 1))
    return float((np.abs(x - truth).mean(0) - 0.5 * between).mean())


def interval_coverage(
    deletion: Deletion, draws: Array, *, level: float = 0.9, discrete: bool = False
) -> float:
    """Share of masked cells that lie within the central interval of their draws.

    Parameters
    ----------
    deletion : Deletion
    draws : ndarray, shape (m, n, d)
    level : float, default 0.9
        The ends are the order statistics at ``(m + 1) p``: a value drawn like the m others
        lies between them with this probability, if m is 19 or more.
    discrete : bool, default False
        Cells of the discrete columns instead of those of the others.

    Returns
    -------
    float
        NaN where there is no such cell.
    """
    x, truth = _cells_of(deletion, draws, discrete=discrete)
    if not truth.size:
        return float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(x, [tail, 1 - tail], axis=0, method="weibull")
    return float(((low <= truth) & (truth <= high)).mean())


def pit_coverage(
    deletion: Deletion, draws: Array, *, level: float = 0.9, discrete: bool = False
) -> float:
    """Share of masked cells whose randomised probability integral transform is central.

    Draws of the right law cover more than the level between order statistics where values repeat:
    95 % in place of 90 % where nine in ten are zero. Here a tie of the hidden value with draws is
    broken at random, and the share expected over that is returned, so that they cover the level.

    Parameters
    ----------
    deletion : Deletion
    draws : ndarray, shape (m, n, d)
    level : float, default 0.9
    discrete : bool, default False
        Cells of the discrete columns instead of those of the others.

    Returns
    -------
    float
        NaN where there is no such cell.

    References
    ----------
    .. [1] Czado, C., Gneiting, T. and Held, L. (2009). Predictive model assessment for count data.
       Biometrics 65(4), 1254-1261.
    """
    x, truth = _cells_of(deletion, draws, discrete=discrete)
    if not truth.size:
        return float("nan")
    low = (x < truth).sum(0) / (len(x) + 1)
    high = ((x <= truth).sum(0) + 1) / (len(x) + 1)
    tail = (1 - level) / 2
    central = np.minimum(high, 1 - tail) - np.maximum(low, tail)
    return float((central.clip(0) / (high - low)).mean())


def energy_distance(deletion: Deletion, imputed: Array) -> float:
    """Energy distance between the completed rows and the true ones, columns standardised.

    Parameters
    ----------
    deletion : Deletion
    imputed : ndarray, shape (n, d)
        A completed table.

    Returns
    -------
    float
        ``sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|)`` over the first 1,000 rows that lost a cell
        and have no gap of their own: 0 for the true values; for means in place of values it is
        positive though their error is small.
    """
    usable = deletion.masked.any(1) & ~np.isnan(deletion.full).any(1)
    sd = np.nanstd(deletion.full, 0)
    scale = np.where(sd > 0, sd, 1.0)
    x, y = (a[usable][:_MOST_ROWS] / scale for a in (rounded(deletion, imputed), deletion.full))
    squared = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    return float(np.sqrt(max(squared, 0.0)))


def _cells_of(deletion: Deletion, draws: Array, *, discrete: bool) -> tuple[Array, Array]:
    """Draws and true values of the masked cells of discrete columns, or of the others."""
    x, truth = _scaled_cells(deletion, draws)
    columns = np.nonzero(deletion.masked)[1]
    chosen = discrete_columns(deletion)[columns] == discrete
    return x[:, chosen], truth[chosen]


def _scaled_cells(deletion: Deletion, draws: Array) -> tuple[Array, Array]:
    """Draws (m, n_masked) and true values (n_masked,) of the masked cells, in ranges."""
    scale = np.broadcast_to(spread(deletion.full), deletion.full.shape)[deletion.masked]
    values = np.stack([rounded(deletion, draw)[deletion.masked] for draw in draws])
    return values / scale, deletion.full[deletion.masked] / scale
