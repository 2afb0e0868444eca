"""Columns that are computed from each completed frame instead of being stored."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ConfigError, DerivedMismatchWarning, ImputationError
from psmimpute.imputed.gather import cell_values
from psmimpute.table.assigning import assign_cells
from psmimpute.table.expressions import Expression, names_in
from psmimpute.table.reading import is_missing
from psmimpute.telling import warn

Recipe = Callable[[pd.DataFrame], Any]
BoolArray = npt.NDArray[np.bool_]

# Departures from a formula, in standard deviations, that pass as rounding, and the share of rows in
# which greater ones pass as errors of the data.
_ROUNDING_SD, _FEW = 0.25, 0.1


@dataclass(frozen=True, slots=True)
class DerivedColumns:
    """Names and recipes, in the order in which they are computed.

    Attributes
    ----------
    recipes : tuple of (hashable, callable)
        Each recipe maps a completed frame, with the columns before it, to a column.
    n_declared : int
        How many of them, the first, were declared as ``derived=``: they follow what they are
        computed from, also where that is replaced later.
    """

    recipes: tuple[tuple[Hashable, Recipe], ...] = ()
    n_declared: int = 0

    @property
    def names(self) -> list[Hashable]:
        """Names of the columns, each once."""
        return [*dict.fromkeys(name for name, _ in self.recipes)]

    def extended(
        self, columns: Mapping[Hashable, object], known: Iterable[Hashable] = ()
    ) -> DerivedColumns:
        """Return the same with columns added at the end.

        Parameters
        ----------
        columns : mapping of hashable to callable or object
            Functions of a frame; texts that compute something of known columns, which are
            formulas; other values, to use as they are.
        known : iterable of hashable, optional
            Names of the columns of a frame.

        Returns
        -------
        DerivedColumns
            A new object.
        """
        there = [*known, *self.names]
        names = {str(name) for name in (*there, *columns)}
        added = [(name, _recipe(value, names)) for name, value in columns.items()]
        given = {str(name) for name in columns}
        again = self._following({str(name) for name in there} & given, given)
        return replace(self, recipes=(*self.recipes, *added, *again))

    def _following(self, changed: set[str], given: set[str]) -> list[tuple[Hashable, Recipe]]:
        """Return the declared recipes that rest on columns that change and are not given anew."""
        found: list[tuple[Hashable, Recipe]] = []
        for name, recipe in self.recipes[: self.n_declared] if changed else ():
            inner = recipe.recipe if isinstance(recipe, GapFilling) else recipe
            rests = not isinstance(inner, Expression) or bool(changed.intersection(inner.names))
            if rests and str(name) not in given:
                found.append((name, recipe))
                changed = {*changed, str(name)}
        return found

    def compute(self, frame: pd.DataFrame, k: int) -> None:
        """Set the columns of a completed frame, in place.

        Parameters
        ----------
        frame : DataFrame
            A fresh frame, which is changed.
        k : int
            Its number, for messages.

        Raises
        ------
        ImputationError
            If a recipe fails; the message names the column and the imputation.
        """
        gaps: dict[Hashable, BoolArray] = {}
        for name, recipe in self.recipes:
            try:
                if isinstance(recipe, GapFilling):
                    gaps.setdefault(name, is_missing(frame[name]))
                    frame[name] = recipe.filled(frame, gaps[name])
                else:
                    frame[name] = recipe(frame)
            except Exception as error:
                raise ImputationError(
                    f"column {name!r} could not be computed on imputation {k}: {error!r}"
                ) from error

    def missing_in(self, data: pd.DataFrame, completed: pd.DataFrame) -> dict[Hashable, BoolArray]:
        """Tell where the incomplete data do not give the columns.

        A formula is not given where a column that it names is missing. What a function makes of
        gaps is taken at its word: where it makes a value of them, the imputations tell.

        Parameters
        ----------
        data : DataFrame
            The incomplete data.
        completed : DataFrame
            The columns of a completed frame, for those whose recipe cannot take gaps.

        Returns
        -------
        dict of hashable to ndarray of bool, shape (n_rows,)
        """
        frame, missing = data.copy(), dict[Hashable, BoolArray]()
        for name, recipe in self.recipes:
            if isinstance(recipe, GapFilling):
                missing[name] = is_missing(frame[name])
                continue
            try:
                frame[name] = recipe(frame)
            except Exception:  # noqa: BLE001 (a function of the user's)
                frame[name] = completed[name].to_numpy()
            missing[name] = is_missing(frame[name])
            if isinstance(recipe, Expression):
                for source in frame.columns:
                    if str(source) in recipe.names:
                        missing[name] = missing[name] | missing.get(
                            source, is_missing(frame[source])
                        )
        return missing


@dataclass(frozen=True, slots=True)
class GapFilling:
    """A column of the data whose gaps are computed from the other columns.

    Attributes
    ----------
    name : hashable
        The column; what was observed of it stays.
    recipe : callable
        From a completed frame to the whole column.
    """

    name: Hashable
    recipe: Recipe

    def __call__(self, frame: pd.DataFrame) -> pd.Series:
        """Return the column of a completed frame with its gaps computed."""
        return self.filled(frame, is_missing(frame[self.name]))

    def filled(self, frame: pd.DataFrame, gaps: BoolArray) -> pd.Series:
        """Return the column with the cells computed that were gaps."""
        found = pd.Series(self.recipe(frame), index=frame.index)
        return assign_cells(frame[self.name], np.flatnonzero(gaps), cell_values(found, gaps))


def read_derived(
    given: Mapping[Hashable, str | Recipe] | None, df: pd.DataFrame
) -> tuple[tuple[Hashable, Recipe], ...]:
    """Read what the user gave as ``derived=``.

    Parameters
    ----------
    given : mapping of column to str or callable, optional
        Formulas, or functions of a completed frame; later ones may rest on earlier ones.
    df : DataFrame
        The incomplete data.

    Returns
    -------
    tuple of (hashable, callable)
        Recipes in order; those of columns of the data fill gaps only.

    Raises
    ------
    ConfigError
        If it is no such mapping, or a formula cannot be used or names an unknown column.

    Warns
    -----
    DerivedMismatchWarning
        If a derived column was observed in rows where what it is computed from was not, or what
        was observed of it is not what the formula gives.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise ConfigError(f"derived must map columns to formulas or functions, got {given!r}")
    recipes: list[tuple[Hashable, Recipe]] = []
    known: list[Hashable] = [*df.columns]
    for name, value in given.items():
        if not isinstance(value, str) and not callable(value):
            raise ConfigError(
                f"derived[{name!r}]={value!r}: give a formula, such as 'weight / height**2', or a "
                "function of a frame"
            )
        recipe = Expression(value) if isinstance(value, str) else value
        if isinstance(recipe, Expression):
            _check_inputs(name, recipe, known, df)
        fills = name in df.columns
        recipes.append((name, GapFilling(name, recipe) if fills else recipe))
        known += [] if fills else [name]
    return tuple(recipes)


