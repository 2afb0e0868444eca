"""What the user declared of columns, in batches of rows that become Parquet."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from psmimpute.assembly import RowDraws
from psmimpute.exceptions import NotStorableError
from psmimpute.imputed.derived import Recipe, read_derived
from psmimpute.imputed.finishing import finish
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.table.applicability import Applicability
from psmimpute.table.schema import TableSchema


@dataclass(frozen=True)
class Declared:
    """Derived columns and skip patterns of a model.

    Attributes
    ----------
    schema : TableSchema
        Of the modelled columns.
    derived : mapping of column to str or callable
        As for :class:`psmimpute.PSMImputer`; each is computed within a batch of rows.
    applicability : Applicability
        Conditions under which columns apply.
    """

    schema: TableSchema
    derived: Mapping[Hashable, str | Recipe]
    applicability: Applicability

    def __bool__(self) -> bool:
        return bool(self.derived or self.applicability.conditions)

    def added(self, names: list[str]) -> list[str]:
        """Return the derived columns that are not among `names`."""
        return [str(name) for name in self.derived if str(name) not in names]

    def finished(self, df: pd.DataFrame, found: RowDraws) -> ImputedTable:
        """Return imputed rows with derived columns, and without what does not apply.

        Parameters
        ----------
        df : DataFrame
            The rows, all their columns.
        found : RowDraws
            What their gaps were imputed by.

        Returns
        -------
        ImputedTable
            Derived columns are stored: what cannot be had from the rows alone counts as imputed.

        Raises
        ------
        ConfigError, ImputationError
            If a condition or a derived column cannot be computed.
        """
        positions: dict[Hashable, int] = {name: place for place, name in enumerate(df.columns)}
        where = np.zeros(df.shape, dtype=bool)
        values = {}
        for j, cells in found.values.items():
            place = positions[self.schema.columns[j].name]
            where[:, place] = found.missing[:, j]
            values[place] = cells
        m = len(found.draws.sets)
        imp = ImputedTable(
            data=df, schema=self.schema, where=where, values=values, member_of=np.arange(m)
        )
        recipes = read_derived(self.derived, df)
        return finish(imp, derived=recipes, applicability=self.applicability).materialized()


def added_at(schema: pa.Schema) -> int:
    """Return the position at which columns are added: after the last, before pandas' index.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the files.

    Returns
    -------
    int
    """
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    at = len(schema)
    while at and schema.names[at - 1] in index:
        at -= 1
    return at


def storage_type(column: pd.Series) -> pa.DataType:
    """Return the Arrow type in which a derived column is stored.

    Parameters
    ----------
    column : Series
        Completed rows.

    Returns
    -------
    pyarrow.DataType
        Numbers become double, whatever they are in these rows; categories become their values.

    Raises
    ------
    NotStorableError
        If the column has no Parquet type.
    """
    try:
        kind = pa.array(column, from_pandas=True).type
    except pa.ArrowException as error:
        raise NotStorableError(f"column {column.name!r} has no Parquet type: {error}") from error
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        return pa.float64()
    return kind


def as_column(column: pd.Series, kind: pa.DataType) -> pa.Array:
    """Return a column of a batch in its type.

    Parameters
    ----------
    column : Series
        With or without gaps.
    kind : pyarrow.DataType
        From :func:`storage_type`.

    Returns
    -------
    pyarrow.Array

    Raises
    ------
    NotStorableError
        If values of this batch are of another type than those of the first rows.
    """
    try:
        return pa.array(column.astype(object), type=kind, from_pandas=True)
    except pa.ArrowException as error:
        raise NotStorableError(
            f"derived column {column.name!r} is {kind} in the first rows and holds something else "
            f"in others: {error}"
        ) from error


def imputed_cells(
    imp: ImputedTable,
) -> tuple[dict[str, npt.NDArray[np.bool_]], dict[str, npt.NDArray[np.generic]]]:
    """Return the imputed cells of a table, and their values, by the names of their columns.

    Parameters
    ----------
    imp : ImputedTable

    Returns
    -------
    missing : dict of str to ndarray of bool, shape (n_rows,)
    values : dict of str to ndarray, shape (m, n_imputed_cells)
    """
    where, names = imp.where, imp.where.columns
    missing = {str(names[j]): where.iloc[:, j].to_numpy() for j in imp.values}
    return missing, {str(names[j]): cells for j, cells in imp.values.items()}
