"""Means, proportions, quantiles, correlations and tables of completed frames, pooled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from psmimpute.exceptions import ConfigError, PoolingError
from psmimpute.pooling.frame_columns import column_of, numbers_of
from psmimpute.pooling.joint import JointTest, d2
from psmimpute.pooling.rubin import FloatArray
from psmimpute.pooling.stats import (
    PooledStat,
    join_stats,
    members_of,
    pool_shares,
    pool_stat,
)

Scalar = str | bool | int | float
"""A value that a cell can have."""


def pool_mean(
    frames: Iterable[pd.DataFrame],
    columns: str | Sequence[str],
    *,
    by: str | None = None,
    weights: str | None = None,
    skipna: bool = False,
    alpha: float = 0.05,
) -> PooledStat:
    """Pool means of columns, of all rows or by group.

    Parameters
    ----------
    frames : iterable of DataFrame
        Completed frames.
    columns : str or sequence of str
        Numeric columns; names that are tuples go into a list.
    by : str, optional
        Column of groups, whose means are pooled one by one.
    weights : str, optional
        Column of weights of the rows, as of a survey: means are ratios of weighted sums, their
        variances those of drawing rows with replacement [1]_. Strata and clusters are not known.
    skipna : bool, default False
        Whether rows without a value are left out, as those to which a column does not apply.
    alpha : float, default 0.05
        One less the coverage of the intervals.

    Returns
    -------
    PooledStat
        Degrees of freedom from ``n - 1`` of the complete data, the fewest where numbers of values
        differ.

    Raises
    ------
    PoolingError
        If a column is absent, or still has missing values that are not skipped; if a group has
        fewer than two values in one of the imputations; or a weight is negative.

    References
    ----------
    .. [1] Lumley, T. (2010). Complex Surveys: A Guide to Analysis Using R. Wiley. Section 2.2.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> found = psm.pool_mean(imp, ["bmi", "chl"])
    >>> found.to_frame()[["estimate", "conf_low", "conf_high"]].round(3)
         estimate  conf_low  conf_high
    bmi    26.740    24.399     29.081
    chl   191.093   158.718    223.468
    >>> psm.pool_mean(imp, "chl", by="age").to_frame()["estimate"].round(1)
    chl, age = 20-39    178.9
    chl, age = 40-59    202.5
    chl, age = 60-99    202.2
    Name: estimate, dtype: float64
    """
    one = isinstance(columns, str) or not isinstance(columns, Iterable)
    names: list[str] = [columns] if one else list(columns)  # type: ignore[list-item]
    read = [
        (
            numbers_of(frame, names, i, skipna=skipna),
            _weights_of(frame, weights, i),
            None if by is None else column_of(frame, by, i, skipna=False),
        )
        for i, frame in enumerate(frames)
    ]
    groups = [group for *_, group in read if group is not None]
    levels = pd.concat(groups, ignore_index=True).sort_values().unique() if groups else [None]
    found = []
    for level in levels:
        labels = names if by is None else [f"{name}, {by} = {level}" for name in names]
        parts = [
            (block, share) if group is None else _rows_of(group == level, block, share)
            for block, share, group in read
        ]
        counts = np.array([np.isfinite(block).sum(axis=0) for block, _ in parts])
        if (counts < 2).any():
            i, j = np.argwhere(counts < 2)[0]
            raise PoolingError(
                f"the column {labels[j]!r} of imputation {i + 1} has {counts[i, j]} values: a "
                "variance needs two"
            )
        means, variances = zip(*(_weighted_mean(*part) for part in parts), strict=True)
        found.append(
            pool_stat(
                means,
                variances,
                dfcom=int(counts.min()) - 1,
                member_of=members_of(frames),
                alpha=alpha,
                labels=labels,
            )
        )
    return join_stats(found)


def _rows_of(
    chosen: pd.Series, block: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    rows = np.asarray(chosen, dtype=bool)
    return block[rows], weights[rows]


def _weights_of(frame: pd.DataFrame, name: str | None, i: int) -> FloatArray:
    """Return the weights of the rows of imputation `i`, ones where there is no such column."""
    if name is None:
        return np.ones(len(frame))
    found = numbers_of(frame, [name], i)[:, 0]
    if not (found >= 0).all():
        raise PoolingError(f"the weights {name!r} of imputation {i + 1} are negative in some rows")
    return found


def _weighted_mean(block: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return means of columns, NaN left out, and their variances."""
    seen = np.isfinite(block)
    w = np.where(seen, weights[:, None], 0.0)
    total, n = w.sum(axis=0), seen.sum(axis=0)
    mean = (w * np.where(seen, block, 0.0)).sum(axis=0) / total
    off = np.where(seen, block - mean, 0.0)
    return mean, n / (n - 1) * ((w * off) ** 2).sum(axis=0) / total**2


