"""The rules that tell what a column of numbers measures, from its observed values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from psmimpute.table.kinds import ColumnKind
from psmimpute.table.transforms import shape_moments

FloatArray = npt.NDArray[np.float64]

# A column with so many exact zeros, all else positive, is a point mass and an amount: a quarter, or
# a twentieth that is so many times as many as of any other value.
ZERO_SHARE, LEAST_ZERO_SHARE, ZERO_RATIO = 0.25, 0.05, 3.0
FEWEST_ZEROS, FEWEST_AMOUNTS = 10, 10
# Whole amounts are counts with many zeros unless they take more values than this.
MOST_COUNT_VALUES, LARGEST_COUNT = 30, 200
# Rounding to whole numbers is felt below this standard deviation, and hides above it.
WIDEST_ROUNDED = 2.0
POSITIVE_SKEWNESS, SKEWNESS_NEEDS = 1.0, 10
# Whole numbers from one to no more than this, each of which occurs, are ratings.
FEWEST_RATINGS, HIGHEST_RATING = 3, 10
# Above this, every float64 is whole.
LARGEST_WHOLE = 2.0**53


def is_whole(x: FloatArray) -> bool:
    """Tell whether all values are whole numbers that float64 holds exactly.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Finite values.

    Returns
    -------
    bool
        False if a value is beyond 2**53.
    """
    return bool(np.all(x == np.rint(x)) and np.all(np.abs(x) <= LARGEST_WHOLE))


def numeric_kind(x: FloatArray) -> tuple[ColumnKind, str]:
    """Tell what numbers with more than one distinct value measure.

    Parameters
    ----------
    x : ndarray, shape (n_observed,)
        Observed values, finite.

    Returns
    -------
    kind : ColumnKind
        Binary, semicontinuous, count, positive or continuous.
    reason : str
        The facts that decided, for the reader of the schema.

    Examples
    --------
    >>> numeric_kind(np.arange(6.0))
    (<ColumnKind.COUNT: 'count'>, 'whole numbers from 0 to 5, 6 of them distinct')
    """
    distinct = np.unique(x)
    if len(distinct) == 2:
        return ColumnKind.BINARY, f"two distinct values, {distinct[0]:g} and {distinct[1]:g}"
    low, high, whole = distinct[0], distinct[-1], is_whole(distinct)
    if low == 0 and _is_semicontinuous(x, whole=whole):
        return ColumnKind.SEMICONTINUOUS, f"{np.mean(x == 0):.0%} exact zeros, the rest positive"
    span = f"from {low:g} to {high:g}, {len(distinct)} of them distinct"
    if whole and _is_count(x, distinct):
        kept = ", kept between them as ratings are" if is_rating(x) else ""
        return ColumnKind.COUNT, f"whole numbers {span}{kept}"
    if low > 0 and len(x) >= SKEWNESS_NEEDS:
        skewness, log_skewness = shape_moments(x)[0], shape_moments(np.log(x))[0]
        if skewness > POSITIVE_SKEWNESS and abs(log_skewness) < skewness:
            reason = f"positive, skewness {skewness:.1f}, of the logarithms {log_skewness:.1f}"
            return ColumnKind.POSITIVE, reason
    return ColumnKind.CONTINUOUS, f"{'whole' if whole else 'real'} numbers {span}"


def _is_count(x: FloatArray, distinct: FloatArray) -> bool:
    """Tell counts from other whole numbers: a narrow range, or a long tail that starts at zero."""
    low, high = distinct[0], distinct[-1]
    if low < 0 or high > LARGEST_COUNT:
        return False
    long_tail = low == 0 and shape_moments(x)[0] > POSITIVE_SKEWNESS
    return bool(long_tail or is_narrow(x))


def is_narrow(x: FloatArray) -> bool:
    """Tell whether whole numbers take so few values that their rounding is felt.

    A density would be largest where a model puts all of it on these values: it would learn to do
    that, and little of how they hang on others.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Whole numbers.

    Returns
    -------
    bool
    """
    return bool(len(np.unique(x)) <= MOST_COUNT_VALUES and x.std() < WIDEST_ROUNDED)


def is_rating(x: FloatArray) -> bool:
    """Tell whether whole numbers are ratings, such as 1 to 5: there is nothing beyond their ends.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Whole numbers.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_rating(np.array([1.0, 2.0, 2.0, 3.0])), is_rating(np.array([0.0, 1.0, 2.0]))
    (True, False)
    """
    distinct = np.unique(x)
    ends = FEWEST_RATINGS <= len(distinct) <= HIGHEST_RATING
    return bool(ends and np.array_equal(distinct, np.arange(1.0, len(distinct) + 1)))


def _is_semicontinuous(x: FloatArray, *, whole: bool) -> bool:
    """Tell amounts with a pile at zero, the lowest value, from other numbers."""
    counts = np.unique(x, return_counts=True)[1]
    n_zeros, n_amounts = counts[0], len(counts) - 1
    share = LEAST_ZERO_SHARE if n_zeros >= ZERO_RATIO * counts[1:].max() else ZERO_SHARE
    enough = n_zeros >= max(FEWEST_ZEROS, share * len(x)) and n_amounts > FEWEST_AMOUNTS
    return bool(enough and (not whole or n_amounts > MOST_COUNT_VALUES))
