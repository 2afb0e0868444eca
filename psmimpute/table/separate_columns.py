"""Columns that no row shows together: how they hang together is not in the data."""

from __future__ import annotations

import numpy as np

from psmimpute.exceptions import NeverTogetherWarning
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.schema import TableSchema
from psmimpute.telling import warn

_MOST_SHOWN = 3
# Share of the rows to which both columns apply. A skip pattern leaves fewer to such as exclude
# each other, and then there is nothing to know.
_LEAST_SHARE = 0.1


def warn_of_separate_columns(table: EncodedTable, schema: TableSchema) -> None:
    """Warn of columns that were never observed together.

    Parameters
    ----------
    table : EncodedTable
        The table.
    schema : TableSchema
        What its columns are.

    Warns
    -----
    NeverTogetherWarning
        For each of the first few pairs.
    """
    observed = table.observed_cells.astype(np.float64)
    wanted = observed + table.missing_cells
    rows = table.observed_cells.any(axis=0)
    together, apply = observed.T @ observed, wanted.T @ wanted
    apart = (together == 0) & (apply > _LEAST_SHARE * table.n_rows) & np.outer(rows, rows)
    pairs = np.argwhere(np.triu(apart, 1))
    names = [repr(column.name) for column in schema.columns]
    more = len(pairs) - _MOST_SHOWN
    others = f" (and {more} more pairs)" if more > 0 else ""
    for i, j in pairs[:_MOST_SHOWN]:
        warn(
            f"columns {names[i]} and {names[j]}{others} were never observed in the same row: how "
            "they hang together, once the other columns are allowed for, is assumed (not at all) "
            "and not learned, and pooled results that need both rest on that",
            NeverTogetherWarning,
        )
