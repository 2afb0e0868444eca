"""Bernoulli likelihood of binary features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from psmimpute.exceptions import SupportError
from psmimpute.likelihoods.base import DiscreteLikelihood, Expansion, Observation
from psmimpute.likelihoods.interval import flattening
from psmimpute.table.kinds import Family


class BernoulliLikelihood(DiscreteLikelihood):
    r"""Logistic model of a feature that is 0 or 1.

    .. math:: P(x = 1 \mid \eta) = F(\eta) = 1 / (1 + e^{-\eta})

    Parameters
    ----------
    n_members, n_features : int
        See :class:`~psmimpute.likelihoods.base.Likelihood`.
    """

    family: ClassVar[Family] = Family.BERNOULLI
    max_levels = 2

    def log_prob(self, eta: Tensor, x: Observation) -> Tensor:
        """Log mass, shape (..., n_features)."""
        return F.logsigmoid((2 * x.value - 1) * eta)

    def expand(self, eta: Tensor, x: Observation, variance: Tensor | None = None) -> Expansion:
        """Score ``x - p`` and information ``p (1 - p)``."""
        flat = flattening(variance)
        p = torch.sigmoid(flat * eta)
        return Expansion(x.value - p, flat * p * (1 - p))

    def draw(self, eta: Tensor, uniform: Tensor) -> Tensor:
        """1 where `uniform` lies below the probability of 1."""
        return (uniform < torch.sigmoid(eta)).to(eta.dtype)

    def level_log_probs(self, eta: Tensor) -> Tensor:
        """Log mass of 0 and of 1, shape (..., n_features, 2)."""
        return torch.stack([F.logsigmoid(-eta), F.logsigmoid(eta)], dim=-1)

    def check_support(self, x: Observation) -> None:
        """Refuse values other than 0 and 1."""
        if not bool(((x.value == 0) | (x.value == 1)).all()):
            raise SupportError("a binary feature must be 0 or 1")
