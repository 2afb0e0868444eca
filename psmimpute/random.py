"""Counter-based random numbers: every number is a pure function of its key and counter.

The same row gets the same numbers whatever the batch it comes in, the order of the rows, the
number of workers or the engine.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

_MULTIPLIER = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_N_ROUNDS = 10

UInt32Array = npt.NDArray[np.uint32]


class Purpose(IntEnum):
    """What a stream of numbers is for, so that no two uses share one."""

    RESAMPLE = 1
    TRAINING = 2
    START = 3
    DRAW = 4
    SETS = 5
    MEAN = 6
    SAMPLE = 7
    REDRAW = 8
    COVARIATES = 9
    ANSWERS = 10


def philox(counter: npt.NDArray[np.uint64], key: tuple[int, int]) -> npt.NDArray[np.uint64]:
    """Philox4x32-10 of Salmon, Moraes, Dror and Shaw.

    Parameters
    ----------
    counter : ndarray of uint64, shape (4, n)
        Four 32-bit words for each block.
    key : tuple of two int
        Two 32-bit words.

    Returns
    -------
    ndarray of uint64, shape (4, n)
        Four 32-bit words for each block.

    References
    ----------
    .. [1] Salmon, J. K. et al. (2011). Parallel random numbers: as easy as 1, 2, 3.
       Proceedings of SC11, section 3.
    """
    c0, c1, c2, c3 = (word.copy() for word in counter)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(_N_ROUNDS):
        p0, p1 = _MULTIPLIER[0] * c0, _MULTIPLIER[1] * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0 = np.uint64((int(k0) + _WEYL[0]) & 0xFFFFFFFF)
        k1 = np.uint64((int(k1) + _WEYL[1]) & 0xFFFFFFFF)
    return np.stack([c0, c1, c2, c3])


def row_uniforms(
    seed: int, *, imputation: int, rows: npt.NDArray[np.uint64], n: int, purpose: Purpose
) -> npt.NDArray[np.float32]:
    """Uniform numbers in the open unit interval for each row.

    Parameters
    ----------
    seed : int
        Non-negative; its lower 64 bits are used.
    imputation : int
        Number of the imputation, from 0.
    rows : ndarray of uint64, shape (n_rows,)
        Row keys.
    n : int
        How many numbers each row gets.
    purpose : Purpose
        What they are for.

    Returns
    -------
    ndarray of float32, shape (n_rows, n)

    Examples
    --------
    >>> keys = np.arange(3, dtype=np.uint64)
    >>> one = row_uniforms(1, imputation=0, rows=keys, n=5, purpose=Purpose.DRAW)
    >>> two = row_uniforms(1, imputation=0, rows=keys[1:], n=5, purpose=Purpose.DRAW)
    >>> bool((one[1:] == two).all())
    True
    """
    n_blocks = -(-n // 4)
    key = rows.astype(np.uint64, copy=False)
    counter = np.empty((4, key.size, n_blocks), dtype=np.uint64)
    counter[0], counter[1] = (key & _LOW)[:, None], (key >> _HALF)[:, None]
    counter[2] = np.arange(n_blocks, dtype=np.uint64)
    counter[3] = np.uint64((imputation << 4) | int(purpose))
    low, high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    words = philox(counter.reshape(4, -1), (low, high)).reshape(4, key.size, n_blocks)
    words = words.transpose(1, 2, 0).reshape(key.size, -1)[:, :n]
    # 23 bits and a half: never 0, never 1, also in single precision.
    return ((words >> np.uint64(9)).astype(np.float32) + np.float32(0.5)) / np.float32(2**23)


def row_words(
    seed: int, *, rows: npt.NDArray[np.uint64], purpose: Purpose
) -> npt.NDArray[np.uint64]:
    """Return one random 64-bit word for each row.

    Parameters
    ----------
    seed : int
        Non-negative; its lower 64 bits are used.
    rows : ndarray of uint64, shape (n_rows,)
        Row keys.
    purpose : Purpose
        What the words are for.

    Returns
    -------
    ndarray of uint64, shape (n_rows,)
    """
    counter = np.zeros((4, rows.size), dtype=np.uint64)
    counter[0], counter[1], counter[3] = rows & _LOW, rows >> _HALF, np.uint64(int(purpose))
    words = philox(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF))
    return np.asarray(words[0] << _HALF | words[1])


def stream_seed(seed: int, *, member: int, purpose: Purpose) -> int:
    """Seed of a sequential generator that belongs to one member and one purpose.

    Returns
    -------
    int
        Below 2**63, as torch and NumPy generators take.
    """
    counter = np.array([[member], [0], [0], [int(purpose)]], dtype=np.uint64)
    words = philox(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF))[:, 0]
    return int((int(words[0]) << 32 | int(words[1])) & (2**63 - 1))
