"""Imputations that agree with what was seen, and not seen, of columns that do not always apply.

Whoever is seen to be pregnant is no man. The model knows it only as a tendency, so a draw that
says otherwise is taken back, and the row drawn again. Where the sex is unknown and no answer to
the question was seen, that tells as much: if women of unknown sex mostly answer it, few of those
who did not are women. So a draw by which the column applies is taken back with the probability
that it had been observed then, which is learned from the rows in which the condition is unknown.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import beta

from psmimpute.assembly import RowDraws, RowImputer
from psmimpute.declared import Declared
from psmimpute.exceptions import NotApplicableWarning
from psmimpute.imputed.derived import Recipe
from psmimpute.random import Purpose, row_uniforms, stream_seed
from psmimpute.table.applicability import Answers
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.reading import is_missing
from psmimpute.telling import hushed, warn

_MOST_ROUNDS = 50
# Rows, and draws of each, by which it is learned how often a column is observed.
_MOST_LEARNED, _N_LEARNED = 5_000, 20
_GRID = (np.arange(400) + 0.5) / 400

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
    declared = _declared(rows, derived, df)
    watched = _watched(declared, df, table, found, chosen)
    doubted = _doubted(declared, df, table, found, chosen, rows.answers)
    todo = np.flatnonzero(watched.any(1) | doubted.any(1))
    if not len(todo):
        return
    m = len(found.draws.sets)
    by_row = _is_told_by_row(declared)
    shares = _shares_of_answers(rows, m)
    first = [names[0] for names in (rows.applicability.by_formula[text] for text in rows.answers)]

    def contradicted(some: npt.NDArray[np.intp], round_of_doubts: int | None) -> BoolArray:
        at = some if by_row else np.arange(len(df))
        refused = np.zeros((len(first), m, len(at)), dtype=bool)
        if first and round_of_doubts is not None:
            seed = stream_seed(rows.seed, member=round_of_doubts, purpose=Purpose.ANSWERS)
            refused = doubted[at].T[:, None] & _answered(seed, keys[at], shares)
        doubts = dict(zip(first, refused, strict=True))
        wrong = _contradicted(declared, df.iloc[at], _part(found, at), watched[at], doubts)
        return wrong if by_row else wrong[:, some]

    wrong = contradicted(todo, 0)
    # What was observed comes first: doubts are left alone where so many rounds did not end them.
    n_rounds = 2 * _MOST_ROUNDS if rows.answers else _MOST_ROUNDS
    for number in range(n_rounds):
        still = wrong.any(0)
        todo, wrong = todo[still], wrong[:, still]
        if not len(todo):
            return
        seed = stream_seed(rows.seed, member=number, purpose=Purpose.REDRAW)
        hidden = None if chosen is None else chosen[todo]
        new = replace(rows, seed=seed).impute(table.take(todo), keys[todo], m, chosen=hidden)
        _put(found, todo, new, wrong)
        wrong &= contradicted(todo, number + 1 if number + 1 < _MOST_ROUNDS else None)
    if wrong.any():
        warn(
            f"{int(wrong.sum())} imputed rows contradict a cell that was observed although its "
            f"column does not apply there, says applicable_if: {n_rounds} draws of each, and "
            "none agreed. They are kept; see whether the condition is right",
            NotApplicableWarning,
        )


def _declared(
    rows: RowImputer, derived: Mapping[Hashable, str | Recipe], df: pd.DataFrame
) -> Declared:
    """Conditions and what they may rest on: no columns that are new."""
    known = {name: recipe for name, recipe in derived.items() if name in df.columns}
    return Declared(rows.schema, known, rows.applicability)


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


def _doubted(
    declared: Declared,
    df: pd.DataFrame,
    table: EncodedTable,
    found: RowDraws,
    chosen: BoolArray | None,
    answers: Answers,
) -> BoolArray:
    """Rows in which draws decide a formula and none of its columns was observed.

    Its columns are asked together, and left out together: they are one answer. Whoever answered any
    of them is in no doubt. Shape (n_rows, n_formulas).
    """
    hidden = np.zeros_like(found.missing) if chosen is None else chosen
    drawn = replace(found, missing=found.missing & ~hidden)
    doubted = np.zeros((len(df), len(answers)), dtype=bool)
    for g, text in enumerate(answers):
        names = declared.applicability.by_formula[text]
        at = [declared.schema.column_names.index(name) for name in names]
        empty = ~(table.observed_cells | hidden)[:, at].any(1) & found.missing[:, at].any(1)
        doubted[:, g] = empty & _hangs_on_draws(declared, names[0], df, drawn)
    return doubted


def _contradicted(
    declared: Declared,
    df: pd.DataFrame,
    found: RowDraws,
    watched: BoolArray,
    doubts: Mapping[Hashable, BoolArray],
) -> BoolArray:
    """Imputed rows by which a watched cell does not apply, or a doubted one does: (m, n_rows)."""
    held = dict(zip(declared.applicability.names, watched.T, strict=True))
    held = {name: cells for name, cells in held.items() if cells.any()}
    refused = {name: cells for name, cells in doubts.items() if cells.any()}
    applying = _applying(declared, df, found, [*held, *refused])
    wrong = np.zeros((len(found.draws.sets), len(df)), dtype=bool)
    for name, cells in held.items():
        wrong |= cells & ~applying[name]
    for name, cells in refused.items():
        wrong |= cells & applying[name]
    return wrong


def _applying(
    declared: Declared, df: pd.DataFrame, found: RowDraws, names: Iterable[Hashable]
) -> dict[Hashable, BoolArray]:
    """Tell in which imputed rows each of some columns applies, shape (m, n_rows)."""
    completed = declared.finished(df, found)
    applies = {name: np.zeros((completed.m, len(df)), dtype=bool) for name in names}
    for i in range(completed.m):
        frame = completed.complete_columns(i + 1, [*df.columns])
        for name, in_rows in applies.items():
            in_rows[i] = declared.applicability.applies(name, frame)
    return applies


def _shares_of_answers(rows: RowImputer, m: int) -> list[npt.NDArray[np.float64]]:
    """Draw, for each formula and imputation, how often its columns are observed where it holds."""
    shares = []
    key = np.zeros(1, dtype=np.uint64)
    for g, (a, b) in enumerate(rows.answers.values()):
        seed = stream_seed(rows.seed, member=_MOST_ROUNDS + 1 + g, purpose=Purpose.ANSWERS)
        uniform = [
            row_uniforms(seed, imputation=i, rows=key, n=1, purpose=Purpose.ANSWERS).item()
            for i in range(m)
        ]
        shares.append(np.asarray(beta.ppf(uniform, a, b)))
    return shares


def _answered(
    seed: int, keys: npt.NDArray[np.uint64], shares: list[npt.NDArray[np.float64]]
) -> BoolArray:
    """Draw whether columns that apply had been observed, shape (n_formulas, m, n_rows)."""
    n, m, purpose = len(shares), len(shares[0]), Purpose.ANSWERS
    uniform = [row_uniforms(seed, imputation=i, rows=keys, n=n, purpose=purpose) for i in range(m)]
    return np.stack(uniform).transpose(2, 0, 1) < np.stack(shares)[..., None]


def learn_answers(
    rows: RowImputer,
    df: pd.DataFrame,
    table: EncodedTable,
    *,
    derived: Mapping[Hashable, str | Recipe],
) -> Answers:
    r"""Learn how often the columns of a formula are observed where it holds and is unknown.

    Of the rows in which a formula is unknown, some column of it was observed in k. In the others,
    row i, the model gives the formula a probability :math:`p_i`, and the share o of those that
    answered has the likelihood :math:`o^k \prod_i (1 - p_i o)`. With k = 0, as where whoever left
    out the one question left out the others, o is small, and nothing is taken back. Conditions that
    are functions teach nothing: which rows they are unknown in is not known.

    Parameters
    ----------
    rows : RowImputer
        Of the fitted model.
    df : DataFrame
        The rows that were fitted.
    table : EncodedTable
        The same as the model sees them.
    derived : mapping of column to str or callable
        Columns that conditions may rest on.

    Returns
    -------
    mapping of str to (float, float)
        By formula, the parameters of the beta distribution that is nearest the posterior of o
        under a flat prior; without those of which no unknown row lacks an answer.
    """
    declared = _declared(rows, derived, df)
    nothing = RowDraws(table.missing_cells, {}, draws=None)  # type: ignore[arg-type]
    answers: dict[str, tuple[float, float]] = {}
    for text, names in rows.applicability.by_formula.items():
        unknown = _hangs_on_draws(declared, names[0], df, nothing)
        rests_on = rows.applicability.rests_on(names[0], df)
        if not all(isinstance(recipe, str) for n, recipe in derived.items() if n in rests_on):
            continue
        at = [rows.schema.column_names.index(name) for name in names]
        seen = table.observed_cells[:, at].any(1)
        asked = table.missing_cells[:, at].any(1)
        empty = np.flatnonzero(unknown & ~seen & asked)
        if not len(empty):
            continue
        part = empty[:: -(-len(empty) // _MOST_LEARNED)]
        found = rows.impute(table.take(part), part.astype(np.uint64), _N_LEARNED)
        with hushed():
            applies = _applying(declared, df.iloc[part], found, names[:1])[names[0]]
        k = int((unknown & seen).sum()) * len(part) / len(empty)
        answers[text] = _nearest_beta(k, applies.mean(0))
    return answers


def _nearest_beta(k: float, p: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Parameters of the beta distribution that is nearest a posterior of a share of answers."""
    p = (_N_LEARNED * p + 2 * p.mean()) / (_N_LEARNED + 2)  # a mean of so few draws
    values, counts = np.unique(p, return_counts=True)
    density = k * np.log(_GRID) + np.log1p(-np.outer(_GRID, values)) @ counts
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    mean = float(weight @ _GRID)
    variance = float(weight @ (_GRID - mean) ** 2) + (_GRID[1] - _GRID[0]) ** 2 / 12
    size = mean * (1 - mean) / variance - 1
    return float(mean * size), float((1 - mean) * size)


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
