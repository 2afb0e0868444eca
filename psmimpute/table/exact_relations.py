"""Columns of numbers that are linear functions of others, to the last digit."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ExactRelationWarning
from psmimpute.table.expressions import as_name
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.reading import column_at, column_names, read_numbers
from psmimpute.table.schema import ColumnSchema, TableSchema
from psmimpute.telling import warn

FloatArray = npt.NDArray[np.float64]

_MOST_ROWS, _MOST_COLUMNS = 1_000, 200
# Complete rows beyond the number of columns; with fewer a relation may be one of chance.
_SPARE_ROWS = 10
# Standard deviations of what is left of a column. Single precision keeps more than that.
_EXACT, _LEAST_WEIGHT = 1e-5, 1e-6
_MOST_SHOWN = 3
_NUMBERS = (
    ColumnKind.CONTINUOUS,
    ColumnKind.POSITIVE,
    ColumnKind.SEMICONTINUOUS,
    ColumnKind.COUNT,
)


@dataclass(frozen=True, slots=True)
class ExactRelation:
    """A column that is a constant and a weighted sum of others.

    Attributes
    ----------
    name : hashable
        The column.
    weights : tuple of (hashable, float)
        The others and what each is multiplied by.
    constant : float
        What is added.
    """

    name: Hashable
    weights: tuple[tuple[Hashable, float], ...]
    constant: float

    @property
    def formula(self) -> str:
        """The relation as ``derived=`` takes it."""
        terms = [_term(name, weight) for name, weight in self.weights]
        if self.constant:
            terms.append(f"{self.constant:.6g}")
        return " + ".join(terms).replace("+ -", "- ")


def warn_of_exact_relations(df: pd.DataFrame, schema: TableSchema) -> None:
    """Warn of exact linear relations between columns of which one has gaps.

    Parameters
    ----------
    df : DataFrame
        The table.
    schema : TableSchema
        What its columns are.

    Warns
    -----
    ExactRelationWarning
        For each of the first few relations.
    """
    for relation in find_exact_relations(df, schema)[:_MOST_SHOWN]:
        warn(
            f"column {relation.name!r} is {relation.formula} wherever all of these are observed, "
            "and imputed values will keep to that only nearly: fill what the others give, and "
            f"declare derived={{{relation.name!r}: {relation.formula!r}}}",
            ExactRelationWarning,
        )


def find_exact_relations(df: pd.DataFrame, schema: TableSchema) -> list[ExactRelation]:
    """Find columns that are exact linear functions of others.

    Parameters
    ----------
    df : DataFrame
        The table; a thousand of its complete rows are looked at.
    schema : TableSchema
        What its columns are. Numbers are looked at, where there are at most 200 columns of them.

    Returns
    -------
    list of ExactRelation
        Those in which a column has gaps; none where there are too few complete rows to tell.

    Examples
    --------
    >>> from psmimpute.table.infer import infer_schema
    >>> cm = np.append(np.linspace(150.0, 190.0, 40) ** 1.01, np.nan)
    >>> df = pd.DataFrame({"cm": cm, "inch": cm / 2.54})
    >>> [found.formula for found in find_exact_relations(df, infer_schema(df))]
    ['0.393701 * cm']
    """
    columns = [column for column in schema.columns if _is_number(column)]
    if not 2 <= len(columns) <= _MOST_COLUMNS or not any(c.n_missing for c in columns):
        return []
    # What a relation is solved for comes last: rather a column with gaps, rather a later one.
    columns.sort(key=lambda column: bool(column.n_missing))
    names = column_names(df)
    positions = [names.index(column.name) for column in columns]
    x = np.column_stack([read_numbers(column_at(df, at, names[at])) for at in positions])
    x = x[~np.isnan(x).any(axis=1)][:_MOST_ROWS]
    if len(x) < len(columns) + _SPARE_ROWS:
        return []
    return _relations(x, columns)


def _relations(x: FloatArray, columns: list[ColumnSchema]) -> list[ExactRelation]:
    """Regress each column on those before it that depend on none, in turn."""
    mean, sd = x.mean(axis=0), x.std(axis=0)
    kept = [j for j in range(x.shape[1]) if sd[j] > 0]
    z = (x - mean) / np.where(sd > 0, sd, 1.0)
    basis = np.empty((len(x), 0))
    before: list[int] = []
    found = []
    for j in kept:
        rest = z[:, j] - basis @ (basis.T @ z[:, j])
        rest -= basis @ (basis.T @ rest)  # once more, for what rounding left
        size = float(np.linalg.norm(rest)) / len(x) ** 0.5
        if size > _EXACT:
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
            before.append(j)
            continue
        slopes = np.linalg.lstsq(z[:, before], z[:, j], rcond=None)[0]
        used = [(k, b) for k, b in zip(before, slopes, strict=True) if abs(b) > _EXACT]
        weights = [(k, float(b * sd[j] / sd[k])) for k, b in used]
        if any(columns[k].n_missing for k in (j, *(k for k, _ in weights))):
            constant = float(mean[j] - sum(b * mean[k] for k, b in weights))
            named = tuple((columns[k].name, b) for k, b in weights)
            size_of_rounding = _LEAST_WEIGHT * float(sd[j])
            constant = constant if abs(constant) > size_of_rounding else 0.0
            found.append(ExactRelation(columns[j].name, named, constant))
    return found


def _is_number(column: ColumnSchema) -> bool:
    return column.kind in _NUMBERS and column.time is None


def _term(name: Hashable, weight: float) -> str:
    label = as_name(name)
    sign = "-" if weight < 0 else ""
    near_one = abs(abs(weight) - 1) < _LEAST_WEIGHT
    return f"{sign}{label}" if near_one else f"{weight:.6g} * {label}"
