"""Joint tests of several parameters over imputations: D1 and D2.

Each function takes numbers, not models, and returns a :class:`JointTest`. D3 and D4 are in
:mod:`psmimpute.pooling.likelihood_ratio`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from psmimpute.exceptions import ConfigError, PoolingError
from psmimpute.pooling.moments import PooledMoments
from psmimpute.pooling.rubin import FloatArray, check_dfcom


@dataclass(frozen=True, slots=True)
class JointTest:
    """F test of ``df1`` restrictions, pooled over ``m`` imputations.

    The names of mice and of statsmodels both work: ``df1`` is ``df_num``, ``df2`` is
    ``df_denom``, ``statistic`` is ``fvalue``, ``p_value`` is ``pvalue``.

    Attributes
    ----------
    method : str
        ``"D1"``, ``"D2"``, ``"D3"`` or ``"D4"``.
    statistic : float
        F statistic. D3 and D4 may be slightly negative when the null model fits about as well.
    df1, df2 : float
        Degrees of freedom of numerator and denominator.
    p_value : float
        Upper tail probability.
    riv : float
        Average relative increase in variance due to nonresponse.
    m : int
        Number of imputations.

    Examples
    --------
    `imp` and `pooled` are those of the examples of :class:`psmimpute.MultiplyImputed` and
    :class:`psmimpute.PooledResults`.

    >>> test = pooled.compare(imp.pool("bmi ~ chl", model=smf.ols))
    >>> test
    <D1: F(2, 4.0) = 1.580, p = 0.312; riv = 0.550, m = 3>
    >>> test.df_num, round(test.pvalue, 3)
    (2.0, 0.312)
    """

    method: str
    statistic: float
    df1: float
    df2: float
    p_value: float
    riv: float
    m: int

    def __repr__(self) -> str:
        df2 = "inf" if np.isinf(self.df2) else f"{self.df2:.1f}"
        p_value = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        return (
            f"<{self.method}: F({self.df1:g}, {df2}) = {self.statistic:.3f}, {p_value}; "
            f"riv = {self.riv:.3f}, m = {self.m}>"
        )

    @property
    def fvalue(self) -> float:
        """The F statistic, as statsmodels names it."""
        return self.statistic

    @property
    def pvalue(self) -> float:
        """The p-value, as statsmodels names it."""
        return self.p_value

    @property
    def df_num(self) -> float:
        """Degrees of freedom of the numerator, as statsmodels names them."""
        return self.df1

    @property
    def df_denom(self) -> float:
        """Degrees of freedom of the denominator, as statsmodels names them."""
        return self.df2


def d1(moments: PooledMoments, *, dfcom: float = np.inf) -> JointTest:
    """Wald test that all estimates are 0, from pooled covariance matrices.

    The total covariance is taken as ``(1 + riv) ubar``, so the test needs no inverse of the
    between-imputation covariance and works with fewer imputations than parameters.

    Parameters
    ----------
    moments : PooledMoments
        Of the ``k`` quantities that are 0 under the null hypothesis.
    dfcom : float, default inf
        Complete-data residual degrees of freedom.

    Returns
    -------
    JointTest
        With one parameter the statistic is the square of the pooled t.

    Raises
    ------
    PoolingError
        If the within-imputation covariance is singular.
    ConfigError
        If `dfcom` is not positive.

    Notes
    -----
    Reiter's small-sample degrees of freedom exist for ``k (m - 1) > 4``, tend to 4 at 4, and need
    more observed than missing information. Elsewhere ``(k + 1) / 2`` times the scalar degrees of
    freedom at the average relative increase are used; with one parameter those are Barnard and
    Rubin's. Nested imputations use the statistic and the degrees of freedom of Shen, which for
    finite `dfcom` are combined with ``dfcom (dfcom + 1) / ((dfcom + 3) (1 + riv))`` by adding
    reciprocals.

    References
    ----------
    .. [1] Li, K. H., Raghunathan, T. E. and Rubin, D. B. (1991). Large-sample significance levels
       from multiply imputed data. JASA 86(416), 1065-1073. Formulas 1.17 to 1.19.
    .. [2] Reiter, J. P. (2007). Small-sample degrees of freedom for multi-component significance
       tests with multiple imputation for missing data. Biometrika 94(2), 502-508.
    .. [3] Shen, Z. (2000). Nested Multiple Imputation. PhD thesis, Harvard University.
    """
    check_dfcom(dfcom)
    k = len(moments.qbar)
    scaled = _solve_within(moments.ubar, moments.qbar[:, None])
    parts = [
        component.weight * float(np.trace(_solve_within(moments.ubar, component.cov))) / k
        for component in moments.components
    ]
    riv = float(sum(parts))
    statistic = float(moments.qbar @ scaled[:, 0]) / (k * (1 + riv))
    if moments.rule == "rubin":
        df2 = d1_denominator_df(riv, k=k, m=moments.m, dfcom=dfcom)
    else:
        shares = [
            (part / (1 + riv)) ** 2 / (k * component.df)
            for part, component in zip(parts, moments.components, strict=True)
        ]
        df2 = _reciprocal(sum(shares) + _inverse_observed_df(riv, dfcom))
    return f_test("D1", statistic, k, df2, riv=riv, m=moments.m)


def d1_denominator_df(riv: float, *, k: int, m: int, dfcom: float) -> float:
    """Denominator degrees of freedom of D1.

    Parameters
    ----------
    riv : float
        Average relative increase in variance, at least 0.
    k : int
        Number of parameters tested.
    m : int
        Number of imputations.
    dfcom : float
        Complete-data residual degrees of freedom, possibly infinite.

    Returns
    -------
    float
        Positive, possibly infinite.
    """
    t = k * (m - 1)
    if np.isinf(dfcom):
        return large_sample_denominator_df(riv, t=t, k=k)
    if t == 4:
        return 4.0
    reiter = _reiter_2007(riv, t=t, dfcom=dfcom) if t > 4 else None
    if reiter is not None:
        return reiter
    inverse_old = (riv / (1 + riv)) ** 2 / (m - 1)
    return (k + 1) / 2 * _reciprocal(inverse_old + _inverse_observed_df(riv, dfcom))


def large_sample_denominator_df(riv: float, *, t: float, k: int) -> float:
    """Large-sample denominator degrees of freedom of D1 and D3.

    Parameters
    ----------
    riv : float
        Average relative increase in variance.
    t : float
        ``k (m - 1)``.
    k : int
        Number of parameters tested.

    Returns
    -------
    float
        Infinite when `riv` is 0.

    References
    ----------
    .. [1] Li, K. H., Raghunathan, T. E. and Rubin, D. B. (1991). JASA 86(416), 1065-1073.
       Formula 1.19.
    """
    if riv == 0:
        return np.inf
    if t > 4:
        return 4 + (t - 4) * _square(1 + (1 - 2 / t) / riv)
    return t * (1 + 1 / k) * _square(1 + 1 / riv) / 2


def d2(
    statistics: npt.ArrayLike, *, k: int, ariv: Literal["default", "positive"] = "default"
) -> JointTest:
    """Pool chi-square statistics, where nothing else is known of the analyses.

    Parameters
    ----------
    statistics : array_like, shape (m,)
        Wald, likelihood ratio or other statistics, each chi-square with `k` degrees of freedom
        under the null hypothesis.
    k : int
        Their degrees of freedom.
    ariv : {"default", "positive"}, default "default"
        ``"positive"`` is accepted for the likeness with D4; the estimate is never negative.

    Returns
    -------
    JointTest

    Raises
    ------
    PoolingError
        If there are fewer than 2 statistics, or one is negative or not finite.
    ConfigError
        If `k` is below 1 or `ariv` is none of its possible values.

    References
    ----------
    .. [1] Li, K. H., Meng, X.-L., Raghunathan, T. E. and Rubin, D. B. (1991). Significance levels
       from repeated p-values with multiply-imputed data. Statistica Sinica 1(1), 65-92.
       Formulas 2.1 to 2.4.

    Examples
    --------
    >>> test = d2([6.2, 8.1, 7.4], k=2)
    >>> round(test.statistic, 4), round(test.riv, 4)
    (3.3826, 0.0435)
    """
    if ariv not in ("default", "positive"):
        raise ConfigError(f"D2 takes ariv='default' or 'positive', got {ariv!r}")
    d = check_statistics(statistics)
    check_k(k)
    m = len(d)
    root = np.sqrt(d)
    riv = float((1 + 1 / m) * (root - root[0]).var(ddof=1))
    statistic = float((d.mean() / k - (m + 1) / (m - 1) * riv) / (1 + riv))
    df2 = np.inf if riv == 0 else k ** (-3 / m) * (m - 1) * _square(1 + 1 / riv)
    return f_test("D2", statistic, k, df2, riv=riv, m=m)


def f_test(
    method: str, statistic: float, df1: float, df2: float, *, riv: float, m: int
) -> JointTest:
    """Attach the upper tail probability to an F statistic.

    Parameters
    ----------
    method : str
        Name of the test.
    statistic : float
        F statistic.
    df1, df2 : float
        Degrees of freedom; `df2` may be infinite.
    riv : float
        Average relative increase in variance.
    m : int
        Number of imputations.

    Returns
    -------
    JointTest
    """
    if np.isinf(df2):
        p_value = float(stats.chi2.sf(statistic * df1, df1))
    else:
        p_value = float(stats.f.sf(statistic, df1, df2))
    return JointTest(method, float(statistic), float(df1), float(df2), p_value, float(riv), m)


def _reiter_2007(riv: float, *, t: int, dfcom: float) -> float | None:
    """Evaluate Reiter's formula; `a` is the increase in variance without its finite-m bias."""
    a = riv * t / (t - 2)
    observed = dfcom * (dfcom + 1) / (dfcom + 3)
    c0 = 1 / (t - 4)
    c1, c2 = observed - 2 * (1 + a), observed - 4 * (1 + a)
    if c2 <= 0:  # outside the range of the expansion
        return None
    z = 1 / c2 + c0 * (
        a**2 * c1 / ((1 + a) ** 2 * c2)
        + 8 * a**2 * c1 / ((1 + a) * c2**2)
        + 4 * a**2 / ((1 + a) * c2)
        + 4 * a**2 / (c2 * c1)
        + 16 * a**2 * c1 / c2**3
        + 8 * a**2 / c2**2
    )
    return 4 + 1 / z


