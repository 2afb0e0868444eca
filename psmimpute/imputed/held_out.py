"""How well cells are predicted that were observed and hidden: coverage, calibration, spread.

A hidden value and draws of it from the right law are exchangeable, so that the value's rank
among the draws is uniform, whatever the law; ties are broken by chance. Intervals are read
off the ranks, and few draws do no harm.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

LEVELS = (0.5, 0.9)
# Fewer draws than this place a value too coarsely.
_LEAST_DRAWS = 5
# A warning needs a difference that matters, and one that chance brings in one table of a hundred.
TOLERANCE, FALSE_ALARM = 0.05, 0.01
COLUMNS = [
    "n_cells",
    "coverage_50",
    "coverage_90",
    "calibration_p",
    "between_members",
    "low_90",
    "high_90",
]


@dataclass(frozen=True, eq=False)
class HeldOutColumn:
    """Hidden cells of one column and draws of them.

    Attributes
    ----------
    name : hashable
        The column.
    ordered : bool
        Whether its values have an order; else they are codes of levels.
    truth : ndarray, shape (n_cells,)
        What was observed.
    draws : ndarray, shape (n_draws, n_cells)
        What was drawn.
    member : ndarray of int, shape (n_draws,)
        The member that gave each draw.
    usable : ndarray of bool, shape (n_draws, n_cells)
        Whether the member had not been trained on the cell's row.
    """

    name: Hashable
    ordered: bool
    truth: FloatArray
    draws: FloatArray
    member: npt.NDArray[np.int64]
    usable: BoolArray


def predictive_ranks(cells: HeldOutColumn, rng: np.random.Generator) -> FloatArray:
    """Return the randomised probability integral transform of hidden values.

    Parameters
    ----------
    cells : HeldOutColumn
        Hidden values and draws of them.
    rng : Generator
        Breaks ties.

    Returns
    -------
    ndarray, shape (n_cells,)
        The share of draws below the value; of levels without order, the share of draws that
        are rarer than it. Uniform on (0, 1) if value and draws follow one law; NaN where fewer
        than five draws are usable.

    References
    ----------
    .. [1] Czado, C., Gneiting, T. and Held, L. (2009). Predictive model assessment for count
       data. Biometrics 65(4), 1254-1261.
    """
    draws, truth = cells.draws, cells.truth
    if not cells.ordered:
        draws, truth = _commonness(cells)
    below = ((draws < truth) & cells.usable).sum(axis=0)
    equal = ((draws == truth) & cells.usable).sum(axis=0)
    n = cells.usable.sum(axis=0)
    ranks = (below + rng.random(len(truth)) * (equal + 1)) / (n + 1)
    return np.where(n >= _LEAST_DRAWS, ranks, np.nan)


def _commonness(cells: HeldOutColumn) -> tuple[FloatArray, FloatArray]:
    """Replace levels by how often they occur among a cell's draws and its true value."""
    levels = np.unique(np.append(cells.draws, cells.truth))
    drawn = cells.draws[None] == levels[:, None, None]
    counts = (drawn & cells.usable).sum(axis=1) + (cells.truth == levels[:, None])
    place = np.searchsorted(levels, cells.draws)
    own = np.searchsorted(levels, cells.truth)
    every = np.arange(len(cells.truth))
    return counts[place, every].astype(float), counts[own, every].astype(float)


def summarize_held_out(
    columns: Sequence[HeldOutColumn], *, seed: int
) -> tuple[pd.DataFrame, dict[Hashable, FloatArray]]:
    """Summarise the prediction of hidden cells, column by column.

    Parameters
    ----------
    columns : sequence of HeldOutColumn
        Hidden cells and draws of them.
    seed : int
        Breaks ties.

    Returns
    -------
    DataFrame
        One row for each column: ``n_cells``; ``coverage_50`` and ``coverage_90``, the shares of
        values in the central 50 and 90 % of their draws (of levels without order, in the most
        probable half and 90 %); ``calibration_p``, the p-value of the Kolmogorov-Smirnov test that
        the ranks are uniform; ``between_members``, the share of the predictive variance that lies
        between members; ``low_90`` and ``high_90``, the range in which chance alone leaves
        ``coverage_90``.
    dict of hashable to ndarray
        The ranks behind it, by column.
    """
    rng = np.random.default_rng(seed)
    ranks = {cells.name: predictive_ranks(cells, rng) for cells in columns}
    known = {name: values[np.isfinite(values)] for name, values in ranks.items()}
    rows = {
        cells.name: {**_coverage(cells, known[cells.name]), "between_members": _between(cells)}
        for cells in columns
        if known[cells.name].size
    }
    names = pd.Index([*rows], name="column", tupleize_cols=False)
    frame = pd.DataFrame([*rows.values()], index=names, columns=COLUMNS)
    z = critical_z(len(frame))
    margin = z * np.sqrt(0.9 * 0.1 / frame["n_cells"].astype(float))
    frame["low_90"], frame["high_90"] = (0.9 - margin).clip(0, 1), (0.9 + margin).clip(0, 1)
    return frame.astype({"n_cells": "int64"}), known


def critical_z(n_columns: int) -> float:
    """Return how many standard errors a coverage may be off, over all columns and levels."""
    return -NormalDist().inv_cdf(FALSE_ALARM / (2 * len(LEVELS) * max(1, n_columns)))


def _coverage(cells: HeldOutColumn, ranks: FloatArray) -> dict[str, float]:
    found: dict[str, float] = {"n_cells": ranks.size}
    for level in LEVELS:
        inside = np.abs(ranks - 0.5) <= level / 2 if cells.ordered else ranks >= 1 - level
        found[f"coverage_{100 * level:.0f}"] = float(inside.mean())
    from scipy.stats import kstest

    found["calibration_p"] = float(kstest(ranks, "uniform").pvalue)
    return found


def _between(cells: HeldOutColumn) -> float:
    """Share of the variance that lies between members, by analysis of variance."""
    members = np.unique(cells.member)
    size = len(cells.member) // len(members)
    if not cells.ordered or len(members) < 2 or size < 2:
        return np.nan
    groups = np.stack([cells.draws[cells.member == member][:size] for member in members])
    within = float(groups.var(axis=1, ddof=1).mean())
    between = float(groups.mean(axis=1).var(axis=0, ddof=1).mean()) - within / size
    total = max(0.0, between) + within
    return max(0.0, between) / total if total > 0 else np.nan
