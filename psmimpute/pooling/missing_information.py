"""How much information is missing, and how many imputations that asks for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from psmimpute.exceptions import ConfigError
from psmimpute.pooling.rubin import FloatArray


def fmi_interval(fmi: npt.ArrayLike, *, m: int, alpha: float = 0.05) -> FloatArray:
    """Give confidence limits of fractions of missing information.

    Parameters
    ----------
    fmi : array_like, shape (k,)
        Estimated fractions, in [0, 1].
    m : int
        Number of imputations.
    alpha : float, default 0.05
        One less the coverage.

    Returns
    -------
    ndarray, shape (k, 2)
        Lower and upper limits. The logit of the estimate is taken as normal with variance ``2/m``.

    Raises
    ------
    ConfigError
        If `alpha` is not between 0 and 1.

    References
    ----------
    .. [1] von Hippel, P. T. (2020). How many imputations do you need? A two-stage calculation
       using a quadratic rule. Sociological Methods & Research 49(3), 699-718.

    Examples
    --------
    >>> fmi_interval([0.3], m=20).round(3)
    array([[0.187, 0.443]])
    """
    centre = special.logit(np.asarray(fmi, dtype=float))
    half = t_quantile(alpha, np.array(np.inf)) * np.sqrt(2 / m)
    return np.asarray(special.expit(np.column_stack([centre - half, centre + half])))


def imputations_needed(
    fmi: npt.ArrayLike, *, m: int, cv: float = 0.05, alpha: float = 0.05
) -> npt.NDArray[np.int64]:
    """Find how many imputations make standard errors replicable.

    Parameters
    ----------
    fmi : array_like, shape (k,)
        Estimated fractions of missing information.
    m : int
        Number of imputations they were estimated from.
    cv : float, default 0.05
        Coefficient of variation of a standard error, were the data imputed anew.
    alpha : float, default 0.05
        The fractions are taken at the upper end of their intervals with coverage ``1 - alpha``.

    Returns
    -------
    ndarray of int, shape (k,)

    Raises
    ------
    ConfigError
        If `cv` is not positive, `alpha` is not between 0 and 1, or a fraction is not known.

    References
    ----------
    .. [1] von Hippel, P. T. (2020). Sociological Methods & Research 49(3), 699-718.
       The rule ``m = 1 + (fmi / cv)**2 / 2``.

    Examples
    --------
    >>> imputations_needed([0.3], m=20)
    array([41])
    """
    if not cv > 0:
        raise ConfigError(f"cv must be positive, got {cv}: 0.05 lets standard errors vary by 5 %")
    if not np.isfinite(np.asarray(fmi, dtype=float)).all():
        raise ConfigError("the fraction of missing information is not known under these rules")
    upper = fmi_interval(fmi, m=m, alpha=alpha)[:, 1]
    return np.ceil(1 + 0.5 * (upper / cv) ** 2).astype(np.int64)


def t_quantile(alpha: float, df: FloatArray) -> FloatArray:
    """Critical value of a two-sided interval.

    Parameters
    ----------
    alpha : float
        One less the coverage.
    df : ndarray
        Degrees of freedom, possibly infinite.

    Returns
    -------
    ndarray
        Of the shape of `df`.

    Raises
    ------
    ConfigError
        If `alpha` is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha must be between 0 and 1, got {alpha}: 0.05 gives 95 % intervals")
    return np.asarray(stats.t.ppf(1 - alpha / 2, df))
