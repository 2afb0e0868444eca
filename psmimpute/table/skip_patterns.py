"""Columns that a level of another leaves no value, or zeros alone: what may need a declaration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import SkipPatternWarning
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.expressions import as_name
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.schema import ColumnSchema, TableSchema
from psmimpute.telling import warn

BoolArray = npt.NDArray[np.bool_]

_MOST_SHOWN, _MOST_NAMED, _MOST_ROWS = 3, 3, 20_000
# Rows of a level, the share of the other rows that must be otherwise, and the probability with
# which chance alone may make such a level.
_FEWEST_ROWS, _LEAST_OTHERWISE, _LARGEST_CHANCE = 20, 0.5, 1e-6


@dataclass(frozen=True, slots=True)
class SkipPattern:
    """A level under which columns are never observed, or never more than zero.

    Attributes
    ----------
    condition : ColumnSchema
        The column of the level.
    level : object
        The level.
    n_rows : int
        Rows that have it.
    columns : list of ColumnSchema
        What is not observed, or zero, in any of them.
    zero : bool
        Whether they are zero, and not unobserved.
    """

    condition: ColumnSchema
    level: Any
    n_rows: int
    columns: list[ColumnSchema]
    zero: bool


def warn_of_skip_patterns(table: EncodedTable, schema: TableSchema) -> None:
    """Warn of columns that look as if they did not apply to the rows of a level.

    Parameters
    ----------
    table : EncodedTable
        The table; cells to which columns do not apply are known, and no gaps.
    schema : TableSchema
        What its columns are.

    Warns
    -----
    SkipPatternWarning
        For each of the first few levels.
    """
    for found in find_skip_patterns(table, schema)[:_MOST_SHOWN]:
        names = ", ".join(repr(column.name) for column in found.columns[:_MOST_NAMED])
        more = len(found.columns) - _MOST_NAMED
        names += f" and {more} more" if more > 0 else ""
        first, condition = found.columns[0].name, found.condition.name
        applies = f"applicable_if={{{first!r}: {as_name(condition) + f' != {found.level!r}'!r}}}"
        where = f"in any of the {found.n_rows} rows where {condition!r} is {found.level!r}"
        if found.zero:
            warn(
                f"{names} {'is' if len(found.columns) == 1 else 'are'} not above zero {where}, but "
                "may be imputed so: where there can be no amount, set it to missing and declare "
                f"{applies}",
                SkipPatternWarning,
            )
        else:
            warn(
                f"{names} was not observed {where}: if there is nothing to know there, declare "
                f"{applies}; if there is, what is imputed there rests on the other rows alone",
                SkipPatternWarning,
            )


def find_skip_patterns(table: EncodedTable, schema: TableSchema) -> list[SkipPattern]:
    """Find levels under which columns with gaps are never observed, or never above zero.

    Parameters
    ----------
    table : EncodedTable
        The table; its first 20,000 rows are looked at.
    schema : TableSchema
        What its columns are.

    Returns
    -------
    list of SkipPattern
        A column is told of once, with the first level.
    """
    some = slice(_MOST_ROWS)
    missing, seen = table.missing_cells[some], table.observed_cells[some]
    # A column with fewer gaps than that has no level without values.
    gappy = missing.sum(axis=0) >= _FEWEST_ROWS
    amounts = [c.kind is ColumnKind.SEMICONTINUOUS and c.n_missing > 0 for c in schema.columns]
    is_amount = np.array(amounts, dtype=bool)
    zero = np.zeros(seen.shape, dtype=bool)
    for j in np.flatnonzero(is_amount):
        zero[:, j] = seen[:, j] & (table.values[some, schema.feature_slices[j].start] == 0)
    told: set[int] = set()
    found = []
    for k, column, level, rows in _levels(table, schema, some):
        for zeros, there, all_alike in (
            (False, missing | seen, gappy & missing[rows].all(axis=0)),
            (True, seen, is_amount & ~(seen & ~zero)[rows].any(axis=0)),
        ):
            alike = zero if zeros else missing
            n = there[rows].sum(axis=0)
            others = ~rows & seen[:, k]
            share = alike[others].sum(axis=0) / np.maximum(there[others].sum(axis=0), 1)
            chance = n * np.log(np.clip(share, 1e-12, 1.0)) < np.log(_LARGEST_CHANCE)
            odd = all_alike & (n >= _FEWEST_ROWS) & (share < 1 - _LEAST_OTHERWISE) & chance
            new = [j for j in np.flatnonzero(odd).tolist() if j != k and j not in told]
            if new:
                told.update(new)
                columns = [schema.columns[j] for j in new]
                found.append(SkipPattern(column, level, int(rows.sum()), columns, zeros))
    return found


def _levels(
    table: EncodedTable, schema: TableSchema, some: slice
) -> Iterator[tuple[int, ColumnSchema, Any, BoolArray]]:
    """Each level of each column that has some, with its rows, where there are enough of them."""
    for k, (column, place) in enumerate(zip(schema.columns, schema.feature_slices, strict=True)):
        if column.levels is None:
            continue
        codes, known = table.values[some, place.start], table.observed_cells[some, k]
        for code, level in enumerate(column.levels):
            rows = known & (codes == code)
            if rows.sum() >= _FEWEST_ROWS:
                yield k, column, level, rows
