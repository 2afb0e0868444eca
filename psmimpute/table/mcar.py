"""Little's test of missing completely at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2

from psmimpute.exceptions import SchemaError
from psmimpute.table.reading import (
    Storage,
    column_at,
    column_names,
    missing_cells,
    read_numbers,
    storage_of,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_MOST_STEPS = 20_000
_TOLERANCE = 1e-13


@dataclass(frozen=True)
class LittleTest:
    """Little's test of whether rows with different gaps have the same means.

    Attributes
    ----------
    statistic : float
        d², chi-square distributed if the gaps are completely at random and the rows normal.
    df : int
        Degrees of freedom: observed columns summed over the patterns, less columns.
    p_value : float
        Small if the gaps depend on the values.
    n_patterns : int
        Patterns of gaps, rows without any observed number left out.
    columns : tuple
        The columns of numbers that were tested.

    References
    ----------
    .. [1] Little, R. J. A. (1988). A test of missing completely at random for multivariate data
       with missing values. Journal of the American Statistical Association 83(404), 1198-1202.
       Formula 4.

    Examples
    --------
    >>> import psmimpute as psm
    >>> test = psm.little_test(psm.load_nhanes2())
    >>> round(test.statistic, 3), test.df, round(test.p_value, 3)
    (0.046, 2, 0.977)
    """

    statistic: float
    df: int
    p_value: float
    n_patterns: int
    columns: tuple[object, ...]


def little_test(df: pd.DataFrame) -> LittleTest:
    r"""Test whether values are missing completely at random.

    With :math:`\hat\mu, \hat\Sigma` the maximum likelihood estimates of mean and covariance from
    the incomplete rows, and :math:`\bar y_p` the mean of the :math:`n_p` rows of pattern p over
    the columns observed there,

    .. math:: d^2 = \sum_p n_p (\bar y_p - \hat\mu_p)' \hat\Sigma_p^{-1} (\bar y_p - \hat\mu_p)

    as ``naniar::mcar_test`` in R has it; Little's own correction of :math:`\hat\Sigma` for degrees
    of freedom would multiply it by :math:`(n - 1) / n`.

    Parameters
    ----------
    df : DataFrame
        Columns of numbers are tested, others passed over.

    Returns
    -------
    LittleTest
        Statistic, degrees of freedom and p-value; a p-value of NaN where there is one pattern.

    Raises
    ------
    SchemaError
        If no column holds numbers, one was never observed or is constant, or the columns are
        linearly dependent.

    References
    ----------
    .. [1] Little, R. J. A. (1988). A test of missing completely at random for multivariate data
       with missing values. Journal of the American Statistical Association 83(404),
       1198-1202. Formula 4.

    Examples
    --------
    >>> import psmimpute as psm
    >>> test = little_test(psm.load_nhanes2())
    >>> test.df, round(test.p_value, 2)
    (2, 0.98)
    """
    columns = _numbers(df)
    names = tuple(columns.columns)
    x = columns.to_numpy()
    x = x[~np.isnan(x).all(axis=1)]
    centre, scale = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    constant = [name for name, s in zip(names, scale, strict=True) if not s > 0]
    if constant:
        raise SchemaError(f"column {constant[0]!r} does not vary: leave it out of the test")
    patterns = _by_pattern((x - centre) / scale)
    mean, covariance = _maximum_likelihood(patterns, len(names), names)
    statistic, df_total = 0.0, -len(names)
    for seen, rows in patterns:
        gap = rows.mean(axis=0) - mean[seen]
        statistic += len(rows) * float(gap @ np.linalg.solve(covariance[np.ix_(seen, seen)], gap))
        df_total += int(seen.sum())
    p_value = float(chi2.sf(statistic, df_total)) if df_total > 0 else float("nan")
    return LittleTest(statistic, df_total, p_value, len(patterns), names)


def _numbers(df: pd.DataFrame) -> pd.DataFrame:
    names = column_names(df)
    missing = missing_cells(df)
    kept: dict[object, FloatArray] = {}
    for position, name in enumerate(names):
        if missing[:, position].all():
            raise SchemaError(f"column {name!r} was never observed: leave it out of the test")
        column = column_at(df, position, name)
        if storage_of(column) is Storage.NUMBER:
            kept[name] = read_numbers(column)
    if not kept or len(df) < 2:
        raise SchemaError("Little's test needs two rows and a column of numbers")
    frame = pd.DataFrame(list(kept.values())).T
    return frame.set_axis(pd.Index(list(kept), tupleize_cols=False), axis=1)


def _by_pattern(x: FloatArray) -> list[tuple[BoolArray, FloatArray]]:
    """Group rows by which columns were observed: those columns, and the rows in them."""
    observed = ~np.isnan(x)
    found, which = np.unique(observed, axis=0, return_inverse=True)
    return [(seen, x[which.ravel() == number][:, seen]) for number, seen in enumerate(found)]


def _maximum_likelihood(
    patterns: list[tuple[BoolArray, FloatArray]], n_columns: int, names: tuple[object, ...]
) -> tuple[FloatArray, FloatArray]:
    """Estimate mean and covariance of a normal law by the EM algorithm."""
    n = sum(len(rows) for _, rows in patterns)
    mean, covariance = np.zeros(n_columns), np.eye(n_columns)
    for _ in range(_MOST_STEPS):
        first, second = np.zeros(n_columns), np.zeros((n_columns, n_columns))
        for seen, rows in patterns:
            try:
                slope = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[seen]).T
            except np.linalg.LinAlgError:
                raise SchemaError(
                    f"the columns {[*names]} are linearly dependent: leave one out"
                ) from None
            filled = mean + (rows - mean[seen]) @ slope.T
            first += filled.sum(axis=0)
            second += filled.T @ filled
            second += len(rows) * (covariance - slope @ covariance[seen])
        new_mean = first / n
        new_covariance = second / n - np.outer(new_mean, new_mean)
        new_covariance = (new_covariance + new_covariance.T) / 2
        step = max(np.abs(new_mean - mean).max(), np.abs(new_covariance - covariance).max())
        mean, covariance = new_mean, new_covariance
        if step < _TOLERANCE:
            break
    if not np.linalg.cond(covariance) < 1e12:
        raise SchemaError(f"the columns {[*names]} are linearly dependent: leave one out")
    return mean, covariance
