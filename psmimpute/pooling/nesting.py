"""Which restrictions make the larger of two models the smaller one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.item import Fitted

Array = npt.NDArray[np.float64]

_INTERCEPTS = frozenset({"Intercept", "const", "(Intercept)"})
# Relative to the size of a column, by which it may miss what the columns of the other model span.
_ROUNDING = 1e-8


def restrictions(
    terms: pd.Index,
    null_terms: pd.Index | None,
    full: Sequence[Fitted],
    null: Sequence[Fitted] | None,
) -> list[Array]:
    """Find the linear functions of the larger model's coefficients that are zero in the smaller.

    By the names of the terms where all of the smaller model are among those of the larger, else
    by the columns of the designs: a straight line is a spline, a trend a function of a factor.

    Parameters
    ----------
    terms : Index
        Of the larger model.
    null_terms : Index, optional
        Of the smaller model; by default the intercept is its only term.
    full, null : sequence of fitted models, length m
        The models.

    Returns
    -------
    list of ndarray, shape (n_terms, n_restrictions)
        One for each imputation.

    Raises
    ------
    PoolingError
        If the models are not nested, or the same.
    """
    m = len(full)
    if null_terms is None:
        names = [term[-1] if isinstance(term, tuple) else term for term in terms]
        tested = [j for j, name in enumerate(names) if name not in _INTERCEPTS]
        if not tested:
            raise PoolingError("the model has no terms but the intercept: there is nothing to test")
        return [np.eye(len(terms))[:, tested]] * m
    missing = [term for term in null_terms if term not in terms]
    if missing:
        found = [_of_designs(*fits, len(terms)) for fits in zip(full, null or (), strict=True)]
        known = [matrix for matrix in found if matrix is not None]
        if len(known) < m or not known[0].shape[1]:
            raise PoolingError(
                f"the models are not nested: the null model has {missing[0]!r}, the full model "
                "does not, and its columns do not give it; call compare on the larger model"
            )
        return known
    tested = [j for j, term in enumerate(terms) if term not in null_terms]
    if not tested:
        raise PoolingError("both models have the same terms: there is nothing to test")
    return [np.eye(len(terms))[:, tested]] * m


def common_restriction(found: list[Array]) -> Array:
    """Return the restrictions where they are the same in all imputations.

    Parameters
    ----------
    found : list of ndarray, shape (n_terms, n_restrictions)

    Returns
    -------
    ndarray, shape (n_terms, n_restrictions)

    Raises
    ------
    PoolingError
        If they are not: coefficients that mean something else in each imputation have no mean.
    """
    first = found[0]
    onto = first @ np.linalg.pinv(first)
    for other in found[1:]:
        if other.shape != first.shape or not np.allclose(onto @ other, other, atol=1e-6):
            raise PoolingError(
                "the coefficients mean something else in each imputation, as those of splines do "
                "whose knots follow the data: give the knots, or compare likelihoods by method='D4'"
            )
    return first


def _of_designs(full: Fitted, null: Fitted, n_terms: int) -> Array | None:
    """Restrictions by which the columns of the smaller design are left, or None."""
    try:
        large, small = (
            np.asarray(getattr(getattr(fit, "model", None), "exog", np.empty(0)), dtype=float)
            for fit in (full, null)
        )
    except (TypeError, ValueError):  # of a library whose designs are no arrays
        return None
    if large.ndim != 2 or small.ndim != 2 or len(large) != len(small):
        return None
    if large.shape[1] != n_terms:
        return None
    (large, size), (small, _) = (_of_length_one(design) for design in (large, small))
    if np.linalg.matrix_rank(large) < n_terms:
        return None
    weights = np.linalg.lstsq(large, small, rcond=None)[0]
    if (np.linalg.norm(large @ weights - small, axis=0) > _ROUNDING).any():
        return None
    # The smaller model's coefficients are all that `weights` reach; what is at right angles is 0.
    left, sizes, _ = np.linalg.svd(weights)
    rank = int((sizes > _ROUNDING * sizes.max()).sum())
    return _of_length_one(size[:, None] * left[:, rank:])[0]


def _of_length_one(columns: Array) -> tuple[Array, Array]:
    size = np.linalg.norm(columns, axis=0)
    size = np.where(size > 0, size, 1.0)
    return columns / size, size
