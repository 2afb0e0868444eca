"""Importance samples of (z, r) for each row: weights, and how good they are.

The proposal is the recognition model. Where sets are few every sample of z is taken in every
set, which is then summed exactly; where they are many and networks make samples dear, each sample
has a set of its own. Points are a Sobol net, shifted at random for each row, so that
the samples of one row are even and those of two rows independent.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psmimpute.model.net import sobol_net
from psmimpute.model.particles import Particles
from psmimpute.model.posterior import Posterior
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import Rows

_OPEN = 1e-6
# Relative differences of weights that single-precision log densities cannot tell from none.
_ROUNDING = 1e-4


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
    of_z = uniform[..., -model.spec.latent_dim :].clamp(_OPEN, 1 - _OPEN)
    eps = torch.special.ndtri(of_z)[:, :, None]
    of_sets = uniform[..., 0] if model.samples_sets else None
    lacking = None
    if model.lacks_covariates(rows):
        lacking = _more_uniforms(shift, model.spec.layout.n_features, skip, n_samples)
    return model.particles(rows, posterior, eps, of_sets, lacking)


def _more_uniforms(shift: Tensor, n: int, skip: int, n_samples: int) -> Tensor:
    """Go on with the net for `n` more numbers, shape (members, samples, 1, rows, n).

    They are shifted by digits of a row's first number that no other number is made of.
    """
    dim = shift.shape[-1]
    net = sobol_net(skip + n_samples, dim + n)[skip:, dim:].to(shift.device)
    digits = 1000.0 + torch.arange(n, device=shift.device)
    own = (shift[..., :1] * digits).frac()
    uniform = (net[None, :, None] + own[:, None]).frac().clamp(_OPEN, 1 - _OPEN)
    return uniform[:, :, None]


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
