"""Predictions of the analyses, averaged over imputations.

Predictions are combined, never coefficients: a mean of coefficients put through a link is not the
mean of what the analyses predict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.frame_columns import plain_columns
from psmimpute.pooling.item import Fitted
from psmimpute.pooling.missing_information import t_quantile
from psmimpute.pooling.moments import pool_columns
from psmimpute.pooling.rubin import DfMethod, FloatArray, RubinPool, Rule
from psmimpute.pooling.transforms import TRANSFORMS, Transform, delta_interval

_LINKS = {"Logit": "logit", "Probit": "logit", "Poisson": "log", "NegativeBinomial": "log"}


@dataclass(frozen=True)
class PooledPrediction:
    """Predicted means pooled over imputations, row by row.

    Attributes
    ----------
    pooled : RubinPool
        Rubin's rules applied to each row's predicted mean.
    observation : RubinPool or None
        The same with the variance of a new observation, for linear regression.
    transform : Transform
        Scale on which intervals of the mean are symmetric: the link of the model.
    style : {"linear", "glm", "discrete"}
        Whose column names :meth:`summary_frame` uses.
    row_labels : Index or None
        Labels of the rows.

    Examples
    --------
    `pooled` is that of the example of :class:`psmimpute.PooledResults`.

    >>> rows = pd.DataFrame({"age": ["20-39", "60-99"], "chl": [200.0, 200.0]})
    >>> found = pooled.get_prediction(rows)
    >>> found.predicted_mean.round(2), found.se_mean.round(2)
    (array([28.95, 24.99]), array([1.32, 2.66]))
    """

    pooled: RubinPool
    observation: RubinPool | None
    transform: Transform
    style: str
    row_labels: pd.Index | None = None

    @property
    def predicted_mean(self) -> FloatArray:
        """Mean over the imputations of the predicted means."""
        return self.pooled.qbar

    @property
    def predicted(self) -> FloatArray:
        """The same as `predicted_mean`."""
        return self.pooled.qbar

    @property
    def var_pred_mean(self) -> FloatArray:
        """Total variance of the predicted means."""
        return self.pooled.t

    @property
    def se_mean(self) -> FloatArray:
        """Standard errors of the predicted means."""
        return np.asarray(np.sqrt(self.pooled.t))

    @property
    def se(self) -> FloatArray:
        """The same as `se_mean`."""
        return self.se_mean

    @property
    def df(self) -> FloatArray:
        """Degrees of freedom, row by row."""
        return self.pooled.df

    def conf_int(self, *, obs: bool = False, alpha: float = 0.05) -> FloatArray:
        """Confidence intervals of the means, or prediction intervals of new observations.

        Parameters
        ----------
        obs : bool, default False
            Whether the interval is for a new observation.
        alpha : float, default 0.05
            One less the coverage.

        Returns
        -------
        ndarray, shape (n_rows, 2)
            Intervals of means are symmetric on the scale of the link and stay in its range.

        Raises
        ------
        PoolingError
            If `obs` is asked of a model that is not a linear regression.

        Examples
        --------
        `pooled` is that of the example of :class:`psmimpute.PooledResults`.

        >>> rows = pd.DataFrame({"age": ["20-39", "60-99"], "chl": [200.0, 200.0]})
        >>> pooled.get_prediction(rows).conf_int().round(1)
        array([[26.2, 31.8],
               [16.6, 33.4]])
        >>> pooled.get_prediction(rows).conf_int(obs=True).round(1)
        array([[20.2, 37.7],
               [14.6, 35.4]])
        """
        if obs:
            if self.observation is None:
                raise PoolingError(
                    "intervals for new observations are known for linear regression only: use "
                    "obs=False"
                )
            half = t_quantile(alpha, self.observation.df) * np.sqrt(self.observation.t)
            return np.column_stack([self.predicted_mean - half, self.predicted_mean + half])
        quantile = t_quantile(alpha, self.pooled.df)
        limits = delta_interval(self.predicted_mean, self.se_mean, quantile, self.transform)
        return np.column_stack(limits)

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Predictions and intervals with the columns that the model's library gives.

        Parameters
        ----------
        alpha : float, default 0.05
            One less the coverage.

        Returns
        -------
        DataFrame
            ``mean``, ``mean_se``, ``mean_ci_lower``, ``mean_ci_upper`` (and ``obs_ci_lower``,
            ``obs_ci_upper``) for linear and generalized linear models; ``predicted``, ``se``,
            ``ci_lower``, ``ci_upper`` for discrete models.

        Examples
        --------
        `pooled` is that of the example of :class:`psmimpute.PooledResults`.

        >>> rows = pd.DataFrame({"age": ["20-39", "60-99"], "chl": [200.0, 200.0]})
        >>> pooled.get_prediction(rows).summary_frame().round(1)
           mean  mean_se  mean_ci_lower  mean_ci_upper  obs_ci_lower  obs_ci_upper
        0  29.0      1.3           26.2           31.8          20.2          37.7
        1  25.0      2.7           16.6           33.4          14.6          35.4
        """
        limits = self.conf_int(alpha=alpha)
        names = (
            ["predicted", "se", "ci_lower", "ci_upper"]
            if self.style == "discrete"
            else ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
        )
        values = [self.predicted_mean, self.se_mean, limits[:, 0], limits[:, 1]]
        table = pd.DataFrame(dict(zip(names, values, strict=True)), index=self.row_labels)
        if self.observation is not None:
            wide = self.conf_int(obs=True, alpha=alpha)
            table["obs_ci_lower"], table["obs_ci_upper"] = wide[:, 0], wide[:, 1]
        return table


