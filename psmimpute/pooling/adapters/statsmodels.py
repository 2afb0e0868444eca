"""Fitted models of statsmodels."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import pandas as pd

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.adapters.separation import dependent_terms, separated_term
from psmimpute.pooling.item import Fitted, PoolItem, number_or_none, unreadable
from psmimpute.pooling.rubin import FloatArray

# Models whose likelihood has a maximum at infinity when a regressor separates the outcomes.
_BINARY = frozenset({"Logit", "Probit", "MNLogit", "Binomial"})
_COUNT = frozenset({"Poisson", "NegativeBinomial", "NegativeBinomialP", "GeneralizedPoisson"})
_RANK_IN_DF_MODEL = frozenset({"GLM", "Logit", "Probit", "Poisson"})
_MODELS_FIRST = "pool the fitted models, and call {} of the pooled results"
# By how the names of classes begin.
_POOLED_BY = {
    "ContrastResults": _MODELS_FIRST.format("t_test() or f_test()"),
    "PredictionResults": _MODELS_FIRST.format("get_prediction()"),
    "DescrStatsW": "psm.pool_mean pools means, weighted ones too",
}
_GAUSSIAN_RESULTS = frozenset({"RegressionResults", "OLSResults"})


def from_statsmodels(fit: Fitted) -> PoolItem:
    """Read results that follow the conventions of statsmodels.

    Degrees of freedom are ``df_resid_inference`` where the covariance has its own, as a clustered
    one has, else ``df_resid``.

    Parameters
    ----------
    fit : statsmodels results
        OLS, WLS, GLS, GLM, Logit, Probit, Poisson, NegativeBinomial, OrderedModel, QuantReg, RLM
        or any other with ``params`` and ``cov_params()``; from formula or arrays.

    Returns
    -------
    PoolItem

    Raises
    ------
    PoolingError
        If the model has not been fitted.
    """
    inner = _unwrapped(fit)
    if not hasattr(inner, "params"):
        if hasattr(inner, "fit"):
            raise PoolingError(f"a {type(inner).__name__} that has not been fitted: call its fit()")
        name = type(inner).__name__
        raise unreadable(fit, next((v for k, v in _POOLED_BY.items() if name.startswith(k)), ""))
    params, cov = _named(inner.params, fit), np.asarray(inner.cov_params(), dtype=float)
    df = number_or_none(getattr(inner, "df_resid_inference", None))
    return PoolItem(
        params=params,
        cov=cov,
        df=number_or_none(getattr(inner, "df_resid", None)) if df is None else df,
        nobs=_nobs(inner),
        llf=partial(_llf, inner),
        n_params=len(params) + (_has_residual_variance(inner)),
        problem=_problem(inner, params, cov),
    )


def from_gee(fit: Fitted) -> PoolItem:
    """Read generalized estimating equations, whose theory is asymptotic: ``df`` is infinite.

    Parameters
    ----------
    fit : statsmodels results
        GEE, NominalGEE or OrdinalGEE.

    Returns
    -------
    PoolItem
    """
    inner = _unwrapped(fit)
    params = _named(inner.params, fit)
    return PoolItem(
        params=params,
        cov=np.asarray(inner.cov_params(), dtype=float),
        df=np.inf,
        nobs=_nobs(inner),
        problem=_not_converged(inner),
    )


def from_margins(fit: Fitted) -> PoolItem:
    """Read marginal effects of a binary or count model; ``df`` is infinite.

    Parameters
    ----------
    fit : statsmodels DiscreteMargins
        What ``get_margeff()`` of a fitted model returns.

    Returns
    -------
    PoolItem

    Raises
    ------
    PoolingError
        If the effects are those on several outcomes.
    """
    effects = np.asarray(fit.margeff, dtype=float)
    if effects.ndim != 1:
        raise unreadable(fit, "its effects are on several outcomes: give a psm.PoolItem of each")
    return PoolItem(
        params=pd.Series(effects, index=fit.summary_frame().index),
        cov=np.asarray(fit.margeff_cov, dtype=float),
        df=np.inf,
        nobs=_nobs(_unwrapped(fit.results)),
    )


def from_mixedlm(fit: Fitted) -> PoolItem:
    """Read the fixed effects of a linear mixed model.

    Variance components are left out: they are pooled on the log scale by
    :func:`psmimpute.pool_stat`. The residual degrees of freedom of statsmodels have
    no meaning for a mixed model; ``df`` is infinite, and Satterthwaite's can be given to
    :func:`psmimpute.pool` as ``dfcom``.

    Parameters
    ----------
    fit : statsmodels results
        MixedLM.

    Returns
    -------
    PoolItem
        Without a log-likelihood when the fit is by REML, which compares no fixed effects.
    """
    inner = _unwrapped(fit)
    params = _named(inner.fe_params, fit)
    k = len(params)
    reml = bool(getattr(inner, "reml", getattr(inner, "method", "") == "REML"))
    return PoolItem(
        params=params,
        cov=np.asarray(inner.cov_params(), dtype=float)[:k, :k],
        df=np.inf,
        nobs=_nobs(inner),
        llf=None if reml else partial(_llf, inner),
        n_params=len(np.asarray(inner.params)) + 1,
        problem=_not_converged(inner),
    )


def from_mnlogit(fit: Fitted) -> PoolItem:
    """Read a multinomial logit, whose estimates form a matrix.

    Parameters
    ----------
    fit : statsmodels results
        MNLogit.

    Returns
    -------
    PoolItem
        Terms are pairs of level and regressor, in the order of ``cov_params()``.
    """
    inner = _unwrapped(fit)
    matrix, cov = np.asarray(inner.params, dtype=float), np.asarray(inner.cov_params(), dtype=float)
    names = pd.MultiIndex.from_tuples(list(fit.model.data.cov_names), names=[None, None])
    params = pd.Series(matrix.ravel(order="F"), index=names)
    return PoolItem(
        params=params,
        cov=cov,
        df=number_or_none(inner.df_resid),
        nobs=_nobs(inner),
        llf=partial(_llf, inner),
        n_params=len(params),
        problem=_separated(inner, params, cov) or _not_converged(inner),
    )


def from_phreg(fit: Fitted) -> PoolItem:
    """Read a proportional hazards regression; ``df`` is the number of events less coefficients.

    Parameters
    ----------
    fit : statsmodels results
        PHReg.

    Returns
    -------
    PoolItem
    """
    inner = _unwrapped(fit)
    params, model = _named(inner.params, fit), fit.model
    events = float(np.sum(np.asarray(model.status)))
    return PoolItem(
        params=params,
        cov=np.asarray(inner.cov_params(), dtype=float),
        df=max(events - len(params), 1.0),
        nobs=len(model.endog),
        llf=partial(_llf, inner),
        n_params=len(params),
        problem=_not_converged(inner),
    )


def _unwrapped(fit: Fitted) -> Fitted:
    """Reach the results behind the wrapper that adds pandas labels, which costs time."""
    return getattr(fit, "_results", fit)


def _named(params: Fitted, fit: Fitted) -> pd.Series:
    """Label the estimates; sharing one index between imputations makes aligning them cheap."""
    values = np.asarray(params, dtype=float)
    data = getattr(fit.model, "data", None)
    names = getattr(data, "param_names", None) or fit.model.exog_names
    return pd.Series(values, index=_index_of(tuple(names[: len(values)])))


@lru_cache(maxsize=64)
def _index_of(names: tuple[str, ...]) -> pd.Index:
    return pd.Index(names)


def _nobs(inner: Fitted) -> int | None:
    nobs = number_or_none(getattr(inner, "nobs", None))
    return None if nobs is None else round(nobs)


def _llf(inner: Fitted) -> float | None:
    try:
        return number_or_none(inner.llf)
    except (AttributeError, NotImplementedError):
        return None  # quasi-likelihoods and robust fits have none


def _has_residual_variance(inner: Fitted) -> bool:
    family = getattr(inner.model, "family", None)
    if family is not None:
        return type(family).__name__ in ("Gaussian", "Gamma", "InverseGaussian")
    return type(inner).__name__ in _GAUSSIAN_RESULTS


def _problem(inner: Fitted, params: pd.Series, cov: FloatArray) -> str | None:
    # What runs to infinity seldom converges: that is the symptom, not the cause.
    return _singular(inner, params) or _separated(inner, params, cov) or _not_converged(inner)


def _singular(inner: Fitted, params: pd.Series) -> str | None:
    """Least squares by pseudoinverse gives numbers even where columns repeat each other."""
    model = inner.model
    exog, rank = getattr(model, "exog", None), getattr(model, "rank", None)
    if rank is None and type(model).__name__ in _RANK_IN_DF_MODEL:
        rank = model.df_model + 1
    if exog is None or rank is None or rank >= exog.shape[1]:
        return None
    return dependent_terms(params.index[: exog.shape[1]], np.asarray(exog, dtype=float))


def _not_converged(inner: Fitted) -> str | None:
    retvals = getattr(inner, "mle_retvals", None)
    converged = retvals.get("converged") if isinstance(retvals, dict) else None
    if converged is None:
        converged = getattr(inner, "converged", None)
    if converged is None or bool(converged):
        return None
    if type(inner).__name__ == "MixedLMResults":
        return (
            "did not converge, as happens where a variance of the groups is near 0: fit it by "
            "fit(method='powell'), or without that random effect"
        )
    return "did not converge; raise maxiter, or simplify the model"


def _separated(inner: Fitted, params: pd.Series, cov: FloatArray) -> str | None:
    model = inner.model
    kinds = {type(model).__name__, type(getattr(model, "family", None)).__name__}
    exog = getattr(model, "exog", None)
    if exog is None or not kinds & (_BINARY | _COUNT):
        return None
    counts = bool(kinds & _COUNT)
    return separated_term(params, cov, np.asarray(exog, dtype=float), only_low=counts)