def pool_proportion(
    frames: Iterable[pd.DataFrame],
    column: str,
    value: Scalar = True,
    *,
    weights: str | None = None,
    skipna: bool = False,
    alpha: float = 0.05,
) -> PooledStat:
    """Pool the share of rows in which a column has a value.

    It is pooled on the logit scale; where it is 0 or 1 in one of the imputations, which has no
    logit, on that of the arcsine of its root, whose variance is one over four times the rows.

    Parameters
    ----------
    frames : iterable of DataFrame
        Completed frames.
    column : str
        Column.
    value : scalar, default True
        The value that is counted.
    weights : str, optional
        Column of weights of the rows; see :func:`pool_mean`.
    skipna : bool, default False
        Whether rows without a value are left out, such as those to which the column does not
        apply: the share is of the others.
    alpha : float, default 0.05
        One less the coverage of the intervals.

    Returns
    -------
    PooledStat
        Estimate, standard error, interval, degrees of freedom and missing information.

    Raises
    ------
    PoolingError
        If the column is absent or still has missing values, or no row of any imputation has the
        value, or each of them.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> found = psm.pool_proportion(imp, "hyp", "yes")
    >>> found.to_frame()[["estimate", "conf_low", "conf_high"]].round(3)
               estimate  conf_low  conf_high
    hyp = yes     0.222     0.055      0.584
    """
    read = [
        (_hits(column_of(frame, column, i, skipna=skipna), value), _weights_of(frame, weights, i))
        for i, frame in enumerate(frames)
    ]
    n = np.array([np.isfinite(hit).sum() for hit, _ in read])
    if not n.min():
        raise PoolingError(f"an imputation has no value of {column!r}: there is no share")
    if weights is None:
        p = np.array([np.nanmean(hit) for hit, _ in read])
        variances = p * (1 - p) / n
    else:
        moments = [_weighted_mean(hit[:, None], share) for hit, share in read]
        p, variances = (np.concatenate(part) for part in zip(*moments, strict=True))
    if not p.any():
        raise PoolingError(
            f"no row of any imputation has {column} = {value!r}: name the value that is counted, "
            "such as value='yes'"
        )
    if (p == 1).all():
        raise PoolingError(
            f"all rows of all imputations have {column} = {value!r}: there is no share to estimate"
        )
    return pool_shares(
        p[:, None],
        variances[:, None],
        n,
        transform="logit",
        dfcom=float(n.min() - 1),
        member_of=members_of(frames),
        alpha=alpha,
        labels=[f"{column} = {value}"],
    )


def _hits(column: pd.Series, value: Scalar) -> FloatArray:
    """Return 1 where a column has the value, 0 where another, NaN where none."""
    present, found = column.notna().to_numpy(), np.full(len(column), np.nan)
    found[present] = column[present].eq(value).to_numpy(dtype=float)
    return found


def pool_quantiles(
    frames: Iterable[pd.DataFrame],
    column: str,
    probabilities: Sequence[float] = (0.25, 0.5, 0.75),
    *,
    alpha: float = 0.05,
) -> PooledStat:
    """Pool quantiles of a column.

    Parameters
    ----------
    frames : iterable of DataFrame
        Completed frames.
    column : str
        Numeric column.
    probabilities : sequence of float, default (0.25, 0.5, 0.75)
        Probabilities of the quantiles, between 0 and 1.
    alpha : float, default 0.05
        One less the coverage of the intervals.

    Returns
    -------
    PooledStat
        One row for each probability.

    Raises
    ------
    PoolingError
        If the column is absent or still has missing values, or so many rows share the value at a
        quantile that it has no sampling variance.

    References
    ----------
    .. [1] Maritz, J. S. and Jarrett, R. G. (1978). A note on estimating the variance of the sample
       median. JASA 73(361), 194-196.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> found = psm.pool_quantiles(imp, "bmi", [0.5])
    >>> found.to_frame()[["estimate", "conf_low", "conf_high"]].round(3)
             estimate  conf_low  conf_high
    bmi 0.5      26.9    23.766     30.034
    """
    prob = [*np.atleast_1d(probabilities)]
    if not all(0 < p < 1 for p in prob):
        raise PoolingError(f"probabilities={probabilities!r} must lie between 0 and 1")
    values = [numbers_of(frame, [column], i)[:, 0] for i, frame in enumerate(frames)]
    variances = np.array([stats.mstats.mjci(value, prob) for value in values], dtype=float) ** 2
    for i, j in np.argwhere(variances == 0)[:1]:
        raise PoolingError(
            f"the quantile {prob[j]:g} of {column!r} has no sampling variance in imputation "
            f"{i + 1}, as so many rows have that value: leave it "
            "out of probabilities=, or pool the share of that value by pool_proportion"
        )
    return pool_stat(
        [np.quantile(value, prob) for value in values],
        variances,
        dfcom=min(len(value) for value in values) - 1,
        member_of=members_of(frames),
        alpha=alpha,
        labels=[f"{column} {p:g}" for p in prob],
    )


