"""How far imputations can be trusted: held-out cells, support, weights, training, differences."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ExtrapolationWarning
from psmimpute.imputed.checks import make_checks
from psmimpute.imputed.held_out import summarize_held_out
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.weights import PARETO_K_LIMIT
from psmimpute.table.reading import Storage, read_times, storage_of
from psmimpute.telling import warn

FloatArray = npt.NDArray[np.float64]

# A column of which a pattern set is expected to hold fewer observed cells has no support there.
MIN_EXPECTED_OBSERVED = 1.0


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """What to look at before imputations are used.

    Attributes
    ----------
    columns : DataFrame
        One row for each column with imputed cells: ``n_imputed``; for numbers ``mean_observed``,
        ``mean_imputed``, ``sd_observed``, ``sd_imputed`` (over all imputations) and
        ``difference`` (of the means, in observed standard deviations); for dates and durations
        ``difference`` alone; for other columns it is the total variation distance between the
        shares of their levels, 0 to 1. Differences are no fault by themselves: they may come
        from the mechanism.
    weights : Series
        Over rows: smallest, 5 % quantile and median of the effective sample size, and the
        share of rows with a Pareto k above 0.7. Empty if the imputations carry none.
    members : DataFrame
        One row for each member: ``steps``, ``last_loss`` and ``last_oob_loss``, if known.
    extrapolated : DataFrame
        Combinations of ``pattern_set`` and ``column`` with imputed cells and next to no observed
        ones, with the numbers of both that are expected from the sets' probabilities.
    held_out : DataFrame
        How well observed cells were predicted that had been hidden, by column: see
        :func:`psmimpute.imputed.held_out.summarize_held_out`. Empty without the model.
    ranks : mapping of hashable to ndarray
        The probability integral transforms behind `held_out`.
    checks : DataFrame
        One row for each check: ``check``, ``result`` (``"pass"``, ``"warn"`` or ``"not done"``)
        and ``detail``, what was found in words.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> found = imp.diagnostics()
    >>> list(found.columns)
    ['n_imputed', 'mean_observed', 'mean_imputed', 'sd_observed', 'sd_imputed', 'difference']
    >>> found.passed
    True
    """

    columns: pd.DataFrame
    weights: pd.Series
    members: pd.DataFrame
    extrapolated: pd.DataFrame
    held_out: pd.DataFrame = field(default_factory=pd.DataFrame)
    ranks: Mapping[Hashable, FloatArray] = field(default_factory=dict)
    checks: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def passed(self) -> bool:
        """Whether no check warns."""
        return not len(self.checks) or bool((self.checks["result"] != "warn").all())

    def __repr__(self) -> str:
        members = self.members.describe() if len(self.members) else self.members
        tables = (
            self.columns,
            self.held_out,
            self.weights.to_frame(),
            members,
            self.extrapolated,
        )
        titles = ("Columns", "Held out", "Weights", "Members", "Extrapolated")
        words = [f"{row.result:<8}  {row.check}: {row.detail}" for row in self.checks.itertuples()]
        head = "\n".join(["Checks", *words]) + "\n\n" if words else ""
        return head + "\n\n".join(
            f"{title}\n{table.to_string()}" if len(table) else f"{title}: none"
            for title, table in zip(titles, tables, strict=True)
        )


def diagnose(
    imp: ImputedTable,
    *,
    held_out: bool = True,
    refit: bool = False,
    n_draws: int = 40,
    most_rows: int = 500,
    seed: int = 0,
) -> Diagnostics:
    """Collect what tells how far imputations can be trusted.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    held_out : bool, default True
        Whether to hide a fifth of the observed cells of some rows and draw them anew.
    refit : bool, default False
        Whether the hidden cells are hidden from training too, which takes as long as imputing.
        Otherwise a cell is judged by the members that were not trained on its row.
    n_draws : int, default 40
        Draws of each hidden cell.
    most_rows : int, default 500
        Rows with hidden cells, at most.
    seed : int, default 0
        Of the choice of cells.

    Returns
    -------
    Diagnostics
        Tables.

    Warns
    -----
    ExtrapolationWarning
        If a column was observed in no row of a pattern set, yet imputed there.
    """
    flags = extrapolated_cells(imp)
    if len(flags):
        first = flags.iloc[0]
        warn(
            f"{len(flags)} combinations of pattern set and column have imputed cells but no "
            f"observed ones, first column {first['column']!r} in set {first['pattern_set']}: the "
            "imputations there extrapolate from other sets; try fewer sets, or a sensitivity "
            "analysis with imp.delta",
            ExtrapolationWarning,
        )
    weights, members = _weights(imp), _members(imp)
    summary, ranks = pd.DataFrame(), dict[Hashable, FloatArray]()
    if held_out and imp.info.source is not None:
        cells = imp.info.source.held_out(
            n_draws=n_draws, most_rows=most_rows, seed=seed, refit=refit
        )
        summary, ranks = summarize_held_out(cells, seed=seed)
    checks = make_checks(summary, weights, members, flags)
    return Diagnostics(_columns(imp), weights, members, flags, summary, ranks, checks)


def extrapolated_cells(imp: ImputedTable) -> pd.DataFrame:
    """List the pattern sets in which a column was imputed but never observed.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.

    Returns
    -------
    DataFrame
        Columns ``pattern_set``, ``column``, ``observed`` and ``imputed``: the expected numbers of
        cells. No row if all is well, or there are no sets.
    """
    rows: list[dict[str, Any]] = []
    if imp.n_sets:
        weights = imp.pattern_set_probabilities.to_numpy()
        where = imp.where.to_numpy()
        observed = weights.T @ imp.complete_columns(0, [*imp.where.columns]).notna().to_numpy()
        imputed = weights.T @ where
        poor = (observed < MIN_EXPECTED_OBSERVED) & (imputed >= MIN_EXPECTED_OBSERVED)
        rows = [
            {
                "pattern_set": int(r) + 1,
                "column": imp.where.columns[int(j)],
                "observed": float(observed[r, j]),
                "imputed": float(imputed[r, j]),
            }
            for r, j in np.argwhere(poor)
        ]
    return pd.DataFrame(rows, columns=["pattern_set", "column", "observed", "imputed"])


def _columns(imp: ImputedTable) -> pd.DataFrame:
    where = imp.where
    names = [name for name in where.columns if where[name].any()]
    rows = [_compared(imp, name) for name in names]
    return pd.DataFrame(rows, index=pd.Index(names, name="column", tupleize_cols=False))


def _compared(imp: ImputedTable, name: Hashable) -> dict[str, float]:
    rows = imp.where[name].to_numpy()
    observed = imp.complete_columns(0, [name])[name].dropna()
    cells = imp.imputed_values(name)
    imputed = pd.concat([cells[k] for k in cells.columns], ignore_index=True).dropna()
    result: dict[str, float] = {"n_imputed": int(rows.sum())}
    if storage_of(observed) in (Storage.DATETIME, Storage.TIMEDELTA):
        seen, drawn = (read_times(values).ticks.astype(float) for values in (observed, imputed))
        return {**result, "difference": _standardised(drawn.mean() - seen.mean(), seen.std())}
    if not pd.api.types.is_numeric_dtype(observed.dtype):
        shares = [values.value_counts(normalize=True) for values in (observed, imputed)]
        gaps = shares[0].astype(float).sub(shares[1].astype(float), fill_value=0.0)
        return {**result, "difference": float(gaps.abs().sum() / 2)}
    seen, drawn = observed.to_numpy(dtype=float), imputed.to_numpy(dtype=float)
    return {
        **result,
        "mean_observed": float(seen.mean()),
        "mean_imputed": float(drawn.mean()),
        "sd_observed": float(seen.std()),
        "sd_imputed": float(drawn.std()),
        "difference": _standardised(drawn.mean() - seen.mean(), seen.std()),
    }


def _standardised(gap: float, spread: float) -> float:
    return float(gap / spread) if spread else 0.0


def _weights(imp: ImputedTable) -> pd.Series:
    found: dict[str, float] = {}
    if imp.info.ess is not None:
        ess: FloatArray = np.asarray(imp.info.ess, dtype=np.float64)
        low, five, middle = np.nanquantile(ess, (0, 0.05, 0.5))
        found |= {"ess_min": float(low), "ess_5_percent": float(five), "ess_median": float(middle)}
    if imp.info.pareto_k is not None:
        found["pareto_k_above_0.7"] = float((imp.info.pareto_k > PARETO_K_LIMIT).mean())
    return pd.Series(found, dtype=float, name="weights")


def _members(imp: ImputedTable) -> pd.DataFrame:
    history = pd.DataFrame([*imp.info.history])
    if history.empty or "member" not in history:
        return pd.DataFrame()
    grouped = history.groupby("member")
    result = pd.DataFrame({"steps": grouped["step"].max(), "last_loss": grouped["loss"].last()})
    if "oob_loss" in history:
        result["last_oob_loss"] = grouped["oob_loss"].last()
    return result
