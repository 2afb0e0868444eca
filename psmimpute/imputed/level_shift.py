"""Shifting the log odds of imputed levels, cell by cell.

Only draws of the levels are stored. A cell's probabilities are estimated from its draws in the
*other* imputations, shrunk towards the column's; the draw is then moved to the shifted law by
a coupling that changes nothing where nothing is shifted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]

# Correlation of draws of one cell: kept off its limits, where nothing or everything is learned
# from a cell's own draws.
MIN_CORRELATION, MAX_CORRELATION = 1e-3, 0.999
# Keeps log odds finite where a level was never drawn.
TINY = 1e-9


def level_probabilities(codes: IntArray, n_levels: int) -> FloatArray:
    """Estimate the probabilities of the levels behind each draw.

    The posterior mean of a Dirichlet-multinomial model of a cell's draws in the other
    imputations, its precision matched to the variance of the shares between cells.

    Parameters
    ----------
    codes : ndarray of int, shape (m, n_cells)
        Levels drawn, from 0.
    n_levels : int
        Number of levels.

    Returns
    -------
    ndarray, shape (m, n_cells, n_levels)
        Positive; sums to one over levels.

    References
    ----------
    .. [1] Brier, S. S. (1980). Analysis of contingency tables under cluster sampling.
       Biometrika 67(3), 591-596.
    """
    m = len(codes)
    drawn = np.eye(n_levels)[codes]
    counts = drawn.sum(axis=0)
    overall = np.clip(counts.mean(axis=0) / m, TINY, None)
    precision = _precision(counts / m, overall, m)
    others = counts[None] - drawn
    probabilities = (others + precision * overall) / (m - 1 + precision)
    return np.asarray(probabilities / probabilities.sum(axis=-1, keepdims=True))


def _precision(shares: FloatArray, overall: FloatArray, m: int) -> float:
    """Match the precision to Var(share) = p(1 - p) (ρ + (1 - ρ) / m), summed over levels."""
    binomial = float((overall * (1 - overall)).sum())
    if m == 1 or binomial < TINY:
        return 1 / MIN_CORRELATION
    inflation = float(((shares - overall) ** 2).mean(axis=0).sum()) / binomial
    correlation = (inflation - 1 / m) / (1 - 1 / m)
    correlation = float(np.clip(correlation, MIN_CORRELATION, MAX_CORRELATION))
    return (1 - correlation) / correlation


def shift_ordered(
    codes: IntArray, probabilities: FloatArray, shift: float, uniform: FloatArray
) -> IntArray:
    """Shift the log odds of being at or above each level; binary levels are two ordered ones.

    Parameters
    ----------
    codes : ndarray of int, shape (m, n_cells)
        Levels drawn.
    probabilities : ndarray, shape (m, n_cells, n_levels)
        Their probabilities.
    shift : float
        Added to logit P(level ≥ j) for every j.
    uniform : ndarray, shape (m, n_cells)
        Uniform numbers that place each draw within its level; the same for every shift, so that
        results move steadily with it.

    Returns
    -------
    ndarray of int, shape (m, n_cells)
        Levels under the shifted law: never lower for a positive shift, never higher for a
        negative one.
    """
    from scipy.special import expit, logit

    below = np.cumsum(probabilities, axis=-1)[..., :-1]
    edges = np.concatenate(
        [np.zeros((*codes.shape, 1)), below, np.ones((*codes.shape, 1))], axis=-1
    )
    low = np.take_along_axis(edges, codes[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(edges, codes[..., None] + 1, axis=-1)[..., 0]
    place = low + uniform * (high - low)
    shifted = expit(logit(np.clip(below, TINY, 1 - TINY)) - shift)
    return np.asarray((place[..., None] > shifted).sum(axis=-1))


def shift_levels(
    codes: IntArray, probabilities: FloatArray, shifts: FloatArray, uniform: FloatArray
) -> IntArray:
    """Add to the log odds of unordered levels.

    A draw keeps its level with probability min(1, p'/p), and else moves to a level that became
    more probable (maximal coupling).

    Parameters
    ----------
    codes : ndarray of int, shape (m, n_cells)
        Levels drawn.
    probabilities : ndarray, shape (m, n_cells, n_levels)
        Their probabilities.
    shifts : ndarray, shape (n_levels,)
        Added to the log probability of each level, before these are normalised.
    uniform : ndarray, shape (m, n_cells)
        Uniform numbers.

    Returns
    -------
    ndarray of int, shape (m, n_cells)
        Levels under the shifted law.
    """
    tilted = probabilities * np.exp(shifts - shifts.max())
    tilted /= tilted.sum(axis=-1, keepdims=True)
    ratio = np.take_along_axis(tilted / probabilities, codes[..., None], axis=-1)[..., 0]
    gained = np.clip(tilted - probabilities, 0, None)
    total = gained.sum(axis=-1)
    # Given that the draw moves, u is uniform on (ratio, 1): use it again to choose where to.
    again = (uniform - ratio) / np.where(ratio < 1, 1 - ratio, 1)
    ladder = np.cumsum(gained, axis=-1) / np.where(total > 0, total, 1)[..., None]
    target = np.minimum((again[..., None] > ladder).sum(axis=-1), len(shifts) - 1)
    return np.where(uniform < ratio, codes, target)
