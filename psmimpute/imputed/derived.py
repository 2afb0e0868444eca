"""Columns that are computed from each completed frame instead of being stored."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from psmimpute.exceptions import ImputationError

Recipe = Callable[[pd.DataFrame], Any]


@dataclass(frozen=True, slots=True)
class DerivedColumns:
    """Names and recipes, in the order in which they are computed.

    Attributes
    ----------
    recipes : tuple of (hashable, callable)
        Each recipe maps a completed frame, with the columns before it, to a column.
    """

    recipes: tuple[tuple[Hashable, Recipe], ...] = ()

    @property
    def names(self) -> list[Hashable]:
        """Names of the columns, each once."""
        return [*dict.fromkeys(name for name, _ in self.recipes)]

    def extended(self, columns: Mapping[str, object]) -> DerivedColumns:
        """Return the same with columns added at the end.

        Parameters
        ----------
        columns : mapping of str to callable or object
            Recipes, or values to use as they are.

        Returns
        -------
        DerivedColumns
            A new object.
        """
        added = [
            (name, cast("Recipe", value) if callable(value) else _Constant(value))
            for name, value in columns.items()
        ]
        return DerivedColumns((*self.recipes, *added))

    def compute(self, frame: pd.DataFrame, k: int) -> None:
        """Set the columns of a completed frame, in place.

        Parameters
        ----------
        frame : DataFrame
            A fresh frame, which is changed.
        k : int
            Its number, for messages; 0 for the incomplete data.

        Raises
        ------
        ImputationError
            If a recipe fails; the message names the column and the imputation.
        """
        for name, recipe in self.recipes:
            try:
                frame[name] = recipe(frame)
            except Exception as error:
                source = f"imputation {k}" if k else "the incomplete data"
                raise ImputationError(
                    f"column {name!r} could not be computed on {source}: {error!r}"
                ) from error


@dataclass(frozen=True, slots=True, eq=False)
class _Constant:
    """A column that is the same in every completed frame."""

    value: object

    def __call__(self, frame: pd.DataFrame) -> object:
        del frame
        return self.value
