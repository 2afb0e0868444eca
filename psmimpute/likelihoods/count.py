"""Rounded normal likelihood of counts."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from psmimpute.exceptions import SupportError
from psmimpute.likelihoods.base import Expansion, NumberLikelihood, Observation
from psmimpute.likelihoods.interval import expand_normal_interval, log_normal_mass
from psmimpute.table.kinds import Family

# Stands for the minus infinity below a zero count, and for the infinity above the highest rating,
# whose gradient in the scale would be infinity times zero; no mass is lost in single precision at
# any scale in the range.
_FAR = 1e3
# Standard deviation of the noise about such an end, in scales, where it is expanded: as if what is
# known of the linear predictor were as uncertain as the noise.
_NOISE_OF_END = 2.0**0.5


class CountLikelihood(NumberLikelihood):
    r"""A latent normal value, transformed and rounded to a count.

    .. math:: P(k \mid \eta) = \Phi\{(g(k + 1/2) - \eta) / s\} - \Phi\{(g(k - 1/2) - \eta) / s\}

    with Phi the normal distribution function, g the column's transform (identity, a root or a
    logarithm) and g(-1/2) read as minus infinity, as is what is below the first of ratings; what is
    above the last of them is infinity. Over- and underdispersion are both within reach,
    which they are not for Poisson or negative binomial counts.

    Parameters
    ----------
    n_members, n_features : int
        See :class:`~psmimpute.likelihoods.base.Likelihood`.

    References
    ----------
    .. [1] Kowal, D. R. and Canale, A. (2020). Simultaneous transformation and rounding (STAR)
       models for integer-valued data. Electronic Journal of Statistics 14(1), 1744-1772.
    """

    family: ClassVar[Family] = Family.COUNT
    log_scale_range: ClassVar[tuple[float, float]] = (-4.0, 2.0)
    largest_prior_variance: ClassVar[float] = 0.33

    def log_prob(self, eta: Tensor, x: Observation) -> Tensor:
        """Log mass, shape (..., n_features)."""
        scale = self.scale[:, None, None, None]
        lower, upper = x.lower.clamp_min(-_FAR), x.upper.clamp_max(_FAR)
        return log_normal_mass((lower - eta) / scale, (upper - eta) / scale)

    def expand(self, eta: Tensor, x: Observation, variance: Tensor | None = None) -> Expansion:  # noqa: ARG002
        """Score and information of the interval's mass, the latter of an open end with more noise.

        There the mass curves much on one side and not at all on the other: a curvature between
        them makes the better Gaussian.
        """
        scale = self.scale[:, None]
        lower = (x.lower.clamp_min(-_FAR) - eta) / scale
        upper = (x.upper.clamp_max(_FAR) - eta) / scale
        unit = expand_normal_interval(lower, upper)
        softer = expand_normal_interval(lower / _NOISE_OF_END, upper / _NOISE_OF_END)
        is_end = (x.lower <= -_FAR) | (x.upper >= _FAR)
        information = torch.where(is_end, softer.information / _NOISE_OF_END**2, unit.information)
        return Expansion(unit.score / scale, information / scale**2)

    def check_support(self, x: Observation) -> None:
        """Refuse counts whose interval is empty or not a number."""
        if not bool((x.lower < x.upper).all()):
            raise SupportError("a count must be a whole number that is not negative")
