"""Rubin's rules for scalar estimands.

Works on plain arrays: it knows nothing of data frames, fitted models or torch.
Notation follows Rubin (1987, ch. 3) and ``mice``: ``qhat`` and ``u`` go in, ``qbar``,
``ubar``, ``b`` and ``t`` come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import ConfigError, PoolingError

FloatArray = npt.NDArray[np.float64]

Rule = Literal["rubin", "nested", "reiter2003"]
"""How variances combine: Rubin (1987), nested (Shen 2000), or synthetic data (Reiter 2003)."""

DfMethod = Literal["barnard1999", "rubin1987", "infinite"]
"""Degrees of freedom: Barnard and Rubin (1999), Rubin (1987), or a normal reference."""


@dataclass(frozen=True, slots=True)
class RubinPool:
    """Estimates of ``k`` scalar estimands, pooled over ``m`` imputations.

    All arrays have shape ``(k,)``. Variances are in squared units of the estimand;
    ``riv``, ``lambda_`` and ``fmi`` are dimensionless.

    Attributes
    ----------
    m : int
        Number of imputations.
    qbar, ubar, b, t : ndarray
        Pooled estimate, and its within-imputation, between-imputation and total
        variance.
    riv : ndarray
        Relative increase in variance due to nonresponse, ``(1 + 1/m) b / ubar``.
    lambda_ : ndarray
        Share of the total variance due to missingness, ``(1 + 1/m) b / t``.
    df : ndarray
        Degrees of freedom of the t reference distribution.
    fmi : ndarray
        Fraction of missing information, adjusted for finite ``m``.

    References
    ----------
    .. [1] Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley. Formulas
       3.1.2 to 3.1.10.
    .. [2] Barnard, J. and Rubin, D. B. (1999). Small-sample degrees of freedom with multiple
       imputation. Biometrika 86(4), 948-955.

    Examples
    --------
    >>> import psmimpute as psm
    >>> found = psm.pool_scalar([1.0, 2.0, 3.0], [0.5, 0.5, 0.5], dfcom=20)
    >>> found.ubar, found.b, round(found.t, 3), round(found.fmi, 3)
    (np.float64(0.5), np.float64(1.0), np.float64(1.833), np.float64(0.833))
    """

    m: int
    qbar: FloatArray
    ubar: FloatArray
    b: FloatArray
    t: FloatArray
    riv: FloatArray
    lambda_: FloatArray
    df: FloatArray
    fmi: FloatArray

    @property
    def r(self) -> FloatArray:
        """``riv`` under the name that ``mice::pool.scalar`` gives it."""
        return self.riv


def pool_rubin(
    qhat: npt.ArrayLike,
    u: npt.ArrayLike,
    *,
    dfcom: float = np.inf,
    df: DfMethod = "barnard1999",
    rule: Rule = "rubin",
) -> RubinPool:
    """Pool complete-data estimates by Rubin's rules.

    Parameters
    ----------
    qhat : array_like, shape (m, k)
        Complete-data estimates, one row for each imputation.
    u : array_like, shape (m, k)
        Their squared standard errors.
    dfcom : float, default inf
        Residual degrees of freedom of the analysis had no value been missing. The
        default assumes a large sample.
    df : {"barnard1999", "rubin1987", "infinite"}, default "barnard1999"
        Degrees of freedom of the reference distribution: adjusted for a small sample, for
        finitely many imputations only (``dfcom`` is then ignored), or a normal reference.
    rule : {"rubin", "reiter2003"}, default "rubin"
        ``"reiter2003"`` pools partially synthetic data: ``t = ubar + b / m``, degrees of freedom
        ``(m - 1) (1 + m ubar / b)**2``; ``lambda_`` and ``fmi`` are then NaN.

    Returns
    -------
    RubinPool
        Arrays of shape ``(k,)``.

    Raises
    ------
    PoolingError
        If the shapes differ, ``m`` is below 2, an estimate is not finite, or a variance is not
        positive and finite.
    ConfigError
        If `df`, `rule` or `dfcom` is none of its possible values.

    References
    ----------
    .. [1] Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley.
       Formulas 3.1.2 to 3.1.10.
    .. [2] Barnard, J. and Rubin, D. B. (1999). Small-sample degrees of freedom with
       multiple imputation. Biometrika 86(4), 948-955.
    .. [3] Reiter, J. P. (2003). Inference for partially synthetic, public use microdata sets.
       Survey Methodology 29(2), 181-188.

    Examples
    --------
    >>> pooled = pool_rubin([[1.0], [2.0], [3.0]], [[0.5], [0.5], [0.5]], dfcom=20)
    >>> pooled.qbar, pooled.t
    (array([2.]), array([1.83333333]))
    """
    q, w = np.asarray(qhat, dtype=float), np.asarray(u, dtype=float)
    check_estimates(q, w)
    check_dfcom(dfcom)
    m = q.shape[0]
    qbar, ubar, b = q.mean(axis=0), w.mean(axis=0), variance_between(q)
    if rule == "reiter2003":
        return _pool_synthetic(m, qbar, ubar, b)
    if rule != "rubin":
        raise ConfigError(f"rule must be 'rubin' or 'reiter2003', got {rule!r}")

    inflated = (1 + 1 / m) * b
    t = ubar + inflated
    riv, lambda_ = inflated / ubar, inflated / t
    freedom = degrees_of_freedom(lambda_, lambda_**2 / (m - 1), dfcom=dfcom, method=df)
    return RubinPool(
        m, qbar, ubar, b, t, riv, lambda_, freedom, fraction_of_missing_information(riv, freedom)
    )


def barnard_rubin(lambda_: FloatArray, *, m: int, dfcom: float) -> FloatArray:
    """Degrees of freedom of Barnard and Rubin (1999).

    Where nothing is missing (``lambda_ == 0``) the observed-data limit remains, which is
    infinite when `dfcom` is. (``mice`` through 3.18.0 floors ``lambda_`` at 1e-4.)

    Parameters
    ----------
    lambda_ : ndarray, shape (k,)
        Share of the total variance due to missingness, in [0, 1).
    m : int
        Number of imputations.
    dfcom : float
        Complete-data residual degrees of freedom, possibly infinite.

    Returns
    -------
    ndarray, shape (k,)
        Positive, possibly infinite.
    """
    return degrees_of_freedom(lambda_, lambda_**2 / (m - 1), dfcom=dfcom, method="barnard1999")


def degrees_of_freedom(
    lambda_: FloatArray, inverse_old: FloatArray, *, dfcom: float, method: DfMethod
) -> FloatArray:
    """Combine the large-sample degrees of freedom with those of the observed data.

    Parameters
    ----------
    lambda_ : ndarray, shape (k,)
        Share of the total variance due to missingness, in [0, 1).
    inverse_old : ndarray, shape (k,)
        Reciprocal of the large-sample degrees of freedom, ``lambda_**2 / (m - 1)`` in Rubin's
        rules.
    dfcom : float
        Complete-data residual degrees of freedom, possibly infinite.
    method : {"barnard1999", "rubin1987", "infinite"}
        See :func:`pool_rubin`.

    Returns
    -------
    ndarray, shape (k,)
        Positive, possibly infinite.

    Raises
    ------
    ConfigError
        If `method` is none of its possible values.
    """
    if method not in get_args(DfMethod):
        raise ConfigError(f"df must be one of {', '.join(get_args(DfMethod))}, got {method!r}")
    if method == "infinite":
        return np.full_like(lambda_, np.inf)
    with np.errstate(divide="ignore"):
        if method == "rubin1987" or np.isinf(dfcom):
            return np.asarray(1 / inverse_old)
        inverse_observed = (dfcom + 3) / (dfcom * (dfcom + 1) * (1 - lambda_))
        return np.asarray(1 / (inverse_old + inverse_observed))


def fraction_of_missing_information(riv: FloatArray, df: FloatArray) -> FloatArray:
    """Fraction of missing information, adjusted for finitely many imputations.

    Parameters
    ----------
    riv : ndarray, shape (k,)
        Relative increase in variance.
    df : ndarray, shape (k,)
        Degrees of freedom.

    Returns
    -------
    ndarray, shape (k,)
        In [0, 1].

    References
    ----------
    .. [1] Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley.
       Formula 3.1.10.
    """
    return np.asarray((riv + 2 / (df + 3)) / (riv + 1))


def variance_between(q: FloatArray) -> FloatArray:
    """Sample variance over the imputations, exactly zero where they agree.

    Parameters
    ----------
    q : ndarray, shape (m, k)
        Estimates.

    Returns
    -------
    ndarray, shape (k,)
    """
    # A mean of equal numbers need not equal them in floating point.
    return np.asarray((q - q[0]).var(axis=0, ddof=1))


def check_dfcom(dfcom: float) -> None:
    """Refuse complete-data degrees of freedom that are not positive.

    Parameters
    ----------
    dfcom : float
        Complete-data residual degrees of freedom.

    Raises
    ------
    ConfigError
        If `dfcom` is not above 0.
    """
    if not dfcom > 0:
        raise ConfigError(
            f"dfcom must be positive, got {dfcom}: the analysis has no residual degrees of "
            "freedom; fit fewer terms, or give dfcom yourself"
        )


def _pool_synthetic(m: int, qbar: FloatArray, ubar: FloatArray, b: FloatArray) -> RubinPool:
    unknown = np.full_like(qbar, np.nan)
    with np.errstate(divide="ignore"):
        df = (m - 1) * (1 + ubar / (b / m)) ** 2
    riv = (1 + 1 / m) * b / ubar
    return RubinPool(m, qbar, ubar, b, ubar + b / m, riv, unknown, df, unknown)


def check_estimates(q: FloatArray, u: FloatArray) -> None:
    """Refuse estimates and variances that cannot be pooled.

    Parameters
    ----------
    q, u : ndarray, shape (m, k)
        Estimates, and their squared standard errors.

    Raises
    ------
    PoolingError
        If the shapes differ, ``m`` is below 2, an estimate is not finite, or a variance is not
        positive and finite.
    """
    if q.ndim != 2 or q.shape != u.shape:
        raise PoolingError(f"qhat and u must share a shape (m, k); got {q.shape} and {u.shape}")
    if q.shape[0] < 2:
        raise PoolingError("pooling needs at least 2 imputations: impute with m=20, say")
    bad = ~(np.isfinite(q) & np.isfinite(u) & (u > 0))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise PoolingError(
            f"estimand {column} of analysis {row} needs a finite estimate and a positive, finite "
            f"variance, got {q[row, column]} and {u[row, column]}"
        )
