"""Whether a row key identifies a row in a whole data set, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from psmimpute.exceptions import SchemaError
from psmimpute.storage.source import ParquetSource
from psmimpute.table.row_keys import row_keys

# Keys that are compared at once: 8 bytes each, twice while they are sorted.
_HELD_KEYS = 2**24
_MOST_BUCKETS = 512
_SHOWN = 1000


def check_unique(source: ParquetSource, row_key: str, *, held_keys: int = _HELD_KEYS) -> None:
    """Refuse a row key that two rows share, wherever they are stored.

    The column is read once. Where it has more values than are held in memory, their hashes are
    dealt by their leading bits to unnamed temporary files (8 bytes a row, gone when the process
    ends) and compared file by file. Only where a hash is there twice is the column read again.
    Different values with one hash are let pass: their rows share their draws, no more.

    Parameters
    ----------
    source : ParquetSource
    row_key : str
        Column that identifies a row.
    held_keys : int, default 2**24
        Keys to hold in memory.

    Raises
    ------
    SchemaError
        If a value is missing, or there twice.
    StorageError
        If the files cannot be read.
    """
    n_buckets = 1
    while n_buckets * held_keys < source.n_rows and n_buckets < _MOST_BUCKETS:
        n_buckets *= 2
    if n_buckets == 1:
        repeated = _repeated(np.concatenate([keys for keys, _, _ in _read(source, row_key)]))
    else:
        repeated = _repeated_on_disk(source, row_key, n_buckets)
    if repeated.size:
        _refuse_repeated(source, row_key, repeated[:_SHOWN])


def keys_of(table: pa.Table, first: int, row_key: str | None) -> npt.NDArray[np.uint64]:
    """Return the keys of rows of a data set.

    Parameters
    ----------
    table : pyarrow.Table
    first : int
        Position of its first row in the data set.
    row_key : str or None
        Column that identifies a row; None for its position.

    Returns
    -------
    ndarray of uint64, shape (n_rows,)
    """
    df = table.select([] if row_key is None else [row_key]).to_pandas(ignore_metadata=True)
    df.index = pd.RangeIndex(first, first + table.num_rows)
    return row_keys(df, row_key, first=first)


def _read(
    source: ParquetSource, row_key: str
) -> Iterator[tuple[npt.NDArray[np.uint64], pa.Table, int]]:
    """Keys, table and first row of each run of rows."""
    for unit in source.units:
        first = unit.first_row
        for table in source.read(unit, [row_key]):
            yield keys_of(table, first, row_key), table, first
            first += table.num_rows


def _repeated(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    keys.sort()
    return np.unique(keys[1:][keys[1:] == keys[:-1]])


def _repeated_on_disk(
    source: ParquetSource, row_key: str, n_buckets: int
) -> npt.NDArray[np.uint64]:
    # Whole numbers are their own keys: multiplied, their differences reach the leading bits.
    mixing, shift = np.uint64(0x9E3779B97F4A7C15), np.uint64(64 - (n_buckets.bit_length() - 1))
    with ExitStack() as stack:
        files: list[IO[bytes]] = [
            stack.enter_context(tempfile.TemporaryFile()) for _ in range(n_buckets)
        ]
        for keys, _, _ in _read(source, row_key):
            bucket = (keys * mixing) >> shift
            order = np.argsort(bucket, kind="stable")
            ends = np.cumsum(np.bincount(bucket.astype(np.int64), minlength=n_buckets))
            for file, part in zip(files, np.split(keys[order], ends[:-1]), strict=True):
                file.write(part.tobytes())
        found = [_repeated(_whole(file)) for file in files]
    return np.concatenate(found)


def _whole(file: IO[bytes]) -> npt.NDArray[np.uint64]:
    file.seek(0)
    return np.frombuffer(bytearray(file.read()), dtype=np.uint64)


def _refuse_repeated(source: ParquetSource, row_key: str, repeated: npt.NDArray[np.uint64]) -> None:
    """Find the rows of the repeated keys again, and name the first two with one value."""
    seen: dict[Any, int] = {}
    for keys, table, first in _read(source, row_key):
        places = np.flatnonzero(np.isin(keys, repeated))
        values = table.column(row_key).take(pa.array(places)).to_pylist()
        for place, value in zip(places.tolist(), values, strict=True):
            if value in seen:
                rows = f"rows {seen[value]} and {first + place}"
                raise SchemaError(
                    f"row_key column {row_key!r}, {rows}: {value!r} is there twice, and two rows "
                    "would share their draws: give a column that identifies a row"
                )
            seen[value] = first + place
