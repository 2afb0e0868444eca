"""How an estimate depends on π′: the weight of what was observed in the law of what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.estimate import chosen_term, estimate_of
from psmimpute.imputed.fitting import Analysis, ModelFunction
from psmimpute.imputed.multiply_imputed import MultiplyImputed
from psmimpute.imputed.plots.style import NEUTRAL, OBSERVED, interval_label, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class PiSensitivity:
    """Pooled estimates of one term, by π′.

    Attributes
    ----------
    frame : DataFrame
        One row for each value: ``pi``, ``estimate``, ``std_error``, ``df``, ``conf_low``,
        ``conf_high``, ``p_value``, and ``conclusion``: 1 if the interval lies above zero, -1
        if below, 0 if it holds zero.
    term : str
        The term of the analysis.
    alpha : float
        One minus the level of the intervals.

    Examples
    --------
    >>> import statsmodels.formula.api as smf
    >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
    >>> fitted = psm.impute(df, m=2, seed=1, **quick)
    >>> varied = psm.pi_sensitivity(fitted, "bmi ~ chl", (0.0, 1.0), model=smf.ols, term="chl")
    >>> varied.term, varied.alpha
    ('chl', 0.05)
    """

    frame: pd.DataFrame
    term: str
    alpha: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table.

        Returns
        -------
        DataFrame
            A copy of `frame`.

        Examples
        --------
        >>> import statsmodels.formula.api as smf
        >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
        >>> fitted = psm.impute(df, m=2, seed=1, **quick)
        >>> varied = psm.pi_sensitivity(fitted, "bmi ~ chl", (0.0, 1.0), model=smf.ols, term="chl")
        >>> varied.to_frame()["pi"].tolist()
        [0.0, 1.0]
        """
        return self.frame.copy()

    def __repr__(self) -> str:
        return f"{self.summary()}\n\n{self.frame.to_string(index=False)}"

    def _repr_html_(self) -> str:
        return f"<p>{self.summary()}</p>{self.frame.to_html(index=False)}"

    def summary(self) -> str:
        """Return in a sentence how far the estimate moves, and whether the conclusion stands.

        Returns
        -------
        str
            One sentence.

        Examples
        --------
        >>> import statsmodels.formula.api as smf
        >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
        >>> fitted = psm.impute(df, m=2, seed=1, **quick)
        >>> varied = psm.pi_sensitivity(fitted, "bmi ~ chl", (0.0, 1.0), model=smf.ols, term="chl")
        >>> "chl" in varied.summary()
        True
        """
        pi, estimate = self.frame["pi"], self.frame["estimate"]
        stands = "stands" if len(set(self.frame["conclusion"])) == 1 else "changes"
        return (
            f"With π' from {pi.min():g} to {pi.max():g} the estimate of {self.term!r} runs from "
            f"{estimate.min():.4g} to {estimate.max():.4g}, and the conclusion {stands}."
        )

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the estimate and its interval against π′.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            Estimates in blue with their intervals.

        Examples
        --------
        >>> import statsmodels.formula.api as smf
        >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
        >>> fitted = psm.impute(df, m=2, seed=1, **quick)
        >>> varied = psm.pi_sensitivity(fitted, "bmi ~ chl", (0.0, 1.0), model=smf.ols, term="chl")
        >>> len(varied.plot().lines) > 0
        True
        """
        ax = new_axes(ax)
        pi, estimate = self.frame["pi"], self.frame["estimate"]
        ax.vlines(pi, self.frame["conf_low"], self.frame["conf_high"], color=OBSERVED, lw=1.5)
        ax.plot(pi, estimate, color=OBSERVED, marker="o", ms=4)
        ax.axhline(0, color=NEUTRAL, lw=0.8)
        ax.set_xlabel("π' (0: missing as observed, 1: observed cells teach nothing)")
        ax.set_ylabel(interval_label(self.term, self.alpha))
        return ax


def pi_sensitivity(
    imp: MultiplyImputed,
    analysis: Analysis,
    grid: Sequence[float] = GRID,
    *,
    model: ModelFunction | None = None,
    term: str | None = None,
    alpha: float = 0.05,
    n_jobs: int = 1,
    **options: Any,  # noqa: ANN401 (whatever the model takes)
) -> PiSensitivity:
    """Refit at several π′ and pool the analysis at each.

    Every refit starts from the members as they are, on the same resamples of the rows and with
    the same random numbers, so that what differs is due to π′.

    Parameters
    ----------
    imp : MultiplyImputed
        What :func:`psmimpute.impute` returned.
    analysis : str or callable
        As in :meth:`~psmimpute.MultiplyImputed.fit`.
    grid : sequence of float, default (0, 0.25, 0.5, 0.75, 1)
        Values of π′, in [0, 1].
    model : callable, optional
        For a formula.
    term : str, optional
        The term to watch; needed if the analysis has more than one besides an intercept.
    alpha : float, default 0.05
        One minus the level of the intervals.
    n_jobs : int, default 1
        Number of threads for each set of analyses.
    **options
        Keywords of the model, as in :meth:`~psmimpute.MultiplyImputed.fit`.

    Returns
    -------
    PiSensitivity
        A table, its summary and a plot.

    Raises
    ------
    ImputationError
        If the model is no longer at hand, the grid is empty or leaves [0, 1], or the term is
        unknown or not named.
    PoolingError
        If the analyses cannot be pooled.

    Warns
    -----
    NoEffectWarning
        If the model does not depend on π′.

    References
    ----------
    .. [1] Ghalebikesabi, S., Cornish, R., Holmes, C. and Kelly, L. J. (2021). Deep generative
       missingness pattern-set mixture models. AISTATS, PMLR 130, 3727-3735. Figure 2.

    Examples
    --------
    >>> import psmimpute as psm
    >>> import statsmodels.formula.api as smf
    >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
    >>> fitted = psm.impute(df, m=2, seed=1, **quick)
    >>> varied = psm.pi_sensitivity(fitted, "bmi ~ chl", (0.0, 1.0), model=smf.ols, term="chl")
    >>> varied.to_frame()["pi"].tolist()
    [0.0, 1.0]
    """
    source = imp.info.source
    if source is None:
        raise ImputationError(
            "these imputations have no model to refit: they were read, bound, filtered or changed "
            "since; hand over what impute() returned"
        )
    if not len(grid) or not all(0 <= value <= 1 for value in grid):
        raise ImputationError(f"grid={[*grid]!r}: give values of pi in [0, 1]")
    if not 0 < alpha < 1:
        raise ImputationError(f"alpha={alpha!r}: give a number between 0 and 1, such as 0.05")
    rows: list[dict[str, float]] = []
    name = term
    for value in sorted(map(float, grid)):
        other: MultiplyImputed = source.at_pi(value)
        other._derived = imp._derived
        pooled = other.pool(analysis, model=model, n_jobs=n_jobs, **options)
        name = chosen_term(pooled, name)
        rows.append({"pi": value, **estimate_of(pooled, name, alpha)})
    return PiSensitivity(pd.DataFrame(rows), str(name), alpha)
