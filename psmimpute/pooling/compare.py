"""Comparison of two nested models over imputations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import ConfigError, PoolingError, PoolingWarning
from psmimpute.pooling.align import StackedItems, stack_items
from psmimpute.pooling.coefficients import to_pool_item
from psmimpute.pooling.contrasts import joint_contrast
from psmimpute.pooling.item import Fitted
from psmimpute.pooling.joint import JointTest, d2
from psmimpute.pooling.likelihood import (
    Nuisance,
    at_pooled_parameters,
    fitted_log_likelihoods,
    stacked_log_likelihoods,
)
from psmimpute.pooling.likelihood_ratio import Ariv, d3, d4
from psmimpute.pooling.nesting import Array, common_restriction, restrictions
from psmimpute.pooling.rubin import Rule
from psmimpute.telling import warn

Method = Literal["D1", "D2", "D3", "D4"]
"""How two models are compared: Wald, statistics, likelihood ratios, stacked likelihood ratios."""

_ROBUST = ("hc", "hac", "cluster", "nw")  # covariances of statsmodels beside the model's own


@dataclass(frozen=True)
class Comparison:
    """How to compare two models.

    Attributes
    ----------
    method : {"D1", "D2", "D3", "D4"}, default "D1"
        The test.
    use : {"wald", "likelihood"}, default "wald"
        Statistics that D2 pools.
    dfcom : float, optional
        Complete-data residual degrees of freedom of D1, in place of those of the full model;
        infinity gives the large-sample test.
    ariv : {"default", "positive", "robust"}, default "default"
        Estimate of the increase in variance, of D3 and D4.
    nuisance : {"pooled", "refitted"}, optional
        What D3 does with intercept and residual variance; see
        :func:`psmimpute.pooling.likelihood.at_pooled_parameters`.
    rule : {"rubin", "nested", "reiter2003"}, default "rubin"
        Rules of the variances of D1.
    member_of : array_like, shape (m,), optional
        Member that gave each imputation.
    """

    method: Method = "D1"
    use: Literal["wald", "likelihood"] = "wald"
    dfcom: float | None = None
    ariv: Ariv = "default"
    nuisance: Nuisance | None = None
    rule: Rule = "rubin"
    member_of: npt.ArrayLike | None = None

    def __post_init__(self) -> None:
        if self.method not in ("D1", "D2", "D3", "D4"):
            raise ConfigError(f"method must be 'D1', 'D2', 'D3' or 'D4', got {self.method!r}")
        if self.use not in ("wald", "likelihood"):
            raise ConfigError(f"use must be 'wald' or 'likelihood', got {self.use!r}")
        if self.nuisance not in (None, "pooled", "refitted"):
            raise ConfigError(f"nuisance must be 'pooled' or 'refitted', got {self.nuisance!r}")
        if self.method != "D1" and self.rule != "rubin":
            raise PoolingError(
                f"{self.method} is not known for the {self.rule} rules: use method='D1'"
            )


def fits_of(null: object) -> Sequence[Fitted] | None:
    """Return the fits of a smaller model.

    Parameters
    ----------
    null : Analyses, PooledResults or None

    Returns
    -------
    sequence of fitted models or None

    Raises
    ------
    ConfigError
        If it was not fitted.
    """
    if null is None:
        return None
    if not hasattr(null, "fits"):
        raise ConfigError(
            "the smaller model is to be fitted to the same imputations first, such as "
            f"imp.fit('y ~ x', model=smf.ols); got {null!r}"
        )
    return cast("Sequence[Fitted]", null.fits)


def compare_fits(
    full: Sequence[Fitted],
    null: Sequence[Fitted] | None,
    comparison: Comparison,
    *,
    refit_full: Callable[[], Fitted] | None = None,
    refit_null: Callable[[], Fitted] | None = None,
) -> JointTest:
    """Test whether the full model is better than the null model.

    Parameters
    ----------
    full : sequence of fitted models, length m
        The larger model, fitted to each imputation.
    null : sequence of fitted models, length m, or None
        The smaller model, whose terms are among those of the larger, or functions of these: of a
        spline a straight line, of a factor a trend. None tests all terms but the intercept, by D1
        or D2 with Wald statistics.
    comparison : Comparison
        Which test, and its options.
    refit_full, refit_null : callable, optional
        Fit the models to the stacked imputations, for D4.

    Returns
    -------
    JointTest

    Raises
    ------
    PoolingError
        If the models are not nested, differ in outcome, rows or number of imputations, or lack
        what the test needs.
    ConfigError
        If D3, D4 or D2 with likelihoods is asked without a null model.

    Warns
    -----
    PoolingWarning
        If likelihoods are compared of models with a robust covariance, which these do not know.
    """
    # Only D1 has a use for degrees of freedom, and should warn when it finds none.
    dfcom = comparison.dfcom if comparison.method == "D1" else np.inf
    found = stack_items([to_pool_item(fit) for fit in full], dfcom=dfcom)
    if null is None:
        return _wald(found, restrictions(found.terms, None, full, None), comparison)
    if len(null) != len(full):
        raise PoolingError(
            f"both models need the same imputations, got {len(full)} and {len(null)} analyses"
        )
    found_null = stack_items([to_pool_item(fit) for fit in null], dfcom=found.dfcom)
    tested = restrictions(found.terms, found_null.terms, full, null)
    k = tested[0].shape[1]
    _check_same_data(full[0], null[0], (found.nobs, found_null.nobs))
    if comparison.method == "D1" or (comparison.method == "D2" and comparison.use == "wald"):
        return _wald(found, tested, comparison)
    _warn_of_robust(full[0], comparison.method)
    each, _n = fitted_log_likelihoods(found)
    ratios = 2 * (each - fitted_log_likelihoods(found_null)[0])
    if comparison.method == "D2":
        # A ratio of nested fits is negative by rounding only.
        ariv = cast("Literal['default', 'positive']", comparison.ariv)
        return d2(np.maximum(ratios, 0), k=k, ariv=ariv)
    if comparison.method == "D3":
        common_restriction(tested)  # it is taken where the coefficients are pooled
        at_pooled = [
            at_pooled_parameters(fits, nuisance=comparison.nuisance) for fits in (full, null)
        ]
        pooled = 2 * (at_pooled[0] - at_pooled[1])
        return d3(ratios, pooled, k=k, ariv=comparison.ariv)
    return d4(
        stacked_log_likelihoods(full, found, refit_full),
        stacked_log_likelihoods(null, found_null, refit_null),
        ariv=comparison.ariv,
    )


def _warn_of_robust(fit: Fitted, method: str) -> None:
    """Tell of a covariance that a likelihood ratio leaves out, as statsmodels' own does."""
    cov_type = str(getattr(fit, "cov_type", None) or "nonrobust")
    if cov_type.lower().startswith(_ROBUST):
        warn(
            f"the models have a covariance of type {cov_type!r}, but {method} compares likelihoods "
            "as if rows were independent and the model's own variance held: method='D1' takes "
            "the covariance into account",
            PoolingWarning,
        )


