"""Log-likelihoods of fitted models: as fitted, at pooled parameters, and of stacked imputations.

Written for the models of statsmodels, whose likelihood can be evaluated anywhere; anything that
can be refitted to a data frame can also be stacked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import optimize

from psmimpute.exceptions import PoolingError
from psmimpute.pooling.align import StackedItems
from psmimpute.pooling.coefficients import to_pool_item
from psmimpute.pooling.item import Fitted
from psmimpute.pooling.likelihood_ratio import StackedLikelihoods
from psmimpute.pooling.rubin import FloatArray

Nuisance = Literal["pooled", "refitted"]
"""What D3 does with the parameters that are not regression slopes: see `at_pooled_parameters`."""

_LINEAR = frozenset({"OLS", "WLS", "GLS", "GLSAR"})
# What a model built from a formula remembers of it; building it again finds them anew.
_FORMULA_OPTIONS = frozenset({"formula", "design_info", "model_spec", "missing_idx"})
_TWO_PI = 2 * np.pi


def fitted_log_likelihoods(items: StackedItems) -> tuple[FloatArray, int]:
    """Read the maximum log-likelihoods of the analyses.

    Parameters
    ----------
    items : StackedItems
        What the analyses found.

    Returns
    -------
    each : ndarray, shape (m,)
        Log-likelihoods.
    n_params : int
        Number of parameters, a residual variance included.

    Raises
    ------
    PoolingError
        If an analysis has no log-likelihood.
    """
    if items.llf is None:
        raise PoolingError(
            "the analyses have no log-likelihood (a quasi-likelihood, a robust fit, or REML): "
            "compare them with method='D1' or method='D2', use='wald'; fit mixed models with "
            "reml=False"
        )
    return items.llf, len(items.terms) if items.n_params is None else items.n_params


def at_pooled_parameters(fits: Sequence[Fitted], *, nuisance: Nuisance | None = None) -> FloatArray:
    """Evaluate each imputation's log-likelihood at parameters averaged over the imputations.

    Parameters
    ----------
    fits : sequence of statsmodels results, length m
        One model, fitted to each imputation.
    nuisance : {"pooled", "refitted"}, optional
        ``"pooled"`` averages every parameter, the residual variance too (Meng and Rubin; mitml).
        ``"refitted"`` fixes the slopes and estimates intercept and residual variance anew in each
        imputation, as mice does. Default: ``"pooled"`` for linear models, ``"refitted"`` for the
        rest: what mitml does where it can, and mice elsewhere.

    Returns
    -------
    ndarray, shape (m,)

    Raises
    ------
    PoolingError
        If the likelihood of the model cannot be evaluated at given parameters.
    """
    name = type(getattr(fits[0], "model", None)).__name__
    if name in _LINEAR:
        return _linear_at_pooled(fits, nuisance or "pooled")
    if not callable(getattr(getattr(fits[0], "model", None), "loglike", None)) or name == "MixedLM":
        stacked = "" if _has_groups(fits[0]) else "method='D4', or "
        raise PoolingError(
            f"the likelihood of a {type(fits[0]).__name__} cannot be evaluated at pooled "
            f"parameters: use {stacked}method='D2' with use='likelihood'"
        )
    pooled = np.mean([np.asarray(fit.params, dtype=float) for fit in fits], axis=0)
    scales = _scales(fits)
    return np.array(
        [
            _log_likelihood(fit.model, pooled, scale, refit=(nuisance or "refitted") == "refitted")
            for fit, scale in zip(fits, scales, strict=True)
        ]
    )


def stacked_log_likelihoods(
    fits: Sequence[Fitted], items: StackedItems, refit: Callable[[], Fitted] | None = None
) -> StackedLikelihoods:
    """Collect what D4 needs of one model.

    Parameters
    ----------
    fits : sequence of fitted models, length m
        One for each imputation.
    items : StackedItems
        What they found.
    refit : callable, optional
        Fits the model to all imputations stacked. Default: models of statsmodels are refitted to
        the data they keep, from the formula if they have one.

    Returns
    -------
    StackedLikelihoods

    Raises
    ------
    PoolingError
        If a model has no log-likelihood, has groups, or cannot be refitted.
    """
    each, n_params = fitted_log_likelihoods(items)
    if _has_groups(fits[0]):
        raise PoolingError(
            "method='D4' stacks the imputations, and the groups of this model would run "
            "through all of them: use method='D1', or method='D2' with use='likelihood'"
        )
    try:
        stacked = to_pool_item(_refit_stacked(fits) if refit is None else refit())
    except PoolingError:
        raise
    except ValueError as error:
        raise PoolingError(
            f"the model cannot be fitted to the stacked imputations ({error}): take weights and "
            "the like from the columns of the frame, or use another method than 'D4'"
        ) from error
    llf = stacked.log_likelihood
    if llf is None or stacked.problem is not None:
        raise PoolingError(
            f"the fit to the stacked imputations {stacked.problem or 'has no log-likelihood'}"
        )
    return StackedLikelihoods(each, llf / len(fits), n_params)


def _has_groups(fit: Fitted) -> bool:
    """Whether the rows of a model are not independent: of a mixed model, for example."""
    return getattr(getattr(fit, "model", None), "groups", None) is not None


def _linear_at_pooled(fits: Sequence[Fitted], nuisance: Nuisance) -> FloatArray:
    """Gaussian log-likelihood, on whitened data, less the constant that weights add."""
    pooled = np.mean([np.asarray(fit.params, dtype=float) for fit in fits], axis=0)
    sigma2 = np.mean([np.mean(np.square(fit.wresid)) for fit in fits])
    values = []
    for fit in fits:
        model = fit.model
        n = len(model.wendog)
        residual = model.wendog - model.wexog @ pooled
        if nuisance == "refitted":
            ones = np.asarray(model.whiten(np.ones(n)), dtype=float)
            residual = residual - ones * (ones @ residual) / (ones @ ones)
            variance = np.mean(residual**2)
        else:
            variance = sigma2
        own = -n / 2 * (np.log(_TWO_PI * np.mean(np.square(fit.wresid))) + 1)
        weights_add = fit.llf - own
        values.append(
            -n / 2 * np.log(_TWO_PI * variance) - residual @ residual / (2 * variance) + weights_add
        )
    return np.array(values)


def _scales(fits: Sequence[Fitted]) -> list[float | None]:
    """Dispersion of generalized linear models, averaged; None where the family fixes it."""
    family = type(getattr(fits[0].model, "family", None)).__name__
    if family == "Gaussian":
        found = [float(np.mean(np.square(fit.resid_response))) for fit in fits]
    elif family in ("Gamma", "InverseGaussian", "Tweedie"):
        found = [float(fit.scale) for fit in fits]
    else:
        return [None] * len(fits)
    return [float(np.mean(found))] * len(fits)


def _log_likelihood(model: Any, params: FloatArray, scale: float | None, *, refit: bool) -> float:  # noqa: ANN401 - a model of statsmodels
    def at(point: FloatArray) -> float:
        return float(model.loglike(point) if scale is None else model.loglike(point, scale=scale))

    intercept = _intercept_direction(model, params) if refit else None
    if intercept is None:
        return at(params)
    found = optimize.minimize_scalar(lambda shift: -at(params + shift * intercept), tol=1e-12)
    return -float(found.fun)


def _intercept_direction(model: Any, params: FloatArray) -> FloatArray | None:  # noqa: ANN401 - a model of statsmodels
    """Change of the coefficients that adds 1 to the linear predictor, if there is one."""
    exog = np.asarray(model.exog, dtype=float)
    if params.shape != (exog.shape[1],):
        return None
    direction = np.linalg.lstsq(exog, np.ones(len(exog)), rcond=None)[0]
    return np.asarray(direction) if np.allclose(exog @ direction, 1) else None


def _refit_stacked(fits: Sequence[Fitted]) -> Fitted:
    models: list[Any] = [getattr(fit, "model", None) for fit in fits]
    first: Any = models[0]
    if not hasattr(first, "_get_init_kwds"):
        raise PoolingError(
            f"a {type(fits[0]).__name__} cannot be refitted to the stacked imputations by itself: "
            "make the analyses with imp.fit(function), or Analyses(fits, frames=..., model=...)"
        )
    options = _stacked_options(models)
    frames = [getattr(getattr(model, "data", None), "frame", None) for model in models]
    if getattr(first, "formula", None) is not None and all(frame is not None for frame in frames):
        data = pd.concat(frames, ignore_index=True)
        stacked = first.__class__.from_formula(first.formula, data, **options)
    else:
        endog = np.concatenate([np.asarray(model.endog) for model in models])
        exog = np.concatenate([np.asarray(model.exog) for model in models])
        stacked = first.__class__(endog, exog, **options)
    # Maximum likelihood models print unless told not to; least squares knows no such option.
    return stacked.fit() if type(first).__name__ in _LINEAR else stacked.fit(disp=0)


def _stacked_options(models: Sequence[Any]) -> dict[str, Any]:
    """Arrays given to the models (weights, offsets, status) end to end; other options as given."""
    options = {
        name: value
        for name, value in models[0]._get_init_kwds().items()
        if name not in _FORMULA_OPTIONS
    }
    for name, value in options.items():
        if np.ndim(value) > 0 and len(value) == len(models[0].endog):
            parts = [np.asarray(model._get_init_kwds()[name]) for model in models]
            options[name] = np.concatenate(parts)
    return options
