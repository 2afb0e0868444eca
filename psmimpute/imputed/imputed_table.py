"""A table and m completions of it: the state that everything about imputations reads.

The frame is stored once, and only the imputed cells m times.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.gather import GatheredColumn, gather_column
from psmimpute.imputed.info import ImputationInfo
from psmimpute.imputed.pattern_set import NAME, draw_frequencies, set_series
from psmimpute.table.encoding import assign_cells
from psmimpute.table.schema import TableSchema

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]
Recipe = Callable[[pd.DataFrame], Any]


class ImputedTable:
    """A data frame with gaps, and m sets of values for its gaps.

    Parameters
    ----------
    data : DataFrame
        The incomplete data. The object keeps it, so hand over a copy.
    schema : TableSchema
        What the modelled columns are.
    where : array_like of bool, shape (n_rows, n_columns)
        The imputed cells of the frame.
    values : mapping of int to ndarray
        For each position of a column with imputed cells an array of shape
        ``(m, n_imputed_cells)``, rows of the frame in order.
    member_of : array_like of int, shape (m,)
        The member of the ensemble that gave each imputation.
    pattern_set_draws : ndarray of int, shape (m, n_rows), optional
        Codes, from 0, of the pattern set drawn for each row in each imputation.
    pattern_set_probabilities : ndarray, shape (n_rows, n_sets), optional
        Posterior probabilities of the sets, with labels aligned over members. Without them
        the frequencies of the draws are used.
    info : ImputationInfo, optional
        How the imputations were made.

    Raises
    ------
    ImputationError
        If the parts do not fit together: shapes, columns with imputed cells but no values, or
        a number of imputations that differs between them.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(  # noqa: PLR0913 (the parts of the object, all by keyword)
        self,
        *,
        data: pd.DataFrame,
        schema: TableSchema,
        where: npt.ArrayLike | pd.DataFrame,
        values: Mapping[int, npt.NDArray[Any]],
        member_of: npt.ArrayLike,
        pattern_set_draws: IntArray | None = None,
        pattern_set_probabilities: FloatArray | None = None,
        info: ImputationInfo | None = None,
    ) -> None:
        self._data = data
        self.schema = schema
        self._where: BoolArray = np.asarray(where, dtype=bool)
        self._values = {int(position): cells for position, cells in values.items()}
        self.member_of: IntArray = np.atleast_1d(np.asarray(member_of, dtype=np.int64))
        self.info = info if info is not None else ImputationInfo()
        self._draws = pattern_set_draws
        self._probabilities = pattern_set_probabilities
        self._derived: tuple[tuple[Hashable, Recipe], ...] = ()
        if self._draws is not None and self._probabilities is None:
            n_sets = max(self.info.n_sets, int(self._draws.max(initial=0)) + 1)
            self._probabilities = draw_frequencies(self._draws, n_sets)
        self._check()

    def _check(self) -> None:
        n_rows, n_columns = self._data.shape
        if self._where.shape != (n_rows, n_columns):
            raise ImputationError(
                f"where has shape {self._where.shape} but the data have {n_rows} rows and "
                f"{n_columns} columns"
            )
        if self.m < 1:
            raise ImputationError("member_of names no imputation: at least one is needed")
        for position in np.flatnonzero(self._where.any(axis=0)):
            expected = (self.m, int(self._where[:, position].sum()))
            found = np.shape(self._values.get(int(position), ()))
            if found != expected:
                raise ImputationError(
                    f"the imputed values of column {self._data.columns[position]!r} have shape "
                    f"{found}, expected {expected} (imputations, imputed cells)"
                )
        self._check_sets()

    def _check_sets(self) -> None:
        n_rows = len(self._data)
        if self._draws is not None and self._draws.shape != (self.m, n_rows):
            raise ImputationError(
                f"pattern_set_draws has shape {self._draws.shape}, expected {(self.m, n_rows)}"
            )
        if self._probabilities is not None and len(self._probabilities) != n_rows:
            raise ImputationError(
                f"pattern_set_probabilities has {len(self._probabilities)} rows, the data have "
                f"{n_rows}"
            )

    @property
    def m(self) -> int:
        """Number of imputations."""
        return len(self.member_of)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self._data)

    @property
    def n_sets(self) -> int:
        """Number of pattern sets; 0 if the imputations carry none."""
        return 0 if self._probabilities is None else self._probabilities.shape[1]

    @property
    def columns(self) -> pd.Index:
        """Names of the columns of a completed frame, the assigned ones included."""
        names = self._data.columns
        added = [name for name, _ in self._derived if name not in names]
        return names.append(pd.Index(dict.fromkeys(added))) if added else names

    @property
    def data(self) -> pd.DataFrame:
        """The incomplete data, a fresh copy."""
        return self._frame(0)

    @property
    def where(self) -> pd.DataFrame:
        """The imputed cells: a frame of booleans with the rows and columns of the data."""
        return pd.DataFrame(self._where, index=self._data.index, columns=self._data.columns)

    @property
    def n_missing(self) -> pd.Series:
        """Number of missing cells in each column of the data."""
        return self._data.isna().sum().rename("n_missing")

    @property
    def values(self) -> dict[int, npt.NDArray[Any]]:
        """Imputed values by column position, shape ``(m, n_imputed_cells)`` each."""
        return dict(self._values)

    @property
    def pattern_set(self) -> pd.Series:
        """The most probable pattern set of each row, a categorical column of labels from 1."""
        modal = self._probability_array().argmax(axis=1)
        return set_series(modal, self.n_sets, self._data.index)

    @property
    def pattern_set_probabilities(self) -> pd.DataFrame:
        """Posterior probability of each pattern set, shape (n_rows, n_sets)."""
        labels = pd.RangeIndex(1, self.n_sets + 1, name=NAME)
        return pd.DataFrame(self._probability_array().copy(), self._data.index, labels)

    @property
    def pattern_set_draws(self) -> IntArray | None:
        """Codes, from 0, of the sets drawn, shape (m, n_rows); None without sets."""
        return self._draws

    def _probability_array(self) -> FloatArray:
        if self._probabilities is None:
            raise ImputationError(
                "these imputations carry no pattern sets: impute with missingness='shared' or "
                "'selection'"
            )
        return self._probabilities

    def imputation_number(self, k: object) -> int:
        """Return `k` as an imputation number, 0 for the incomplete data.

        Parameters
        ----------
        k : object
            What the user gave.

        Returns
        -------
        int
            From 0 to `m`.

        Raises
        ------
        ImputationError
            If `k` is not a whole number from 0 to `m`.
        """
        message = (
            f"complete({k!r}): give an imputation from 1 to {self.m}, 0 for the incomplete data, "
            "or 'long', 'wide', 'stacked' or 'all'"
        )
        if isinstance(k, (bool, np.bool_)):
            raise ImputationError(message)
        try:
            number = operator.index(k)  # type: ignore[arg-type]
        except TypeError:
            raise ImputationError(message) from None
        if not 0 <= number <= self.m:
            raise ImputationError(message)
        return number

    def imputed_values(self, column: Hashable) -> pd.DataFrame:
        """Return the imputed values of one column, imputations side by side.

        Parameters
        ----------
        column : hashable
            Name of a column of the data.

        Returns
        -------
        DataFrame, shape (n_imputed_cells, m)
            Rows keep their labels; columns are the imputations, from 1.

        Raises
        ------
        ImputationError
            If the column does not exist.
        """
        position = self.position(column)
        rows = self._where[:, position]
        source = self._data.iloc[rows, position]
        cells = self._values.get(position)
        every = np.arange(len(source))
        completed = {
            k: assign_cells(source, every, cells[k - 1]) if cells is not None else source
            for k in range(1, self.m + 1)
        }
        return pd.DataFrame(completed, index=source.index)

    def position(self, column: Hashable) -> int:
        """Return the position of a stored column.

        Parameters
        ----------
        column : hashable
            Its name.

        Returns
        -------
        int
            Position among the columns of the data.

        Raises
        ------
        ImputationError
            If the data have no such column.
        """
        if column not in self._data.columns:
            raise ImputationError(
                f"unknown column {column!r}; the data have {[*self._data.columns]}"
            )
        return int(self._data.columns.get_loc(column))

    def is_assigned(self, column: Hashable) -> bool:
        """Return whether a column is computed from each completed frame.

        Parameters
        ----------
        column : hashable
            Name of a column.

        Returns
        -------
        bool
            False for unknown columns.
        """
        return any(name == column for name, _ in self._derived)

    def complete_columns(self, k: int, names: list[Hashable]) -> pd.DataFrame:
        """Return some columns of the k-th completed frame, without completing the others.

        Parameters
        ----------
        k : int
            Imputation from 1 to m, or 0 for the incomplete data.
        names : list of hashable
            The columns, assigned ones included.

        Returns
        -------
        DataFrame, shape (n_rows, n_names)
            On the index of the data.

        Raises
        ------
        ImputationError
            If there is no such imputation or column.
        """
        number = self.imputation_number(k)
        if any(self.is_assigned(name) for name in names):
            return self._frame(number)[names]
        positions = [self.position(name) for name in names]
        frame = self._data.iloc[:, positions].copy()
        if number > 0:
            for place, position in enumerate(positions):
                if position in self._values:
                    frame.isetitem(place, self._completed(position, number))
        return frame

    def _completed(self, position: int, k: int) -> pd.Series:
        rows = np.flatnonzero(self._where[:, position])
        return assign_cells(self._data.iloc[:, position], rows, self._values[position][k - 1])

    def _frame(self, k: int, *, pattern_set: bool = False) -> pd.DataFrame:
        """Return the k-th completed frame; 0 is the incomplete data."""
        frame = self._data.copy()
        if k > 0:
            for position in self._values:
                frame.isetitem(position, self._completed(position, k))
        for name, recipe in self._derived:
            frame[name] = _derive(name, recipe, frame, k)
        if pattern_set:
            self._append_set(frame, k)
        return frame

    def _append_set(self, frame: pd.DataFrame, k: int) -> None:
        if NAME in frame.columns:
            raise ImputationError(
                f"the data have a column {NAME!r} already: rename it, or complete without "
                "pattern_set=True"
            )
        self._probability_array()
        if self._draws is None:
            raise ImputationError("the draws of the pattern set were not kept: use imp.pattern_set")
        codes = np.full(self.n_rows, -1) if k == 0 else self._draws[k - 1]
        frame[NAME] = set_series(codes, self.n_sets, frame.index)

    def __len__(self) -> int:
        return self.m

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return (self._frame(k) for k in range(1, self.m + 1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImputedTable):
            return NotImplemented
        return (
            self.m == other.m
            and self._derived == other._derived
            and np.array_equal(self.member_of, other.member_of)
            and self._data.equals(other._data)
            and self._data.columns.equals(other._data.columns)
            and np.array_equal(self._where, other._where)
            and _same_optional(self._draws, other._draws)
            and _same_optional(self._probabilities, other._probabilities)
            and _same_values(self._values, other._values)
        )

    def __getstate__(self) -> dict[str, Any]:
        state = self.materialized().__dict__.copy()
        state["info"] = replace(self.info, extend=None)
        return state

    def materialized(self) -> Self:
        """Return the same imputations with assigned columns stored instead of recomputed.

        Returns
        -------
        ImputedTable
            This object itself when no column was assigned. Stored integer and boolean columns
            that differ between imputations become nullable.
        """
        if not self._derived:
            return self
        names = [*dict.fromkeys(name for name, _ in self._derived)]
        completed = [frame[names] for frame in self]
        missing = self._missing_in_data(names)
        result = copy.copy(self)
        result._derived = ()
        result._data, result._values = self._data.copy(), dict(self._values)
        for name in names:
            columns = [frame[name] for frame in completed]
            result._store_column(gather_column(columns, name=name, missing=missing[name]))
        return result

    def _missing_in_data(self, names: list[Hashable]) -> dict[Hashable, BoolArray]:
        """Return where assigned columns cannot be had from the incomplete data."""
        try:
            frame = self._frame(0)
        except ImputationError:
            return {name: np.zeros(self.n_rows, dtype=bool) for name in names}
        return {name: frame[name].isna().to_numpy(dtype=bool) for name in names}

    def take(self, rows: npt.NDArray[np.integer]) -> Self:
        """Return the same imputations of some of the rows.

        Parameters
        ----------
        rows : ndarray of int, shape (n_selected,)
            Positions of the rows.

        Returns
        -------
        ImputedTable
            A new object; it cannot be extended.
        """
        result = copy.copy(self)
        result._data, result._where = self._data.iloc[rows].copy(), self._where[rows]
        result._values = {}
        for position, cells in self._values.items():
            imputed = self._where[:, position]
            rank = np.cumsum(imputed) - 1
            result._values[position] = cells[:, rank[rows[imputed[rows]]]]
        result._draws = None if self._draws is None else self._draws[:, rows]
        result._probabilities = None if self._probabilities is None else self._probabilities[rows]
        ess, pareto_k = self.info.ess, self.info.pareto_k
        result.info = replace(
            self.info,
            ess=None if ess is None else ess[rows],
            pareto_k=None if pareto_k is None else pareto_k[rows],
            extend=None,
        )
        return result

    def _store_column(self, gathered: GatheredColumn) -> None:
        name = gathered.column.name
        self._data[name] = gathered.column
        position = self.position(name)
        kept = np.delete(self._where, slice(position, position + 1), axis=1)
        self._where = np.insert(kept, position, gathered.rows, axis=1)
        self._values.pop(position, None)
        if gathered.rows.any():
            self._values[position] = gathered.cells


def _derive(name: Hashable, recipe: Recipe, frame: pd.DataFrame, k: int) -> Any:
    try:
        return recipe(frame)
    except Exception as error:
        source = f"imputation {k}" if k else "the incomplete data"
        raise ImputationError(
            f"column {name!r} could not be computed on {source}: {error!r}"
        ) from error


def _same_optional(a: npt.NDArray[Any] | None, b: npt.NDArray[Any] | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def _same_values(a: Mapping[int, npt.NDArray[Any]], b: Mapping[int, npt.NDArray[Any]]) -> bool:
    return a.keys() == b.keys() and all(
        pd.Series(a[position].ravel()).equals(pd.Series(b[position].ravel())) for position in a
    )
