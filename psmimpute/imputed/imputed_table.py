"""A table and m completions of it: the state that everything about imputations reads.

The frame is stored once, and only the imputed cells m times.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.derived import DerivedColumns
from psmimpute.imputed.gather import GatheredColumn, gather_column
from psmimpute.imputed.info import ImputationInfo
from psmimpute.imputed.numbers import imputation_number
from psmimpute.imputed.pattern_set import NAME, FloatArray, IntArray, PatternSets
from psmimpute.table.encoding import assign_cells
from psmimpute.table.reading import full_label
from psmimpute.table.schema import TableSchema

BoolArray = npt.NDArray[np.bool_]
Values = dict[int, npt.NDArray[Any]]


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

    def __init__(
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
        self._values: Values = {int(j): cells for j, cells in values.items() if cells.size}
        self.member_of: IntArray = np.atleast_1d(np.asarray(member_of, dtype=np.int64))
        self.info = info if info is not None else ImputationInfo()
        self._sets = PatternSets.of(
            pattern_set_probabilities, pattern_set_draws, n_sets=self.info.n_sets
        )
        self._derived = DerivedColumns()
        self._check()

    def _check(self) -> None:
        if self._where.shape != self._data.shape:
            raise ImputationError(
                f"where has shape {self._where.shape} but the data have shape {self._data.shape}"
            )
        if self.m < 1:
            raise ImputationError("member_of names no imputation: at least one is needed")
        for position, n_imputed in enumerate(self._where.sum(axis=0)):
            found = np.shape(self._values.get(position, ()))
            if (n_imputed or position in self._values) and found != (self.m, n_imputed):
                raise ImputationError(
                    f"the imputed values of column {self._data.columns[position]!r} have shape "
                    f"{found}, expected {(self.m, int(n_imputed))} (imputations, imputed cells)"
                )
        if self._sets is not None:
            self._sets.check(m=self.m, n_rows=self.n_rows)

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
        return 0 if self._sets is None else self._sets.n_sets

    @property
    def columns(self) -> pd.Index:
        """Names of the columns of a completed frame, the assigned ones included."""
        names = self._data.columns
        added = [name for name in self.assigned if name not in names]
        return names.append(pd.Index(added)) if added else names

    @property
    def assigned(self) -> list[Hashable]:
        """Names of the columns that are computed from each completed frame."""
        return self._derived.names

    @property
    def data(self) -> pd.DataFrame:
        """The incomplete data, a fresh copy."""
        return self._frame(0)

    @property
    def where(self) -> pd.DataFrame:
        """The imputed cells: a frame of booleans with the rows and columns of the data."""
        return pd.DataFrame(self._where.copy(), index=self._data.index, columns=self._data.columns)

    @property
    def n_missing(self) -> pd.Series:
        """Number of missing cells in each column of the data."""
        return self._data.isna().sum().rename("n_missing")

    @property
    def values(self) -> Values:
        """Imputed values by column position, shape ``(m, n_imputed_cells)`` each."""
        return dict(self._values)

    @property
    def pattern_set(self) -> pd.Series:
        """The most probable pattern set of each row, a categorical column of labels from 1."""
        return self._known_sets().modal(self._data.index)

    @property
    def pattern_set_probabilities(self) -> pd.DataFrame:
        """Posterior probability of each pattern set, shape (n_rows, n_sets)."""
        probabilities = self._known_sets().probabilities
        labels = pd.RangeIndex(1, self.n_sets + 1, name=NAME)
        return pd.DataFrame(probabilities.copy(), index=self._data.index, columns=labels)

    @property
    def pattern_set_draws(self) -> IntArray | None:
        """Codes, from 0, of the sets drawn, shape (m, n_rows); None without draws."""
        return None if self._sets is None else self._sets.draws

    def _known_sets(self) -> PatternSets:
        if self._sets is None:
            raise ImputationError(
                "these imputations carry no pattern sets: impute with missingness='shared' or "
                "'selection'"
            )
        return self._sets

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

        Examples
        --------
        >>> imp.position("hyp")
        2
        """
        if column not in self._data.columns:
            raise ImputationError(
                f"unknown column {column!r}; the data have {[*self._data.columns]}"
            )
        return cast("int", self._data.columns.get_loc(column))

    def imputed_values(self, column: Hashable) -> pd.DataFrame:
        """Return the imputed values of one column, imputations side by side.

        Parameters
        ----------
        column : hashable
            Name of a column; of an assigned or derived one, the cells that the incomplete data do
            not give.

        Returns
        -------
        DataFrame, shape (n_imputed_cells, m)
            Rows keep their labels; columns are the imputations, from 1. A cell is missing in
            imputations in which the column does not apply to its row.

        Raises
        ------
        ImputationError
            If the column does not exist.

        Examples
        --------
        >>> imp.imputed_values("bmi").shape  # imputations, gaps
        (9, 3)
        """
        if column in self.assigned:
            frames = self._computed()
            gaps = self._gathered(_of_one_dtype(frames), [column])[column].rows
            filled = {k: frame[column][gaps] for k, frame in enumerate(frames, start=1)}
            return pd.DataFrame(filled, index=self._data.index[gaps])
        position = self.position(column)
        rows = self._where[:, position]
        completed = {
            k: self._completed(position, k)[rows] if rows.any() else self._column(position)[rows]
            for k in range(1, self.m + 1)
        }
        return pd.DataFrame(completed, index=self._data.index[rows])

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

        Examples
        --------
        >>> imp.complete_columns(2, ["bmi", "chl"]).shape
        (25, 2)
        """
        number = imputation_number(k, self.m)
        if not set(self.assigned).isdisjoint(names):
            return self._frame(number)[names]
        positions = [self.position(name) for name in names]
        frame = self._data.iloc[:, positions].copy()
        if number > 0:
            for place, position in enumerate(positions):
                if position in self._values:
                    frame.isetitem(place, cast("Any", self._completed(position, number)))
        return frame

    def _column(self, position: int) -> pd.Series:
        return self._data.iloc[:, position]

    def _completed(self, position: int, k: int) -> pd.Series:
        rows = np.flatnonzero(self._where[:, position])
        return assign_cells(self._column(position), rows, self._values[position][k - 1])

    def _frame(self, k: int, *, pattern_set: bool = False) -> pd.DataFrame:
        """Return the k-th completed frame; 0 is the incomplete data."""
        frame = self._data.copy()
        if k > 0:
            for position in self._values:
                frame.isetitem(position, cast("Any", self._completed(position, k)))
            self._derived.compute(frame, k)
        elif added := [name for name in self.assigned if name not in frame.columns]:
            computed = _of_one_dtype(self._computed())
            for name, gathered in self._gathered(computed, added).items():
                frame[name] = gathered.column
        if pattern_set:
            if NAME in frame.columns:
                raise ImputationError(
                    f"the data have a column {NAME!r} already: rename it, or complete without "
                    "pattern_set=True"
                )
            frame[full_label(NAME, frame.columns)] = self._known_sets().drawn(k, frame.index)
        return frame

    def analysis_frame(self, k: int) -> pd.DataFrame:
        """Return the k-th completed frame with the sets drawn, if there are any.

        Parameters
        ----------
        k : int
            Imputation from 1 to m.

        Returns
        -------
        DataFrame
            With the column ``pattern_set``, unless the data have one of that name.

        Examples
        --------
        >>> list(imp.analysis_frame(1))  # with pattern_set, where sets are known
        ['age', 'bmi', 'hyp', 'chl']
        """
        drawn = self.pattern_set_draws is not None and NAME not in self.columns
        return self._frame(k, pattern_set=drawn)

    def __len__(self) -> int:
        return self.m

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return (self._frame(k) for k in range(1, self.m + 1))

    def __eq__(self, other: object) -> bool:
        # A frame would compare itself with us cell by cell if we left it to that.
        return isinstance(other, ImputedTable) and (
            np.array_equal(self.member_of, other.member_of)
            and self._derived == other._derived
            and self._data.equals(other._data)
            and self._data.index.equals(other._data.index)
            and self._data.columns.equals(other._data.columns)
            and np.array_equal(self._where, other._where)
            and _same_sets(self._sets, other._sets)
            and _same_values(self._values, other._values)
        )

    def __copy__(self) -> Self:
        # The default goes by __getstate__, which is for leaving the session.
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = self.materialized().__dict__.copy()
        state["info"] = replace(self.info, extend=None, source=None)
        return state

    def take(self, rows: npt.ArrayLike) -> Self:
        """Return the same imputations of some of the rows.

        Parameters
        ----------
        rows : array_like of int, shape (n_selected,)
            Positions of the rows; :meth:`MultiplyImputed.filter` takes conditions.

        Returns
        -------
        ImputedTable
            A new object; it cannot be extended.

        Raises
        ------
        ImputationError
            If they are no positions of rows.

        Examples
        --------
        >>> imp.take(np.arange(10)).n_rows
        10
        """
        rows = self._positions(rows)
        result = copy.copy(self)
        result._data, result._where = self._data.iloc[rows].copy(), self._where[rows]
        result._values = {}
        for position, cells in self._values.items():
            imputed = self._where[:, position]
            rank = np.cumsum(imputed) - 1
            if imputed[rows].any():
                result._values[position] = cells[:, rank[rows[imputed[rows]]]]
        result._sets = None if self._sets is None else self._sets.take(rows)
        result.info = self.info.take(rows)
        return result

    def _positions(self, rows: npt.ArrayLike) -> IntArray:
        given = np.asarray(rows)
        whole = given.ndim == 1 and (given.dtype.kind in "iu" or not given.size)
        if not whole or ((given < -self.n_rows) | (given >= self.n_rows)).any():
            raise ImputationError(
                f"take: give a list of positions, whole numbers from 0 to {self.n_rows - 1}; "
                "filter() takes conditions"
            )
        return given.astype(np.intp)

    def materialized(self) -> Self:
        """Return the same imputations with assigned columns stored instead of recomputed.

        Returns
        -------
        ImputedTable
            This object itself when no column was assigned. Stored integer and boolean columns
            that differ between imputations become nullable.

        Examples
        --------
        >>> imp.assign(ratio=lambda d: d["chl"] / d["bmi"]).materialized().columns.tolist()
        ['age', 'bmi', 'hyp', 'chl', 'ratio']
        """
        names = self.assigned
        if not names:
            return self
        result = copy.copy(self)
        result._derived = DerivedColumns()
        result._data, result._values = self._data.copy(), dict(self._values)
        for gathered in self._gathered(self._computed(), names).values():
            result._store_column(gathered)
        return result

    def _computed(self) -> list[pd.DataFrame]:
        """Return the assigned columns of the m completed frames."""
        return [frame[self.assigned] for frame in self]

    def _gathered(
        self, computed: list[pd.DataFrame], names: list[Hashable]
    ) -> dict[Hashable, GatheredColumn]:
        """Tell the cells that the data give of assigned columns from those that imputations do."""
        missing = self._derived.missing_in(self._data, computed[0])
        return {
            name: gather_column([c[name] for c in computed], name=name, missing=missing[name])
            for name in names
        }

    def _store_column(self, gathered: GatheredColumn) -> None:
        name = gathered.column.name
        self._data[name] = gathered.column
        position = self.position(name)
        kept = np.delete(self._where, slice(position, position + 1), axis=1)
        self._where = np.insert(kept, position, gathered.rows, axis=1)
        self._values.pop(position, None)
        if gathered.rows.any():
            self._values[position] = gathered.cells


def _of_one_dtype(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Make objects of columns whose dtype differs between frames."""
    names = [n for n in frames[0].columns if len({frame[n].dtype for frame in frames}) > 1]
    return [frame.astype(dict.fromkeys(names, object)) for frame in frames] if names else frames


def _same_sets(a: PatternSets | None, b: PatternSets | None) -> bool:
    return b is None if a is None else a.same_as(b)


def _same_values(a: Values, b: Values) -> bool:
    return a.keys() == b.keys() and all(
        pd.Series(a[position].ravel()).equals(pd.Series(b[position].ravel())) for position in a
    )
