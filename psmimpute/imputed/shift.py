"""Imputations shifted on purpose, to see what follows if missing values differ from them."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import (
    BoundedShiftWarning,
    ImputationError,
    NoEffectWarning,
)
from psmimpute.imputed.derived import warn_of_stored
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.level_shift import level_probabilities, shift_levels, shift_ordered
from psmimpute.imputed.selecting import Condition, row_masks
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.schema import ColumnSchema
from psmimpute.telling import warn

Scale = Literal["column", "link"]
Shift = float | dt.timedelta | Mapping[Any, float]
Cells = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
AnyImputed = TypeVar("AnyImputed", bound=ImputedTable)

LOG_LINK = {ColumnKind.POSITIVE, ColumnKind.COUNT, ColumnKind.SEMICONTINUOUS}
TIMES = {ColumnKind.DATETIME, ColumnKind.TIMEDELTA}
_TINY = 1e-300  # where the support of positive numbers starts
_NO_CELLS: Cells = np.empty((1, 0), dtype=object)


def shift_imputed(
    imp: AnyImputed,
    deltas: Mapping[Hashable, Shift],
    *,
    rows: Condition | None = None,
    pattern_set: int | Sequence[int] | None = None,
    scale: Scale = "column",
    seed: int = 0,
) -> AnyImputed:
    """Shift imputed cells, all or those of some pattern sets.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    deltas : mapping of hashable to shift
        By column. Numbers: added to the imputed values, in the column's units; the zeros of a
        semicontinuous column stay. Dates and durations: a duration. Binary and ordinal
        columns: added to the log odds of being at or above a level. Nominal columns: a
        mapping from levels to what is added to their log odds.
    rows : array_like of bool, str or callable, optional
        Shift only these rows: a mask, a formula such as ``"arm == 'drug'"``, or a function of a
        completed frame.
    pattern_set : int or sequence of int, optional
        Shift only rows that the imputation at hand drew into these sets.
    scale : {"column", "link"}, default "column"
        ``"link"`` shifts the logarithm of positive, count and semicontinuous columns, so that
        ``log(2)`` doubles their imputed values.
    seed : int, default 0
        For levels, which change by chance, and for whole numbers, which stay whole: what a shift
        leaves between two of them is rounded up or down by chance, so that the mean moves by it.
        The same seed makes results move steadily with the shift.

    Returns
    -------
    ImputedTable
        A new object of the type of `imp`, which cannot be extended. Numbers are kept within
        the column's bounds and support, whole numbers whole.

    Raises
    ------
    ImputationError
        If a column or a set is unknown, a column was not modelled, or the shift does not fit
        the column's kind.

    Warns
    -----
    NoEffectWarning
        If a column has no imputed cell.
    BoundedShiftWarning
        If bounds or the support of a column's kind keep values from going all the way.
    DerivedMismatchWarning
        If derived columns were read from a file: they stay as they are.

    References
    ----------
    .. [1] van Buuren, S. (2018). Flexible Imputation of Missing Data, 2nd ed. CRC Press.
       Section 9.2.
    .. [2] Tompsett, D., Leacy, F., Moreno-Betancur, M., Heron, J. and White, I. R. (2018). On
       the use of the not-at-random fully conditional specification (NARFCS) procedure in
       practice. Statistics in Medicine 37(15), 2338-2353.
    """
    if not isinstance(deltas, Mapping):
        raise ImputationError(f"deltas={deltas!r}: give shifts by column, such as {{'bmi': 2}}")
    if scale not in {"column", "link"}:
        raise ImputationError(f"scale={scale!r}: give 'column' or 'link'")
    chosen = _chosen_rows(imp, pattern_set)
    if rows is not None:
        chosen = chosen & row_masks(imp, rows)
    values = imp.values
    for number, (name, delta) in enumerate(deltas.items()):
        if name in imp.assigned:
            raise ImputationError(
                f"column {name!r} is computed from others and follows them: shift those"
            )
        position = imp.position(name)
        column = _modelled(imp, name)
        rng = np.random.default_rng((seed, number))
        if position not in values:
            _shifted(column, _NO_CELLS, delta, scale, rng)  # a wrong shift is refused all the same
            warn(f"column {name!r} has no imputed cell: nothing was shifted", NoEffectWarning)
            continue
        present = ~np.asarray(pd.isna(values[position]))
        shifted = _shifted(column, _without_gaps(values[position], present), delta, scale, rng)
        cells = present & chosen[:, imp.where.to_numpy()[:, position]]
        _warn_of_bounds(column, values[position][cells], shifted[cells], delta, scale)
        values[position] = _where(cells, shifted, values[position])
    result = copy.copy(imp)
    result._values = values
    where = "" if pattern_set is None else f" in pattern set {pattern_set}"
    where += f" where {rows}" if isinstance(rows, str) else "" if rows is None else " in some rows"
    unit = " (link scale)" if scale == "link" else ""
    notes = [
        f"{name!r} shifted by {delta}{unit}{where}"
        for name, delta in deltas.items()
        if imp.position(name) in values
    ]
    warn_of_stored(imp.info.declared, imp.assigned, deltas, what="the shift")
    result.info = replace(
        imp.info, adjustments=(*imp.info.adjustments, *notes), extend=None, source=None
    )
    return result


def _chosen_rows(imp: ImputedTable, pattern_set: int | Sequence[int] | None) -> BoolArray:
    """Return which rows to shift in each imputation, shape (m, n_rows)."""
    if pattern_set is None:
        return np.ones((imp.m, imp.n_rows), dtype=bool)
    if imp.pattern_set_draws is None:
        raise ImputationError("these imputations carry no drawn pattern sets to shift by")
    labels = [pattern_set] if isinstance(pattern_set, (int, np.integer)) else [*pattern_set]
    unknown = [label for label in labels if label not in range(1, imp.n_sets + 1)]
    if unknown:
        raise ImputationError(f"there is no pattern set {unknown[0]!r}: they are 1 to {imp.n_sets}")
    return np.isin(imp.pattern_set_draws + 1, labels)


def _modelled(imp: ImputedTable, name: Hashable) -> ColumnSchema:
    for column in imp.schema.columns:
        if column.name == name:
            return column
    raise ImputationError(f"column {name!r} was not modelled, so it has no kind to shift by")


def _shifted(
    column: ColumnSchema, cells: Cells, delta: Shift, scale: Scale, rng: np.random.Generator
) -> Cells:
    if column.is_constant:
        raise ImputationError(f"column {column.name!r} is constant: it cannot be shifted")
    if column.levels is not None:
        return _shifted_levels(column, column.levels, cells, delta, rng)
    if column.kind in TIMES:
        return _shifted_times(column, cells, delta)
    return _shifted_numbers(column, cells, _number(column, delta), scale, rng)


def _number(column: ColumnSchema, delta: Shift) -> float:
    if isinstance(delta, bool) or not isinstance(delta, (int, float, np.number)):
        raise ImputationError(
            f"column {column.name!r} of kind {column.kind} takes a number as shift, got {delta!r}"
        )
    if not np.isfinite(delta):
        raise ImputationError(f"column {column.name!r}: the shift {delta!r} is not finite")
    return float(delta)


def _shifted_numbers(
    column: ColumnSchema, cells: Cells, delta: float, scale: Scale, rng: np.random.Generator
) -> Cells:
    values = cells.astype(np.float64)
    multiplied = scale == "link" and column.kind in LOG_LINK
    shifted = values * np.exp(delta) if multiplied else values + delta
    if column.is_integer or column.kind is ColumnKind.COUNT:
        # Up or down by chance: the mean moves by the shift, however small it is.
        shifted = np.floor(shifted + rng.random(shifted.shape))
    if column.kind is ColumnKind.SEMICONTINUOUS:
        shifted[values == 0] = 0.0
        moved = values != 0
    else:
        moved = np.ones(values.shape, dtype=bool)
    low, high = column.support if column.support is not None else (-np.inf, np.inf)
    return np.where(moved, np.clip(shifted, low, high), shifted)


def _warn_of_bounds(
    column: ColumnSchema, before: Cells, after: Cells, delta: Shift, scale: Scale
) -> None:
    if column.levels is not None or column.kind in TIMES or column.support is None:
        return
    if scale == "link" and column.kind in LOG_LINK:
        return
    step, low, high = _number(column, delta), *column.support
    values = before.astype(np.float64)
    moves = values != 0 if column.kind is ColumnKind.SEMICONTINUOUS else np.full(len(values), True)
    held = moves & ((values + step < low) | (values + step > high))
    if held.any():
        achieved = float((after.astype(np.float64) - values)[moves].mean())
        end = f"below {0.0 if 0 < low < _TINY else low:g}" if step < 0 else f"above {high:g}"
        warn(
            f"imputed values of {column.name!r} cannot go {end}: {held.mean():.0%} of those to be "
            f"shifted stopped there, and their mean moved by {achieved:.3g} in place of {step:g}",
            BoundedShiftWarning,
        )


def _shifted_times(column: ColumnSchema, cells: Cells, delta: Shift) -> Cells:
    if not isinstance(delta, (dt.timedelta, np.timedelta64)) or pd.isna(delta):
        raise ImputationError(
            f"column {column.name!r} of kind {column.kind} takes a duration such as "
            f"pd.Timedelta('3 days') as shift, got {delta!r}"
        )
    step = pd.Timedelta(delta)
    if cells.dtype.kind in "mM":
        unit = np.datetime_data(cells.dtype)[0]
        return np.asarray(cells + step.to_numpy().astype(f"timedelta64[{unit}]"))
    return np.asarray(cells + step.to_pytimedelta(), dtype=object)


def _shifted_levels(
    column: ColumnSchema,
    levels: tuple[Any, ...],
    cells: Cells,
    delta: Shift,
    rng: np.random.Generator,
) -> Cells:
    code_of = {level: code for code, level in enumerate(levels)}
    nominal = column.kind is ColumnKind.NOMINAL
    by_level = _level_shifts(column, code_of, delta) if nominal else np.empty(0)
    common = 0.0 if nominal else _number(column, delta)
    if not cells.size:
        return cells
    codes = np.array([[code_of[value] for value in row] for row in cells.tolist()])
    probabilities = level_probabilities(codes, len(levels))
    uniform = rng.random(codes.shape)
    if nominal:
        moved = shift_levels(codes, probabilities, by_level, uniform)
    else:
        moved = shift_ordered(codes, probabilities, common, uniform)
    table = np.empty(len(levels), dtype=object)
    table[:] = levels
    return np.asarray(table[moved].astype(cells.dtype))


def _level_shifts(
    column: ColumnSchema, code_of: Mapping[Any, int], delta: Shift
) -> npt.NDArray[np.float64]:
    if not isinstance(delta, Mapping):
        raise ImputationError(
            f"column {column.name!r} is nominal: give its shift by level, such as "
            f"{{{next(iter(code_of))!r}: 0.5}}; got {delta!r}"
        )
    shifts = np.zeros(len(code_of))
    for level, shift in delta.items():
        if level not in code_of:
            raise ImputationError(
                f"column {column.name!r} has no level {level!r}; it has {[*code_of]}"
            )
        shifts[code_of[level]] = _number(column, shift)
    return shifts


def _without_gaps(cells: Cells, present: BoolArray) -> Cells:
    """Fill the cells of rows to which the column does not apply; they are put back afterwards."""
    if present.all() or not present.any():
        return cells
    filled = cells.copy()
    filled[~present] = cells[present][0]
    return filled


def _where(condition: BoolArray, yes: Cells, no: Cells) -> Cells:
    """Choose cell by cell, without changing dtypes of objects."""
    chosen = yes.copy() if yes.dtype.kind == no.dtype.kind else yes.astype(object)
    chosen[~condition] = no[~condition]
    return chosen
