"""Fits whose maximum likelihood lies at infinity."""

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
