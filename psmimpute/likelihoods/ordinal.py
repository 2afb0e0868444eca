"""Proportional-odds likelihood of ordered categorical features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psmimpute.exceptions import SchemaError, SupportError
from psmimpute.likelihoods.base import DiscreteLikelihood, Expansion, Observation
from psmimpute.likelihoods.interval import expand_interval, log_mass, logistic_quantile
from psmimpute.table.kinds import Family


class OrdinalLikelihood(DiscreteLikelihood):
    r"""Cumulative logit model.

    .. math:: P(x \le j \mid \eta) = F(\zeta_j - \eta), \quad
              \zeta_0 < \dots < \zeta_{L-2}

    The cutpoints belong to the column, so the decoder gives one location for each row,
    however many levels there are.

    Parameters
    ----------
    n_members : int
        Number of members.
    n_levels : tuple of int
        Number of levels of each feature, at least 3.

    Raises
    ------
    SchemaError
        If a feature has fewer than 3 levels: it is binary.

    References
    ----------
    .. [1] McCullagh, P. (1980). Regression models for ordinal data. JRSS B 42(2), 109-142.
    """

    family: ClassVar[Family] = Family.ORDINAL

    def __init__(self, n_members: int, n_levels: tuple[int, ...]) -> None:
        super().__init__(n_members, len(n_levels))
        if n_levels and min(n_levels) < 3:
            raise SchemaError(f"an ordinal feature has at least 3 levels, got {min(n_levels)}")
        self.n_levels = n_levels
        self.max_levels = max(n_levels, default=3)
        shape = (n_members, self.n_features)
        self.first_cutpoint = nn.Parameter(torch.full(shape, -1.0))
        self.raw_gaps = nn.Parameter(torch.zeros(*shape, self.max_levels - 2))
        beyond = torch.arange(self.max_levels - 1) >= torch.tensor(n_levels)[:, None] - 1
        self.register_buffer("beyond", beyond, persistent=False)

    @property
    def cutpoints(self) -> Tensor:
        """Cutpoints in increasing order, shape (n_members, n_features, max_levels - 1).

        Those beyond a feature's own levels are infinite.
        """
        first = self.first_cutpoint[..., None]
        cuts = torch.cat([first, first + F.softplus(self.raw_gaps).cumsum(-1)], -1)
        return cuts.masked_fill(self.get_buffer("beyond"), torch.inf)

    def _ends(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Interval of each level code, the code's axes being (members or 1, ..., features)."""
        cuts = self.cutpoints
        padded = F.pad(F.pad(cuts, (1, 0), value=-torch.inf), (0, 1), value=torch.inf)
        middle = (1,) * (code.dim() - 2)
        table = padded.reshape(cuts.shape[0], *middle, *padded.shape[1:])
        index = code.long()[..., None].expand(cuts.shape[0], *code.shape[1:], 1)
        table = table.expand(*index.shape[:-1], padded.shape[-1])
        return (
            table.gather(-1, index).squeeze(-1),
            table.gather(-1, index + 1).squeeze(-1),
        )

    def log_prob(self, eta: Tensor, x: Observation) -> Tensor:
        """Log mass, shape (..., n_features)."""
        lower, upper = self._ends(x.value)
        return log_mass(lower - eta, upper - eta)

    def expand(self, eta: Tensor, x: Observation, variance: Tensor | None = None) -> Expansion:
        """Score and information of the level's interval."""
        lower, upper = self._ends(x.value)
        return expand_interval(lower - eta, upper - eta, variance)

    def draw(self, eta: Tensor, uniform: Tensor) -> Tensor:
        """Level codes: how many cutpoints lie below a latent logistic draw."""
        latent = eta + logistic_quantile(uniform)
        cuts = self.cutpoints
        cuts = cuts.reshape(cuts.shape[0], *(1,) * (eta.dim() - 2), *cuts.shape[1:])
        return (latent[..., None] > cuts).sum(-1).to(eta.dtype)

    def level_log_probs(self, eta: Tensor) -> Tensor:
        """Log mass of every level, shape (..., n_features, max_levels), -inf beyond."""
        cuts = self.cutpoints
        cuts = cuts.reshape(cuts.shape[0], *(1,) * (eta.dim() - 2), *cuts.shape[1:])
        upper = F.pad(cuts, (0, 1), value=torch.inf) - eta[..., None]
        lower = F.pad(cuts, (1, 0), value=-torch.inf) - eta[..., None]
        empty = torch.isinf(lower) & (lower > 0)
        mass = log_mass(lower.masked_fill(empty, 0.0), upper)
        return mass.masked_fill(empty, -torch.inf)

    def check_support(self, x: Observation) -> None:
        """Refuse codes that name no level."""
        limit = torch.tensor(self.n_levels, dtype=x.value.dtype, device=x.value.device)
        if not bool(((x.value >= 0) & (x.value < limit) & (x.value == x.value.round())).all()):
            raise SupportError("an ordinal feature must be a level code from 0 to n_levels - 1")
