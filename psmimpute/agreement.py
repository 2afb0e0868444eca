"""Imputations that agree with observed cells of columns that do not always apply.

Whoever is seen to be pregnant is no man. The model knows it only as a tendency, so a draw that
says otherwise is taken back, and the row drawn again.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.assembly import RowDraws, RowImputer
from psmimpute.declared import Declared
from psmimpute.exceptions import NotApplicableWarning
from psmimpute.imputed.derived import Recipe
from psmimpute.random import Purpose, stream_seed
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.reading import is_missing
from psmimpute.telling import warn

_MOST_ROUNDS = 50

BoolArray = npt.NDArray[np.bool_]


def redraw_contradictions(
    rows: RowImputer,
    df: pd.DataFrame,
    table: EncodedTable,
    keys: npt.NDArray[np.uint64],
    found: RowDraws,
    *,
    derived: Mapping[Hashable, str | Recipe],
    chosen: BoolArray | None = None,
) -> None:
    """Draw rows again until no imputed cell says that an observed one cannot be.

    Rejection leaves draws from the model given that the conditions hold. It works row by row and
    imputation by imputation, so that what a row gets still depends on its key alone.

    Parameters
    ----------
    rows : RowImputer
        It holds the conditions.
    df : DataFrame
        The rows.
    table : EncodedTable
        The same as the model sees them.
    keys : ndarray of uint64, shape (n_rows,)
        Their keys.
    found : RowDraws
        Their imputations, which are changed in place.
    derived : mapping of column to str or callable
        Columns that conditions may rest on.
    chosen : ndarray of bool, shape (n_rows, n_modelled_columns), optional
        Observed cells that were drawn all the same.

    Warns
    -----
    NotApplicableWarning
        If some rows disagree after fifty rounds: their last draws are kept.
    """
    # Conditions cannot rest on columns that are new.
    derived = {name: recipe for name, recipe in derived.items() if name in df.columns}
    declared = Declared(rows.schema, derived, rows.applicability)
    watched = _watched(declared, df, table, found, chosen)
    todo = np.flatnonzero(watched.any(1))
    if not len(todo):
        return
    m = len(found.draws.sets)
    by_row = _is_told_by_row(declared)

    def contradicted(some: npt.NDArray[np.intp]) -> BoolArray:
        at = some if by_row else np.arange(len(df))
        wrong = _contradicted(declared, df.iloc[at], _part(found, at), watched[at])
        return wrong if by_row else wrong[:, some]

    wrong = contradicted(todo)
    for number in range(_MOST_ROUNDS):
        still = wrong.any(0)
        todo, wrong = todo[still], wrong[:, still]
        if not len(todo):
            return
        seed = stream_seed(rows.seed, member=number, purpose=Purpose.REDRAW)
        hidden = None if chosen is None else chosen[todo]
        new = replace(rows, seed=seed).impute(table.take(todo), keys[todo], m, chosen=hidden)
        _put(found, todo, new, wrong)
        wrong &= contradicted(todo)
    if wrong.any():
        warn(
            f"{int(wrong.sum())} imputed rows contradict a cell that was observed although its "
            f"column does not apply there, says applicable_if: {_MOST_ROUNDS} draws of each, and "
            "none agreed. They are kept; see whether the condition is right",
            NotApplicableWarning,
        )


def _is_told_by_row(declared: Declared) -> bool:
    """Whether no function of the whole frame is among the conditions and what they rest on."""
    formulas = [declared.applicability.is_formula(n) for n, _ in declared.applicability.conditions]
    return all(formulas) and all(isinstance(r, str) for r in declared.derived.values())


def _watched(
    declared: Declared,
    df: pd.DataFrame,
    table: EncodedTable,
    found: RowDraws,
    chosen: BoolArray | None,
) -> BoolArray:
    """Observed cells that a draw could contradict, shape (n_rows, n_conditions)."""
    applicability, names = declared.applicability, declared.schema.column_names
    watched = np.zeros((len(df), len(applicability.conditions)), dtype=bool)
    for k, (name, _) in enumerate(applicability.conditions):
        j = names.index(name)
        kept = table.observed_cells[:, j] & _hangs_on_draws(declared, name, df, found)
        if chosen is not None:
            kept &= ~chosen[:, j]
        if kept.any():  # what the data themselves contradict was told already
            watched[:, k] = kept & ~applicability.never_applies(name, df)
    return watched


def _hangs_on_draws(
    declared: Declared, name: Hashable, df: pd.DataFrame, found: RowDraws
) -> BoolArray:
    """Rows in which draws decide a condition, shape (n_rows,).

    A formula that names a cell that stays unknown is never told, and nothing contradicts it.
    """
    names = declared.schema.column_names
    drawn, unknown = np.zeros(len(df), dtype=bool), np.zeros(len(df), dtype=bool)
    for other in declared.applicability.rests_on(name, df):
        if other in declared.derived:
            drawn |= is_missing(df[other])
        elif other in names:
            drawn |= found.missing[:, names.index(other)]
        else:
            unknown |= is_missing(df[other])
    return drawn & ~unknown if declared.applicability.is_formula(name) else drawn


def _contradicted(
    declared: Declared, df: pd.DataFrame, found: RowDraws, watched: BoolArray
) -> BoolArray:
    """Imputed rows by which a watched cell does not apply, shape (m, n_rows)."""
    completed = declared.finished(df, found)
    wrong = np.zeros((completed.m, len(df)), dtype=bool)
    for i in range(completed.m):
        frame = completed.complete_columns(i + 1, [*df.columns])
        for k, (name, _) in enumerate(declared.applicability.conditions):
            if watched[:, k].any():
                wrong[i] |= watched[:, k] & ~declared.applicability.applies(name, frame)
    return wrong


def _part(found: RowDraws, rows: npt.NDArray[np.intp]) -> RowDraws:
    """Imputations of some rows, without the quality of their weights."""
    here = np.zeros(len(found.missing), dtype=bool)
    here[rows] = True
    values = {j: v[:, here[found.missing[:, j]]] for j, v in found.values.items()}
    draws = replace(found.draws, sets=found.draws.sets[:, rows])
    return RowDraws(found.missing[rows], {j: v for j, v in values.items() if v.size}, draws)


def _put(found: RowDraws, rows: npt.NDArray[np.intp], new: RowDraws, wrong: BoolArray) -> None:
    """Write new imputations of some rows in the place of those that were wrong."""
    imputation, row = np.nonzero(wrong)
    found.draws.sets[imputation, rows[row]] = new.draws.sets[imputation, row]
    for j, values in new.values.items():
        missing = new.missing[:, j]
        to = (np.cumsum(found.missing[:, j]) - 1)[rows]
        of = np.cumsum(missing) - 1
        here = missing[row]
        i, r = imputation[here], row[here]
        kept = found.values[j]
        if kept.dtype != values.dtype:  # texts of another length
            kept = found.values[j] = kept.astype(np.promote_types(kept.dtype, values.dtype))
        kept[i, to[r]] = values[i, of[r]]
