"""Numbers of imputations, as the user gives them."""

from __future__ import annotations

import operator
from typing import Any, cast

import numpy as np

from psmimpute.exceptions import ImputationError


def imputation_number(k: object, m: int, *, smallest: int = 0) -> int:
    """Return `k` as the number of one of `m` imputations.

    Parameters
    ----------
    k : object
        What the user gave.
    m : int
        Number of imputations.
    smallest : {0, 1}, default 0
        Whether 0, the incomplete data, will do.

    Returns
    -------
    int
        From `smallest` to `m`.

    Raises
    ------
    ImputationError
        If `k` is not a whole number in this range.

    Examples
    --------
    >>> imputation_number(np.int64(3), 5)
    3
    """
    try:
        number = -1 if isinstance(k, (bool, np.bool_)) else operator.index(cast("Any", k))
    except TypeError:
        number = -1
    if not smallest <= number <= m:
        others = (
            ", 0 for the incomplete data, or 'long', 'wide', 'stacked' or 'all'"
            if smallest == 0
            else ""
        )
        raise ImputationError(f"there is no imputation {k!r}: give a number from 1 to {m}{others}")
    return number
