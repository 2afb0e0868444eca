"""Statistics that are no coefficients, pooled on the scale on which they are nearly normal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ConfigError, PoolingError
from psmimpute.pooling.missing_information import t_quantile
from psmimpute.pooling.moments import pool_columns
from psmimpute.pooling.nested import choose_rule
from psmimpute.pooling.rubin import DfMethod, FloatArray, RubinPool, Rule
from psmimpute.pooling.transforms import Transform, get_transform


@runtime_checkable
class Imputations(Protocol):
    """Completed frames that know which member made each of them."""

    member_of: npt.NDArray[np.int_]


@dataclass(frozen=True)
class PooledStat:
    """Statistics pooled over imputations, back on their own scale.

    Attributes
    ----------
    labels : Index, length k
        Names of the statistics.
    estimate : ndarray, shape (k,)
        Pooled estimates: the mean on the transformed scale, transformed back.
    std_error : ndarray, shape (k,)
        Their standard errors by the delta method.
    conf_low, conf_high : ndarray, shape (k,)
        Limits of the intervals, transformed back.
    pooled : RubinPool
        Rubin's rules on the transformed scale: variances, degrees of freedom, missing information.
    transform : str
        Name of the transform.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> psm.pool_mean(imp, "bmi").to_frame()[["estimate", "std_error", "df"]].round(3)
         estimate  std_error     df
    bmi     26.74      1.032  8.828
    """

    labels: pd.Index
    estimate: FloatArray
    std_error: FloatArray
    conf_low: FloatArray
    conf_high: FloatArray
    pooled: RubinPool
    transform: str

    def to_frame(self) -> pd.DataFrame:
        """One row for each statistic.

        Returns
        -------
        DataFrame
            ``estimate``, ``std_error``, ``conf_low``, ``conf_high``, ``df``, ``riv``, ``fmi``.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> import psmimpute as psm
        >>> list(psm.pool_mean(imp, "bmi").to_frame())
        ['estimate', 'std_error', 'conf_low', 'conf_high', 'df', 'riv', 'fmi']
        """
        columns = {
            "estimate": self.estimate,
            "std_error": self.std_error,
            "conf_low": self.conf_low,
            "conf_high": self.conf_high,
            "df": self.pooled.df,
            "riv": self.pooled.riv,
            "fmi": self.pooled.fmi,
        }
        return pd.DataFrame(columns, index=self.labels)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html())

    def __repr__(self) -> str:
        # Of a frame's own repr a narrow terminal shows the ends, and not the interval.
        table = self.to_frame().to_string(float_format="{:.4g}".format)
        return f"{table}\n(pooled over {self.pooled.m} imputations, {self.transform})"


def pool_stat(
    estimates: npt.ArrayLike,
    variances: npt.ArrayLike,
    *,
    transform: str | Transform = "identity",
    variances_of: Literal["estimate", "transformed"] = "estimate",
    dfcom: float = np.inf,
    df: DfMethod = "barnard1999",
    rule: Rule = "rubin",
    member_of: npt.ArrayLike | None = None,
    alpha: float = 0.05,
    critical: float | None = None,
    labels: Iterable[str] | None = None,
) -> PooledStat:
    """Transform statistics, pool them by Rubin's rules, and transform back.

    Parameters
    ----------
    estimates : array_like, shape (m,) or (m, k)
        Statistics of each imputation.
    variances : array_like, of the same shape
        Their squared standard errors.
    transform : str or Transform, default "identity"
        ``"fisher_z"`` for correlations, ``"fisher_z_root"`` for R², ``"logit"`` for proportions
        and areas under curves, ``"arcsine"`` for proportions of which some are 0 or 1,
        ``"cloglog"`` for survival, ``"log"`` for variances and ratios, or one of your own.
    variances_of : {"estimate", "transformed"}, default "estimate"
        Whether the delta method must carry the variances to the transformed scale.
    dfcom : float, default inf
        Complete-data degrees of freedom.
    df, rule, member_of
        As in :func:`psmimpute.pool`.
    alpha : float, default 0.05
        One less the coverage of the intervals.
    critical : float, optional
        Critical value in place of the quantile of t, such as 1.96 for a normal interval.
    labels : iterable of str, optional
        Names of the statistics.

    Returns
    -------
    PooledStat
        Estimate, standard error, interval, degrees of freedom and missing information.

    Raises
    ------
    PoolingError
        If the shapes differ, there are fewer than 2 imputations, an estimate lies outside the
        range of the transform, or a variance is not positive.
    ConfigError
        If an option is none of its possible values.

    Warns
    -----
    ImproperPoolingWarning
        If imputations share a member.

    Examples
    --------
    >>> r = pool_stat(
    ...     [0.5, 0.6, 0.55],
    ...     [1 / 97] * 3,
    ...     transform="fisher_z",
    ...     variances_of="transformed",
    ...     labels=["r"],
    ... )
    >>> r.to_frame().loc["r", ["estimate", "conf_low", "conf_high"]].round(3).tolist()
    [0.551, 0.324, 0.719]
    """
    scale = get_transform(transform)
    q, u = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if q.ndim not in (1, 2) or q.shape != u.shape:
        raise PoolingError(
            f"estimates and variances must share a shape (m,) or (m, k); got {q.shape} and "
            f"{u.shape}"
        )
    if q.ndim == 1:
        q, u = q[:, None], u[:, None]
    names = pd.Index(range(q.shape[1]) if labels is None else list(labels))
    _check_support(q, scale, names)
    if variances_of == "estimate":
        u = u * scale.derivative(q) ** 2
    elif variances_of != "transformed":
        raise ConfigError(f"variances_of must be 'estimate' or 'transformed', got {variances_of!r}")
    pooled = pool_columns(
        scale.forward(q),
        u,
        dfcom=dfcom,
        df=df,
        rule=choose_rule(rule, member_of),
        member_of=member_of,
    )
    quantile = t_quantile(alpha, pooled.df) if critical is None else critical
    half = quantile * np.sqrt(pooled.t)
    ends = np.stack([scale.inverse(pooled.qbar - half), scale.inverse(pooled.qbar + half)])
    estimate = scale.inverse(pooled.qbar)
    return PooledStat(
        labels=names,
        estimate=estimate,
        std_error=np.sqrt(pooled.t) / np.abs(scale.derivative(estimate)),
        conf_low=ends.min(axis=0),
        conf_high=ends.max(axis=0),
        pooled=pooled,
        transform=scale.name,
    )


def pool_shares(
    shares: FloatArray,
    variances: FloatArray,
    n_rows: npt.ArrayLike,
    *,
    transform: str,
    **options: Any,  # noqa: ANN401 (those of pool_stat)
) -> PooledStat:
    """Pool shares of rows on a scale that has no ends, or else on one that has them.

    Parameters
    ----------
    shares, variances : ndarray, shape (m, k)
        Shares between 0 and 1, and their squared standard errors.
    n_rows : array_like, shape (m,)
        Rows of each imputation.
    transform : str
        The scale, unless a share is 0 or 1: then all are pooled on that of the arcsine of the
        root, where the variance of such a share is one over four times the rows.
    **options
        As in :func:`pool_stat`.

    Returns
    -------
    PooledStat
    """
    at_an_edge = (shares == 0) | (shares == 1)
    if not at_an_edge.any():
        return pool_stat(shares, variances, transform=transform, **options)
    inside = np.where(at_an_edge, 0.5, shares)
    carried = np.where(
        at_an_edge, 1 / (4 * np.asarray(n_rows)[:, None]), variances / (4 * inside * (1 - inside))
    )
    return pool_stat(shares, carried, transform="arcsine", variances_of="transformed", **options)


def join_stats(parts: Sequence[PooledStat]) -> PooledStat:
    """Put statistics that were pooled one by one under each other.

    Parameters
    ----------
    parts : sequence of PooledStat
        At least one, all on one scale.

    Returns
    -------
    PooledStat
    """
    first = parts[0]

    def joined(values: Iterable[FloatArray]) -> FloatArray:
        return np.concatenate([np.atleast_1d(value) for value in values])

    arrays = ("qbar", "ubar", "b", "t", "riv", "lambda_", "df", "fmi")
    own = ("estimate", "std_error", "conf_low", "conf_high")
    pooled: dict[str, Any] = {k: joined(getattr(p.pooled, k) for p in parts) for k in arrays}
    found: dict[str, Any] = {k: joined(getattr(part, k) for part in parts) for k in own}
    labels = pd.Index([label for part in parts for label in part.labels])
    return replace(first, labels=labels, pooled=replace(first.pooled, **pooled), **found)


def members_of(frames: object) -> npt.NDArray[np.int_] | None:
    """Ask completed frames which member made each of them.

    Parameters
    ----------
    frames : object
        Any iterable of frames; a multiply-imputed data set knows its members.

    Returns
    -------
    ndarray or None
    """
    return frames.member_of if isinstance(frames, Imputations) else None


def _check_support(q: FloatArray, scale: Transform, names: pd.Index) -> None:
    low, high = scale.support
    outside = ~((q > low) & (q < high))
    if outside.any():
        i, j = np.argwhere(outside)[0]
        raise PoolingError(
            f"the statistic {names[j]!r} of imputation {i + 1} is {q[i, j]:.6g}, outside the open "
            f"interval ({low:g}, {high:g}) of the {scale.name} transform: pool_stat takes another "
            "with transform=, or choose a statistic that is not at its limit"
        )