def warn_of_stored(
    declared: Mapping[str, str],
    assigned: Iterable[Hashable],
    changed: Iterable[Hashable],
    *,
    what: str,
) -> None:
    """Warn if declared columns were stored as computed and rest on columns that now change.

    Parameters
    ----------
    declared : mapping of str to str
        What was declared, in words, as imputations carry it.
    assigned : iterable of hashable
        Columns that are still computed from each completed frame.
    changed : iterable of hashable
        Columns that change.
    what : str
        How, for the message.

    Warns
    -----
    DerivedMismatchWarning
        If such a column does not follow.
    """
    stored, columns = declared.get("Derived", ""), {str(name) for name in changed}
    if [*assigned] or not ("by a function" in stored or columns & names_in(stored)):
        return
    warn(
        f"derived columns were stored as they had been computed and do not follow {what} "
        f"({stored}): assign() them anew",
        DerivedMismatchWarning,
    )


def _check_inputs(
    name: Hashable, recipe: Expression, known: list[Hashable], df: pd.DataFrame
) -> None:
    labels = {str(column) for column in known}
    absent = [used for used in recipe.names if used not in labels]
    if absent or str(name) in recipe.names:
        problem = f"{absent[0]!r}, which is no column" if absent else "itself"
        raise ConfigError(
            f"derived[{name!r}]={recipe.text!r} names {problem}; there are {known}, and a formula "
            "may use derived columns that stand before it"
        )
    if name not in df.columns:
        return
    inputs = [column for column in df.columns if str(column) in recipe.names]
    gone = np.zeros(len(df), dtype=bool)
    for column in inputs:
        gone |= is_missing(df[column])
    kept = gone & ~is_missing(df[name])
    if kept.any():
        warn(
            f"column {name!r} is derived but was observed in {int(kept.sum())} rows that lack one "
            f"of {', '.join(map(repr, recipe.names))}: it stays as observed there and will not "
            f"fit the imputed values; impute {name!r} too and derive nothing, or set it to missing",
            DerivedMismatchWarning,
        )
    _check_observed(name, recipe, df[~gone & ~is_missing(df[name])])


def _check_observed(name: Hashable, recipe: Expression, rows: pd.DataFrame) -> None:
    """Warn where a formula misses what was observed by much more than rounding."""
    if not pd.api.types.is_numeric_dtype(rows[name]):
        return
    observed = rows[name].to_numpy(dtype=float)
    found = pd.Series(recipe(rows), index=rows.index).to_numpy(dtype=float, na_value=np.nan)
    off = np.abs(found - observed) > _ROUNDING_SD * observed.std() if len(rows) else np.empty(0)
    if off.sum() > _FEW * len(rows):
        warn(
            f"column {name!r} is derived, but in {int(off.sum())} of {len(rows)} rows where all is "
            f"observed it is not what {recipe.text!r} gives: its gaps will not fit the rest",
            DerivedMismatchWarning,
        )


def _recipe(value: object, known: set[str]) -> Recipe:
    if callable(value):
        return cast("Recipe", value)
    if isinstance(value, str):
        with suppress(ConfigError):
            formula = Expression(value)
            if formula.computes and known.intersection(formula.names):
                return formula
    return _Constant(value)


@dataclass(frozen=True, slots=True, eq=False)
class _Constant:
    """A column that is the same in every completed frame."""

    value: object

    def __call__(self, frame: pd.DataFrame) -> object:
        del frame
        return self.value
