"""Columns of levels that are a function of another column: an age group, the region of a site."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ExactRelationWarning
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.reading import column_at, column_names, read_labels, read_numbers
from psmimpute.table.schema import ColumnSchema, TableSchema
from psmimpute.telling import warn

_MOST_COLUMNS, _MOST_SHOWN, _LOOKED_AT_FIRST = 200, 3, 500
# Rows for each value of the other column, and for each level: fewer may agree by chance.
_ROWS_FOR_A_VALUE, _ROWS_FOR_A_LEVEL = 5, 5
_NUMBERS = (
    ColumnKind.CONTINUOUS,
    ColumnKind.POSITIVE,
    ColumnKind.COUNT,
    ColumnKind.SEMICONTINUOUS,
)


def warn_of_determined_levels(df: pd.DataFrame, schema: TableSchema) -> None:
    """Warn of columns of levels that another column gives, where one of the two has gaps.

    Parameters
    ----------
    df : DataFrame
        The table.
    schema : TableSchema
        What its columns are.

    Warns
    -----
    ExactRelationWarning
        For each of the first few.
    """
    for name, given in find_determined_levels(df, schema)[:_MOST_SHOWN]:
        warn(
            f"the level of {name!r} follows from {given!r} wherever both are observed, and imputed "
            f"values will keep to that only nearly: fill it from {given!r} where that is known, "
            f"and declare derived={{{name!r}: ...}}, a function of the table that says how",
            ExactRelationWarning,
        )


def find_determined_levels(
    df: pd.DataFrame, schema: TableSchema
) -> list[tuple[Hashable, Hashable]]:
    """Find columns of levels that are a function of another column.

    That is one of levels, each of which goes with one level, or one of numbers, of which each
    level has a range of its own.

    Parameters
    ----------
    df : DataFrame
        The table.
    schema : TableSchema
        What its columns are; up to 200 of them are looked at.

    Returns
    -------
    list of (hashable, hashable)
        The column and the one that gives it, if one of them has gaps; where there are rows enough
        that they hardly agree by chance.

    Examples
    --------
    >>> from psmimpute.table.infer import infer_schema
    >>> years = np.arange(40.0) ** 1.1
    >>> df = pd.DataFrame({"years": years, "grown": np.where(years > 18, "yes", "no")})
    >>> df.loc[3, "grown"] = None
    >>> find_determined_levels(df, infer_schema(df))
    [('grown', 'years')]
    """
    names = column_names(df)
    columns = [c for c in schema.columns if not c.is_constant and c.time is None]
    if len(columns) > _MOST_COLUMNS:
        return []
    at = {c.name: column_at(df, names.index(c.name), c.name) for c in columns}
    codes = {c.name: read_labels(at[c.name])[0] for c in columns if c.has_levels}
    values = {c.name: read_numbers(at[c.name]) for c in columns if c.kind in _NUMBERS}
    values |= {name: found.astype(np.float64) for name, found in codes.items()}
    found = []
    for column in columns:
        if not column.has_levels:
            continue
        mine = codes[column.name]
        for other in columns:
            theirs = values.get(other.name)
            gappy = column.n_missing or other.n_missing
            if other is not column and gappy and theirs is not None and _gives(theirs, mine, other):
                found.append((column.name, other.name))
                break
    return found


def _gives(
    given: npt.NDArray[np.float64], levels: npt.NDArray[np.intp], other: ColumnSchema
) -> bool:
    """Whether each value of `given`, that `other` has, goes with one level, in rows enough."""
    known = (levels >= 0) & (given >= 0 if other.has_levels else ~np.isnan(given))
    mine, theirs = levels[known], given[known]
    first = slice(_LOOKED_AT_FIRST)  # which tell most pairs of columns
    is_number = not other.has_levels
    if not _follows(mine[first], theirs[first], is_number) or not _follows(mine, theirs, is_number):
        return False
    counts = np.bincount(mine)
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.min() < _ROWS_FOR_A_LEVEL:
        return False
    return is_number or len(theirs) >= _ROWS_FOR_A_VALUE * len(np.unique(theirs))


def _follows(levels: npt.NDArray[np.intp], given: npt.NDArray[np.float64], is_number: bool) -> bool:
    """Whether equal values go with one level, and each level with one range of numbers."""
    order = np.lexsort((levels, given))
    changes = np.diff(levels[order]) != 0
    if (changes & (np.diff(given[order]) == 0)).any():
        return False
    return not is_number or changes.sum() < max(len(np.unique(levels)), 1)
