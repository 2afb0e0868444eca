"""Tipping points: the shift of imputed values at which a conclusion changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.estimate import chosen_term, estimate_of
from psmimpute.imputed.fitting import Analysis, ModelFunction
from psmimpute.imputed.multiply_imputed import MultiplyImputed
from psmimpute.imputed.plots.style import IMPUTED, NEUTRAL, OBSERVED, interval_label, new_axes
from psmimpute.imputed.selecting import Condition
from psmimpute.imputed.shift import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class TippingPoint:
    """Pooled estimates of one term, by the shift of a column's imputed values.

    Attributes
    ----------
    frame : DataFrame
        One row for each shift: ``delta``, ``estimate``, ``std_error``, ``df``, ``conf_low``,
        ``conf_high``, ``p_value``, and ``conclusion``: 1 if the interval lies above zero, -1
        if below, 0 if it holds zero.
    column : hashable
        The shifted column.
    term : str
        The term of the analysis.
    alpha : float
        One minus the level of the intervals.
    reference : int
        The conclusion without a shift.
    pattern_set : int or sequence of int, optional
        The sets that were shifted, if not all rows.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import statsmodels.formula.api as smf
    >>> deltas = [-4.0, -2.0, 0.0, 2.0, 4.0]
    >>> tipping = psm.tipping_point(
    ...     imp, "bmi ~ age + chl", "bmi", deltas, model=smf.ols, term="age[T.40-59]"
    ... )
    >>> tipping.reference, [round(point, 2) for point in tipping.points]
    (0, [])
    """

    frame: pd.DataFrame
    column: Hashable
    term: str
    alpha: float
    reference: int
    pattern_set: int | Sequence[int] | None = None

    @property
    def points(self) -> list[float]:
        """Shifts at which the conclusion changes, by linear interpolation of the interval."""
        deltas = _as_floats(self.frame["delta"])
        found = []
        for bound in ("conf_low", "conf_high"):
            ends = self.frame[bound].to_numpy(dtype=float)
            crosses = np.flatnonzero(np.sign(ends[:-1]) * np.sign(ends[1:]) < 0)
            step = (deltas[crosses + 1] - deltas[crosses]) / (ends[crosses + 1] - ends[crosses])
            found += [*(deltas[crosses] - ends[crosses] * step)]
        return sorted(float(point) for point in found)

    def to_frame(self) -> pd.DataFrame:
        """Return the table.

        Returns
        -------
        DataFrame
            A copy of `frame`.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> import statsmodels.formula.api as smf
        >>> deltas = [-4.0, -2.0, 0.0, 2.0, 4.0]
        >>> tipping = psm.tipping_point(
        ...     imp, "bmi ~ age + chl", "bmi", deltas, model=smf.ols, term="age[T.40-59]"
        ... )
        >>> tipping.to_frame()[["delta", "estimate", "p_value"]].round(3)
           delta  estimate  p_value
        0   -4.0    -2.847    0.239
        1   -2.0    -3.135    0.162
        2    0.0    -3.423    0.116
        3    2.0    -3.711    0.097
        4    4.0    -4.000    0.096
        """
        return self.frame.copy()

    def __repr__(self) -> str:
        return f"{self.summary()}\n\n{self.frame.to_string(index=False)}"

    def _repr_html_(self) -> str:
        return f"<p>{self.summary()}</p>{self.frame.to_html(index=False)}"

    def summary(self) -> str:
        """Return in a sentence for which shifts the conclusion stands.

        Returns
        -------
        str
            One sentence.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> import statsmodels.formula.api as smf
        >>> deltas = [-4.0, -2.0, 0.0, 2.0, 4.0]
        >>> tipping = psm.tipping_point(
        ...     imp, "bmi ~ age + chl", "bmi", deltas, model=smf.ols, term="age[T.40-59]"
        ... )
        >>> tipping.summary().endswith("does not change.")
        True
        """
        deltas = self.frame["delta"]
        where = "" if self.pattern_set is None else f" in pattern set {self.pattern_set}"
        moved = f"{self.term!r} with the imputed values of {self.column!r}{where} shifted"
        changed = (self.frame["conclusion"] != self.reference).to_numpy()
        if not changed.any():
            return f"The conclusion on {moved} by {deltas.min()} to {deltas.max()} does not change."
        nearest = deltas[changed].iloc[int(np.abs(_as_floats(deltas[changed])).argmin())]
        return f"The conclusion on {moved} changes: the nearest shift that does it is {nearest}."

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the estimate and its interval against the shift.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            Estimates in blue with a band; dashed red lines where the conclusion changes.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> import statsmodels.formula.api as smf
        >>> deltas = [-4.0, -2.0, 0.0, 2.0, 4.0]
        >>> tipping = psm.tipping_point(
        ...     imp, "bmi ~ age + chl", "bmi", deltas, model=smf.ols, term="age[T.40-59]"
        ... )
        >>> tipping.plot().get_xlabel()
        'shift of imputed bmi'
        """
        deltas = _as_floats(self.frame["delta"])
        ax = new_axes(ax)
        ax.fill_between(
            deltas, self.frame["conf_low"], self.frame["conf_high"], color=OBSERVED, alpha=0.2, lw=0
        )
        ax.plot(deltas, self.frame["estimate"], color=OBSERVED, marker="o", ms=3)
        ax.axhline(0, color=NEUTRAL, lw=0.8)
        for point in self.points:
            ax.axvline(point, color=IMPUTED, lw=1, ls="--")
        days = " (days)" if self.frame["delta"].dtype.kind == "m" else ""
        ax.set_xlabel(f"shift of imputed {self.column}{days}")
        ax.set_ylabel(interval_label(self.term, self.alpha))
        return ax


