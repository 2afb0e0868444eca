"""One piece of a multiply-imputed data set on disk: written aside, then put in its place.

A stored data set is a folder::

    _psmimpute.json                 the manifest: what it is, and size and checksum of every file
    _model.psm                      the model, where there was one
    .imp=0/part-00000.parquet       layout "long": the data, and each completed table
    .imp=1/part-00000.parquet
    data/part-00000.parquet         layout "cells": the data, and
    cells/3/part-00000.parquet      for each column with imputed cells (here the fourth), the
                                    rows, as ``.row``, and their values in imputations 1, 2, ...
    rows/part-00000.parquet         pattern sets and quality of the weights of every row
    _job/                           while it is being made
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from psmimpute.bounded_json import dump_object
from psmimpute.storage.cells import as_arrow, fill
from psmimpute.storage.files import Folder, storage_errors

Layout = Literal["long", "cells"]
ROW, DATA, CELLS, ROWS, JOB = ".row", "data", "cells", "rows", "_job"
TMP = f"{JOB}/tmp"


@dataclass(frozen=True)
class Slice:
    """Rows that become one row group.

    Attributes
    ----------
    table : pyarrow.Table
        The data, with the columns of the files.
    first_row : int
        Position of its first row in the data set.
    missing : dict of int to ndarray of bool, shape (n_rows,)
        By position of the column, the cells that were imputed.
    values : dict of int to ndarray, shape (m, n_missing)
        By position of the column, what they were imputed by.
    extra : dict of str to ndarray, shape (n_rows,)
        What is known of the rows.
    """

    table: pa.Table
    first_row: int
    missing: dict[int, npt.NDArray[np.bool_]]
    values: dict[int, npt.NDArray[Any]]
    extra: dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class PartWriter:
    """Writes the pieces of a stored data set.

    Attributes
    ----------
    folder : Folder
        Of the data set.
    layout : {"long", "cells"}
    m : int
        Number of imputations.
    schema : pyarrow.Schema
        Of the files of the data.
    imputed : tuple of int
        Positions of the columns that may have imputed cells.
    compression : str
    """

    folder: Folder
    layout: Layout
    m: int
    schema: pa.Schema
    imputed: tuple[int, ...]
    compression: str = "snappy"

    def write(self, number: int, slices: Iterable[Slice], *, within: str = "") -> None:
        """Write one piece, and the record that it is there.

        Parameters
        ----------
        number : int
            Of the piece.
        slices : iterable of Slice
            Its rows.
        within : str
            Hive partition.

        Raises
        ------
        StorageError
            If it cannot be written; nothing of the piece counts as written then.
        """
        name, aside = f"{within}part-{number:05d}.parquet", f"{TMP}/{number:05d}"
        with storage_errors(f"write {self.folder}"):
            self.folder.delete(aside)
            try:
                n_rows = self._write_aside(aside, name, slices)
                files = [file.removeprefix(f"{aside}/") for file in self.folder.names(aside)]
                record = {
                    "files": {f: self.folder.digest(f"{aside}/{f}") for f in files},
                    "n_rows": n_rows,
                    "name": name,
                }
                for file in files:
                    self.folder.move(f"{aside}/{file}", file)
                self.folder.write(record_name(number), dump_object(record))
            finally:
                self.folder.delete(aside)

    def _write_aside(self, aside: str, name: str, slices: Iterable[Slice]) -> int:
        n_rows = 0
        with _Sinks(self.folder, self.compression).opened() as sinks:
            for rows in slices:
                n_rows += rows.table.num_rows
                for where, table in self._tables(rows):
                    sinks.write(f"{aside}/{where}/{name}", table)
        return n_rows

    def _tables(self, rows: Slice) -> Iterator[tuple[str, pa.Table]]:
        table = rows.table.cast(self.schema)
        if self.layout == "long":
            yield imputation_folder(0), table
            for k in range(self.m):
                yield imputation_folder(k + 1), self._completed(table, rows, k)
        else:
            yield DATA, table
            for position in self.imputed:
                yield f"{CELLS}/{position}", self._cells(rows, position)
        if rows.extra:
            extra = {ROW: np.arange(rows.first_row, rows.first_row + table.num_rows)} | rows.extra
            yield ROWS, pa.table(extra)

    def _completed(self, table: pa.Table, rows: Slice, k: int) -> pa.Table:
        for position, values in rows.values.items():
            field = self.schema.field(position)
            cells = as_arrow(values[k], field.type)
            whole = fill(table.column(position), rows.missing[position], cells)
            table = table.set_column(position, field, whole)
        return table

    def _cells(self, rows: Slice, position: int) -> pa.Table:
        kind = self.schema.field(position).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        missing = rows.missing.get(position)
        where = np.flatnonzero(missing) + rows.first_row if missing is not None else np.empty(0)
        columns = {ROW: pa.array(where, pa.int64())}
        for k in range(self.m):
            found = rows.values.get(position)
            cells = pa.nulls(0, plain) if found is None else as_arrow(found[k], kind)
            columns[str(k + 1)] = cells
        return pa.table(columns)


def imputation_folder(k: int) -> str:
    """Return the hive partition of imputation `k`; 0 is the data."""
    return f".imp={k}"


def record_name(number: int) -> str:
    """Return the name of the file that says that a piece is there."""
    return f"{JOB}/part-{number:05d}.json"


class _Sinks:
    """Parquet files that are open for writing."""

    def __init__(self, folder: Folder, compression: str) -> None:
        self.folder, self.compression = folder, compression
        self.writers: dict[str, pq.ParquetWriter] = {}
        self.stack = ExitStack()

    @contextmanager
    def opened(self) -> Iterator[_Sinks]:
        with self.stack:
            yield self

    def write(self, name: str, table: pa.Table) -> None:
        if name not in self.writers:
            sink = self.stack.enter_context(self.folder.create(name))
            writer = pq.ParquetWriter(sink, table.schema, compression=self.compression)
            self.writers[name] = self.stack.enter_context(writer)
        self.writers[name].write_table(table, row_group_size=max(1, table.num_rows))
