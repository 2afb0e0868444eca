"""Multinomial logit likelihood of unordered categorical features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from psmimpute.exceptions import SchemaError, SupportError
from psmimpute.likelihoods.base import DiscreteLikelihood, Expansion, Observation
from psmimpute.likelihoods.interval import flattening
from psmimpute.table.kinds import Family

_FEW_LEVELS = 8


class CategoricalLikelihood(DiscreteLikelihood):
    r"""Softmax over one linear predictor for each level.

    .. math:: P(x = j \mid \eta) = e^{\eta_j} / \sum_l e^{\eta_l}

    The outputs of all features lie side by side; inside, they are padded to the largest
    number of levels so that the block is one tensor.

    Parameters
    ----------
    n_members : int
        Number of members.
    n_levels : tuple of int
        Number of levels of each feature, at least 2.

    Raises
    ------
    SchemaError
        If a feature has fewer than 2 levels.
    """

    family: ClassVar[Family] = Family.CATEGORICAL

    def __init__(self, n_members: int, n_levels: tuple[int, ...]) -> None:
        super().__init__(n_members, len(n_levels))
        if n_levels and min(n_levels) < 2:
            raise SchemaError(f"a categorical feature has at least 2 levels, got {min(n_levels)}")
        self.n_levels = n_levels
        self.max_levels = max(n_levels, default=2)
        levels = torch.tensor(n_levels)
        start = torch.cat([torch.zeros(1, dtype=torch.long), levels.cumsum(0)[:-1].long()])
        position = torch.arange(self.max_levels)
        absent = position >= levels[:, None]
        gather = (start[:, None] + position).masked_fill(absent, 0)
        self.register_buffer("gather", gather.flatten(), persistent=False)
        self.register_buffer("absent", absent, persistent=False)
        present = [i * self.max_levels + j for i, n in enumerate(n_levels) for j in range(n)]
        self.register_buffer("present", torch.tensor(present, dtype=torch.long), persistent=False)
        owner = torch.cat([torch.full((n,), i) for i, n in enumerate(n_levels)])
        self.register_buffer("owner", owner, False)
        level = torch.cat([torch.arange(n) for n in n_levels])
        self.register_buffer("level", level, False)
        self.register_buffer("n_of_owner", levels[owner].float(), False)

    @property
    def n_outputs(self) -> int:
        """Sum of the numbers of levels."""
        return sum(self.n_levels)

    def level_log_probs(self, eta: Tensor) -> Tensor:
        """Log mass of every level, shape (..., n_features, max_levels), -inf beyond."""
        padded = self.pad(eta)
        return padded.masked_fill(self.get_buffer("absent"), -torch.inf).log_softmax(-1)

    def pad(self, by_output: Tensor) -> Tensor:
        """Rearrange (..., n_outputs) to (..., n_features, max_levels); padding is arbitrary."""
        wide = by_output.index_select(-1, self.get_buffer("gather"))
        return wide.reshape(*wide.shape[:-1], self.n_features, self.max_levels)

    def by_level(self, padded: Tensor) -> Tensor:
        """Rearrange (..., n_features, max_levels) to (..., n_outputs): undoes :meth:`pad`."""
        return padded.flatten(-2).index_select(-1, self.get_buffer("present"))

    def log_prob(self, eta: Tensor, x: Observation) -> Tensor:
        """Log mass, shape (..., n_features)."""
        padded = self.pad(eta).masked_fill(self.get_buffer("absent"), -torch.inf)
        index = x.value.long()[..., None].expand(*padded.shape[:-1], 1)
        return padded.gather(-1, index).squeeze(-1) - _log_sum_exp(padded)

    def contrasts(self, by_output: Tensor) -> Tensor:
        """Each level's output less the mean of those of the other levels."""
        levels = self.get_buffer("n_of_owner").to(by_output.dtype)
        padded = self.pad(by_output).masked_fill(self.get_buffer("absent"), 0.0)
        mean = padded.sum(-1).index_select(-1, self.get_buffer("owner")) / levels
        return (by_output - mean) * levels / (levels - 1)

    def expand(self, eta: Tensor, x: Observation, variance: Tensor | None = None) -> Expansion:
        """Score ``[x = j] - p_j`` and a diagonal information.

        The information matrix of one feature is diag(p) - p p'. Its diagonal, times
        L / (L - 1), equals it on contrasts when the levels are equally likely. Expected
        probabilities are as if each level's contrast with the others were that of two levels.
        """
        owner, level = self.get_buffer("owner"), self.get_buffer("level")
        levels = self.get_buffer("n_of_owner").to(eta.dtype)
        flat = flattening(variance)
        if variance is not None:
            eta = flat * self.contrasts(eta) * (levels - 1) / levels
        p = self.by_level(self.level_log_probs(eta).exp())
        hit = (x.value[..., owner] == level).to(p.dtype)
        return Expansion(hit - p, flat * p * (1 - p) * levels / (levels - 1))

    def draw(self, eta: Tensor, uniform: Tensor) -> Tensor:
        """Level codes by inversion of the cumulative probabilities."""
        cumulative = self.level_log_probs(eta).exp().cumsum(-1)
        code = (uniform[..., None] > cumulative).sum(-1)
        top = torch.tensor(self.n_levels, device=eta.device) - 1
        return torch.minimum(code, top).to(eta.dtype)

    def check_support(self, x: Observation) -> None:
        """Refuse codes that name no level."""
        limit = torch.tensor(self.n_levels, dtype=x.value.dtype, device=x.value.device)
        if not bool(((x.value >= 0) & (x.value < limit) & (x.value == x.value.round())).all()):
            raise SupportError("a categorical feature must be a code from 0 to n_levels - 1")


def _log_sum_exp(x: Tensor) -> Tensor:
    """Logarithm of the sum of exponentials over the last axis, along which a few numbers lie.

    The library's goes along such an axis one row after the other.
    """
    if x.shape[-1] > _FEW_LEVELS:
        return torch.logsumexp(x, -1)
    levels = x.unbind(-1)
    top = levels[0].detach()
    for level in levels[1:]:
        top = torch.maximum(top, level.detach())
    total = (levels[0] - top).exp()
    for level in levels[1:]:
        total = total + (level - top).exp()
    return total.log() + top
