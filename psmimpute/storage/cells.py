"""Imputed values as Arrow arrays, and into the columns of Arrow tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from psmimpute.table.assigning import assign_cells


def as_arrow(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return imputed values as an Arrow array.

    Parameters
    ----------
    values : ndarray, shape (n_cells,)
        As :func:`psmimpute.table.encoding.decode_column` gives them; missing ones become null.
    kind : pyarrow.DataType
        Of the column; of a dictionary column, the values' type is taken.

    Returns
    -------
    pyarrow.Array
    """
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    blank = pd.Series(pd.arrays.ArrowExtensionArray(pa.nulls(len(values), plain)))
    filled = assign_cells(blank, np.arange(len(values)), values).array.__arrow_array__()
    return filled.combine_chunks() if isinstance(filled, pa.ChunkedArray) else filled


def fill(column: pa.ChunkedArray, missing: npt.NDArray[np.bool_], cells: pa.Array) -> pa.Array:
    """Return a column with its missing cells filled; the others stay bit for bit.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
    missing : ndarray of bool, shape (n_rows,)
        The cells to fill.
    cells : pyarrow.Array
        From :func:`as_arrow`, in the order of the rows.

    Returns
    -------
    pyarrow.Array
        Of the same type; a dictionary keeps its entries and their order.
    """
    mask = pa.array(missing)
    if pa.types.is_duration(column.type):  # replace_with_mask knows no durations
        ticks = pc.replace_with_mask(_whole(column).view("int64"), mask, cells.view("int64"))
        return ticks.view(column.type)
    if not pa.types.is_dictionary(column.type):
        return pc.replace_with_mask(_whole(column), mask, cells)
    whole = _whole(column.unify_dictionaries())
    entries = whole.dictionary
    found = pc.unique(cells).drop_null()
    new = found.filter(pc.invert(pc.is_in(found, entries)))
    entries = pa.concat_arrays([entries, new.cast(entries.type)])
    codes = pc.index_in(cells, entries).cast(column.type.index_type)
    indices = pc.replace_with_mask(whole.indices, mask, codes)
    return pa.DictionaryArray.from_arrays(indices, entries, ordered=column.type.ordered)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 0:
        return pa.array([], column.type)
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
