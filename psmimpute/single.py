"""Single imputation: conditional means and most probable levels, as values of the columns."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.inference.fitted import FittedModel
from psmimpute.inference.means import Expectations, Inverse, MeanEstimator
from psmimpute.model.rows import store_rows
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.encoding import assign_cells, decode_column
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.schema import ColumnSchema, TableSchema

# Importance samples of a single imputation: over all members, and of each at least.
_N_SAMPLES, _LEAST_SAMPLES = 1000, 40
_FRACTIONAL = ("float", "double", "halffloat")  # dtypes that hold the mean of whole numbers


def fill_once(
    df: pd.DataFrame,
    table: EncodedTable,
    *,
    schema: TableSchema,
    fitted: FittedModel,
    seed: int,
    n_samples: int | Literal["auto"],
) -> pd.DataFrame:
    """Fill each gap of the modelled columns once.

    Parameters
    ----------
    df : DataFrame, shape (n_rows, n_columns)
        Not changed.
    table : EncodedTable
        The same rows as the model sees them.
    schema : TableSchema
        What the columns are.
    fitted : FittedModel
        All its members are averaged.
    seed : int
        Of the importance samples.
    n_samples : int or "auto"
        Importance samples of each member.

    Returns
    -------
    DataFrame
        A copy.
    """
    share = max(_LEAST_SAMPLES, _N_SAMPLES // fitted.model.n_members)
    found = MeanEstimator(
        fitted.model,
        store_rows(table, fitted.spec.layout, device=fitted.device),
        inverses=_inverses(schema),
        limits=fitted.latent_range,
        row_keys=np.arange(len(df), dtype=np.uint64),
        seed=seed,
        n_samples=share if n_samples == "auto" else n_samples,
    ).estimate()
    frame = df.copy()
    for j, column in enumerate(schema.columns):
        rows = np.flatnonzero(table.missing_cells[:, j])
        if rows.size:
            values = _single_values(column, schema.feature_slices[j], found, rows.size)
            frame[column.name] = assign_cells(df[column.name], rows, values)
    return frame


def _inverses(schema: TableSchema) -> list[Inverse | None]:
    """From latent to raw values of every feature, clipped to the column's support."""
    inverses: list[Inverse | None] = []
    for column in schema.columns:
        for feature in column.features(0):
            number = feature.family.is_number
            inverses.append(partial(_clipped_inverse, column) if number else None)
    return inverses


def _clipped_inverse(column: ColumnSchema, y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    assert column.transform is not None
    x = column.transform.inverse(y)
    return x if column.support is None else np.clip(x, *column.support)


def _single_values(
    column: ColumnSchema, place: slice, found: Expectations, n_cells: int
) -> npt.NDArray[Any]:
    """Conditional means or most probable levels, as values of the column."""
    if column.is_constant:
        return decode_column(column, np.empty((n_cells, 0)))
    if column.levels is not None:
        return decode_column(column, found.probabilities[place.start].argmax(1)[:, None])
    if column.kind is ColumnKind.SEMICONTINUOUS:
        mean = found.probabilities[place.start][:, 1] * found.numbers[place.start + 1]
    else:
        mean = found.numbers[place.start]
    if column.time is not None:
        return column.time.times(mean)
    if column.is_integer and not column.dtype.lower().startswith(_FRACTIONAL):
        return np.rint(mean).astype(np.int64)
    return mean
