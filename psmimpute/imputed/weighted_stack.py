"""Completed frames below each other, weighted so that they count as one data set."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.layouts import stacked_frame
from psmimpute.table.reading import full_label

Weights = Literal["equal", "missing"]
WEIGHT = ".weight"


def weighted_stack(imp: ImputedTable, weights: Weights | None = None) -> pd.DataFrame:
    """Stack the completed frames.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    weights : {"equal", "missing"}, optional
        Append a column ``.weight`` with 1/m, or (1 − f)/m where f is the share of missing cells.

    Returns
    -------
    DataFrame, shape (m * n_rows, n_columns)
        Every block keeps the index of the data.

    Raises
    ------
    ImputationError
        If `weights` is none of these, or the data have a column ``.weight``.
    """
    if weights not in (None, "equal", "missing"):
        raise ImputationError(f"weights={weights!r}: give 'equal', 'missing' or None")
    stacked = stacked_frame(imp)
    if weights is None:
        return stacked
    if WEIGHT in stacked.columns:
        raise ImputationError(f"the data have a column {WEIGHT!r}: rename it, or take no weights")
    n_cells = imp.n_rows * len(imp.n_missing)
    share = float(imp.n_missing.sum()) / n_cells if weights == "missing" and n_cells else 0.0
    stacked[full_label(WEIGHT, stacked.columns)] = (1 - share) / imp.m
    return stacked
