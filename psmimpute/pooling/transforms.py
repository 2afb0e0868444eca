"""Scales on which an estimate is nearly normal, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from psmimpute.exceptions import ConfigError
from psmimpute.pooling.rubin import FloatArray

ArrayFunction = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, slots=True)
class Transform:
    """A smooth monotone function, its inverse and its derivative.

    Attributes
    ----------
    name : str
        What it is called.
    forward, inverse : callable
        To the scale on which estimates are pooled, and back.
    derivative : callable
        Derivative of `forward`; carries standard errors by the delta method.
    support : tuple of float
        Open interval on which `forward` is defined.
    """

    name: str
    forward: ArrayFunction
    inverse: ArrayFunction
    derivative: ArrayFunction
    support: tuple[float, float]


def _identity(x: FloatArray) -> FloatArray:
    return x


def _one(x: FloatArray) -> FloatArray:
    return np.ones_like(x)


def _reciprocal(x: FloatArray) -> FloatArray:
    return 1 / x


def _fisher_derivative(x: FloatArray) -> FloatArray:
    return 1 / (1 - x**2)


def _logit_derivative(x: FloatArray) -> FloatArray:
    return 1 / (x * (1 - x))


def _cloglog(x: FloatArray) -> FloatArray:
    return np.asarray(np.log(-np.log(x)))


def _cloglog_inverse(y: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-np.exp(y)))


def _cloglog_derivative(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (x * np.log(x)))


def _arctanh_root(x: FloatArray) -> FloatArray:
    return np.asarray(np.arctanh(np.sqrt(x)))


def _tanh_squared(y: FloatArray) -> FloatArray:
    # A correlation below 0 is no share of variance: its square would be.
    return np.asarray(np.tanh(np.maximum(y, 0.0)) ** 2)


def _arctanh_root_derivative(x: FloatArray) -> FloatArray:
    return 1 / (2 * np.sqrt(x) * (1 - x))


def _arcsin_root(x: FloatArray) -> FloatArray:
    return np.asarray(np.arcsin(np.sqrt(np.clip(x, 0.0, 1.0))))


def _sin_squared(y: FloatArray) -> FloatArray:
    return np.asarray(np.sin(np.clip(y, 0.0, np.pi / 2)) ** 2)


def _arcsin_root_derivative(x: FloatArray) -> FloatArray:
    return 1 / (2 * np.sqrt(x * (1 - x)))


_UNIT = (float(np.nextafter(0, -1)), float(np.nextafter(1, 2)))  # with both ends

TRANSFORMS: dict[str, Transform] = {
    transform.name: transform
    for transform in (
        Transform("identity", _identity, _identity, _one, (-np.inf, np.inf)),
        Transform("fisher_z", np.arctanh, np.tanh, _fisher_derivative, (-1.0, 1.0)),
        Transform(
            "fisher_z_root", _arctanh_root, _tanh_squared, _arctanh_root_derivative, (0.0, 1.0)
        ),
        Transform("logit", special.logit, special.expit, _logit_derivative, (0.0, 1.0)),
        Transform("arcsine", _arcsin_root, _sin_squared, _arcsin_root_derivative, _UNIT),
        Transform("cloglog", _cloglog, _cloglog_inverse, _cloglog_derivative, (0.0, 1.0)),
        Transform("log", np.log, np.exp, _reciprocal, (0.0, np.inf)),
    )
}
"""The transforms by name: none; correlations; R²; proportions, and those that may be 0 or 1;
survival; variances and ratios."""


def get_transform(transform: str | Transform) -> Transform:
    """Look a transform up by its name.

    Parameters
    ----------
    transform : str or Transform
        ``"identity"``, ``"fisher_z"``, ``"fisher_z_root"``, ``"logit"``, ``"arcsine"``,
        ``"cloglog"``, ``"log"``, or a :class:`Transform` of your own.

    Returns
    -------
    Transform

    Raises
    ------
    ConfigError
        If the name is unknown.
    """
    if isinstance(transform, Transform):
        return transform
    if transform not in TRANSFORMS:
        raise ConfigError(f"transform must be one of {', '.join(TRANSFORMS)}, got {transform!r}")
    return TRANSFORMS[transform]


def delta_interval(
    estimate: npt.ArrayLike, se: npt.ArrayLike, quantile: npt.ArrayLike, transform: Transform
) -> tuple[FloatArray, FloatArray]:
    """Make an interval that is symmetric on the transformed scale and stays in the support.

    Parameters
    ----------
    estimate, se : array_like
        Estimate and standard error on the original scale.
    quantile : array_like
        Critical value of the reference distribution.
    transform : Transform
        The scale.

    Returns
    -------
    lower, upper : ndarray
        Limits on the original scale.
    """
    x = np.asarray(estimate, dtype=float)
    centre = transform.forward(x)
    half = np.asarray(quantile) * np.asarray(se) * np.abs(transform.derivative(x))
    ends = np.stack([transform.inverse(centre - half), transform.inverse(centre + half)])
    return ends.min(axis=0), ends.max(axis=0)
