"""Fitted models of linearmodels."""

from __future__ import annotations

from psmimpute.pooling.item import Fitted, PoolItem, number_or_none


def from_linearmodels(fit: Fitted) -> PoolItem:
    """Read instrumental variable, panel or system results.

    Parameters
    ----------
    fit : linearmodels results
        Anything with ``params``, ``cov``, ``df_resid`` and ``nobs``.

    Returns
    -------
    PoolItem
    """
    nobs = number_or_none(fit.nobs)
    return PoolItem(
        params=fit.params,
        cov=fit.cov,
        df=number_or_none(getattr(fit, "df_resid", None)),
        nobs=None if nobs is None else round(nobs),
        llf=number_or_none(getattr(fit, "loglik", None)),
        n_params=len(fit.params) + 1,
    )
