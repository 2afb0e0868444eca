"""Tests of pooled coefficients, returned as statsmodels returns them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.stats.contrast import ContrastResults, WaldTestResults

from psmimpute.exceptions import ConfigError, PoolingError
from psmimpute.pooling.joint import JointTest, d1, d2
from psmimpute.pooling.moments import PooledMoments, pooled_moments, scalar_pool
from psmimpute.pooling.rubin import DfMethod, FloatArray, Rule

# Central differences are most accurate with steps of the cube root of the rounding error.
_STEP = float(np.finfo(float).eps ** (1 / 3))


def t_contrast(
    moments: PooledMoments,
    r_matrix: FloatArray,
    values: FloatArray,
    *,
    dfcom: float,
    df: DfMethod,
    use_t: bool = True,
) -> ContrastResults:
    """Test linear combinations one by one.

    Parameters
    ----------
    moments : PooledMoments
        Of the ``k`` coefficients.
    r_matrix : ndarray, shape (q, k)
        One combination in each row.
    values : ndarray, shape (q,)
        Values under the null hypothesis.
    dfcom : float
        Complete-data residual degrees of freedom.
    df : {"barnard1999", "rubin1987", "infinite"}
        Degrees of freedom of each combination, found from its own variances.
    use_t : bool, default True
        Whether to refer to t rather than to the normal distribution.

    Returns
    -------
    ContrastResults
        Of statsmodels; ``df_denom`` holds one number for each combination.
    """
    pooled = scalar_pool(moments.contrast(r_matrix), dfcom=dfcom, df=df)
    sd = np.sqrt(pooled.t)
    statistic = (pooled.qbar - values) / sd
    if not use_t:
        return ContrastResults(effect=pooled.qbar, statistic=statistic, sd=sd, distribution="norm")
    freedom = float(pooled.df[0]) if len(pooled.df) == 1 else pooled.df
    return ContrastResults(effect=pooled.qbar, t=statistic, sd=sd, df_denom=freedom)


def joint_contrast(
    qhat: FloatArray,
    u: FloatArray,
    *,
    rule: Rule,
    member_of: npt.ArrayLike | None,
    dfcom: float,
    method: Literal["D1", "D2"] = "D1",
) -> JointTest:
    """Test that all of several quantities are 0.

    Parameters
    ----------
    qhat : ndarray, shape (m, q)
        The quantities in each imputation.
    u : ndarray, shape (m, q, q)
        Their covariance matrices.
    rule : {"rubin", "nested", "reiter2003"}
        Rules of the variances; D2 knows one only.
    member_of : array_like, shape (m,), or None
        Member that gave each imputation.
    dfcom : float
        Complete-data residual degrees of freedom.
    method : {"D1", "D2"}, default "D1"
        From the pooled covariance matrices, or from each imputation's Wald statistic.

    Returns
    -------
    JointTest

    Raises
    ------
    PoolingError
        If a covariance matrix is singular, or D2 is asked of nested imputations.
    ConfigError
        If `method` is none of its possible values.
    """
    if method == "D1":
        return d1(pooled_moments(qhat, u, rule=rule, member_of=member_of), dfcom=dfcom)
    if method != "D2":
        raise ConfigError(f"a Wald test has method 'D1' or 'D2', got {method!r}")
    if rule != "rubin":
        raise PoolingError(f"D2 is not known for the {rule} rules: use method='D1'")
    return d2(wald_statistics(qhat, u), k=qhat.shape[1])


def wald_statistics(qhat: FloatArray, u: FloatArray) -> FloatArray:
    """Wald statistic of each imputation.

    Parameters
    ----------
    qhat : ndarray, shape (m, q)
        Quantities that are 0 under the null hypothesis.
    u : ndarray, shape (m, q, q)
        Their covariance matrices.

    Returns
    -------
    ndarray, shape (m,)
        Chi-square with ``q`` degrees of freedom under the null hypothesis.

    Raises
    ------
    PoolingError
        If a covariance matrix is singular.
    """
    scale = np.sqrt(np.diagonal(u, axis1=1, axis2=2))
    correlation = u / (scale[:, :, None] * scale[:, None, :])
    deficient = np.linalg.matrix_rank(correlation, hermitian=True) < qhat.shape[1]
    if deficient.any():
        raise PoolingError(
            f"the covariance of the {qhat.shape[1]} restrictions is singular in imputation "
            f"{int(np.argmax(deficient)) + 1}: some restriction repeats the others; leave it out"
        )
    z = qhat / scale
    return np.asarray((z * np.linalg.solve(correlation, z[:, :, None])[:, :, 0]).sum(axis=1))


def contrast_results(
    test: JointTest, *, use_f: bool = True, scalar: bool = True
) -> ContrastResults:
    """Dress a joint test as statsmodels does.

    Parameters
    ----------
    test : JointTest
        The test.
    use_f : bool, default True
        F statistic, or chi-square with infinitely many denominator degrees of freedom.
    scalar : bool, default True
        Whether the statistic is a float rather than an array of shape ``(1, 1)``.

    Returns
    -------
    ContrastResults
        With ``riv`` and ``method`` beside the attributes of statsmodels.
    """
    statistic = test.statistic if use_f else test.statistic * test.df1
    shown = statistic if scalar else np.array([[statistic]])
    if use_f:
        result = ContrastResults(F=shown, df_num=test.df1, df_denom=test.df2)
        # SciPy's F has no value at infinitely many denominator degrees of freedom.
        result.pvalue = np.asarray(test.p_value)
    else:
        result = ContrastResults(statistic=shown, df_denom=test.df1, distribution="chi2")
    result.riv, result.method = test.riv, test.method
    return result


def terms_table(
    names: Sequence[str], tests: Sequence[JointTest], *, use_f: bool = True
) -> WaldTestResults:
    """Collect the tests of several terms.

    Parameters
    ----------
    names : sequence of str
        Names of the terms.
    tests : sequence of JointTest
        Their tests.
    use_f : bool, default True
        Kept for the likeness with statsmodels; pooled tests are F tests.

    Returns
    -------
    WaldTestResults
        Of statsmodels, with ``table`` and ``summary_frame()``.
    """
    table = pd.DataFrame(
        {
            "statistic": [test.statistic for test in tests],
            "pvalue": [test.p_value for test in tests],
            "df_constraint": [int(test.df1) for test in tests],
            "df_denom": [test.df2 for test in tests],
        },
        index=list(names),
    )
    return WaldTestResults(None, "F" if use_f else "chi2", None, table=table)


def delta_method(
    function: Callable[[pd.Series], npt.ArrayLike],
    terms: pd.Index,
    qhat: FloatArray,
    u: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Carry estimates and covariances through a smooth function, in each imputation.

    Parameters
    ----------
    function : callable
        From a Series of coefficients to one value or several.
    terms : Index, length k
        Names of the coefficients.
    qhat : ndarray, shape (m, k)
        Estimates.
    u : ndarray, shape (m, k, k)
        Their covariance matrices.

    Returns
    -------
    values : ndarray, shape (m, q)
        The function at each imputation's estimates.
    cov : ndarray, shape (m, q, q)
        First-order covariance, from derivatives by central differences.

    Raises
    ------
    PoolingError
        If the function or a derivative of it is not finite.
    """

    def at(point: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):  # what is not finite is refused below, by name
            return np.atleast_1d(np.asarray(function(pd.Series(point, index=terms)), dtype=float))

    values, covariances = [], []
    for i, (point, cov) in enumerate(zip(qhat, u, strict=True)):
        steps = _STEP * np.maximum(np.abs(point), np.sqrt(np.diag(cov)))
        gradient = np.column_stack(
            [
                (at(point + shift) - at(point - shift)) / (2 * step)
                for step, shift in zip(steps, np.diag(steps), strict=True)
            ]
        )
        values.append(at(point))
        if not (np.isfinite(values[-1]).all() and np.isfinite(gradient).all()):
            raise PoolingError(
                f"the function or its derivative is not finite in imputation {i + 1}"
            )
        covariances.append(gradient @ cov @ gradient.T)
    return np.array(values), np.array(covariances)