def _inverse_observed_df(riv: float, dfcom: float) -> float:
    return 0.0 if np.isinf(dfcom) else (dfcom + 3) * (1 + riv) / (dfcom * (dfcom + 1))


def _square(x: float) -> float:
    return x * x  # a power of floats raises where a product is infinite


def _reciprocal(x: float) -> float:
    return float(np.inf) if x == 0 else 1 / x


def _solve_within(ubar: FloatArray, rhs: FloatArray) -> FloatArray:
    """`ubar` is scaled to unit diagonal first, so that units do not decide what is singular."""
    scale = np.sqrt(np.diag(ubar))
    correlation = ubar / np.outer(scale, scale)
    if np.linalg.matrix_rank(correlation, hermitian=True) < len(scale):
        raise PoolingError(
            f"the within-imputation covariance of the {len(scale)} restrictions is singular: some "
            "restriction repeats the others; leave it out"
        )
    return np.asarray(np.linalg.solve(correlation, rhs / scale[:, None]) / scale[:, None])


def check_statistics(values: npt.ArrayLike, *, may_be_negative: bool = False) -> FloatArray:
    """Refuse test statistics that cannot be pooled.

    Parameters
    ----------
    values : array_like, shape (m,)
        One statistic for each imputation.
    may_be_negative : bool, default False
        Whether a negative value is possible, as for a difference of log-likelihoods.

    Returns
    -------
    ndarray, shape (m,)

    Raises
    ------
    PoolingError
        If there are fewer than 2 statistics, or one is not finite, or negative where it may not.
    """
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or len(found) < 2:
        raise PoolingError(
            f"pooling needs one statistic for each of 2 or more imputations, got {found}"
        )
    bad = ~np.isfinite(found) | (False if may_be_negative else found < 0)
    if bad.any():
        i = int(np.argmax(bad))
        raise PoolingError(
            f"the statistic of imputation {i + 1} is {found[i]}; it must be finite and not negative"
        )
    return found


def check_k(k: int) -> None:
    """Refuse a test of no restriction.

    Parameters
    ----------
    k : int
        Number of parameters by which the models differ.

    Raises
    ------
    ConfigError
        If `k` is below 1.
    """
    if k < 1:
        raise ConfigError(f"the models must differ by at least 1 parameter, got {k}")
