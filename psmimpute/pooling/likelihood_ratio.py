"""Pooled likelihood ratio tests: D3 and D4.

Both take log-likelihoods as numbers. How a fitted model is evaluated at pooled parameters, or
refitted to stacked imputations, is the matter of :mod:`psmimpute.pooling.likelihood`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import ConfigError, PoolingError
from psmimpute.pooling.joint import (
    JointTest,
    check_k,
    check_statistics,
    f_test,
    large_sample_denominator_df,
)
from psmimpute.pooling.rubin import FloatArray

Ariv = Literal["default", "positive", "robust"]
"""How the average relative increase in variance of a likelihood ratio is estimated."""


def d3(
    lr_fitted: npt.ArrayLike, lr_pooled: npt.ArrayLike, *, k: int, ariv: Ariv = "default"
) -> JointTest:
    """Pool likelihood ratio statistics with those at the pooled parameters.

    Parameters
    ----------
    lr_fitted : array_like, shape (m,)
        Twice the difference of log-likelihood between full and null model, each at its own
        estimates.
    lr_pooled : array_like, shape (m,)
        The same at the estimates averaged over the imputations.
    k : int
        Number of parameters by which the models differ.
    ariv : {"default", "positive"}, default "default"
        ``"positive"`` raises a negative estimate of the increase in variance to 0.

    Returns
    -------
    JointTest

    Raises
    ------
    PoolingError
        If there are fewer than 2 statistics, or one is not finite.
    ConfigError
        If `k` is below 1 or `ariv` is none of its possible values.

    References
    ----------
    .. [1] Meng, X.-L. and Rubin, D. B. (1992). Performing likelihood ratio tests with
       multiply-imputed data sets. Biometrika 79(1), 103-111. Formulas 2.2 to 2.4.
    """
    if ariv not in ("default", "positive"):
        raise ConfigError(f"D3 takes ariv='default' or 'positive', got {ariv!r}")
    fitted = check_statistics(lr_fitted, may_be_negative=True)
    pooled = check_statistics(lr_pooled, may_be_negative=True)
    check_k(k)
    m, t = len(fitted), k * (len(fitted) - 1)
    riv = (m + 1) / t * float(fitted.mean() - pooled.mean())
    if ariv == "positive":
        riv = max(0.0, riv)
    statistic = float(pooled.mean()) / (k * (1 + riv))
    return f_test("D3", statistic, k, large_sample_denominator_df(riv, t=t, k=k), riv=riv, m=m)


@dataclass(frozen=True, slots=True)
class StackedLikelihoods:
    """Log-likelihoods that D4 compares, of one model.

    Attributes
    ----------
    each : ndarray, shape (m,)
        Maximum log-likelihood in each imputation.
    stacked : float
        Maximum log-likelihood of all imputations stacked, divided by ``m``.
    n_params : int
        Number of parameters of the model, a residual variance included.
    """

    each: FloatArray
    stacked: float
    n_params: int


def d4(full: StackedLikelihoods, null: StackedLikelihoods, *, ariv: Ariv = "default") -> JointTest:
    """Pool likelihood ratio statistics with that of the stacked imputations.

    Parameters
    ----------
    full, null : StackedLikelihoods
        Log-likelihoods of the two nested models.
    ariv : {"default", "positive", "robust"}, default "default"
        Estimate of the increase in variance: from the likelihood ratios, the same but at least 0,
        or from the full model alone, which is always positive and consistent under the alternative.

    Returns
    -------
    JointTest

    Raises
    ------
    PoolingError
        If the models have different numbers of imputations, fewer than 2, or a log-likelihood is
        not finite.
    ConfigError
        If the full model has no more parameters than the null model, or `ariv` is none of its
        possible values.

    References
    ----------
    .. [1] Chan, K. W. and Meng, X.-L. (2022). Multiple improvements of multiple imputation
       likelihood ratio tests. Statistica Sinica 32, 1489-1514.
    """
    if ariv not in ("default", "positive", "robust"):
        raise ConfigError(f"D4 takes ariv='default', 'positive' or 'robust', got {ariv!r}")
    if full.each.shape != null.each.shape:
        raise PoolingError(
            f"both models need the same imputations, got {len(full.each)} and {len(null.each)}"
        )
    ratios = check_statistics(2 * (full.each - null.each), may_be_negative=True)
    k, h, m = full.n_params - null.n_params, full.n_params, len(ratios)
    check_k(k)
    stacked = 2 * (full.stacked - null.stacked)
    if ariv == "robust":
        riv = (m + 1) / (h * (m - 1)) * 2 * (float(full.each.mean()) - full.stacked)
        df_missing = h * (m - 1)
    else:
        riv = (m + 1) / (k * (m - 1)) * (float(ratios.mean()) - stacked)
        df_missing = k * (m - 1)
    if ariv == "positive":
        riv = max(0.0, riv)
    df2 = np.inf if riv == 0 else df_missing * float(np.square(1 + 1 / riv))
    return f_test("D4", stacked / (k * (1 + riv)), k, df2, riv=riv, m=m)
