"""Multiply-imputed data on disk, read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import infer_dtype

from psmimpute.exceptions import CorruptFileError, SchemaError
from psmimpute.imputed.derived import DerivedColumns
from psmimpute.imputed.info import ImputationInfo
from psmimpute.imputed.multiply_imputed import MultiplyImputed
from psmimpute.imputed.pattern_set import PatternSets
from psmimpute.imputed.stored_dtypes import restore_cells, restore_dtypes
from psmimpute.storage.files import Folder, storage_errors
from psmimpute.storage.manifest import Manifest
from psmimpute.storage.writing import CELLS, DATA, ROW, ROWS, imputation_folder
from psmimpute.table.encoding import unseen_levels
from psmimpute.table.reading import is_missing


class StoredImputed(MultiplyImputed):
    """Multiply-imputed data in a folder that :func:`psmimpute.impute_parquet` wrote.

    A completed table is read when it is asked for, and one at a time is in memory. What needs
    all imputed cells at once, as diagnostics and plots do, reads them once and keeps them.

    Parameters
    ----------
    folder : Folder
        Where the data are.
    manifest : Manifest
        Of the folder.
    """

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        self._folder, self._manifest = folder, manifest
        self.schema = manifest.table_schema()
        self.member_of = np.asarray(manifest.member_of, dtype=np.int64)
        self._derived = DerivedColumns()
        self._gaps: dict[int, set[str]] = {}

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        if "_data" in self.__dict__:
            return len(self._data)
        return self._manifest.n_rows

    @cached_property
    def info(self) -> ImputationInfo:  # type: ignore[override]
        """How the imputations were made."""
        rows = self._rows
        quality: dict[str, Any] = {name: rows[name] for name in ("ess", "pareto_k") if name in rows}
        known: dict[str, Any] = dict(self._manifest.info)
        known["history"] = tuple(known.get("history", ()))
        for name in ("warnings", "adjustments"):
            known[name] = tuple(known.get(name, ()))
        return ImputationInfo(**known, **quality)

    @cached_property
    def _rows(self) -> Mapping[str, npt.NDArray[Any]]:
        first = self._manifest.parts[0]["files"] if self._manifest.parts else {}
        if not any(name.startswith(f"{ROWS}/") for name in first):
            return {}
        table = self._read(ROWS)
        return {name: table.column(name).to_numpy() for name in table.column_names}

    @cached_property
    def _sets(self) -> PatternSets | None:  # type: ignore[override]
        rows = self._rows
        draws = [rows[f"set.{k}"] for k in range(1, self.m + 1) if f"set.{k}" in rows]
        shares = [rows[name] for name in rows if name.startswith("p.")]
        if shares:
            probabilities: npt.NDArray[Any] = np.column_stack(shares)
        elif self._manifest.info.get("software"):
            probabilities = np.ones((self.n_rows, 1))
        else:
            return None
        stacked = np.stack(draws) if draws else np.zeros((self.m, self.n_rows), dtype=np.int8)
        return PatternSets(probabilities, stacked)

    def _read(self, where: str, columns: list[str] | None = None) -> pa.Table:
        tables = []
        for part in self._manifest.parts:
            path = self._folder.path(f"{where}/{part['name']}")
            with storage_errors(f"read {path}"):
                table = pq.ParquetFile(self._folder.filesystem.open_input_file(path)).read(columns)
            tables.append(_with_folders(table, part["name"]) if where in self._tables else table)
        return pa.concat_tables(tables, promote_options="permissive")

    @property
    def _tables(self) -> set[str]:
        return {DATA, *(imputation_folder(k) for k in range(self.m + 1))}

    def _frame_on_disk(self, k: int) -> pd.DataFrame:
        frame: pd.DataFrame = _one_dictionary(self._read(imputation_folder(k))).to_pandas()
        for name in self._with_gaps(0) - self._added(frame) if k else ():
            # Whole numbers and truth values come back in the dtypes that the data's gaps need.
            dtype = frame[name].dtype if name in frame else None
            if isinstance(dtype, np.dtype) and dtype.kind in "iub":
                frame[name] = frame[name].astype("object" if dtype.kind == "b" else "float64")
        return self._with_dtypes(frame)

    def _with_dtypes(self, frame: pd.DataFrame) -> pd.DataFrame:
        try:
            return restore_dtypes(frame, self._manifest.dtypes)
        except (ValueError, LookupError, TypeError, AttributeError, SchemaError) as error:
            raise CorruptFileError(f"{self._folder}: dtypes do not fit: {error!r}") from None

    def _added(self, frame: pd.DataFrame) -> set[str]:
        """Columns that were computed, and had no dtype of their own before."""
        return {str(frame.columns[j]) for j in self._manifest.added}

    def _with_gaps(self, k: int) -> set[str]:
        """Columns of a table with missing cells, by the statistics in its files."""
        if k not in self._gaps:
            self._gaps[k] = self._find_gaps(k)
        return self._gaps[k]

    def _find_gaps(self, k: int) -> set[str]:
        found: set[str] = set()
        for part in self._manifest.parts:
            path = self._folder.path(f"{imputation_folder(k)}/{part['name']}")
            with storage_errors(f"read {path}"):
                metadata = pq.ParquetFile(self._folder.filesystem.open_input_file(path)).metadata
            for group in range(metadata.num_row_groups):
                for j in range(metadata.num_columns):
                    column = metadata.row_group(group).column(j)
                    if column.statistics is None or column.statistics.null_count:
                        found.add(column.path_in_schema)
        return found

    @cached_property
    def _data(self) -> pd.DataFrame:  # type: ignore[override]
        if self._manifest.layout == "long":
            return self._frame_on_disk(0)
        return self._with_dtypes(_one_dictionary(self._read(DATA)).to_pandas())

    @cached_property
    def _where(self) -> npt.NDArray[np.bool_]:  # type: ignore[override]
        where = np.zeros(self._data.shape, dtype=bool)
        if self._manifest.layout == "cells":
            for position in self._manifest.imputed:
                where[self._cells(position)[0], position] = True
            return where
        modelled = {self.position(column.name): column for column in self.schema.columns}
        for position in self._manifest.imputed:
            series = self._data.iloc[:, position]
            where[:, position] = is_missing(series)
            if position in modelled:
                where[:, position] |= unseen_levels(modelled[position], series)
        return where & self._filled(where)

    def _filled(self, where: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Cells that some completed table fills: all but those that apply in none."""
        names = [str(name) for name in self._data.columns]
        left = {j for j in range(len(names)) if where[:, j].any()}
        filled = np.ones_like(where)
        doubtful = [
            j for j in left if any(names[j] in self._with_gaps(k + 1) for k in range(self.m))
        ]
        if doubtful:
            filled[:, doubtful] = False
        for k in range(self.m) if doubtful else ():
            frame = self._frame_on_disk(k + 1)
            for j in doubtful:
                filled[:, j] |= ~is_missing(frame.iloc[:, j])
        return filled

    def _cells(self, position: int) -> tuple[npt.NDArray[np.int64], pa.Table]:
        table = self._read(f"{CELLS}/{position}")
        rows = table.column(ROW).to_numpy()
        if rows.size and not 0 <= rows.min() <= rows.max() < self.n_rows:
            raise CorruptFileError(f"{self._folder}: a cell is outside the table")
        return rows, table

    @cached_property
    def _values(self) -> dict[int, npt.NDArray[Any]]:  # type: ignore[override]
        wanted = [j for j in range(self._where.shape[1]) if self._where[:, j].any()]
        if self._manifest.layout == "cells":
            return {j: self._cell_values(j) for j in wanted}
        found: dict[int, list[npt.NDArray[Any]]] = {j: [] for j in wanted}
        for k in range(1, self.m + 1):
            frame = self._frame_on_disk(k)
            for j in wanted:
                found[j].append(_plain(frame.iloc[:, j][self._where[:, j]]))
        return {j: np.stack(rows) for j, rows in found.items()}

    def _cell_values(self, position: int) -> npt.NDArray[Any]:
        _, table = self._cells(position)
        columns = [table.column(str(k)).to_pandas() for k in range(1, self.m + 1)]
        cells = np.stack([_plain(column) for column in columns])
        return restore_cells(cells, self._manifest.dtypes.get(str(position)))

    def _frame(self, k: int, *, pattern_set: bool = False) -> pd.DataFrame:
        on_disk = k > 0 and self._manifest.layout == "long" and "_values" not in self.__dict__
        if not on_disk or self._derived.names:
            frame = super()._frame(k, pattern_set=pattern_set)
            for name in self._added(frame) if k else ():
                if infer_dtype(frame[name], skipna=False) == "boolean":
                    frame[name] = frame[name].astype(bool)
            return frame
        frame = self._frame_on_disk(k)
        if pattern_set:
            frame["pattern_set"] = self._known_sets().drawn(k, frame.index)
        return frame

    @property
    def columns(self) -> pd.Index:
        """Names of the columns of a completed frame."""
        return super().columns


