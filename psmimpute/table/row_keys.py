"""Row keys: the 64-bit numbers by which the random draws of a row are found again."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import SchemaError
from psmimpute.table.reading import column_at, column_names, is_missing, read_labels, row_of


def row_keys(
    df: pd.DataFrame, column: Hashable | None, *, first: int = 0
) -> npt.NDArray[np.uint64]:
    """Return the key of each row.

    Parameters
    ----------
    df : DataFrame
        The rows.
    column : hashable or None
        Column that identifies a row; None for its position.
    first : int, default 0
        Position of the first row in the whole table.

    Returns
    -------
    ndarray of uint64, shape (n_rows,)
        Positions and whole numbers stand for themselves, modulo 2**64; any other value for
        the first 8 bytes of the BLAKE2b hash of its text, so that no table of values is needed
        to find the key of a row again.

    Raises
    ------
    SchemaError
        If there is no such column, or it has a missing or a repeated value.

    Examples
    --------
    >>> row_keys(pd.DataFrame({"id": [7, 3]}), "id")
    array([7, 3], dtype=uint64)
    """
    if column is None:
        return np.arange(first, first + len(df), dtype=np.uint64)
    names = column_names(df)
    if column not in names:
        raise SchemaError(f"row_key names a column that the frame does not have: {column!r}")
    series = column_at(df, names.index(column), column)
    missing = np.flatnonzero(is_missing(series))
    if missing.size:
        where = row_of(series.index, int(missing[0]))
        raise SchemaError(f"row_key column {column!r}, {where}: the key is missing")
    keys = _keys(series)
    repeated = np.flatnonzero(pd.Series(keys).duplicated().to_numpy())
    if repeated.size:
        where = row_of(series.index, int(repeated[0]))
        raise SchemaError(
            f"row_key column {column!r}, {where}: {series.iloc[int(repeated[0])]!r} is there "
            "twice, and two rows would share their draws: give a column that identifies a row"
        )
    return keys


def _keys(series: pd.Series) -> npt.NDArray[np.uint64]:
    if series.dtype.kind == "u":
        return series.to_numpy(dtype=np.uint64)
    if series.dtype.kind == "i":
        return series.to_numpy(dtype=np.int64).view(np.uint64)
    codes, values = read_labels(series)
    return np.array([_hash(str(value)) for value in values], dtype=np.uint64)[codes]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
