"""Gaussian likelihood of standardised continuous features."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from psmimpute.exceptions import SupportError
from psmimpute.likelihoods.base import Expansion, NumberLikelihood, Observation
from psmimpute.table.kinds import Family

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
# A weak inverse-gamma prior of the residual variance (Amelia's "empirical" prior has the same
# office): as if this many rows had shown this residual variance. It keeps a column that the
# latent variables explain completely from a zero scale.
PRIOR_ROWS, PRIOR_VARIANCE = 2.0, 0.25
LOG_SCALE_RANGE = (-5.0, 2.0)


class GaussianLikelihood(NumberLikelihood):
    r"""Normal distribution with one scale for each column.

    .. math:: x \mid \eta \sim \mathrm{N}(\eta, \psi), \qquad \psi = e^{2 s}

    Parameters
    ----------
    n_members, n_features : int
        See :class:`~psmimpute.likelihoods.base.Likelihood`.
    """

    family: ClassVar[Family] = Family.GAUSSIAN

    def __init__(self, n_members: int, n_features: int) -> None:
        super().__init__(n_members, n_features)
        self.log_scale = nn.Parameter(torch.full((n_members, n_features), -0.35))

    @property
    def scale(self) -> Tensor:
        """Residual standard deviation, shape (n_members, n_features)."""
        return self.log_scale.clamp(*LOG_SCALE_RANGE).exp()

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

    def penalty(self) -> Tensor:
        """Negative log prior of the variances, shape (n_members,)."""
        log_variance = 2 * self.log_scale.clamp(*LOG_SCALE_RANGE)
        terms = log_variance + PRIOR_VARIANCE * torch.exp(-log_variance)
        return 0.5 * PRIOR_ROWS * terms.sum(-1)
