"""Nested multiple imputation: several imputations share one member.

Imputations of one member know nothing of the uncertainty of its parameters, so the variance
between members and the variance within a member are estimated apart and added with their own
weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.rubin import FloatArray


@dataclass(frozen=True, slots=True)
class NestedVariances:
    """Means and covariances of estimates that are nested in members.

    Attributes
    ----------
    qbar : ndarray, shape (k,)
        Mean over members of the members' means.
    between, within : ndarray, shape (k, k)
        Covariance of the members' means, and pooled covariance within members.
    n_members : int
        Number of members, ``M``.
    mean_reciprocal : float
        Mean over members of one over the number of its imputations; ``1 / N`` when balanced.
    df_within : int
        Degrees of freedom of `within`, ``M (N - 1)`` when balanced.
    weights : ndarray, shape (m,)
        Weight of each imputation in `qbar`; they sum to 1.
    """

    qbar: FloatArray
    between: FloatArray
    within: FloatArray
    n_members: int
    mean_reciprocal: float
    df_within: int
    weights: FloatArray


def shares_members(member_of: npt.ArrayLike | None) -> bool:
    """Whether some imputations come from one member.

    Parameters
    ----------
    member_of : array_like, shape (m,), or None
        Member that gave each imputation.

    Returns
    -------
    bool
    """
    if member_of is None:
        return False
    members = np.asarray(member_of)
    return len(np.unique(members)) < len(members)


def nested_variances(qhat: FloatArray, member_of: npt.ArrayLike) -> NestedVariances:
    """Split the variance between imputations into its part between members and within them.

    Unequal numbers of imputations are allowed: members weigh the same, and ``1 / N`` becomes the
    mean of the members' reciprocals, so that the total variance stays unbiased.

    Parameters
    ----------
    qhat : ndarray, shape (m, k)
        Estimates.
    member_of : array_like, shape (m,)
        Member that gave each imputation; any labels.

    Returns
    -------
    NestedVariances

    Raises
    ------
    PoolingError
        If `member_of` has another length than `qhat`, or names fewer than 2 members.

    References
    ----------
    .. [1] Shen, Z. (2000). Nested Multiple Imputation. PhD thesis, Harvard University.
    .. [2] Rubin, D. B. (2003). Nested multiple imputation of NMES via partially incompatible
       MCMC. Statistica Neerlandica 57(1), 3-18.
    .. [3] Harel, O. (2007). Inferences on missing information under multiple imputation and
       two-stage multiple imputation. Statistical Methodology 4(1), 75-89.

    Examples
    --------
    >>> found = nested_variances(np.array([[0.0], [2.0], [4.0], [6.0]]), [0, 0, 1, 1])
    >>> found.qbar, found.between, found.within
    (array([3.]), array([[8.]]), array([[2.]]))
    """
    members = np.asarray(member_of)
    if members.shape != (len(qhat),):
        raise PoolingError(
            f"member_of must name one member for each of the {len(qhat)} analyses, got "
            f"shape {members.shape}"
        )
    _, index, counts = np.unique(members, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise PoolingError(
            f"the nested rules need at least 2 members, got 1 for {len(qhat)} imputations: the "
            "uncertainty of the imputation model cannot be estimated; impute with members=m"
        )
    # Differences from the first estimate: equal estimates then have a variance of exactly 0.
    centred = qhat - qhat[0]
    sums = np.zeros((len(counts), qhat.shape[1]))
    np.add.at(sums, index, centred)
    means = sums / counts[:, None]
    residuals = centred - means[index]
    df_within = len(qhat) - len(counts)
    deviations = means - means.mean(axis=0)
    return NestedVariances(
        qbar=qhat[0] + means.mean(axis=0),
        between=deviations.T @ deviations / (len(counts) - 1),
        within=residuals.T @ residuals / max(df_within, 1),
        n_members=len(counts),
        mean_reciprocal=float((1 / counts).mean()),
        df_within=df_within,
        weights=1 / (counts[index] * len(counts)),
    )
