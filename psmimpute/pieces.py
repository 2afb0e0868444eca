"""A job, and the worker that imputes a piece of it, on whichever machine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from psmimpute.agreement import redraw_contradictions
from psmimpute.assembly import RowImputer, Unseen
from psmimpute.declared import Declared, added_at, as_column, imputed_cells, storage_type
from psmimpute.exceptions import StorageError
from psmimpute.imputer import PSMImputer
from psmimpute.inference.draws import ImputationDraws
from psmimpute.storage.files import Folder
from psmimpute.storage.source import ParquetSource, Unit
from psmimpute.storage.writing import Layout, PartWriter, Slice
from psmimpute.table.applicability import Applicability
from psmimpute.table.row_keys import row_keys

# Rows by which the types of derived columns are told.
_TYPED_ROWS = 256


@dataclass(frozen=True)
class Job:
    """What a worker needs to know to impute any piece of a data set, on any machine.

    Attributes
    ----------
    model : bytes
        Of the model file.
    source : pyarrow.dataset.Dataset
    target : Folder
    m, seed, batch_rows : int
    row_key : hashable or None
    layout : {"long", "cells"}
    unseen : {"error", "missing"}
    device : str
    """

    model: bytes
    source: Any
    target: Folder
    m: int
    seed: int
    batch_rows: int
    row_key: Hashable | None
    layout: Layout
    unseen: Unseen
    device: str


@dataclass(frozen=True)
class _Batch:
    """Imputed rows, by the names of the columns."""

    n_rows: int
    missing: dict[str, npt.NDArray[np.bool_]]
    values: dict[str, npt.NDArray[Any]]
    columns: dict[str, pa.Array]
    draws: ImputationDraws


def declared_by(imputer: PSMImputer) -> Declared:
    """Return what an imputer was told of columns."""
    conditions = Applicability.of(imputer.applicable_if)
    return Declared(imputer.schema_, imputer.derived or {}, conditions)


def imputed_positions(schema: pa.Schema, declared: Declared) -> tuple[int, ...]:
    """Return the positions in the files of the columns that may have imputed cells.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the source's files.
    declared : Declared
        Derived columns that the source lacks are added to it.

    Returns
    -------
    tuple of int
    """
    names = [*schema.names]
    at = added_at(schema)
    names[at:at] = declared.added(names)
    wanted = {str(n) for n in (*declared.schema.column_names, *declared.derived)}
    return tuple(place for place, name in enumerate(names) if name in wanted)


def added_positions(schema: pa.Schema, declared: Declared) -> tuple[int, ...]:
    """Return the positions in the files of the derived columns that the source lacks.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the source's files.
    declared : Declared

    Returns
    -------
    tuple of int
    """
    at = added_at(schema)
    return tuple(range(at, at + len(declared.added([*schema.names]))))


class UnitWorker:
    """Imputes pieces of a data set; loads the model once.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.source = ParquetSource(job.source)
        imputer = PSMImputer.from_bytes(job.model, device=job.device)
        self.rows: RowImputer = imputer.row_imputer(seed=job.seed, unseen=job.unseen)
        self.declared = declared_by(imputer)
        schema = self.source.file_schema
        self.added = self._types_of_added()
        for i, (name, kind) in enumerate(self.added.items()):
            schema = schema.insert(added_at(self.source.file_schema) + i, pa.field(name, kind))
        self.writer = PartWriter(
            job.target,
            job.layout,
            job.m,
            schema,
            imputed_positions(self.source.file_schema, self.declared),
            self.source.compression,
        )

    @property
    def _names(self) -> list[str]:
        return [str(name) for name in self.rows.schema.column_names]

    def _types_of_added(self) -> dict[str, pa.DataType]:
        """Types of the derived columns that the source does not have, by its first rows."""
        names = self.declared.added(self.source.schema.names)
        if not names:
            return {}
        first = next(self.source.read(self.source.units[0])).slice(0, _TYPED_ROWS)
        df = self._frame(first, 0)
        found = self.rows.impute(self.rows.encode(df), row_keys(df, self.job.row_key), 1)
        completed = self.declared.finished(df, found).complete_columns(1, [*names])
        return {name: storage_type(completed[name]) for name in names}

    def run(self, number: int, on_rows: Callable[[int], None] | None = None) -> int:
        """Impute and write one piece.

        Parameters
        ----------
        number : int
            Of the piece.
        on_rows : callable, optional
            Called with the number of rows just done.

        Returns
        -------
        int
            Its rows.
        """
        unit = self.source.units[number]
        self.writer.write(number, self._slices(unit, on_rows), within=unit.folder)
        return unit.n_rows

    def _slices(self, unit: Unit, on_rows: Callable[[int], None] | None) -> Iterator[Slice]:
        first = unit.first_row
        for table in self.source.read(unit):
            size = self.job.batch_rows
            starts = range(0, table.num_rows, size)
            parts = []
            for start in starts:
                batch = table.slice(start, size)
                parts.append(self._impute(batch, first + start))
                if on_rows is not None:
                    on_rows(batch.num_rows)
            yield self._gather(table, first, parts)
            first += table.num_rows

    def _frame(self, batch: pa.Table, first: int) -> pd.DataFrame:
        if not self.declared:  # a formula may rest on any column
            key = [] if self.job.row_key is None else [self.job.row_key]
            batch = batch.select(list(dict.fromkeys([*self._names, *key])))
        df: pd.DataFrame = batch.to_pandas(ignore_metadata=True)
        df.index = pd.RangeIndex(first, first + len(df))
        return df

    def _impute(self, batch: pa.Table, first: int) -> _Batch:
        df = self._frame(batch, first)
        table = self.rows.encode(df)
        keys = row_keys(df, self.job.row_key, first=first)
        found = self.rows.impute(table, keys, self.job.m)
        redraw_contradictions(self.rows, df, table, keys, found, derived=self.declared.derived)
        if not self.declared:
            missing = {self._names[j]: found.missing[:, j] for j in found.values}
            values = {self._names[j]: cells for j, cells in found.values.items()}
            return _Batch(len(df), missing, values, {}, found.draws)
        imp = self.declared.finished(df, found)
        data = imp.complete_columns(0, [*self.added])
        columns = {name: as_column(data[name], kind) for name, kind in self.added.items()}
        return _Batch(len(df), *imputed_cells(imp), columns, found.draws)

    def _gather(self, table: pa.Table, first: int, parts: list[_Batch]) -> Slice:
        files = table.select(self.source.file_schema.names)
        for i, (name, kind) in enumerate(self.added.items()):
            whole = pa.chunked_array([part.columns[name] for part in parts], kind)
            field = pa.field(name, kind)
            files = files.add_column(added_at(self.source.file_schema) + i, field, whole)
        missing, values = {}, {}
        for name in dict.fromkeys(name for part in parts for name in part.values):
            position = files.schema.get_field_index(name)
            if position < 0:
                raise StorageError(
                    f"the partition column {name!r} has missing values, which are "
                    "folders and cannot be imputed: exclude it from the model"
                )
            missing[position] = np.concatenate(
                [part.missing.get(name, np.zeros(part.n_rows, dtype=bool)) for part in parts]
            )
            found = [part.values[name] for part in parts if name in part.values]
            values[position] = np.concatenate(found, axis=1)
        return Slice(files, first, missing, values, self._extra(parts))

    def _extra(self, parts: list[_Batch]) -> dict[str, npt.NDArray[Any]]:
        """Pattern sets drawn and their probabilities, and the quality of the weights."""
        draws = [part.draws for part in parts]
        extra: dict[str, npt.NDArray[Any]] = {}
        if self.rows.fitted.spec.n_sets > 1:
            sets = np.concatenate([d.sets for d in draws], axis=1)
            shares = np.concatenate([d.set_probabilities for d in draws])
            extra |= {f"set.{k + 1}": row for k, row in enumerate(sets)}
            extra |= {f"p.{r + 1}": column for r, column in enumerate(shares.T)}
        for name in ("ess", "pareto_k"):
            whole = np.concatenate([getattr(d, name) for d in draws])
            extra[name] = whole.astype(np.float32)
        return extra