@dataclass(frozen=True)
class Rows:
    """Rows to predict.

    Attributes
    ----------
    exog : DataFrame or array_like, optional
        Regressors, as the models' own ``predict`` takes them. Default: those each was fitted on.
    transform : bool, default True
        Whether a formula is applied to `exog`.
    exposure, offset : array_like, optional
        Of the rows, for count models and generalized linear models.
    """

    exog: npt.ArrayLike | None = None
    transform: bool = True
    exposure: npt.ArrayLike | None = None
    offset: npt.ArrayLike | None = None

    @cached_property
    def _plain_exog(self) -> npt.ArrayLike | None:
        """The regressors as formulas take them, made once for all analyses."""
        if isinstance(self.exog, pd.DataFrame) and self.transform:
            return plain_columns(self.exog)
        return self.exog

    @property
    def options(self) -> dict[str, Any]:
        """What differs from the defaults, which not every library's models know."""
        known = {"exog": self._plain_exog, "exposure": self.exposure, "offset": self.offset}
        given = {name: value for name, value in known.items() if value is not None}
        return given if self.transform else given | {"transform": False}


def average_predictions(
    fits: Sequence[Fitted], rows: Rows
) -> pd.Series | pd.DataFrame | FloatArray:
    """Average what the analyses predict.

    Parameters
    ----------
    fits : sequence of fitted models
        One for each imputation.
    rows : Rows
        What to predict.

    Returns
    -------
    Series, DataFrame or ndarray
        Labelled as the models' own predictions are.

    Raises
    ------
    PoolingError
        If the models cannot predict, or predict different numbers of rows.
    """
    if not all(hasattr(fit, "predict") for fit in fits):
        raise PoolingError(f"a {type(fits[0]).__name__} has no predict(): nothing can be averaged")
    found = [_predictions(fit, rows) for fit in fits]
    arrays = [np.asarray(values, dtype=float) for values in found]
    _check_rows(arrays)
    mean, first = np.mean(arrays, axis=0), found[0]
    if isinstance(first, pd.DataFrame):
        return pd.DataFrame(mean, index=first.index, columns=first.columns)
    return pd.Series(mean, index=first.index) if isinstance(first, pd.Series) else mean


def _check_rows(predictions: Sequence[FloatArray]) -> None:
    lengths = sorted({len(array) for array in predictions})
    if len(lengths) > 1:
        raise PoolingError(
            f"the analyses predict different numbers of rows, {lengths[0]} to {lengths[-1]}: give "
            "exog, so that all predict the same rows"
        )


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Tell what a formula misses in the rows to predict, without its traceback of strings."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "PatsyError":
            raise
        said = str(error).rpartition("returned by patsy is:")[2].strip().partition("\n")[0]
        raise PoolingError(f"the rows to predict do not fit the formula: {said}") from error


def _predictions(fit: Fitted, rows: Rows) -> Any:  # noqa: ANN401 - whatever the library predicts
    options = rows.options
    # Libraries name it differently, and then it comes first; of statsmodels' PHReg it does not.
    by_name = "exog" in signature(fit.predict).parameters
    first = [options.pop("exog")] if "exog" in options and not by_name else []
    with _told_plainly():
        predicted = fit.predict(*first, **options)
    # PHReg returns a bunch.
    return getattr(predicted, "predicted_values", predicted)


def pool_predictions(
    fits: Sequence[Fitted],
    rows: Rows,
    *,
    dfcom: float,
    df: DfMethod,
    rule: Rule,
    member_of: npt.ArrayLike | None,
) -> PooledPrediction:
    """Pool predicted means and their standard errors by Rubin's rules.

    Parameters
    ----------
    fits : sequence of fitted models
        One for each imputation, with ``get_prediction``.
    rows : Rows
        What to predict.
    dfcom, df, rule, member_of
        As in :func:`psmimpute.pooling.moments.pool_columns`.

    Returns
    -------
    PooledPrediction

    Raises
    ------
    PoolingError
        If the models have no ``get_prediction``, or predict different numbers of rows.
    """
    if not all(hasattr(fit, "get_prediction") for fit in fits):
        raise PoolingError(
            f"a {type(fits[0]).__name__} gives no standard errors of predictions: use predict()"
        )
    with _told_plainly():
        found = [fit.get_prediction(**rows.options) for fit in fits]
    first = found[0]
    discrete = not hasattr(first, "predicted_mean")
    means = [np.asarray(one.predicted if discrete else one.predicted_mean) for one in found]
    _check_rows(means)
    q = np.array(means, dtype=float)
    u = np.array([one.se if discrete else one.se_mean for one in found], dtype=float) ** 2

    def pool(variances: FloatArray) -> RubinPool:
        return pool_columns(q, variances, dfcom=dfcom, df=df, rule=rule, member_of=member_of)

    # Of quantiles they are no intervals for observations, whatever statsmodels gives.
    linear = hasattr(first, "se_obs") and type(fits[0].model).__name__ != "QuantReg"
    labels = getattr(first, "row_labels", None)
    return PooledPrediction(
        pooled=pool(u),
        observation=pool(np.array([one.se_obs for one in found]) ** 2) if linear else None,
        transform=_link(fits[0]),
        style="linear" if linear else "discrete" if discrete else "glm",
        row_labels=None if labels is None else pd.Index(labels),
    )


def _link(fit: Fitted) -> Transform:
    model = fit.model
    link = getattr(getattr(model, "family", None), "link", None)
    if link is None:
        return TRANSFORMS[_LINKS.get(type(model).__name__, "identity")]
    return Transform(type(link).__name__, link, link.inverse, link.deriv, (-np.inf, np.inf))
