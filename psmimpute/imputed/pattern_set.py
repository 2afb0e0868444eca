"""Missingness pattern sets as pandas objects: modal sets, probabilities and draws.

Sets are codes ``0 .. n_sets - 1`` in arrays and labels ``1 .. n_sets`` in pandas objects.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]

NAME = "pattern_set"


def set_dtype(n_sets: int) -> pd.CategoricalDtype:
    """Return the dtype of a column of set labels.

    Parameters
    ----------
    n_sets : int
        Number of sets.

    Returns
    -------
    pandas.CategoricalDtype
        Unordered, with the categories ``1 .. n_sets``.
    """
    return pd.CategoricalDtype(range(1, n_sets + 1))


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
        Named ``"pattern_set"``.
    """
    labels = pd.Categorical.from_codes(np.asarray(codes, dtype=np.int64), dtype=set_dtype(n_sets))
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
    rows, columns = linear_sum_assignment(other.T @ reference, maximize=True)
    matched = np.empty(len(rows), dtype=np.int64)
    matched[rows] = columns
    return matched