def tipping_point(
    imp: MultiplyImputed,
    analysis: Analysis,
    column: Hashable,
    deltas: Sequence[float] | Sequence[dt.timedelta],
    *,
    model: ModelFunction | None = None,
    term: str | None = None,
    rows: Condition | None = None,
    pattern_set: int | Sequence[int] | None = None,
    scale: Scale = "column",
    alpha: float = 0.05,
    seed: int = 0,
    n_jobs: int = 1,
    **options: Any,  # noqa: ANN401 (whatever the model takes)
) -> TippingPoint:
    """Find the shift of a column's imputed values at which a conclusion changes.

    Parameters
    ----------
    imp : MultiplyImputed
        The multiply-imputed data.
    analysis : str or callable
        As in :meth:`~psmimpute.MultiplyImputed.fit`.
    column : hashable
        The column to shift.
    deltas : sequence of float or timedelta
        Shifts to try; see :func:`~psmimpute.imputed.shift.shift_imputed` for their units.
    model : callable, optional
        For a formula.
    term : str, optional
        The term to watch; needed if the analysis has more than one besides an intercept.
    rows : array_like of bool, str or callable, optional
        Shift only these rows, such as those of one arm: see
        :meth:`~psmimpute.MultiplyImputed.delta`.
    pattern_set : int or sequence of int, optional
        Shift only rows drawn into these sets.
    scale : {"column", "link"}, default "column"
        As in :meth:`~psmimpute.MultiplyImputed.delta`.
    alpha : float, default 0.05
        One minus the level of the intervals.
    seed : int, default 0
        For shifts of levels; the same for all `deltas`.
    n_jobs : int, default 1
        Number of threads for each set of analyses.
    **options
        Keywords of the model, as in :meth:`~psmimpute.MultiplyImputed.fit`.

    Returns
    -------
    TippingPoint
        A table, its summary and a plot.

    Raises
    ------
    ImputationError
        If `deltas` is empty, the term is unknown or not named, or the shift does not fit the
        column.
    PoolingError
        If the analyses cannot be pooled.

    References
    ----------
    .. [1] Cro, S., Morris, T. P., Kenward, M. G. and Carpenter, J. R. (2020). Sensitivity
       analysis for clinical trials with missing continuous outcome data using controlled
       multiple imputation: a practical guide. Statistics in Medicine 39(21), 2815-2842.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm
    >>> import statsmodels.formula.api as smf
    >>> deltas = [-4.0, -2.0, 0.0, 2.0, 4.0]
    >>> tipping = psm.tipping_point(
    ...     imp, "bmi ~ age + chl", "bmi", deltas, model=smf.ols, term="age[T.40-59]"
    ... )
    >>> tipping.to_frame()[["delta", "estimate", "conclusion"]].round(2)
       delta  estimate  conclusion
    0   -4.0     -2.85           0
    1   -2.0     -3.14           0
    2    0.0     -3.42           0
    3    2.0     -3.71           0
    4    4.0     -4.00           0
    """
    if len(deltas) == 0:
        raise ImputationError("deltas is empty: give shifts to try, such as [0, 0.5, 1]")
    if not 0 < alpha < 1:
        raise ImputationError(f"alpha={alpha!r}: give a number between 0 and 1, such as 0.05")
    plain = imp.pool(analysis, model=model, n_jobs=n_jobs, **options)
    name = chosen_term(plain, term)
    found: list[dict[str, Any]] = []
    steps: list[Any] = sorted(deltas)
    for delta in steps:
        shifted = imp.delta(
            {column: delta}, rows=rows, pattern_set=pattern_set, scale=scale, seed=seed
        )
        pooled = shifted.pool(analysis, model=model, n_jobs=n_jobs, **options)
        found.append({"delta": delta, **estimate_of(pooled, name, alpha)})
    return TippingPoint(
        frame=pd.DataFrame(found),
        column=column,
        term=name,
        alpha=alpha,
        reference=estimate_of(plain, name, alpha)["conclusion"],
        pattern_set=pattern_set,
    )


def _as_floats(deltas: pd.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return shifts as numbers, durations in days."""
    if deltas.dtype.kind == "m":
        return np.asarray(pd.to_timedelta(deltas) / pd.Timedelta(days=1), dtype=np.float64)
    return deltas.to_numpy(dtype=np.float64)
