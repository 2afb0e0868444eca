"""What the reader of imputations is to be warned of before believing them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator

import numpy as np
import pandas as pd

from psmimpute.assembly import RowDraws
from psmimpute.exceptions import (
    DerivedMismatchWarning,
    LowESSWarning,
    NegativeImputationWarning,
    PileUpWarning,
    PSMWarning,
)
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.plots.weights import PARETO_K_LIMIT
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.reading import column_at
from psmimpute.table.schema import ColumnSchema, TableSchema
from psmimpute.telling import warn

_POOR_ESS, _POOR_ESS_SHARE, _SUSPECT_ESS_SHARE = 4.0, 0.05, 0.2
_TOLERATED_POOR_ROWS = 0.1
_MOST_COLUMNS_SHOWN = 5
# An end of a column's range is a pile of values where it holds such a share of the observed ones,
# so many of them, and so many times as many as any of the values next to it.
_PILE_SHARE, _PILE_CELLS, _PILE_RATIO, _N_NEXT = 0.05, 10, 3.0, 5

# Positions of the ends of a column's sorted values. Few counts are zeros, or all.
_ENDS = {
    ColumnKind.CONTINUOUS: (0, -1),
    ColumnKind.POSITIVE: (0, -1),
    ColumnKind.SEMICONTINUOUS: (-1,),
    ColumnKind.COUNT: (-1,),
}


def warn_of_imputations(
    data: pd.DataFrame,
    schema: TableSchema,
    found: RowDraws,
    *,
    n_weights: int,
    stated: Collection[Hashable],
) -> None:
    """Warn of poor importance weights and of impossible numbers.

    Parameters
    ----------
    data : DataFrame
        The rows imputed.
    schema : TableSchema
        What the columns are.
    found : RowDraws
        Their imputations.
    n_weights : int
        Importance samples drawn for a row.
    stated : collection of hashable
        Columns of which the user gave a kind or bounds.

    Warns
    -----
    LowESSWarning
        If the weights of more than a tenth of the incomplete rows are poor.
    NegativeImputationWarning
        If a continuous column that is not among `stated` has numbers below zero among the
        imputed values and none among the observed ones.
    PileUpWarning
        If a column of numbers has many observed values at an end of its range.
    """
    negative = _negative(data, schema, found, stated)
    piles = _piles(data, schema, found)
    for message, category in (*_poor_weights(found, n_weights), *negative, *piles):
        warn(message, category)


def warn_of_derived(imp: ImputedTable) -> None:
    """Warn where completed data lack a derived column that nothing excuses.

    Parameters
    ----------
    imp : ImputedTable
        Finished imputations. Rows to which a column of the model does not apply are passed over.

    Warns
    -----
    DerivedMismatchWarning
        If a formula rests on gaps that stay, or gives no number.
    """
    if not imp.assigned:
        return
    frame = imp.complete_columns(1, [*imp.columns])
    modelled = [name for name in imp.schema.column_names if name not in imp.assigned]
    excused = frame[modelled].isna().any(axis=1)
    for name in imp.assigned:
        lacking = int((frame[name].isna() & ~excused).sum())
        if lacking:
            warn(
                f"the derived column {name!r} is missing in {lacking} rows of the completed data: "
                "it rests on gaps that are not imputed, or its formula gives no number there",
                DerivedMismatchWarning,
            )


def _poor_weights(found: RowDraws, n_weights: int) -> Iterator[tuple[str, type[PSMWarning]]]:
    known = np.isfinite(found.draws.ess)
    if not known.any() or not found.values:
        return
    ess, tail = found.draws.ess[known], found.draws.pareto_k[known]
    few = ess < max(_POOR_ESS, _POOR_ESS_SHARE * n_weights)
    heavy = (tail > PARETO_K_LIMIT) & (ess < _SUSPECT_ESS_SHARE * n_weights)
    poor = float((few | heavy).mean())
    if poor > _TOLERATED_POOR_ROWS:
        yield (
            f"the importance weights of {poor:.0%} of the incomplete rows are uneven (effective "
            f"sample size below {_POOR_ESS_SHARE:.0%}, or below {_SUSPECT_ESS_SHARE:.0%} with a "
            f"Pareto k above {PARETO_K_LIMIT}): draw with more samples, "
            "FitConfig(n_draw_samples=...)",
            LowESSWarning,
        )


def _remedy(column: ColumnSchema, *, lowest: float) -> str:
    """Name the kind of a column that cannot be negative, if there is one that suits it."""
    kind = "positive" if lowest > 0 else "count" if column.is_integer else None
    return f"kinds={{{column.name!r}: {kind!r}}} or " if kind else ""


def _numbers(
    data: pd.DataFrame, schema: TableSchema, found: RowDraws, kinds: Collection[ColumnKind]
) -> Iterator[tuple[ColumnSchema, pd.Series, np.ndarray]]:
    """Imputed columns of some kinds, with what was observed of each and what was imputed."""
    positions: dict[Hashable, int] = {name: i for i, name in enumerate(data.columns)}
    for j, cells in found.values.items():
        column = schema.columns[j]
        if column.kind in kinds:
            observed = column_at(data, positions[column.name], column.name)
            yield column, observed.dropna(), cells


def _negative(
    data: pd.DataFrame, schema: TableSchema, found: RowDraws, stated: Collection[Hashable]
) -> Iterator[tuple[str, type[PSMWarning]]]:
    shares: dict[Hashable, float] = {}
    remedy = ""
    for column, observed, cells in _numbers(data, schema, found, {ColumnKind.CONTINUOUS}):
        if column.name in stated:
            continue
        share = float((cells < 0).mean())
        if share and observed.size and observed.min() >= 0:
            shares[column.name] = share
            remedy = remedy or _remedy(column, lowest=float(observed.min()))
    if shares:
        listed = [f"{name!r} ({share:.1%})" for name, share in shares.items()]
        shown = ", ".join(listed[:_MOST_COLUMNS_SHOWN])
        more = f" and {len(listed) - _MOST_COLUMNS_SHOWN} more" * (
            len(listed) > _MOST_COLUMNS_SHOWN
        )
        first = next(iter(shares))
        yield (
            "numbers below zero were imputed where none was observed, in columns taken as "
            f"continuous: {shown}{more} of the imputed values. If there can be none, say "
            f"{remedy}bounds={{{first!r}: (0, None)}}; if there can, "
            f"kinds={{{first!r}: 'continuous'}}",
            NegativeImputationWarning,
        )


def _piles(
    data: pd.DataFrame, schema: TableSchema, found: RowDraws
) -> Iterator[tuple[str, type[PSMWarning]]]:
    for column, observed, cells in _numbers(data, schema, found, _ENDS):
        if not cells.size or column.time is not None:
            continue
        values, counts = np.unique(observed.to_numpy(dtype=float), return_counts=True)
        ends = (float(values[0]), float(values[-1])) if len(values) else None
        if column.kind is ColumnKind.COUNT and column.support == ends:
            continue  # ratings, whose ends take what would lie beyond
        for end in _ENDS[column.kind] if len(counts) > _N_NEXT else ():
            piled = counts[end]
            following = counts[-1 - _N_NEXT : -1] if end else counts[1 : 1 + _N_NEXT]
            least = max(_PILE_CELLS, _PILE_SHARE * counts.sum(), _PILE_RATIO * following.max())
            if piled < least:
                continue
            yield (
                f"{piled / counts.sum():.0%} of the observed values of column {column.name!r} "
                f"are its {'largest' if end else 'smallest'}, {values[end]:g}, but "
                f"{np.mean(cells == values[end]):.1%} of the imputed ones, which are drawn from a "
                "smooth distribution: means and slopes are little touched, shares and quantiles at "
                "this end are; bounds= keeps values inside the range, and makes no such pile",
                PileUpWarning,
            )