def _check_same_data(full: Fitted, null: Fitted, n_rows: tuple[int | None, int | None]) -> None:
    """Refuse models of other rows or another outcome, as far as fitted models tell of them."""
    if None not in n_rows and n_rows[0] != n_rows[1]:
        raise PoolingError(
            f"the models were fitted to different rows ({n_rows[0]} and {n_rows[1]}): fit both to "
            "the same"
        )
    outcomes = [getattr(getattr(fit, "model", None), "endog", None) for fit in (full, null)]
    if any(outcome is None for outcome in outcomes):
        return
    first, second = (np.sort(np.asarray(outcome), axis=0) for outcome in outcomes)
    if not np.array_equal(first, second):
        raise PoolingError("the models have different outcomes: compare models of one outcome")


def _wald(found: StackedItems, tested: list[Array], comparison: Comparison) -> JointTest:
    if comparison.method not in ("D1", "D2") or comparison.use != "wald":
        raise ConfigError(
            f"{comparison.method} compares likelihoods and needs a null model: fit it to the same "
            "imputations"
        )
    restriction = common_restriction(tested)
    return joint_contrast(
        found.qhat @ restriction,
        restriction.T @ found.u @ restriction,
        rule=comparison.rule,
        member_of=comparison.member_of,
        dfcom=found.dfcom,
        method=comparison.method,
    )
