"""How well models predict: R², areas under curves, concordance and survival, pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.frame_columns import numbers_of, truths_of
from psmimpute.pooling.item import Fitted, number_or_none
from psmimpute.pooling.rubin import FloatArray
from psmimpute.pooling.stats import PooledStat, members_of, pool_shares, pool_stat

Score = str | Callable[[pd.DataFrame], "pd.Series | FloatArray"]
"""A column of the completed frames, or a function that scores the rows of one."""

# Pairs are compared in blocks of rows, so that memory grows with the number of rows only.
_BLOCK = 512


def pool_r_squared(
    fits: Iterable[Fitted],
    *,
    adjusted: bool = False,
    alpha: float = 0.05,
    critical: float | None = None,
) -> PooledStat:
    """Pool R² of linear models, through Fisher's z of its root.

    Parameters
    ----------
    fits : iterable of fitted models, or Analyses
        With ``rsquared``, ``rsquared_adj`` and ``nobs``.
    adjusted : bool, default False
        Whether to pool adjusted R².
    alpha : float, default 0.05
        One less the coverage of the interval.
    critical : float, optional
        Critical value of the interval in place of the quantile of t: 1.96 gives the interval of
        ``mice::pool.r.squared``.

    Returns
    -------
    PooledStat
        The lower limit is at least 0; mice squares a negative root.

    Raises
    ------
    PoolingError
        If a fit has no R², or one that is not positive.

    References
    ----------
    .. [1] Harel, O. (2009). The estimation of R2 and adjusted R2 in incomplete data sets using
       multiple imputation. Journal of Applied Statistics 36(10), 1109-1118.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> found = psm.pool_r_squared(imp.fit("bmi ~ age + chl", model=smf.ols))
    >>> found.to_frame()[["estimate", "conf_low", "conf_high"]].round(3)
        estimate  conf_low  conf_high
    R²      0.24       0.0      0.657
    """
    name = "rsquared_adj" if adjusted else "rsquared"
    values, counts = [], []
    if not isinstance(fits, Iterable):
        raise PoolingError(f"needs the fits, such as imp.fit(...), got a {type(fits).__name__}")
    for i, fit in enumerate(fits):
        value = number_or_none(getattr(fit, name, None))
        nobs = number_or_none(getattr(fit, "nobs", None))
        if value is None or nobs is None:
            raise PoolingError(
                f"the fit of imputation {i + 1} has no {name}: R² needs linear models"
            )
        if value <= 0:
            raise PoolingError(
                f"{name} of imputation {i + 1} is {value:.3g}, and a share of variance that is not "
                "positive has no Fisher's z"
                + (": pool R² itself, adjusted=False" if adjusted else "")
            )
        values.append(value)
        counts.append(nobs)
    return pool_stat(
        values,
        1 / (np.array(counts) - 3),
        transform="fisher_z_root",
        variances_of="transformed",
        member_of=members_of(fits),
        alpha=alpha,
        critical=critical,
        labels=["adjusted R²" if adjusted else "R²"],
    )


def pool_auc(
    frames: Iterable[pd.DataFrame], outcome: str, score: Score, *, alpha: float = 0.05
) -> PooledStat:
    """Pool the area under the ROC curve on the logit scale.

    Parameters
    ----------
    frames : iterable of DataFrame
        Completed frames.
    outcome : str
        Column of truth values or of 0 and 1, true for cases.
    score : str or callable
        Column that should be larger in cases, or a function that scores the rows of a frame.
    alpha : float, default 0.05
        One less the coverage of the interval.

    Returns
    -------
    PooledStat
        Estimate, standard error, interval, degrees of freedom and missing information.

    Raises
    ------
    PoolingError
        If a column is absent, has missing values or none of these, an imputation lacks cases or
        controls, or its area is 0 or 1.

    References
    ----------
    .. [1] DeLong, E. R., DeLong, D. M. and Clarke-Pearson, D. L. (1988). Comparing the areas under
       two or more correlated receiver operating characteristic curves. Biometrics 44(3), 837-845.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> scored = imp.assign(high=lambda d: (d["hyp"] == "yes").astype(int))
    >>> found = psm.pool_auc(scored, "high", "chl")
    >>> found.to_frame()[["estimate", "conf_low", "conf_high"]].round(3)
         estimate  conf_low  conf_high
    AUC     0.569     0.244      0.844
    """
    found = []
    for i, frame in enumerate(frames):
        cases = truths_of(frame, outcome, i)
        if cases.sum() < 2 or (~cases).sum() < 2:
            raise PoolingError(
                f"imputation {i + 1} has fewer than 2 cases or controls in {outcome!r}"
            )
        found.append(delong(_scores(frame, score), cases))
    return pool_stat(
        [area for area, _variance in found],
        [variance for _area, variance in found],
        transform="logit",
        member_of=members_of(frames),
        alpha=alpha,
        labels=["AUC"],
    )


def delong(scores: FloatArray, cases: np.typing.NDArray[np.bool_]) -> tuple[float, float]:
    """Area under the ROC curve and its variance.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        Larger in cases.
    cases : ndarray of bool, shape (n,)
        Which rows are cases.

    Returns
    -------
    area, variance : float

    References
    ----------
    .. [1] DeLong, E. R., DeLong, D. M. and Clarke-Pearson, D. L. (1988). Biometrics 44(3), 837-845.

    Examples
    --------
    >>> area, _variance = delong(np.array([1.0, 3, 2, 4]), np.array([False, False, True, True]))
    >>> area
    0.75
    """
    ranks = stats.rankdata(scores)
    n_cases, n_controls = int(cases.sum()), int((~cases).sum())
    # Share of controls below each case, and of cases above each control.
    of_cases = (ranks[cases] - stats.rankdata(scores[cases])) / n_controls
    of_controls = 1 - (ranks[~cases] - stats.rankdata(scores[~cases])) / n_cases
    variance = of_cases.var(ddof=1) / n_cases + of_controls.var(ddof=1) / n_controls
    return float(of_cases.mean()), float(variance)


def pool_concordance(
    frames: Iterable[pd.DataFrame], time: str, event: str, score: Score, *, alpha: float = 0.05
) -> PooledStat:
    """Pool Harrell's concordance index on the logit scale.

    Parameters
    ----------
    frames : iterable of DataFrame
        Completed frames.
    time, event : str
        Columns of the time, and of whether the event was seen: truth values, or 0 and 1.
    score : str or callable
        Column that should be larger where survival is longer, or a function that scores the rows
        of a frame.
    alpha : float, default 0.05
        One less the coverage of the interval.

    Returns
    -------
    PooledStat
        Estimate, standard error, interval, degrees of freedom and missing information.

    Raises
    ------
    PoolingError
        If a column is absent, has missing values or is not of its kind, no pair of rows can be
        compared, or the index is 0 or 1.

    References
    ----------
    .. [1] Harrell, F. E., Lee, K. L. and Mark, D. B. (1996). Multivariable prognostic models.
       Statistics in Medicine 15(4), 361-387.

    Examples
    --------
    >>> import psmimpute as psm
    >>> frame = pd.DataFrame(
    ...     {"time": np.arange(1.0, 21), "died": [1, 0] * 10, "risk": np.arange(20)[::-1] % 7}
    ... )
    >>> found = psm.pool_concordance([frame, frame], "time", "died", "risk")
    >>> found.to_frame()[["estimate", "conf_low", "conf_high"]].round(3)
                 estimate  conf_low  conf_high
    concordance      0.35     0.193      0.548
    """
    found = []
    for i, frame in enumerate(frames):
        times, events = numbers_of(frame, [time], i)[:, 0], truths_of(frame, event, i)
        if not events.any():
            raise PoolingError(f"imputation {i + 1} has no event in {event!r}")
        found.append(concordance(times, events, _scores(frame, score)))
    return pool_stat(
        [index for index, _variance in found],
        [variance for _index, variance in found],
        transform="logit",
        member_of=members_of(frames),
        alpha=alpha,
        labels=["concordance"],
    )


def concordance(
    times: FloatArray, events: np.typing.NDArray[np.bool_], scores: FloatArray
) -> tuple[float, float]:
    """Harrell's concordance index and its infinitesimal jackknife variance.

    Parameters
    ----------
    times : ndarray, shape (n,)
        Times of event or censoring.
    events : ndarray of bool, shape (n,)
        Whether the event was seen.
    scores : ndarray, shape (n,)
        Larger where survival should be longer; equal scores count one half.

    Returns
    -------
    index, variance : float

    References
    ----------
    .. [1] Harrell, F. E., Lee, K. L. and Mark, D. B. (1996). Multivariable prognostic models.
       Statistics in Medicine 15(4), 361-387.
    .. [2] Therneau, T. and Atkinson, E. (2024). Concordance. Vignette of the R package survival.
    """
    n = len(times)
    agreeing, comparable = np.zeros(n), np.zeros(n)
    for start in range(0, n, _BLOCK):
        rows = slice(start, start + _BLOCK)
        # A row with an event comes before all later times, and before censoring at the same time.
        before = events[rows, None] & (
            (times[rows, None] < times[None, :])
            | ((times[rows, None] == times[None, :]) & ~events[None, :])
        )
        agrees = before * (
            (scores[rows, None] < scores[None, :]) + 0.5 * (scores[rows, None] == scores[None, :])
        )
        agreeing[rows] += agrees.sum(axis=1)
        agreeing += agrees.sum(axis=0)
        comparable[rows] += before.sum(axis=1)
        comparable += before.sum(axis=0)
    pairs = comparable.sum() / 2
    index = agreeing.sum() / 2 / pairs
    influence = (agreeing - index * comparable) / pairs
    return float(index), float((influence**2).sum())


def pool_kaplan_meier(
    frames: Iterable[pd.DataFrame],
    time: str,
    event: str,
    at: Sequence[float],
    *,
    alpha: float = 0.05,
) -> PooledStat:
    """Pool Kaplan-Meier survival at given times on the complementary log-log scale.

    Where survival at one of the times is 0 or 1 in some imputations, all are pooled on the scale of
    the arcsine of its root. There its variance is one over four times the rows where survival is
    at such an end.

    Parameters
    ----------
    frames : iterable of DataFrame
        Completed frames.
    time, event : str
        Columns of the time, and of whether the event was seen: truth values, or 0 and 1.
    at : sequence of float
        Times, in the unit of `time`.
    alpha : float, default 0.05
        One less the coverage of the intervals.

    Returns
    -------
    PooledStat
        One row for each time in `at`.

    Raises
    ------
    PoolingError
        If a column is absent, has missing values or is not of its kind, a time lies beyond the
        last of the rows, or survival at a time is 1 in all imputations, or 0 in all.

    References
    ----------
    .. [1] Marshall, A., Altman, D. G., Holder, R. L. and Royston, P. (2009). Combining estimates of
       interest in prognostic modelling studies after multiple imputation. BMC Medical Research
       Methodology 9, 57.

    Examples
    --------
    >>> import psmimpute as psm
    >>> frame = pd.DataFrame(
    ...     {"time": np.arange(1.0, 21), "died": [1, 0] * 10, "risk": np.arange(20)[::-1] % 7}
    ... )
    >>> found = psm.pool_kaplan_meier([frame, frame], "time", "died", at=[5.0, 10.0])
    >>> found.to_frame()[["estimate", "conf_low", "conf_high"]].round(3)
           estimate  conf_low  conf_high
    S(5)      0.841     0.583      0.946
    S(10)     0.716     0.442      0.872
    """
    points = np.atleast_1d(np.asarray(at, dtype=float))
    n_rows, found = [], []
    for i, frame in enumerate(frames):
        times, events = numbers_of(frame, [time], i)[:, 0], truths_of(frame, event, i)
        if points.max() > times.max():
            raise PoolingError(
                f"at={points.max():g} lies beyond the last time of imputation {i + 1}, "
                f"{times.max():g}: survival is not known there"
            )
        n_rows.append(len(times))
        found.append(kaplan_meier(times, events, points))
    survival, variance = (np.array(values) for values in zip(*found, strict=True))
    for j in np.flatnonzero((survival == 0).all(axis=0) | (survival == 1).all(axis=0))[:1]:
        raise PoolingError(
            f"survival at {points[j]:g} is {survival[0, j]:g} in all imputations, of which "
            "nothing is to be estimated: leave it out of at="
        )
    return pool_shares(
        survival,
        variance,
        n_rows,
        transform="cloglog",
        member_of=members_of(frames),
        alpha=alpha,
        labels=[f"S({point:g})" for point in points],
    )


def kaplan_meier(
    times: FloatArray, events: np.typing.NDArray[np.bool_], at: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Kaplan-Meier survival at given times, with Greenwood's variance.

    Parameters
    ----------
    times : ndarray, shape (n,)
        Times of event or censoring.
    events : ndarray of bool, shape (n,)
        Whether the event was seen.
    at : ndarray, shape (k,)
        Times of interest.

    Returns
    -------
    survival, variance : ndarray, shape (k,)

    Examples
    --------
    >>> seen = np.array([True, True, False, True])
    >>> kaplan_meier(np.array([1.0, 2, 3, 4]), seen, np.array([2.5]))[0]
    array([0.5])
    """
    unique = np.unique(times[events])
    at_risk = (times[None, :] >= unique[:, None]).sum(axis=1)
    deaths = ((times[None, :] == unique[:, None]) & events[None, :]).sum(axis=1)
    survival = np.concatenate([[1.0], np.cumprod(1 - deaths / at_risk)])
    left = np.maximum(at_risk - deaths, 1)  # survival is 0 where none is left
    greenwood = np.concatenate([[0.0], np.cumsum(deaths / (at_risk * left))])
    reached = np.searchsorted(unique, at, side="right")
    return survival[reached], survival[reached] ** 2 * greenwood[reached]


def _scores(frame: pd.DataFrame, score: Score) -> FloatArray:
    return np.asarray(frame[score] if isinstance(score, str) else score(frame), dtype=float)
