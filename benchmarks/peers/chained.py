"""Standardise, fill by scikit-learn's chained equations, and undo."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from benchmarks.method import Array

_N_ROUNDS = 10  # as in the paper's experiments


def fill(table: Array, estimator: Any, *, seed: int, draw: bool = False) -> Array:
    """Fill the gaps once.

    Parameters
    ----------
    table : ndarray, shape (n, d)
        NaN in the gaps.
    estimator : scikit-learn regressor
        Model of each column given the others.
    seed : int
    draw : bool, default False
        Draws from the predictive distribution in place of predictions.

    Returns
    -------
    ndarray, shape (n, d)
    """
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415  an extra of the benchmarks
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401, PLC0415
    from sklearn.impute import IterativeImputer  # noqa: PLC0415

    mean, sd = np.nanmean(table, 0), np.nanstd(table, 0)
    sd = np.where(sd > 0, sd, 1.0)
    imputer = IterativeImputer(
        estimator=estimator,
        max_iter=_N_ROUNDS,
        sample_posterior=draw,
        random_state=seed,
        keep_empty_features=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = imputer.fit_transform((table - mean) / sd)
    return np.where(np.isnan(table), found * sd + mean, table)
