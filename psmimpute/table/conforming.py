"""New rows brought into the form of the rows that were learnt, as far as they are silent."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from psmimpute.table.kinds import ColumnKind
from psmimpute.table.reading import column_names, is_missing
from psmimpute.table.schema import ColumnSchema, TableSchema

_TIMES = (ColumnKind.DATETIME, ColumnKind.TIMEDELTA)


def conform(
    schema: TableSchema, df: pd.DataFrame, *, absent: Literal["error", "missing"] = "error"
) -> pd.DataFrame:
    """Give columns of which nothing is known a dtype that can hold what will be imputed.

    A column of missing cells alone often comes with another dtype than it would have with
    values: float for text, object for times.

    Parameters
    ----------
    schema : TableSchema
        What was learnt.
    df : DataFrame
        New rows. Not changed.
    absent : {"error", "missing"}, default "error"
        What becomes of modelled columns that are not there: they are left out, which encoding
        refuses, or appended with missing cells.

    Returns
    -------
    DataFrame
        A copy; extra columns come along.
    """
    frame = df.copy()
    names = set(column_names(df))
    for column in schema.columns:
        if column.name not in names:
            if absent == "missing":
                frame[column.name] = _nothing(column, frame.index)
        elif _is_blank(frame[column.name], column):
            frame[column.name] = _nothing(column, frame.index)
    return frame


def _is_blank(series: pd.Series, column: ColumnSchema) -> bool:
    """Tell whether nothing is known, in a dtype other than the one that is needed."""
    needed = column.has_levels or column.kind in _TIMES
    other = needed and str(series.dtype) != column.dtype
    return other and len(series) > 0 and bool(is_missing(series).all())


def _nothing(column: ColumnSchema, index: pd.Index) -> pd.Series:
    return pd.Series([None] * len(index), index=index, dtype=_open_dtype(column))


def _open_dtype(column: ColumnSchema) -> Any:  # noqa: ANN401
    """Return the dtype of the column, or the nullable one that stands for it."""
    if column.dtype == "category":
        levels = (column.constant,) if column.levels is None else column.levels
        return pd.CategoricalDtype([*levels], ordered=column.kind is ColumnKind.ORDINAL)
    if column.dtype == "bool":
        return "boolean"
    if column.dtype.startswith(("int", "uint")) and "[" not in column.dtype:
        return column.dtype.replace("int", "Int").replace("uI", "UI")
    return column.dtype
