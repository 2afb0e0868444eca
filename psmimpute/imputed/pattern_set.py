"""Missingness pattern sets as pandas objects: modal sets, probabilities and draws.

Sets are codes ``0 .. n_sets - 1`` in arrays and labels ``1 .. n_sets`` in pandas objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]

NAME = "pattern_set"


@dataclass(frozen=True, slots=True, eq=False)
class PatternSets:
    """What is known of the pattern sets that the rows belong to.

    Attributes
    ----------
    probabilities : ndarray, shape (n_rows, n_sets)
        Posterior probabilities, with labels aligned over members.
    draws : ndarray of int, shape (m, n_rows), optional
        Codes of the set drawn for each row in each imputation.
    """

    probabilities: FloatArray
    draws: IntArray | None = None

    @classmethod
    def of(
        cls, probabilities: FloatArray | None, draws: IntArray | None, *, n_sets: int
    ) -> Self | None:
        """Return the sets that probabilities or draws tell of, if any.

        Parameters
        ----------
        probabilities : ndarray, shape (n_rows, n_sets), optional
            If None, the frequencies of the draws.
        draws : ndarray of int, shape (m, n_rows), optional
            Codes from 0.
        n_sets : int
            Number of sets, if only draws are given.

        Returns
        -------
        PatternSets or None
            None if both are None.
        """
        if probabilities is not None:
            return cls(probabilities, draws)
        if draws is None:
            return None
        n_sets = max(n_sets, int(draws.max(initial=0)) + 1)
        return cls(draw_frequencies(draws, n_sets), draws)

    @property
    def n_sets(self) -> int:
        """Number of sets."""
        return int(self.probabilities.shape[1])

    def check(self, *, m: int, n_rows: int) -> None:
        """Check the shapes against the data.

        Parameters
        ----------
        m : int
            Number of imputations.
        n_rows : int
            Number of rows.

        Raises
        ------
        ImputationError
            If the draws are not (m, n_rows), or the probabilities not of `n_rows` rows.
        """
        if self.draws is not None and self.draws.shape != (m, n_rows):
            raise ImputationError(
                f"pattern_set_draws has shape {self.draws.shape}, expected {(m, n_rows)}"
            )
        if self.probabilities.ndim != 2 or len(self.probabilities) != n_rows:
            raise ImputationError(
                f"pattern_set_probabilities has shape {self.probabilities.shape}, the data have "
                f"{n_rows} rows"
            )

    def modal(self, index: pd.Index) -> pd.Series:
        """Return the most probable set of each row.

        Parameters
        ----------
        index : pandas.Index
            Index of the rows.

        Returns
        -------
        Series
            Categorical labels.
        """
        return set_series(self.probabilities.argmax(axis=1), self.n_sets, index)

    def drawn(self, k: int, index: pd.Index) -> pd.Series:
        """Return the set drawn for each row in imputation `k`.

        Parameters
        ----------
        k : int
            Imputation from 1; 0, the incomplete data, in which no set is known.
        index : pandas.Index
            Index of the rows.

        Returns
        -------
        Series
            Categorical labels.

        Raises
        ------
        ImputationError
            If the draws were not kept.
        """
        if self.draws is None:
            raise ImputationError("the draws of the pattern set were not kept: use imp.pattern_set")
        codes = np.full(len(index), -1) if k == 0 else self.draws[k - 1]
        return set_series(codes, self.n_sets, index)

    def take(self, rows: IntArray) -> Self:
        """Return the sets of some of the rows.

        Parameters
        ----------
        rows : ndarray of int, shape (n_selected,)
            Positions.

        Returns
        -------
        PatternSets
            Of these rows, in this order.
        """
        draws = None if self.draws is None else self.draws[:, rows]
        return type(self)(self.probabilities[rows], draws)

    def same_as(self, other: PatternSets | None) -> bool:
        """Return whether another object holds equal arrays.

        Parameters
        ----------
        other : PatternSets, optional
            What to compare with.

        Returns
        -------
        bool
            True if probabilities and draws are equal.
        """
        if other is None or not np.array_equal(self.probabilities, other.probabilities):
            return False
        if self.draws is None or other.draws is None:
            return self.draws is other.draws
        return np.array_equal(self.draws, other.draws)


def set_series(codes: IntArray, n_sets: int, index: pd.Index) -> pd.Series:
    """Return set codes as a categorical column of labels.

    Parameters
    ----------
    codes : ndarray of int, shape (n_rows,)
        Codes from 0; -1 where the set is unknown.
    n_sets : int
        Number of sets.
    index : pandas.Index
        Index of the rows.

    Returns
    -------
    Series
        Named ``"pattern_set"``, with the unordered categories ``1 .. n_sets``.
    """
    dtype = pd.CategoricalDtype([*range(1, n_sets + 1)])
    labels = pd.Categorical.from_codes(np.asarray(codes, dtype=np.int64), dtype=dtype)
    return pd.Series(labels, index=index, name=NAME)


def draw_frequencies(draws: IntArray, n_sets: int) -> FloatArray:
    """Return how often each row was drawn into each set.

    Parameters
    ----------
    draws : ndarray of int, shape (m, n_rows)
        Codes of the drawn sets.
    n_sets : int
        Number of sets.

    Returns
    -------
    ndarray, shape (n_rows, n_sets)
        Relative frequencies; each row sums to one.

    Examples
    --------
    >>> draw_frequencies(np.array([[0, 1], [0, 0]]), 2)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    return np.stack([(draws == code).mean(axis=0) for code in range(n_sets)], axis=1)


def align_sets(reference: FloatArray, other: FloatArray) -> IntArray:
    """Return the labels of `reference` that the labels of `other` correspond to.

    The matching maximises the expected number of rows on which both agree (the Hungarian
    method on the cross-table of the responsibilities).

    Parameters
    ----------
    reference, other : ndarray, shape (n_rows, n_sets)
        Set probabilities of the same rows under two labellings.

    Returns
    -------
    ndarray of int, shape (n_sets,)
        Position r holds the code in `reference` of code r in `other`.

    Examples
    --------
    >>> align_sets(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.3, 0.7], [0.6, 0.4]]))
    array([1, 0])
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(other.T @ reference, maximize=True)
    matched = np.empty(len(rows), dtype=np.int64)
    matched[rows] = columns
    return matched
