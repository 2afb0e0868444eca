"""Which rows each member learns from: one bootstrap resample a member."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from psmimpute.random import Purpose, stream_seed

_MOST_HELD_OUT = 1024
# Rows out of a member's bag report how it fits, and decide nothing.
_MOST_OUT_OF_BAG = 256
# Fewer rows than this cannot be split: they judge their own fit.
_LEAST_FOLD_ROWS = 20


@dataclass(frozen=True)
class Resamples:
    """Bootstrap resamples of the rows, one for each member.

    Attributes
    ----------
    counts : ndarray of int, shape (n_members, n_rows)
        How often each row is in each member's resample.
    held_out : ndarray of int, shape (n_members, n_held_out)
        Rows out of the member's bag, padded with row 0.
    held_out_weight : ndarray, shape (n_members, n_held_out)
        1 for a row of `held_out`, 0 for padding.

    References
    ----------
    .. [1] Honaker, J., King, G. and Blackwell, M. (2011). Amelia II: a program for missing
       data. Journal of Statistical Software 45(7): bootstrapping for proper imputations.
    """

    counts: npt.NDArray[np.uint16]
    held_out: npt.NDArray[np.int64]
    held_out_weight: npt.NDArray[np.float32]


def resample_rows(n_rows: int, *, members: range, seed: int, resample: bool) -> Resamples:
    """Draw a bootstrap resample for each member.

    Parameters
    ----------
    n_rows : int
        Rows of the table.
    members : range
        Numbers of the members.
    seed : int
        Member i's resample depends on (seed, i) alone.
    resample : bool
        False gives every row weight 1; a tenth of the rows then judges when to stop.

    Returns
    -------
    Resamples
    """
    counts = np.empty((len(members), n_rows), dtype=np.uint16)
    size = min(_MOST_OUT_OF_BAG, n_rows)
    held_out = np.zeros((len(members), size), dtype=np.int64)
    weight = np.zeros((len(members), size), dtype=np.float32)
    for i, member in enumerate(members):
        generator = np.random.Generator(
            np.random.Philox(stream_seed(seed, member=member, purpose=Purpose.RESAMPLE))
        )
        if resample:
            counts[i] = np.bincount(generator.integers(n_rows, size=n_rows), minlength=n_rows)
        else:
            counts[i] = generator.permutation(n_rows) >= n_rows // 10
        out = np.flatnonzero(counts[i] == 0)
        out = generator.permutation(out)[:size]
        held_out[i, : out.size] = out
        weight[i, : out.size] = 1.0
    return Resamples(counts, held_out, weight)


def fold_rows(n_rows: int, *, n_folds: int, seed: int) -> Resamples:
    """Split rows into training and held-out parts, without resampling.

    Parameters
    ----------
    n_rows : int
        Rows of the table.
    n_folds : int
        Each holds out another fifth of the rows; with one fold, a tenth is.
    seed : int
        Of the split.

    Returns
    -------
    Resamples
        One member for each fold.
    """
    if n_rows < _LEAST_FOLD_ROWS:
        everyone = np.arange(n_rows)[None]
        return Resamples(
            np.ones((1, n_rows), dtype=np.uint16),
            everyone.astype(np.int64),
            np.ones((1, n_rows), dtype=np.float32),
        )
    generator = np.random.Generator(np.random.Philox(seed))
    n_parts = 5 if n_folds > 1 else 10
    fold = generator.permutation(n_rows) % n_parts
    counts = np.stack([(fold != i).astype(np.uint16) for i in range(n_folds)])
    size = min(_MOST_HELD_OUT, -(-n_rows // n_parts))
    held_out = np.zeros((n_folds, size), dtype=np.int64)
    weight = np.zeros((n_folds, size), dtype=np.float32)
    for i in range(n_folds):
        out = np.flatnonzero(fold == i)[:size]
        held_out[i, : out.size] = out
        weight[i, : out.size] = 1.0
    return Resamples(counts, held_out, weight)
