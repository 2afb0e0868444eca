"""Imputations made elsewhere: from a frame with all completed data below each other."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError, PSMError
from psmimpute.imputed.gather import gather_column
from psmimpute.imputed.info import ImputationInfo
from psmimpute.imputed.layouts import ID, IMP
from psmimpute.imputed.multiply_imputed import MultiplyImputed
from psmimpute.imputed.pattern_set import NAME
from psmimpute.table.infer import infer_schema
from psmimpute.table.schema import ColumnSchema, TableSchema
from psmimpute.telling import hushed


def from_long(
    frame: pd.DataFrame,
    *,
    imp: Hashable = IMP,
    id: Hashable = ID,
    schema: TableSchema | None = None,
    overimputed: bool = False,
) -> MultiplyImputed:
    """Make a multiply-imputed data set of a long frame, as ``mice::as.mids`` does.

    Parameters
    ----------
    frame : DataFrame
        The incomplete data and m completions of it below each other, in any order of blocks.
        A column ``pattern_set``, missing in the incomplete data, is taken as the sets drawn.
    imp : hashable, default ".imp"
        Name of the column with the number of the imputation, 0 for the incomplete data.
    id : hashable, default ".id"
        Name of the column that identifies the rows within each block; it becomes the index.
        Without such a column all blocks must have their rows in the same order.
    schema : TableSchema, optional
        What the columns are; inferred from the incomplete data by default.
    overimputed : bool, default False
        Whether observed cells may differ between the blocks. They then count as imputed.

    Returns
    -------
    MultiplyImputed
        Cells that are missing in the incomplete data and in every imputation stay missing.

    Raises
    ------
    ImputationError
        If the column `imp` or block 0 is missing, the numbers are not 0, 1, ..., m, blocks
        differ in their rows, an identifier occurs twice in a block, or an observed cell differs
        between blocks though `overimputed` is false.

    Examples
    --------
    >>> long = pd.DataFrame({".imp": [0, 0, 1, 1, 2, 2], "x": [3.0, None, 3.0, 4.0, 3.0, 5.0]})
    >>> from_long(long).imputed_values("x").to_numpy()
    array([[4., 5.]])
    """
    blocks = _blocks(frame, imp, id)
    data, *completed = blocks
    draws = _set_codes(completed) if _holds_sets(data) else None
    if draws is not None:
        data, completed = data.drop(columns=NAME), [b.drop(columns=NAME) for b in completed]
    missing = data.isna().to_numpy(dtype=bool)
    where, values = np.zeros(data.shape, dtype=bool), {}
    for j, name in enumerate(data.columns):
        columns = [block.iloc[:, j] for block in completed]
        gathered = gather_column(columns, name=name, missing=missing[:, j], data=data.iloc[:, j])
        where[:, j], values[j] = gathered.rows, gathered.cells
        if not overimputed:
            _check_observed(gathered.rows & ~missing[:, j], data.index, name)
    return MultiplyImputed(
        data=data,
        schema=schema if schema is not None else _known_schema(data),
        where=where,
        values=values,
        member_of=np.arange(len(completed)),
        pattern_set_draws=draws,
        info=ImputationInfo(software="read from a long frame"),
    )


def _blocks(frame: pd.DataFrame, imp: Hashable, row_id: Hashable) -> list[pd.DataFrame]:
    """Return the incomplete data and the m completed frames, rows in one order."""
    if imp not in frame.columns:
        raise ImputationError(
            f"no column {imp!r} tells the imputation of each row: name it with imp="
        )
    numbers = sorted(frame[imp].unique().tolist())
    if numbers != list(range(len(numbers))) or len(numbers) < 2:
        raise ImputationError(
            f"column {imp!r} must hold 0 for the incomplete data and 1, 2, ... for the "
            f"imputations, as complete('long', include=True) makes it; it holds {numbers[:10]}"
        )
    blocks = [frame[(frame[imp] == k).to_numpy()].drop(columns=[imp]) for k in numbers]
    sizes = [len(block) for block in blocks]
    if len(set(sizes)) > 1:
        raise ImputationError(f"the blocks differ in their number of rows: {sizes}")
    if row_id not in frame.columns:
        return [block.reset_index(drop=True) for block in blocks]
    return _by_id(blocks, row_id)


def _by_id(blocks: list[pd.DataFrame], row_id: Hashable) -> list[pd.DataFrame]:
    indexed = [block.set_index(row_id) for block in blocks]
    first = indexed[0].index
    for k, block in enumerate(indexed):
        twice = block.index[block.index.duplicated()]
        if len(twice):
            raise ImputationError(f"identifier {twice[0]!r} occurs twice in imputation {k}")
        alien = block.index.difference(first, sort=False)
        if len(alien):
            raise ImputationError(
                f"imputation {k} has a row {alien[0]!r} that the incomplete data lack"
            )
    counted = pd.RangeIndex(len(first))
    labels = counted if first.dtype.kind in "iu" and first.equals(counted) else first
    return [block.loc[first].set_axis(labels.rename(None)) for block in indexed]


def _holds_sets(data: pd.DataFrame) -> bool:
    return NAME in data.columns and bool(data[NAME].isna().all())


def _set_codes(completed: list[pd.DataFrame]) -> npt.NDArray[np.int8]:
    try:
        labels = np.stack([block[NAME].to_numpy(dtype=np.int64) for block in completed])
    except (TypeError, ValueError):
        raise ImputationError(
            f"column {NAME!r} must hold set numbers 1, 2, ... in every imputation"
        ) from None
    if labels.min(initial=1) < 1 or labels.max(initial=1) > np.iinfo(np.int8).max:
        raise ImputationError(f"column {NAME!r} must hold set numbers from 1 to 127")
    return (labels - 1).astype(np.int8)


def _check_observed(changed: npt.NDArray[np.bool_], index: pd.Index, name: Hashable) -> None:
    if changed.any():
        raise ImputationError(
            f"{int(changed.sum())} observed cells of column {name!r} differ between the incomplete "
            f"data and an imputation, first in row {index[changed][0]!r}: bring the rows of all "
            "blocks into one order, or pass overimputed=True if they were imputed on purpose"
        )


def _known_schema(data: pd.DataFrame) -> TableSchema:
    """Return the schema, without the columns that could not be modelled here."""
    columns: list[ColumnSchema] = []
    refused: dict[Hashable, str] = {}
    with hushed():  # warnings advise on imputing, which has been done
        for name in data.columns:
            try:
                alone = infer_schema(data[[name]])
            except PSMError as error:
                refused[name] = str(error)
            else:
                columns += alone.columns
                refused |= dict(zip(alone.excluded, alone.excluded_reasons, strict=True))
    return TableSchema(tuple(columns), tuple(refused), tuple(refused.values()))
