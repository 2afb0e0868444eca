"""Gaussian likelihood of standardised continuous features."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from psmimpute.exceptions import SupportError
from psmimpute.likelihoods.base import Expansion, NumberLikelihood, Observation
from psmimpute.table.kinds import Family

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class GaussianLikelihood(NumberLikelihood):
    r"""Normal distribution with one scale for each column.

    .. math:: x \mid \eta \sim \mathrm{N}(\eta, \psi), \qquad \psi = e^{2 s}

    Parameters
    ----------
    n_members, n_features : int
        See :class:`~psmimpute.likelihoods.base.Likelihood`.
    """

    family: ClassVar[Family] = Family.GAUSSIAN
    log_scale_range: ClassVar[tuple[float, float]] = (-6.0, 2.0)
    largest_prior_variance: ClassVar[float] = 0.25

    def log_prob(self, eta: Tensor, x: Observation) -> Tensor:
        """Log density, shape (..., n_features)."""
        scale = self.scale[:, None, None, None]
        standardised = (x.value - eta) * scale.reciprocal()
        log_peak = -scale.log() - _LOG_SQRT_2PI
        return torch.addcmul(log_peak, standardised, standardised, value=-0.5)

    def expand(self, eta: Tensor, x: Observation, variance: Tensor | None = None) -> Expansion:  # noqa: ARG002
        """Score ``(x - eta) / psi`` and information ``1 / psi``."""
        precision = self.scale[:, None] ** -2
        return Expansion((x.value - eta) * precision, precision.expand_as(eta))

    def check_support(self, x: Observation) -> None:
        """Refuse values that are not finite."""
        if not bool(torch.isfinite(x.value).all()):
            raise SupportError("a Gaussian feature must be finite; replace infinite values")
