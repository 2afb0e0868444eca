"""Weighted latents: each in every pattern set, or in one that was drawn for it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Share of the sets that are drawn from p(r), and the least share that has a logarithm.
_FROM_PRIOR, _SMALLEST_SHARE = 0.1, 1e-30


class Particles(NamedTuple):
    """Weighted samples of the latents of each row.

    Attributes
    ----------
    z : Tensor, shape (members, samples, sets or 1, rows, latent)
    log_w : Tensor, shape (members, samples, sets or 1, rows)
        log of p(x_obs, observed | z, r) p(z | r) p(r) / q(z | r, .), not normalised; also over
        q(r | .) where each sample has a set of its own.
    eta_mis : Tensor, shape (members, samples, sets or 1, rows, outputs)
        Linear predictors of x_mis.
    sets : Tensor of int, shape (members, samples, 1, rows), or None
        The set of each sample; None where samples have an axis of sets.
    lacking : Tensor, shape (members, samples, 1, rows, features), or None
        What drew the columns without gaps that a row lacks, where one does.
    """

    z: Tensor
    log_w: Tensor
    eta_mis: Tensor
    sets: Tensor | None = None
    lacking: Tensor | None = None

    def normalised(self) -> Tensor:
        """Weights that sum to one over samples and sets, shape (members, rows, samples * sets)."""
        return self.log_w.permute(0, 3, 1, 2).flatten(2).softmax(-1)

    def first_of(self, rows: Tensor) -> Particles:
        """Give all weight of the rows marked, shape (members or 1, rows), to their first sample."""
        if self.log_w.shape[1] == 1:
            return self
        others = torch.arange(self.log_w.shape[1], device=self.log_w.device) > 0
        left_out = rows[:, None, None] & others[:, None, None]
        return self._replace(log_w=self.log_w.masked_fill(left_out, -torch.inf))

    def set_shares(self, weights: Tensor, n_sets: int) -> Tensor:
        """Posterior probabilities of the sets, shape (members, rows, sets), from the weights."""
        if self.sets is None:
            return weights.reshape(*weights.shape[:2], -1, n_sets).sum(2)
        own = self.sets[:, :, 0].transpose(1, 2)
        return torch.stack([(weights * (own == k)).sum(-1) for k in range(n_sets)], -1)

    def picked_sets(self, pick: Tensor, n_sets: int) -> Tensor:
        """Look up the sets of the samples at `pick`, places among the weights (members, rows)."""
        if self.sets is None:
            return pick % n_sets
        return self.sets[:, :, 0].transpose(1, 2).gather(-1, pick[..., None])[..., 0]

    def picked_lacking(self, pick: Tensor, n_sets: int) -> Tensor | None:
        """Look up what drew the lacking columns of the samples at `pick`, as of the sets."""
        if self.lacking is None:
            return None
        at = pick if self.sets is not None else pick.div(n_sets, rounding_mode="floor")
        by_row = self.lacking[:, :, 0].transpose(1, 2)
        at = at[..., None, None].expand(-1, -1, 1, by_row.shape[-1])
        return by_row.expand(len(pick), -1, -1, -1).gather(2, at)[:, :, 0]


@torch.no_grad()
def sample_sets(log_q_sets: Tensor, log_p_sets: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a set for each sample, from q(r | .), and some from p(r), which bounds the weights.

    Parameters
    ----------
    log_q_sets : Tensor, shape (members, 1, sets, rows)
    log_p_sets : Tensor, shape (members, 1, sets, 1)
    uniform : Tensor, shape (members, samples, rows)
        What the draws are made of.

    Returns
    -------
    sets : Tensor of int, shape (members, samples, 1, rows)
    log_share : Tensor, shape (members, 1, sets, rows)
        Log probabilities that they are drawn by.
    """
    share = (1 - _FROM_PRIOR) * log_q_sets.exp() + _FROM_PRIOR * log_p_sets.exp()
    passed = (uniform[:, :, None] > share.cumsum(2)).sum(2, keepdim=True)
    sets = passed.clamp_max(share.shape[2] - 1)
    return sets, share.clamp_min(_SMALLEST_SHARE).log()
