"""Vector estimands: the pooled mean, and the covariance matrices that make its variance.

Every set of rules writes the total covariance as ``ubar`` plus weighted covariance components:
one between imputations in Rubin's rules, one between and one within members when imputations are
nested. All that follows, from scalar degrees of freedom to joint tests, reads the components.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import ConfigError, PoolingError
from psmimpute.pooling.nested import nested_variances
from psmimpute.pooling.rubin import (
    DfMethod,
    FloatArray,
    RubinPool,
    Rule,
    check_dfcom,
    check_estimates,
    degrees_of_freedom,
    fraction_of_missing_information,
    pool_rubin,
)

_NO_MEMBERS = "rule='nested' needs member_of: the member that gave each imputation"


@dataclass(frozen=True, slots=True)
class VarianceComponent:
    """One covariance matrix that missingness adds to the total.

    Attributes
    ----------
    cov : ndarray, shape (k, k)
        Covariance of the estimates.
    weight : float
        Its weight in the total covariance, ``1 + 1/m`` in Rubin's rules.
    df : int
        Degrees of freedom with which `cov` is estimated, ``m - 1`` in Rubin's rules.
    """

    cov: FloatArray
    weight: float
    df: int


@dataclass(frozen=True, slots=True)
class PooledMoments:
    """Mean and covariances of ``k`` estimates over ``m`` imputations.

    Attributes
    ----------
    m : int
        Number of imputations.
    qbar : ndarray, shape (k,)
        Pooled estimates.
    ubar : ndarray, shape (k, k)
        Mean covariance within imputations.
    components : tuple of VarianceComponent
        What missingness adds.
    rule : {"rubin", "nested", "reiter2003"}
        The rules that chose the weights.
    """

    m: int
    qbar: FloatArray
    ubar: FloatArray
    components: tuple[VarianceComponent, ...]
    rule: Rule

    @property
    def total(self) -> FloatArray:
        """Total covariance of `qbar`, shape ``(k, k)``."""
        total = self.ubar.copy()
        for component in self.components:
            total += component.weight * component.cov
        return total

    def contrast(self, r_matrix: FloatArray) -> PooledMoments:
        """Moments of linear combinations of the estimates.

        Parameters
        ----------
        r_matrix : ndarray, shape (q, k)
            One combination in each row.

        Returns
        -------
        PooledMoments
            Of the ``q`` combinations.
        """
        return replace(
            self,
            qbar=r_matrix @ self.qbar,
            ubar=r_matrix @ self.ubar @ r_matrix.T,
            components=tuple(
                replace(component, cov=r_matrix @ component.cov @ r_matrix.T)
                for component in self.components
            ),
        )


def pooled_moments(
    qhat: FloatArray,
    u: FloatArray,
    *,
    rule: Rule = "rubin",
    member_of: npt.ArrayLike | None = None,
) -> PooledMoments:
    """Average estimates and covariances over imputations.

    Parameters
    ----------
    qhat : ndarray, shape (m, k)
        Complete-data estimates.
    u : ndarray, shape (m, k, k)
        Their covariance matrices.
    rule : {"rubin", "nested", "reiter2003"}, default "rubin"
        Which rules combine the variances.
    member_of : array_like, shape (m,), optional
        Member that gave each imputation; read by the nested rules only.

    Returns
    -------
    PooledMoments

    Raises
    ------
    PoolingError
        If the shapes do not match, or there are fewer than 2 imputations.
    ConfigError
        If `rule` is none of its possible values, or is ``"nested"`` without `member_of`.

    References
    ----------
    .. [1] Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley.
       Formulas 3.1.2 to 3.1.5 with covariance matrices.
    .. [2] Rubin, D. B. (2003). Nested multiple imputation of NMES via partially incompatible
       MCMC. Statistica Neerlandica 57(1), 3-18.
    """
    m, k = qhat.shape
    if u.shape != (m, k, k):
        raise PoolingError(f"u must have shape {(m, k, k)} to match qhat, got {u.shape}")
    if m < 2:
        raise PoolingError("pooling needs at least 2 imputations, got 1: impute with m=20, say")
    if rule == "nested":
        if member_of is None:
            raise ConfigError(_NO_MEMBERS)
        return _nested_moments(qhat, u, member_of)
    if rule not in ("rubin", "reiter2003"):
        raise ConfigError(f"rule must be 'rubin', 'nested' or 'reiter2003', got {rule!r}")
    centred = qhat - qhat[0]
    centred = centred - centred.mean(axis=0)
    between = centred.T @ centred / (m - 1)
    weight = 1 / m if rule == "reiter2003" else 1 + 1 / m
    component = VarianceComponent(between, weight, m - 1)
    return PooledMoments(m, qhat.mean(axis=0), u.mean(axis=0), (component,), rule)


def scalar_pool(
    moments: PooledMoments, *, dfcom: float = np.inf, df: DfMethod = "barnard1999"
) -> RubinPool:
    """Variances, degrees of freedom and missing information of each estimate by itself.

    Parameters
    ----------
    moments : PooledMoments
        Of ``k`` estimates.
    dfcom : float, default inf
        Complete-data residual degrees of freedom.
    df : {"barnard1999", "rubin1987", "infinite"}, default "barnard1999"
        See :func:`psmimpute.pooling.rubin.pool_rubin`. Nested imputations have the degrees of
        freedom of Shen (2000) in place of Rubin's, and the same small-sample adjustment.

    Returns
    -------
    RubinPool
        Arrays of shape ``(k,)``. With several components ``b`` is the between-imputation
        variance that would give the same total, so ``t == ubar + (1 + 1/m) b`` always.

    Raises
    ------
    ConfigError
        If `dfcom` is not positive or `df` is none of its possible values.
    """
    check_dfcom(dfcom)
    parts = [
        (component.weight * np.diag(component.cov), component.df)
        for component in moments.components
    ]
    return _scalar_rules(moments, np.diag(moments.ubar), parts, dfcom=dfcom, df=df)


def pool_columns(
    qhat: FloatArray,
    u: FloatArray,
    *,
    dfcom: float = np.inf,
    df: DfMethod = "barnard1999",
    rule: Rule = "rubin",
    member_of: npt.ArrayLike | None = None,
) -> RubinPool:
    """Pool many scalars one by one, by any rules, without covariances between them.

    Parameters
    ----------
    qhat, u : ndarray, shape (m, k)
        Estimates, and their squared standard errors.
    dfcom : float, default inf
        Complete-data residual degrees of freedom.
    df : {"barnard1999", "rubin1987", "infinite"}, default "barnard1999"
        See :func:`psmimpute.pooling.rubin.pool_rubin`.
    rule : {"rubin", "nested", "reiter2003"}, default "rubin"
        Which rules combine the variances.
    member_of : array_like, shape (m,), optional
        Member that gave each imputation; read by the nested rules only.

    Returns
    -------
    RubinPool
        Arrays of shape ``(k,)``.

    Raises
    ------
    PoolingError
        If the shapes differ, ``m`` is below 2, an estimate is not finite, or a variance is not
        positive and finite.
    ConfigError
        If an option is none of its possible values, or the nested rules lack `member_of`.
    """
    if rule != "nested":
        return pool_rubin(qhat, u, dfcom=dfcom, df=df, rule=rule)
    if member_of is None:
        raise ConfigError(_NO_MEMBERS)
    check_dfcom(dfcom)
    check_estimates(qhat, u)
    found = nested_variances(qhat, member_of)
    moments = PooledMoments(len(qhat), found.qbar, np.empty((0, 0)), (), "nested")
    between = (found.deviations**2).sum(axis=0) / found.df_between
    parts = [(found.weight_between * between, found.df_between)]
    if found.df_within > 0:
        within = (found.residuals**2).sum(axis=0) / found.df_within
        parts.append((found.weight_within * within, found.df_within))
    return _scalar_rules(moments, found.weights @ u, parts, dfcom=dfcom, df=df)


def _scalar_rules(
    moments: PooledMoments,
    ubar: FloatArray,
    parts: list[tuple[FloatArray, int]],
    *,
    dfcom: float,
    df: DfMethod,
) -> RubinPool:
    """Combine variances that missingness adds, each with its degrees of freedom."""
    m, inflated = moments.m, np.sum([added for added, _df in parts], axis=0)
    t = ubar + inflated
    lambda_ = inflated / t
    inverse_old = np.sum([(added / t) ** 2 / part_df for added, part_df in parts], axis=0)
    if moments.rule == "reiter2003":
        freedom = degrees_of_freedom(lambda_, inverse_old, dfcom=np.inf, method=df)
        b, unknown = m * inflated, np.full_like(t, np.nan)
        riv = (1 + 1 / m) * b / ubar
        return RubinPool(m, moments.qbar, ubar, b, t, riv, unknown, freedom, unknown)
    riv, b = inflated / ubar, inflated / (1 + 1 / m)
    freedom = degrees_of_freedom(lambda_, inverse_old, dfcom=dfcom, method=df)
    fmi = fraction_of_missing_information(riv, freedom)
    return RubinPool(m, moments.qbar, ubar, b, t, riv, lambda_, freedom, fmi)


def _nested_moments(qhat: FloatArray, u: FloatArray, member_of: npt.ArrayLike) -> PooledMoments:
    found = nested_variances(qhat, member_of)
    components = [VarianceComponent(found.between, found.weight_between, found.df_between)]
    if found.df_within > 0:
        components.append(VarianceComponent(found.within, found.weight_within, found.df_within))
    ubar = np.einsum("m,mij->ij", found.weights, u)
    return PooledMoments(len(qhat), found.qbar, ubar, tuple(components), "nested")
