"""Fits without a unique finite estimate: separated outcomes, and designs of deficient rank."""

from __future__ import annotations

import numpy as np
import pandas as pd

from psmimpute.pooling.rubin import FloatArray

# exp(-12) is 6e-6: fitted probabilities and counts this small mean that the algorithm was
# running away when its tolerance stopped it; Newton steps end between 15 and 30.
_LINEAR_PREDICTOR = 12.0
# Standard error of the effect of one standard deviation, in units of the linear predictor. With
# 25 rows, one tenth of them events, an ordinary regressor has about 0.7.
_STANDARD_ERROR = 10.0
# Share of a column in a linear dependence below which it is rounding.
_LOADING = 1e-6


def separated_term(
    params: pd.Series, cov: FloatArray, exog: FloatArray, *, only_low: bool = False
) -> str | None:
    """Find a term whose coefficient runs to infinity.

    A fit is called separated when a linear predictor is extreme and, at the same time, the effect
    of one standard deviation of some regressor has an enormous standard error.

    Parameters
    ----------
    params : Series, shape (k,) or (k * n_equations,)
        Estimates.
    cov : ndarray
        Their covariance matrix.
    exog : ndarray, shape (n_rows, k)
        Design matrix.
    only_low : bool, default False
        Whether only very negative predictors are extreme, as for counts.

    Returns
    -------
    str or None
        A sentence that names the term; None when nothing is wrong.
    """
    k = exog.shape[1]
    n_equations = max(len(params) // k, 1)
    coefficients = params.to_numpy(dtype=float)[: k * n_equations].reshape(n_equations, k).T
    predictor = exog @ coefficients
    extreme = -predictor.min() if only_low else np.abs(predictor).max()
    if not extreme > _LINEAR_PREDICTOR:
        return None
    spread = exog.std(axis=0)
    spread = np.where(spread > 0, spread, np.abs(exog).max(axis=0))
    risk = np.sqrt(np.abs(np.diag(cov)[: k * n_equations])) * np.tile(spread, n_equations)
    worst = int(np.argmax(risk))
    if risk[worst] <= _STANDARD_ERROR:
        return None
    return (
        f"is separated: the coefficient of {params.index[worst]!r} has no finite estimate "
        f"({params.iloc[worst]:.3g}, standard error {np.sqrt(cov[worst, worst]):.3g}); merge its "
        "levels, drop it, or fit with a penalty that gives a covariance"
    )


def dependent_terms(names: pd.Index, exog: FloatArray) -> str:
    """Name the columns of a design that depend on each other.

    Parameters
    ----------
    names : Index, length k
        Names of the columns.
    exog : ndarray, shape (n_rows, k)
        Design matrix, of deficient rank.

    Returns
    -------
    str
        A sentence that names the terms.
    """
    scale = np.sqrt((exog**2).sum(axis=0))
    empty = scale == 0
    _left, singular, right = np.linalg.svd(exog / np.where(empty, 1, scale), full_matrices=False)
    null = right[singular < singular[0] * max(exog.shape) * np.finfo(float).eps]
    involved = empty | (np.abs(null) > _LOADING).any(axis=0)
    listed = ", ".join(repr(name) for name, hit in zip(names, involved, strict=True) if hit)
    return (
        f"has a singular design: {listed} {'is' if involved.sum() == 1 else 'are'} zero or repeat "
        "other columns there; leave a term out, or merge levels without rows"
    )
