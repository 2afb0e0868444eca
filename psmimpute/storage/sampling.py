"""A random sample of the rows of a Parquet data set, in bounded memory."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from psmimpute.exceptions import SchemaError
from psmimpute.random import Purpose, row_words
from psmimpute.storage.files import storage_errors
from psmimpute.storage.source import ParquetSource
from psmimpute.storage.unique_keys import keys_of

# Beyond so many distinct labels, or with another one in half of the rows, a column is an
# identifier, and its labels need no witnesses.
_MOST_LEVELS = 1000
_FEW_LEVELS, _IDENTIFIER_SHARE = 50, 0.5


def sample_rows(
    source: ParquetSource, n: int, *, seed: int, row_key: Hashable | None = None
) -> pd.DataFrame:
    """Draw a simple random sample of rows without replacement, and add witnesses.

    A row is in the sample if the hash of its key is among the n smallest, so the sample does
    not depend on the files that the rows are in, nor on their order if there is a `row_key`.
    Witnesses are rows that the schema must not miss: for each column of labels one row of
    every level that the sample lacks, and for each column of numbers the rows of the smallest,
    the largest and the first fractional number. They are few, and count as other rows.

    Parameters
    ----------
    source : ParquetSource
    n : int
        Rows wanted; all are taken where there are no more.
    seed : int
        Of the sample.
    row_key : hashable, optional
        Column that identifies a row; by default the row's position.

    Returns
    -------
    DataFrame
        In the order of the data set. Memory holds the sample and one row group.

    Raises
    ------
    SchemaError
        If there is no column `row_key`, or it has gaps.
    StorageError
        If the files cannot be read.
    """
    if row_key is not None and row_key not in source.schema.names:
        raise SchemaError(f"row_key names a column that the data do not have: {row_key!r}")
    whole = source.n_rows <= n
    threshold = None if whole else _threshold(source, n, seed, row_key)
    witnesses = _Witnesses()
    kept: list[pa.Table] = []
    for unit in source.units:
        first = unit.first_row
        for table in source.read(unit):
            if threshold is None:
                kept.append(table)
                continue
            chosen = _scores(table, first, seed, row_key) <= threshold
            kept.append(
                _with_position(table.filter(pa.array(chosen)), np.flatnonzero(chosen) + first)
            )
            witnesses.look(table, first)
            first += table.num_rows
    if threshold is None:
        return _frame(pa.concat_tables(kept, promote_options="permissive"))
    rows = pa.concat_tables([*kept, *witnesses.rows()], promote_options="permissive")
    positions = rows.column(_POSITION).to_numpy()
    _, once = np.unique(positions, return_index=True)
    return _frame(rows.take(pa.array(once)).drop_columns([_POSITION]))


_POSITION = "__psmimpute_position__"


def _frame(table: pa.Table) -> pd.DataFrame:
    with storage_errors("turn the sample into a frame"):
        frame: pd.DataFrame = table.unify_dictionaries().to_pandas()
    return frame.reset_index(drop=True)


def _with_position(table: pa.Table, positions: npt.NDArray[np.int64]) -> pa.Table:
    return table.append_column(_POSITION, pa.array(positions, pa.int64()))


def _scores(
    table: pa.Table, first: int, seed: int, row_key: Hashable | None
) -> npt.NDArray[np.uint64]:
    keys = keys_of(table, first, None if row_key is None else str(row_key))
    return row_words(seed, rows=keys, purpose=Purpose.SAMPLE)


def _threshold(source: ParquetSource, n: int, seed: int, row_key: Hashable | None) -> np.uint64:
    smallest = np.empty(0, dtype=np.uint64)
    for unit in source.units:
        first = unit.first_row
        if row_key is None:
            blank = pa.table({"": np.empty(unit.n_rows, dtype=bool)})
            tables = iter([blank])
        else:
            tables = source.read(unit, [str(row_key)])
        for table in tables:
            scores = _scores(table, first, seed, row_key)
            first += table.num_rows
            smallest = np.concatenate([smallest, scores])
            if smallest.size > n:
                smallest = np.partition(smallest, n - 1)[:n]
    return np.uint64(smallest.max())


@dataclass
class _Witnesses:
    """Rows that show what a column can hold."""

    levels: dict[str, set[Any]] = field(default_factory=dict)
    ends: dict[tuple[str, str], float] = field(default_factory=dict)
    found: dict[tuple[str, Any], pa.Table] = field(default_factory=dict)
    n_rows: int = 0

    def look(self, table: pa.Table, first: int) -> None:
        """Note the rows of a table that show something new."""
        self.n_rows += table.num_rows
        for name in table.column_names:
            kind = table.schema.field(name).type
            if pa.types.is_integer(kind) or pa.types.is_floating(kind):
                self._look_at_numbers(table, name, first)
            elif pa.types.is_dictionary(kind) or pa.types.is_boolean(kind) or _is_text(kind):
                self._look_at_levels(table, name, first)

    def _look_at_numbers(self, table: pa.Table, name: str, first: int) -> None:
        x = table.column(name).to_numpy().astype(np.float64)
        if np.isnan(x).all():
            return
        places = {"low": int(np.nanargmin(x)), "high": int(np.nanargmax(x))}
        for end, place in places.items():
            value = float(x[place]) if end == "low" else -float(x[place])
            if value < self.ends.get((name, end), np.inf):
                self.ends[name, end] = value
                self._keep(table, (name, end), place, first)
        fractional = np.flatnonzero(x % 1 > 0)
        if fractional.size and (name, "fraction") not in self.found:
            self._keep(table, (name, "fraction"), int(fractional[0]), first)

    def _look_at_levels(self, table: pa.Table, name: str, first: int) -> None:
        seen = self.levels.setdefault(name, set())
        if len(seen) > _MOST_LEVELS:
            return
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        levels = [level for level in pc.unique(column).to_pylist() if level is not None]
        for level in levels[: _MOST_LEVELS + 1]:
            if level not in seen:
                seen.add(level)
                place = pc.index(column, pa.scalar(level, column.type)).as_py()
                self._keep(table, (name, ("level", level)), place, first)
        if len(seen) > _MOST_LEVELS:
            self.found = {key: row for key, row in self.found.items() if key[0] != name}

    def _keep(self, table: pa.Table, key: tuple[str, Any], place: int, first: int) -> None:
        row = table.take(pa.array([place]))
        self.found[key] = _with_position(row, np.array([first + place]))

    def rows(self) -> list[pa.Table]:
        """Return the rows, some of them more than once."""
        most = max(_FEW_LEVELS, _IDENTIFIER_SHARE * self.n_rows)
        identifiers = {name for name, seen in self.levels.items() if len(seen) > most}
        return [row for (name, _), row in self.found.items() if name not in identifiers]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
