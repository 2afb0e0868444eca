"""Importance samples of (z, r) for each row: weights, and how good they are.

The proposal is the recognition model. Where sets are few every sample of z is taken in every
set, which is then summed exactly; where they are many and networks make samples dear, each sample
has a set of its own. Points are a Sobol net, shifted at random for each row, so that
the samples of one row are even and those of two rows independent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psmimpute.model.by_set import set_weights
from psmimpute.model.encoders import Posterior
from psmimpute.model.net import sobol_net
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import Rows

_OPEN = 1e-6
# Share of the sets that are drawn from p(r), and the least share that has a logarithm.
_FROM_PRIOR, _SMALLEST_SHARE = 0.1, 1e-30
# Relative differences of weights that single-precision log densities cannot tell from none.
_ROUNDING = 1e-4


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
    """

    z: Tensor
    log_w: Tensor
    eta_mis: Tensor
    sets: Tensor | None = None

    def normalised(self) -> Tensor:
        """Weights that sum to one over samples and sets, shape (members, rows, samples * sets)."""
        return self.log_w.permute(0, 3, 1, 2).flatten(2).softmax(-1)

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


def net_dim(model: PatternSetMixtureVAE) -> int:
    """Count the numbers of one sample: z, and before it the set where each has its own."""
    return model.spec.latent_dim + model.samples_sets


def n_sets_at_once(model: PatternSetMixtureVAE) -> int:
    """Count the sets in which every sample is taken."""
    return 1 if model.samples_sets else model.spec.n_sets


def propose(
    model: PatternSetMixtureVAE,
    rows: Rows,
    shift: Tensor,
    *,
    n_samples: int,
    skip: int = 0,
    posterior: Posterior | None = None,
) -> Particles:
    """Sample latents and weigh them.

    Parameters
    ----------
    model : PatternSetMixtureVAE
    rows : Rows
    shift : Tensor, shape (members, rows, :func:`net_dim`)
        Uniform numbers that shift the net of each row.
    n_samples : int
        Points to take.
    skip : int, default 0
        Points of the net to pass over, so that a long run can be taken in pieces.
    posterior : Posterior, optional
        Proposal of these rows, where it is known already.

    Returns
    -------
    Particles
    """
    posterior = posterior or model.proposal(rows)
    net = sobol_net(skip + n_samples, shift.shape[-1])[skip:].to(shift.device)
    uniform = (net[None, :, None] + shift[:, None]).frac()
    dim = model.spec.latent_dim
    eps = torch.special.ndtri(uniform[..., -dim:].clamp(_OPEN, 1 - _OPEN))[:, :, None]
    z, log_q = posterior.sample(eps)
    log_ratio = model.prior.log_p_sets() + model.prior.log_p_latent(z) - log_q
    sets = shares = None
    if model.samples_sets:
        sets, log_share = _sample_sets(model, posterior, uniform[..., 0])
        log_ratio = (log_ratio - log_share).gather(2, sets)
        z = z.gather(2, sets[..., None].expand(-1, -1, -1, -1, dim))
        shares = set_weights(sets, model.spec.n_sets)
    decoded = model.decode(z, shares)
    log_w = model.log_prob_rows(rows, z, decoded, shares) + log_ratio
    return Particles(z, log_w, decoded[1], sets)


def _sample_sets(
    model: PatternSetMixtureVAE, posterior: Posterior, uniform: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw a set for each sample by `uniform`, shape (members, samples, rows).

    Sets are drawn from q(r | .), and some from p(r), which bounds the weights. Returns them,
    shape (members, samples, 1, rows), and the log probabilities that they are drawn by, shape
    (members, 1, sets, rows).
    """
    share = (1 - _FROM_PRIOR) * posterior.log_q_sets.exp()
    share = share + _FROM_PRIOR * model.prior.log_p_sets().exp()
    passed = (uniform[:, :, None] > share.cumsum(2)).sum(2, keepdim=True)
    sets = passed.clamp_max(model.spec.n_sets - 1)
    return sets, share.clamp_min(_SMALLEST_SHARE).log()


def effective_sample_size(weights: Tensor) -> Tensor:
    """Kong's effective sample size of normalised weights, over the last axis."""
    return 1.0 / (weights**2).sum(-1)


def pareto_k(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shape of the generalised Pareto tail of each row's weights.

    Above 0.7 an estimate that rests on the weights is unreliable.

    Parameters
    ----------
    weights : ndarray, shape (n_rows, n_weights)
        Positive; their scale does not matter.

    Returns
    -------
    ndarray, shape (n_rows,)
        NaN where fewer than 25 weights are given; minus infinity where the tail is flat.

    References
    ----------
    .. [1] Zhang, J. and Stephens, M. A. (2009). A new and efficient estimation method for the
       generalized Pareto distribution. Technometrics 51(3), 316-325.
    .. [2] Vehtari, A. et al. (2024). Pareto smoothed importance sampling. JMLR 25(72).
    """
    n_rows, n = weights.shape
    if n < 25:
        return np.full(n_rows, np.nan)
    size = int(min(0.2 * n, 3 * math.sqrt(n)))
    ordered = np.sort(weights, axis=1)
    threshold = ordered[:, -size - 1][:, None]
    tail = ordered[:, -size:] - threshold
    top = tail[:, -1:]
    flat = top[:, 0] <= _ROUNDING * np.maximum(threshold[:, 0], 1e-300)
    tail = np.where(flat[:, None], 1.0, np.maximum(tail, 1e-12 * np.maximum(top, 1e-300)))
    top = tail[:, -1:]
    n_grid = 30 + int(math.sqrt(size))
    quartile = tail[:, int(size / 4 + 0.5) - 1][:, None]
    steps = 1 - np.sqrt(n_grid / (np.arange(1, n_grid + 1) - 0.5))
    theta = steps[None] / (3 * quartile) + 1 / top
    shapes = np.log1p(-theta[:, :, None] * tail[:, None]).mean(-1)
    # Zero only when every theta is, which the grid excludes.
    with np.errstate(divide="ignore", invalid="ignore"):
        profile = size * (np.log(-theta / shapes) - shapes - 1)
    profile = np.where(np.isfinite(profile), profile, -np.inf)
    weight = np.exp(profile - profile.max(1, keepdims=True))
    chosen = (theta * weight).sum(1) / weight.sum(1)
    k = np.log1p(-chosen[:, None] * tail).mean(1)
    # Shrunk towards 0.5 as if ten more weights had said so.
    k = (size * k + 10 * 0.5) / (size + 10)
    return np.where(flat, -np.inf, k)
