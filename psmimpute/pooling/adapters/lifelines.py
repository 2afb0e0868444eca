"""Fitted survival regressions of lifelines."""

from __future__ import annotations

import numpy as np

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.item import Fitted, PoolItem, number_or_none


def from_lifelines(fit: Fitted) -> PoolItem:
    """Read a Cox or parametric survival fitter.

    A lifelines model keeps its results on itself, so each imputation needs its own fitter.

    Parameters
    ----------
    fit : lifelines fitter
        Fitted; anything with ``params_`` and ``variance_matrix_``.

    Returns
    -------
    PoolItem
        ``df`` is the number of events less the number of coefficients.

    Raises
    ------
    PoolingError
        If the fitter was not fitted, or was fitted with robust standard errors, of which lifelines
        keeps no covariance matrix.
    """
    params = getattr(fit, "params_", None)
    if params is None:
        raise PoolingError(
            f"this {type(fit).__name__} has no estimates: it was never fitted, or has none to "
            "pool; call fit() on a fresh fitter for each imputation"
        )
    cov, standard_errors = fit.variance_matrix_, getattr(fit, "standard_errors_", None)
    if standard_errors is not None and not np.allclose(
        np.sqrt(np.diag(cov)), np.asarray(standard_errors, dtype=float).ravel(), rtol=1e-6
    ):
        raise PoolingError(
            f"this {type(fit).__name__} has robust standard errors, and lifelines keeps no robust "
            "covariance matrix: pool its estimates and standard errors with pool_table"
        )
    events = getattr(fit, "event_observed", None)
    k = len(params)
    nobs = getattr(fit, "_n_examples", None) if events is None else len(events)
    return PoolItem(
        params=params,
        cov=cov,
        df=None if events is None else max(float(np.sum(np.asarray(events))) - k, 1.0),
        nobs=None if nobs is None else int(nobs),
        llf=number_or_none(getattr(fit, "log_likelihood_", None)),
        n_params=k,
    )
