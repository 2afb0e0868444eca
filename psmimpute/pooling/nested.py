"""Nested multiple imputation: several imputations share one member.

Imputations of one member know nothing of the uncertainty of its parameters, so the variance
between members and the variance within a member are estimated apart and added with their own
weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import ImproperPoolingWarning, PoolingError
from psmimpute.pooling.rubin import FloatArray, Rule
from psmimpute.telling import warn


@dataclass(frozen=True, slots=True)
class NestedVariances:
    """Means and covariances of estimates that are nested in members.

    Attributes
    ----------
    qbar : ndarray, shape (k,)
        Mean over members of the members' means.
    deviations : ndarray, shape (M, k)
        The members' means less `qbar`.
    residuals : ndarray, shape (m, k)
        The estimates less their member's mean.
    mean_reciprocal : float
        Mean over members of one over the number of its imputations; ``1 / N`` when balanced.
    weights : ndarray, shape (m,)
        Weight of each imputation in `qbar`; they sum to 1.
    """

    qbar: FloatArray
    deviations: FloatArray
    residuals: FloatArray
    mean_reciprocal: float
    weights: FloatArray

    @property
    def n_members(self) -> int:
        """Number of members, ``M``."""
        return len(self.deviations)

    @property
    def df_between(self) -> int:
        """Degrees of freedom between members, ``M - 1``."""
        return len(self.deviations) - 1

    @property
    def df_within(self) -> int:
        """Degrees of freedom within members, ``M (N - 1)`` when balanced."""
        return len(self.residuals) - len(self.deviations)

    @property
    def between(self) -> FloatArray:
        """Covariance of the members' means, shape ``(k, k)``."""
        return self.deviations.T @ self.deviations / self.df_between

    @property
    def within(self) -> FloatArray:
        """Pooled covariance within members, shape ``(k, k)``; 0 with one imputation each."""
        return self.residuals.T @ self.residuals / max(self.df_within, 1)

    @property
    def weight_between(self) -> float:
        """Weight of `between` in the total covariance, ``1 + 1/M``."""
        return 1 + 1 / self.n_members

    @property
    def weight_within(self) -> float:
        """Weight of `within` in the total covariance, ``1 - 1/N``."""
        return 1 - self.mean_reciprocal


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


def choose_rule(rule: Rule, member_of: npt.ArrayLike | None) -> Rule:
    """Turn Rubin's rules into the nested rules when imputations share a member.

    Parameters
    ----------
    rule : {"rubin", "nested", "reiter2003"}
        What was asked for.
    member_of : array_like, shape (m,), or None
        Member that gave each imputation.

    Returns
    -------
    {"rubin", "nested", "reiter2003"}

    Warns
    -----
    ImproperPoolingWarning
        If the rules are changed, or there is one member only, so that they cannot be.
    """
    if rule != "rubin" or not shares_members(member_of):
        return rule
    labels = np.asarray(member_of)
    n_members = len(np.unique(labels))
    if n_members == 1:
        warn(
            f"all {len(labels)} imputations come from one member: the uncertainty of the "
            "imputation model is left out and standard errors are too small; impute with members=m",
            ImproperPoolingWarning,
        )
        return "rubin"
    warn(
        f"{len(labels)} imputations come from {n_members} members: pooled by the nested rules; "
        "fit(...).pool(rule='nested') does so without this warning, or impute with members=m",
        ImproperPoolingWarning,
    )
    return "nested"


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
    return NestedVariances(
        qbar=qhat[0] + means.mean(axis=0),
        deviations=means - means.mean(axis=0),
        residuals=centred - means[index],
        mean_reciprocal=float((1 / counts).mean()),
        weights=1 / (counts[index] * len(counts)),
    )
