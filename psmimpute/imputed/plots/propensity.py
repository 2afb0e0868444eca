"""Values against the propensity of being missing."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.numbers import imputation_number
from psmimpute.imputed.plots.style import (
    IMPUTED,
    OBSERVED,
    as_numbers,
    imputed_rows,
    label_values,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]

# A column with more levels is left out of the propensity model.
MAX_LEVELS = 20
# Precision of the normal prior on standardised coefficients: enough to stay finite where the
# propensity is 0 or 1.
RIDGE = 1.0


def plot_propensity(
    imp: ImputedTable, column: Hashable, *, imputation: int = 1, ax: Axes | None = None
) -> Axes:
    """Draw a column against the propensity of its being missing, given the other columns.

    If imputations are sound given the model, values of equal propensity are distributed alike,
    whether observed (blue) or imputed (red).

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    column : hashable
        A numeric, date or duration column with imputed cells.
    imputation : int, default 1
        The completed frame to draw, from 1 to m.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        Two collections of points: observed and imputed.

    Raises
    ------
    ImputationError
        If there is no such column or imputation, the column is categorical, or has no imputed
        cell.

    References
    ----------
    .. [1] Raghunathan, T. and Bondarenko, I. (2007). Diagnostics for multiple imputations.
       SSRN 1031750.
    """
    imputed = imputed_rows(imp, column)
    imputation_number(imputation, imp.m, smallest=1)
    if not imputed.any():
        raise ImputationError(
            f"column {column!r} has no imputed cell: there is no propensity to draw"
        )
    frame = imp.complete_columns(imputation, [*imp.columns])
    propensity = missing_propensity(frame.drop(columns=[column]), imputed)
    known = frame[column].notna().to_numpy(dtype=bool)
    ax = new_axes(ax)
    for label, color, rows in (
        ("observed", OBSERVED, known & ~imputed),
        ("imputed", IMPUTED, known & imputed),
    ):
        values = as_numbers(frame[column][rows], column)
        ax.scatter(
            propensity[rows], values, s=12, alpha=0.6, linewidths=0, color=color, label=label
        )
    label_values(ax, frame[column], column, axis="y")
    ax.set_xlabel(f"propensity of {column} being missing")
    ax.legend(frameon=False)
    return ax


def missing_propensity(predictors: pd.DataFrame, missing: npt.NDArray[np.bool_]) -> FloatArray:
    """Return each row's probability of being missing, by a ridge logistic regression.

    Parameters
    ----------
    predictors : DataFrame, shape (n_rows, n_columns)
        Completed columns. Those that still have gaps, or more than 20 levels, are left out.
    missing : ndarray of bool, shape (n_rows,)
        What is to be predicted.

    Returns
    -------
    ndarray, shape (n_rows,)
        Probabilities.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    design = _design(predictors)
    target = missing.astype(float)

    def loss(coefficients: FloatArray) -> tuple[float, FloatArray]:
        linear = design @ coefficients
        penalized = np.append(0.0, coefficients[1:])
        value = np.logaddexp(0, linear).sum() - target @ linear + RIDGE * (penalized**2).sum() / 2
        return float(value), design.T @ (expit(linear) - target) + RIDGE * penalized

    start = np.zeros(design.shape[1])
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B")
    return np.asarray(expit(design @ fitted.x))


def _design(predictors: pd.DataFrame) -> FloatArray:
    parts: list[FloatArray] = [np.ones((len(predictors), 1))]
    for name in predictors.columns:
        column = predictors[name]
        if column.isna().any():
            continue
        try:
            parts.append(as_numbers(column, name)[:, None])
        except ImputationError:
            codes, levels = pd.factorize(column)
            if 1 < len(levels) <= MAX_LEVELS:
                parts.append((codes[:, None] == np.arange(1, len(levels))).astype(float))
    design = np.hstack(parts)
    spread = design.std(axis=0)
    varying = np.append(True, spread[1:] > 0)
    design = design[:, varying]
    design[:, 1:] = (design[:, 1:] - design[:, 1:].mean(axis=0)) / spread[varying][1:]
    return np.asarray(design)
