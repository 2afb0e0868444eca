"""Skip patterns: cells to which a column does not apply, such as pregnancies of men.

Such a cell is empty for a reason that is known. It is left out of the model, of the values and
of which cells were observed, and comes back as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ConfigError, NotApplicableWarning
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.expressions import Expression
from psmimpute.table.reading import is_missing, row_of
from psmimpute.table.schema import TableSchema
from psmimpute.telling import warn

BoolArray = npt.NDArray[np.bool_]
# By formula, parameters of the beta distribution of the share that answered any of its columns
# where these apply and the condition is unknown.
Answers = Mapping[str, tuple[float, float]]
Condition = str | Callable[[pd.DataFrame], Any]


@dataclass(frozen=True)
class Applicability:
    """When each of some columns applies.

    Attributes
    ----------
    conditions : tuple of (hashable, callable)
        Each maps a frame to one truth value for each row.
    """

    conditions: tuple[tuple[Hashable, Callable[[pd.DataFrame], Any]], ...] = ()

    @classmethod
    def of(cls, given: Mapping[Hashable, Condition] | None) -> Applicability:
        """Read what the user gave.

        Parameters
        ----------
        given : mapping of column to str or callable, optional
            A formula such as ``"sex == 'female'"``, or a function of a frame.

        Returns
        -------
        Applicability
            Conditions in the order given.

        Raises
        ------
        ConfigError
            If it is no such mapping, or a formula cannot be used.
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise ConfigError(f"applicable_if must map columns to conditions, got {given!r}")
        for name, condition in given.items():
            if not isinstance(condition, str) and not callable(condition):
                raise ConfigError(
                    f"applicable_if[{name!r}]={condition!r}: give a formula, such as "
                    "\"sex == 'female'\", or a function of a frame"
                )
        return cls(
            tuple((name, Expression(c) if isinstance(c, str) else c) for name, c in given.items())
        )

    @property
    def names(self) -> list[Hashable]:
        """The columns that have conditions."""
        return [name for name, _ in self.conditions]

    @property
    def by_formula(self) -> dict[str, list[Hashable]]:
        """The columns of each formula; functions are left out."""
        found: dict[str, list[Hashable]] = {}
        for name, condition in self.conditions:
            if isinstance(condition, Expression):
                found.setdefault(condition.text, []).append(name)
        return found

    def applies(self, name: Hashable, frame: pd.DataFrame) -> BoolArray:
        """Tell in which rows a column applies.

        Parameters
        ----------
        name : hashable
            A column with a condition.
        frame : DataFrame
            In which the condition can be told.

        Returns
        -------
        ndarray of bool, shape (n_rows,)
            False where the condition does not hold or is unknown.

        Raises
        ------
        ConfigError
            If the condition fails or is not one truth value for each row.
        """
        condition = dict(self.conditions)[name]
        try:
            found = condition(frame)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"applicable_if[{name!r}] failed: {error!r}") from error
        held = pd.Series(found, index=frame.index) if np.ndim(found) else found
        if not isinstance(held, pd.Series) or len(held) != len(frame):
            raise ConfigError(
                f"applicable_if[{name!r}] must give one truth value for each of the {len(frame)} "
                f"rows, got {found!r}"
            )
        values = held.astype(object).where(held.notna(), False)
        if not set(map(type, values)) <= {bool, np.bool_}:
            got = sorted({repr(value) for value in values[:20]})[:3]
            raise ConfigError(
                f"applicable_if[{name!r}] must give truth values, got such as {', '.join(got)}: "
                "compare, as in \"sex == 'female'\""
            )
        return values.to_numpy(dtype=bool)

    def never_applies(self, name: Hashable, df: pd.DataFrame) -> BoolArray:
        """Tell in which rows of incomplete data a column certainly does not apply.

        Parameters
        ----------
        name : hashable
            A column with a condition.
        df : DataFrame
            Incomplete data.

        Returns
        -------
        ndarray of bool, shape (n_rows,)
            False also where a column that the condition rests on is missing: of a function,
            any column but the one at hand.

        Raises
        ------
        ConfigError
            As in :meth:`applies`.
        """
        known = np.ones(len(df), dtype=bool)
        for other in self.rests_on(name, df):
            known &= ~is_missing(df[other])
        return known & ~self.applies(name, df)

    def is_formula(self, name: Hashable) -> bool:
        """Whether a column's condition is a formula, which is told row by row.

        Parameters
        ----------
        name : hashable
            A column with a condition.

        Returns
        -------
        bool
        """
        return isinstance(dict(self.conditions)[name], Expression)

    def rests_on(self, name: Hashable, df: pd.DataFrame) -> list[Hashable]:
        """Return the columns of a frame that a condition may rest on.

        Parameters
        ----------
        name : hashable
            A column with a condition.
        df : DataFrame
            The frame.

        Returns
        -------
        list of hashable
            Those that a formula names; of a function, all but the column at hand.
        """
        condition = dict(self.conditions)[name]
        if isinstance(condition, Expression):
            return [n for n in df.columns if str(n) in condition.names]
        return [n for n in df.columns if n != name]


