"""Fitted models of pyfixest."""

from __future__ import annotations

import numpy as np
import pandas as pd

from psmimpute.pooling.item import Fitted, PoolItem, number_or_none


def from_pyfixest(fit: Fitted) -> PoolItem:
    """Read a fixed-effects regression.

    ``df`` is that of the covariance: the number of clusters less one when it is clustered.

    Parameters
    ----------
    fit : pyfixest model
        Feols, Fepois, Feglm or Feiv.

    Returns
    -------
    PoolItem
    """
    # `coef()` labels terms with NumPy strings; messages and indices read better with plain ones.
    names = pd.Index([str(name) for name in fit._coefnames])
    converged = getattr(fit, "convergence", True)
    nobs = number_or_none(fit._N)
    return PoolItem(
        params=pd.Series(np.asarray(fit.coef(), dtype=float), index=names),
        cov=np.asarray(fit._vcov, dtype=float),
        df=number_or_none(fit._df_t),
        nobs=None if nobs is None else round(nobs),
        llf=number_or_none(getattr(fit, "_loglik", None)),
        n_params=len(names),
        problem=None if converged in (True, None) else "did not converge; raise iwls_maxiter",
    )
