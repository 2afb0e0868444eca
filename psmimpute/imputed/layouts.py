"""Completed frames laid out in one frame: long, wide or stacked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import numpy as np
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.table.reading import full_label

IMP = ".imp"
ID = ".id"


def row_ids(index: pd.Index) -> pd.Index:
    """Return one identifier for each row: its label, or its number where labels do not serve.

    Parameters
    ----------
    index : pandas.Index
        Index of the data.

    Returns
    -------
    pandas.Index
        The labels if there is one level of unique labels, else 1, 2, ...

    Examples
    --------
    >>> row_ids(pd.Index(["a", "b"])).tolist(), row_ids(pd.Index(["a", "a"])).tolist()
    (['a', 'b'], [1, 2])
    """
    if index.nlevels == 1 and index.is_unique:
        return index
    return pd.RangeIndex(1, len(index) + 1)


def long_frame(frames: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Stack frames below each other, with their number and the row's identifier in front.

    Parameters
    ----------
    frames : mapping of int to DataFrame
        Completed frames by imputation; 0 is the incomplete data.

    Returns
    -------
    DataFrame, shape (n_frames * n_rows, 2 + n_columns)
        Columns ``.imp`` and ``.id``, then those of the frames, on a fresh index.

    Raises
    ------
    ImputationError
        If the data have a column of one of these names.
    """
    first = next(iter(frames.values()))
    taken = [name for name in (IMP, ID) if name in first.columns]
    if taken:
        raise ImputationError(
            f"the data have a column named {taken[0]!r}, which the long form needs: rename it"
        )
    ids = row_ids(first.index)
    stacked = pd.concat(list(frames.values()), ignore_index=True)
    imp, row = (full_label(name, stacked.columns) for name in (IMP, ID))
    stacked.insert(0, imp, np.repeat(np.fromiter(frames, dtype=np.int64), len(first)))
    stacked.insert(1, row, ids.append([ids] * (len(frames) - 1)))
    return stacked


def wide_frame(frames: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Put frames beside each other; column ``x`` of imputation k is ``x.k``.

    Parameters
    ----------
    frames : mapping of int to DataFrame
        Completed frames by imputation; 0 is the incomplete data.

    Returns
    -------
    DataFrame, shape (n_rows, n_frames * n_columns)
        On the index of the data.
    """
    renamed = [_suffixed(frame, k) for k, frame in frames.items()]
    return pd.concat(renamed, axis=1)


def stacked_frame(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Stack frames below each other; every block keeps the index of the data.

    Parameters
    ----------
    frames : iterable of DataFrame
        Completed frames.

    Returns
    -------
    DataFrame, shape (n_frames * n_rows, n_columns)
        The blocks in order.
    """
    return pd.concat(list(frames))


def _suffixed(frame: pd.DataFrame, k: int) -> pd.DataFrame:
    names: list[Hashable] = [f"{name}.{k}" for name in frame.columns]
    return frame.set_axis(names, axis=1)