def pool_correlation(
    frames: Iterable[pd.DataFrame],
    x: str,
    y: str,
    *,
    method: Literal["pearson", "spearman"] = "pearson",
    alpha: float = 0.05,
) -> PooledStat:
    """Pool a correlation on Fisher's z scale.

    Parameters
    ----------
    frames : iterable of DataFrame
        Completed frames.
    x, y : str
        Numeric columns.
    method : {"pearson", "spearman"}, default "pearson"
        Kind of correlation. The variance of z is ``1 / (n - 3)``, for ranks ``(1 + r**2 / 2) /
        (n - 3)``.
    alpha : float, default 0.05
        One less the coverage of the intervals.

    Returns
    -------
    PooledStat
        Estimate, standard error, interval, degrees of freedom and missing information.

    Raises
    ------
    PoolingError
        If a column is absent or still has missing values, or there are fewer than 4 rows.
    ConfigError
        If `method` is none of its possible values.

    References
    ----------
    .. [1] Bonett, D. G. and Wright, T. A. (2000). Sample size requirements for estimating Pearson,
       Kendall and Spearman correlations. Psychometrika 65(1), 23-28.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> found = psm.pool_correlation(imp, "bmi", "chl")
    >>> found.to_frame()[["estimate", "conf_low", "conf_high"]].round(3)
              estimate  conf_low  conf_high
    bmi, chl     0.188    -0.374      0.649
    """
    if method not in ("pearson", "spearman"):
        raise ConfigError(f"method must be 'pearson' or 'spearman', got {method!r}")
    pairs = [numbers_of(frame, [x, y], i) for i, frame in enumerate(frames)]
    if min(len(pair) for pair in pairs) < 4:
        raise PoolingError("Fisher's z needs at least 4 rows")
    if method == "spearman":
        pairs = [stats.rankdata(pair, axis=0) for pair in pairs]
    r = np.array([stats.pearsonr(pair[:, 0], pair[:, 1]).statistic for pair in pairs])
    variances = 1 / (np.array([len(pair) for pair in pairs]) - 3.0)
    return pool_stat(
        r,
        variances * (1 + r**2 / 2) if method == "spearman" else variances,
        transform="fisher_z",
        variances_of="transformed",
        member_of=members_of(frames),
        alpha=alpha,
        labels=[f"{x}, {y}"],
    )


def pool_chi_square(statistics: npt.ArrayLike, df: int) -> JointTest:
    """Pool chi-square statistics of the imputations by D2.

    Parameters
    ----------
    statistics : array_like, shape (m,)
        One statistic for each imputation.
    df : int
        Their degrees of freedom.

    Returns
    -------
    JointTest
        An F test, D2.

    Raises
    ------
    PoolingError
        If there are fewer than 2 statistics, or one is negative or not finite.
    ConfigError
        If `df` is below 1.

    References
    ----------
    .. [1] Li, K. H., Meng, X.-L., Raghunathan, T. E. and Rubin, D. B. (1991). Significance levels
       from repeated p-values with multiply-imputed data. Statistica Sinica 1(1), 65-92. D2.

    Examples
    --------
    >>> import psmimpute as psm
    >>> test = psm.pool_chi_square([4.1, 5.2, 3.8], df=2)
    >>> round(test.statistic, 3), round(test.p_value, 3)
    (2.022, 0.133)
    """
    return d2(statistics, k=df)


def pool_independence(frames: Iterable[pd.DataFrame], x: str, y: str) -> JointTest:
    """Test that two categorical columns are independent, by Pearson's statistic and D2.

    Parameters
    ----------
    frames : iterable of DataFrame
        Completed frames.
    x, y : str
        Columns. Levels that no row has in any imputation are left out.

    Returns
    -------
    JointTest
        An F test, D2.

    Raises
    ------
    PoolingError
        If a column is absent, still has missing values, has fewer than 2 levels, or a level is
        absent from an imputation.

    References
    ----------
    .. [1] Li, K. H., Meng, X.-L., Raghunathan, T. E. and Rubin, D. B. (1991). Significance levels
       from repeated p-values with multiply-imputed data. Statistica Sinica 1(1), 65-92. D2.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> round(psm.pool_independence(imp, "age", "hyp").p_value, 3)
    0.896
    """
    tables = [
        pd.crosstab(column_of(frame, x, i, skipna=False), column_of(frame, y, i, skipna=False))
        for i, frame in enumerate(frames)
    ]
    shapes = {table.shape for table in tables}
    if len(shapes) > 1:
        raise PoolingError(
            f"{x!r} and {y!r} have tables of different shapes over the imputations, "
            f"{', '.join(map(str, sorted(shapes)))}: merge rare levels"
        )
    rows, columns = shapes.pop()
    if min(rows, columns) < 2:
        raise PoolingError(f"{x!r} and {y!r} need 2 levels each, got a table of {rows} x {columns}")
    found = [stats.chi2_contingency(table.to_numpy(), correction=False)[0] for table in tables]
    return pool_chi_square(np.asarray(found, dtype=float), (rows - 1) * (columns - 1))
