"""Estimators in the manner of scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.item import Fitted, PoolItem

_COVARIANCES = ("covariance_matrix_", "vcov_", "sigma_")


def from_sklearn(fit: Fitted) -> PoolItem:
    """Read a linear estimator that gives the covariance of its coefficients.

    Parameters
    ----------
    fit : estimator
        Fitted, with ``coef_`` and one of ``covariance_matrix_``, ``vcov_`` and ``sigma_`` (such as
        `sklearn.linear_model.BayesianRidge`) that matches it.

    Returns
    -------
    PoolItem
        Without an intercept, whose covariance no such estimator gives.

    Raises
    ------
    PoolingError
        If there is no covariance matrix of the coefficients.
    """
    coefficients = np.atleast_1d(np.squeeze(np.asarray(fit.coef_, dtype=float)))
    k = coefficients.size
    for name in _COVARIANCES:
        cov = getattr(fit, name, None)
        if cov is not None and np.shape(cov) == (k, k):
            break
    else:
        raise PoolingError(
            f"{type(fit).__name__} gives {k} coefficients and no covariance matrix of them, so it "
            "cannot be pooled: fit the model with statsmodels, or pool a bootstrap variance with "
            "pool_scalar"
        )
    names = getattr(fit, "feature_names_in_", [f"x{j}" for j in range(k)])
    n = getattr(fit, "n_samples_fit_", None)
    return PoolItem(
        params=pd.Series(coefficients.ravel(), index=pd.Index([str(name) for name in names])),
        cov=np.asarray(cov, dtype=float),
        df=None,
        nobs=None if n is None else int(n),
    )