def check_conditions(applicability: Applicability, df: pd.DataFrame, schema: TableSchema) -> None:
    """Refuse conditions that cannot be meant, before anything is trained.

    Parameters
    ----------
    applicability : Applicability
        The conditions.
    df : DataFrame
        The data.
    schema : TableSchema
        What its columns are.

    Raises
    ------
    ConfigError
        If a column is unknown, or its condition rests on itself, compares a column with a level
        that it does not have, or cannot be told.

    Warns
    -----
    NotApplicableWarning
        If a condition rests on a column that is not imputed, so that it stays unknown.
    """
    levels = {str(c.name): c.levels for c in schema.columns if c.levels is not None}
    for name, condition in applicability.conditions:
        if name not in df.columns:
            raise ConfigError(
                f"applicable_if names {name!r}, which is no column: there are {[*df.columns]}"
            )
        if isinstance(condition, Expression):
            if str(name) in condition.names:
                raise ConfigError(
                    f"applicable_if[{name!r}]={condition.text!r} rests on {name!r} itself: name "
                    "what tells whether it applies"
                )
            for column, text in condition.texts:
                if text not in levels.get(column, (text,)):
                    raise ConfigError(
                        f"applicable_if[{name!r}]={condition.text!r}: {column!r} has no level "
                        f"{text!r}; it has {[*levels[column]]}"
                    )
            _warn_of_gaps(name, applicability, df, schema)
        applicability.applies(name, df.head(20))


def _warn_of_gaps(
    name: Hashable, applicability: Applicability, df: pd.DataFrame, schema: TableSchema
) -> None:
    for other in applicability.rests_on(name, df):
        both = is_missing(df[name]) & is_missing(df[other])
        if other in schema.excluded and both.any():
            warn(
                f"applicable_if[{name!r}] rests on {other!r}, which is not imputed: {name!r} stays "
                f"missing in {int(both.sum())} rows that lack both; impute {other!r} too, or fill "
                "its gaps",
                NotApplicableWarning,
            )


def leave_out(
    table: EncodedTable,
    applicability: Applicability,
    df: pd.DataFrame,
    names: tuple[Hashable, ...],
) -> EncodedTable:
    """Mark the cells of a table to which their column does not apply.

    Parameters
    ----------
    table : EncodedTable
        The encoded data.
    applicability : Applicability
        The conditions.
    df : DataFrame
        The data.
    names : tuple of hashable
        Names of the modelled columns.

    Returns
    -------
    EncodedTable
        With `applicable`, if there are such cells.

    Raises
    ------
    ConfigError
        If a column is not modelled, or its condition cannot be told.

    Warns
    -----
    NotApplicableWarning
        If a cell was observed although its column does not apply: it is kept.
    """
    applicable = np.ones_like(table.observed_cells)
    for name, _ in applicability.conditions:
        if name not in names:
            raise ConfigError(
                f"applicable_if names {name!r}, which is not modelled: nothing is imputed there; "
                "of a derived column, put the condition into its formula"
            )
        j = names.index(name)
        never = applicability.never_applies(name, df)
        contradicted = never & table.observed_cells[:, j]
        if contradicted.any():
            first = row_of(df.index, int(contradicted.argmax()))
            warn(
                f"column {name!r} does not apply to {first}, "
                f"says applicable_if, but was observed there ({int(contradicted.sum())} such "
                "cells): they are kept as they are; set them to missing, or mend the condition",
                NotApplicableWarning,
            )
        applicable[:, j] = ~never | table.observed_cells[:, j]
    return table if applicable.all() else replace(table, applicable=applicable)


def blank(
    applicability: Applicability, frame: pd.DataFrame, imputed: Mapping[Hashable, BoolArray]
) -> dict[Hashable, BoolArray]:
    """Empty the imputed cells of a completed frame to which their column does not apply.

    Conditions are taken in their order, so that one may rest on a column emptied before.

    Parameters
    ----------
    applicability : Applicability
        The conditions.
    frame : DataFrame
        A completed frame, which is changed.
    imputed : mapping of hashable to ndarray of bool, shape (n_rows,)
        The imputed cells of the columns that have any.

    Returns
    -------
    dict of hashable to ndarray of bool
        The emptied cells of each column with a condition.
    """
    emptied: dict[Hashable, BoolArray] = {}
    for name, _ in applicability.conditions:
        if name not in imputed:
            continue
        cells = imputed[name] & ~applicability.applies(name, frame)
        emptied[name] = cells
        if cells.any():
            frame[name] = frame[name].mask(pd.Series(cells, index=frame.index))
    return emptied
