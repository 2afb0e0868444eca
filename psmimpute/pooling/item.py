"""The few numbers of a fitted model that pooling needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.rubin import FloatArray

Fitted = Any
"""A fitted model of any library, of which nothing is known but its attributes."""


OWN_ADAPTER = (
    "give its class a method __psm_pool_item__(self) that returns "
    "PoolItem(params, cov, df=..., nobs=...)"
)


@dataclass(frozen=True, slots=True)
class PoolItem:
    """One complete-data analysis, as pooling sees it.

    Attributes
    ----------
    params : Series, shape (k,), or mapping
        Estimates by the name of the term.
    cov : DataFrame or array_like, shape (k, k)
        Their covariance matrix, in the order of `params` or, as a frame, with its names; of one
        estimate, its variance.
    df : float, optional
        Complete-data residual degrees of freedom; None when the analysis does not say, infinity
        when it is asymptotic by nature.
    nobs : int, optional
        Number of rows analysed.
    llf : float or callable, optional
        Maximum log-likelihood, or what computes it when it is asked for.
    n_params : int, optional
        Number of parameters of `llf`, a residual variance included. Default: that of `params`.
    problem : str, optional
        Why the fit cannot be trusted, such as "did not converge". Pooling then refuses it.
    meta : mapping, optional
        Anything else, kept and not read.

    Examples
    --------
    >>> item = PoolItem(pd.Series({"x": 1.0}), np.array([[0.25]]), df=20)
    >>> item.params["x"]
    np.float64(1.0)
    """

    params: pd.Series
    cov: pd.DataFrame | npt.NDArray[np.float64]
    df: float | None = None
    nobs: int | None = None
    llf: float | Callable[[], float | None] | None = None
    n_params: int | None = None
    problem: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        params: object = self.params
        if isinstance(params, Mapping):
            object.__setattr__(self, "params", pd.Series(params, dtype=float))
        elif not isinstance(params, pd.Series):
            raise PoolingError(
                f"PoolItem(params={params!r}): give a Series or a mapping of estimates by term, "
                "such as {'gini': 0.4}; bare numbers and their variances are pooled by pool_scalar"
            )
        if not isinstance(self.cov, pd.DataFrame):
            object.__setattr__(self, "cov", np.atleast_2d(np.asarray(self.cov, dtype=float)))

    @property
    def covariance(self) -> FloatArray:
        """Covariance in the order of `params`, shape ``(k, k)``.

        Examples
        --------
        >>> item = PoolItem(pd.Series({"x": 1.0}), np.array([[0.25]]), df=20)
        >>> item.covariance.tolist()
        [[0.25]]
        """
        if isinstance(self.cov, pd.DataFrame):
            index = self.params.index
            if self.cov.index.equals(index) and self.cov.columns.equals(index):
                return self.cov.to_numpy(dtype=float)
            return self.cov.reindex(index=index, columns=index).to_numpy(dtype=float)
        return np.asarray(self.cov, dtype=float)

    @property
    def log_likelihood(self) -> float | None:
        """Maximum log-likelihood, computed now if it was put off.

        Examples
        --------
        >>> item = PoolItem(pd.Series({"x": 1.0}), np.array([[0.25]]), df=20, llf=-3.5)
        >>> item.log_likelihood
        -3.5
        """
        return self.llf() if callable(self.llf) else self.llf


@runtime_checkable
class SupportsPooling(Protocol):
    """Any object that says by itself what pooling needs.

    Examples
    --------
    >>> class MyFit:
    ...     def __psm_pool_item__(self):
    ...         estimates = pd.Series([1.2, 0.4], index=["a", "b"])
    ...         return PoolItem(estimates, np.diag([0.1, 0.2]), df=30, nobs=32)
    >>> isinstance(MyFit(), SupportsPooling)
    True
    """

    def __psm_pool_item__(self) -> PoolItem:
        """Estimates, covariance and degrees of freedom of this analysis."""
        ...


def unreadable(fit: object, hint: str = "") -> PoolingError:
    """Say that nothing is known of an object, and what pooling takes instead.

    Parameters
    ----------
    fit : object
        What was to be pooled.
    hint : str, optional
        What to do with such an object.

    Returns
    -------
    PoolingError
        To be raised.
    """
    advice = hint or (
        "estimates of your own come as psm.PoolItem(params=Series, cov=matrix, df=...); or "
        f"{OWN_ADAPTER}; single numbers with their variances are pooled by pool_scalar, means by "
        "pool_mean"
    )
    cls = type(fit)
    return PoolingError(
        f"cannot read the estimates of a {cls.__module__}.{cls.__qualname__}: {advice}"
    )


def number_or_none(value: object) -> float | None:
    """Read an optional figure of a fitted model.

    Parameters
    ----------
    value : object
        A number, or anything else.

    Returns
    -------
    float or None
        None unless `value` is a finite number.
    """
    if isinstance(value, (int, float, np.integer, np.floating)) and np.isfinite(value):
        return float(value)
    return None