def _plain(column: pd.Series) -> npt.NDArray[Any]:
    """Values as decoding gives them: times in UTC without a zone, labels as objects."""
    dtype: Any = column.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        return np.asarray(column.dt.tz_convert("UTC").dt.tz_localize(None))
    if isinstance(dtype, np.dtype):
        return column.to_numpy()
    if getattr(dtype, "kind", "O") in "iub" and column.isna().any():  # it applies to some alone
        column = column.astype("object" if dtype.kind == "b" else "Float64")
        return column.to_numpy(dtype=object if dtype.kind == "b" else np.float64, na_value=np.nan)
    if isinstance(dtype, pd.CategoricalDtype):
        with_gaps = column.isna().any() and dtype.categories.dtype.kind in "iub"
        return np.asarray(column.astype(object if with_gaps else dtype.categories.dtype))
    kind = getattr(dtype, "numpy_dtype", np.dtype(object))
    return column.to_numpy(dtype=kind if kind.kind in "biuf" else object)


def _with_folders(table: pa.Table, name: str) -> pa.Table:
    """Append the columns that are folders."""
    from urllib.parse import unquote

    for part in name.split("/")[:-1]:
        key, _, text = part.partition("=")
        value = None if text == "__HIVE_DEFAULT_PARTITION__" else unquote(text)
        whole = value is not None and value.lstrip("-").isdigit()
        kind = pa.int32() if whole else pa.string()
        cell = pa.scalar(int(cast("str", value)) if whole else value, kind)
        table = table.append_column(key, pa.repeat(cell, table.num_rows))
    return table


def _one_dictionary(table: pa.Table) -> pa.Table:
    return table.unify_dictionaries()


def read_imputed(path: str | PathLike[str], *, filesystem: object = None) -> MultiplyImputed:
    """Open multiply-imputed data that :func:`psmimpute.impute_parquet` or ``to_parquet`` wrote.

    Needs no torch.

    Parameters
    ----------
    path : str or path-like
        The folder, or its URI.
    filesystem : object, optional
        Of pyarrow or fsspec.

    Returns
    -------
    MultiplyImputed
        Completed tables are read when they are asked for.

    Raises
    ------
    StorageError
        If there is nothing of the kind, or the job that writes it is not finished.
    CorruptFileError, NewerFormatError
        If the manifest is damaged, or a later version wrote it.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import psmimpute as psm, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "nhanes"
    >>> _ = imp.to_parquet(folder)
    >>> psm.read_imputed(folder).m
    3
    """
    folder = Folder.at(path, filesystem)
    return StoredImputed(folder, Manifest.read(folder))
