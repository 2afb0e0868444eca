"""A Parquet data set as pieces of work: whole row groups of one file, in a stated order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.dataset as pads

from psmimpute.exceptions import StorageError
from psmimpute.storage.files import locate, storage_errors

UNIT_ROWS = 2**17
# A row group with more rows than this is read, and written, in several.
_MOST_ROWS = 2**20
_STREAM_ROWS = 2**16

Source: TypeAlias = str | os.PathLike[str] | list[str | os.PathLike[str]] | pads.Dataset


@dataclass(frozen=True)
class Unit:
    """Row groups of one file that are imputed, and written, together.

    Attributes
    ----------
    number : int
        From 0, in the order of the rows.
    fragment : int
        Number of the file.
    row_groups : tuple of int
        Of the file.
    first_row : int
        Position of the first row in the data set.
    n_rows : int
    folder : str
        Its hive partition, ``"year=2020/"`` say, or empty.
    """

    number: int
    fragment: int
    row_groups: tuple[int, ...]
    first_row: int
    n_rows: int
    folder: str


class ParquetSource:
    """A Parquet file, a list of files, a folder with or without hive partitions, or a data set.

    Rows are in the order of the sorted paths of the files.

    Parameters
    ----------
    source : str, path-like, list of them or pyarrow.dataset.Dataset
        Paths or URIs.
    filesystem : object, optional
        Of pyarrow or fsspec.

    Raises
    ------
    StorageError
        If there is nothing to read, or it is no Parquet.
    """

    def __init__(self, source: Source, filesystem: object = None) -> None:
        self.name = "the data set" if isinstance(source, pads.Dataset) else str(source)
        with storage_errors(f"read {self.name}"):
            self.dataset = _open(source, filesystem)
            self.fragments = sorted(self.dataset.get_fragments(), key=lambda f: str(f.path))
            for fragment in self.fragments:
                fragment.ensure_complete_metadata()
        if self.n_rows == 0:
            raise StorageError(f"cannot read {self.name}: there is no row in it")

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema, partition columns included."""
        return self.dataset.schema

    @cached_property
    def partition_names(self) -> tuple[str, ...]:
        """Columns that are folders, not in the files."""
        keys = [pads.get_partition_keys(f.partition_expression) for f in self.fragments]
        return tuple(dict.fromkeys(name for found in keys for name in found))

    @property
    def file_schema(self) -> pa.Schema:
        """Arrow schema of the files."""
        kept = [field for field in self.schema if field.name not in self.partition_names]
        return pa.schema(kept, metadata=self.schema.metadata)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(group.num_rows for f in self.fragments for group in f.row_groups)

    @property
    def compression(self) -> str:
        """Codec of the first column that is stored, as a writer takes it."""
        metadata = self.fragments[0].metadata
        if metadata.num_row_groups == 0 or metadata.num_columns == 0:
            return "snappy"
        codec = str(metadata.row_group(0).column(0).compression).lower()
        return "none" if codec == "uncompressed" else codec

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The pieces of work, in order."""
        units: list[Unit] = []
        row = 0
        for at, fragment in enumerate(self.fragments):
            folder = _folder(pads.get_partition_keys(fragment.partition_expression))
            for groups in _runs([(g.id, g.num_rows) for g in fragment.row_groups]):
                n_rows = sum(n for _, n in groups)
                ids = tuple(i for i, _ in groups)
                units.append(Unit(len(units), at, ids, row, n_rows, folder))
                row += n_rows
        return tuple(units)

    def signature(self) -> list[list[Any]]:
        """Return name and row counts of each file, by which a resumed job knows its source."""
        return [
            [str(f.path).rpartition("/")[2], [g.num_rows for g in f.row_groups]]
            for f in self.fragments
        ]

    def read(self, unit: Unit, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Read a piece, one table for each row group.

        Parameters
        ----------
        unit : Unit
        columns : list of str, optional
            All by default.

        Yields
        ------
        pyarrow.Table
            With partition columns; a large row group comes in several tables.

        Raises
        ------
        StorageError
            If the file cannot be read.
        """
        fragment = self.fragments[unit.fragment]
        sizes = {group.id: group.num_rows for group in fragment.row_groups}
        for number in unit.row_groups:
            part = fragment.subset(row_group_ids=[number])
            with storage_errors(f"read {fragment.path}"):
                if sizes[number] <= _MOST_ROWS:
                    yield part.to_table(schema=self.schema, columns=columns)
                else:
                    yield from self._stream(part, columns)

    def _stream(self, part: Any, columns: list[str] | None) -> Iterator[pa.Table]:  # noqa: ANN401
        kept: list[pa.RecordBatch] = []
        n_rows = 0
        options = {"batch_size": _STREAM_ROWS, "batch_readahead": 2, "fragment_readahead": 1}
        for batch in part.to_batches(schema=self.schema, columns=columns, **options):
            if n_rows + batch.num_rows > _MOST_ROWS:
                yield pa.Table.from_batches(kept)
                kept, n_rows = [], 0
            kept.append(batch)
            n_rows += batch.num_rows
        if kept:
            yield pa.Table.from_batches(kept)


def _open(source: Source, filesystem: object) -> pads.Dataset:
    if isinstance(source, pads.Dataset):
        return source
    several = source if isinstance(source, list) else [source]
    found = [locate(path, filesystem) for path in several]
    if not found:
        raise StorageError("the list of files is empty")
    paths = [path for _, path in found]
    where: Any = paths if isinstance(source, list) else paths[0]
    return pads.dataset(where, filesystem=found[0][0], format="parquet", partitioning="hive")


def _folder(keys: dict[str, Any]) -> str:
    from urllib.parse import quote  # noqa: PLC0415

    hive = "__HIVE_DEFAULT_PARTITION__"
    parts = [f"{k}={hive if v is None else quote(str(v), safe=' ')}/" for k, v in keys.items()]
    return "".join(parts)


def _runs(groups: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    run: list[tuple[int, int]] = []
    for group in groups:
        if run and sum(n for _, n in run) + group[1] > UNIT_ROWS:
            yield run
            run = []
        run.append(group)
    if run:
        yield run
