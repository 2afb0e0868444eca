"""The prior of the pattern set and of the continuous latent, p(r) p(z | r)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

_LOG_2PI = math.log(2 * math.pi)


class GaussianSets(NamedTuple):
    """The components of p(z | r) in the forms that the recognition model needs.

    Attributes
    ----------
    mean : Tensor, shape (members, sets, latent)
    precision : Tensor, shape (members, sets, latent, latent)
    whitener : Tensor, shape (members, sets, latent, latent)
        Inverse of the Cholesky factor of the covariance.
    log_det_precision : Tensor, shape (members, sets)
    """

    mean: Tensor
    precision: Tensor
    whitener: Tensor
    log_det_precision: Tensor

    def slopes(self, shares: Tensor, loadings: Tensor, outputs: slice) -> Tensor:
        """Slopes of linear predictors along directions in which the mixture has unit variance.

        Parameters
        ----------
        shares : Tensor, shape (members, sets)
            Weights of the components.
        loadings : Tensor, shape (members, latent, n_outputs)
        outputs : slice
            Those that are wanted.

        Returns
        -------
        Tensor, shape (members, directions, 1, outputs)
        """
        own = loadings[..., outputs]
        if self.mean.shape[1] == 1:  # standard normal
            return own[:, :, None]
        root = self.whitener.transpose(-1, -2)
        wide = own[:, None].expand(*root.shape[:3], -1)
        within = torch.linalg.solve_triangular(root, wide, upper=True)
        centred = self.mean - torch.einsum("es,esl->el", shares, self.mean)[:, None]
        between = torch.matmul(centred, own)[:, :, None]
        weighted = shares.sqrt()[..., None, None] * torch.cat([within, between], 2)
        return weighted.flatten(1, 2)[:, :, None]


class PatternSetPrior(nn.Module):
    r"""Mixture prior of z.

    .. math:: r \sim \mathrm{Cat}(\rho), \qquad z \mid r \sim \mathrm{N}(\mu_r, L_r L_r')

    With one set, z is standard normal: the decoder's linear part has the same freedom.

    Parameters
    ----------
    n_members, n_sets, latent_dim : int
        Sizes.
    """

    def __init__(self, n_members: int, n_sets: int, latent_dim: int) -> None:
        super().__init__()
        self.n_sets, self.latent_dim = n_sets, latent_dim
        free = n_sets > 1
        shape = (n_members, n_sets, latent_dim)
        self.logits = nn.Parameter(torch.zeros(n_members, n_sets), requires_grad=free)
        self.mean = nn.Parameter(torch.zeros(shape), requires_grad=free)
        self.log_diagonal = nn.Parameter(torch.zeros(shape), requires_grad=free)
        self.below = nn.Parameter(torch.zeros(*shape, latent_dim), requires_grad=free)
        self.register_buffer("active", torch.ones(n_members, n_sets, dtype=torch.bool))

    def log_p_sets(self) -> Tensor:
        """Term log p(r), shape (members, 1, sets, 1)."""
        logits = self.logits.masked_fill(~self.get_buffer("active"), -1e9)
        return logits.log_softmax(-1)[:, None, :, None]

    def components(self) -> GaussianSets:
        """Means, precisions and whiteners of p(z | r)."""
        log_diagonal = self.log_diagonal.clamp(-3.0, 3.0)
        factor = torch.diag_embed(log_diagonal.exp()) + self.below.tril(-1)
        identity = torch.eye(self.latent_dim, device=factor.device, dtype=factor.dtype)
        whitener = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
        precision = whitener.transpose(-1, -2) @ whitener
        return GaussianSets(self.mean, precision, whitener, -2 * log_diagonal.sum(-1))

    def log_p_latent(self, z: Tensor) -> Tensor:
        """Term log p(z | r), shape (members, samples, sets, rows).

        Parameters
        ----------
        z : Tensor, shape (members, samples, sets, rows, latent)
        """
        constant = 0.5 * self.latent_dim * _LOG_2PI
        if self.n_sets == 1:
            return -0.5 * (z * z).sum(-1) - constant
        sets = self.components()
        centred = z - sets.mean[:, None, :, None]
        white = torch.matmul(centred, sets.whitener.transpose(-1, -2)[:, None])
        log_det = sets.log_det_precision[:, None, :, None]
        return -0.5 * (white * white).sum(-1) - constant + 0.5 * log_det

    def penalty(self) -> Tensor:
        """Negative log prior of the sets' parameters, shape (members,).

        Weak: each set as if it held two more rows, means and factors near a standard normal.
        """
        if self.n_sets == 1:
            return torch.zeros(self.logits.shape[0], device=self.logits.device)
        active = self.get_buffer("active").to(self.mean.dtype)
        per_set = 0.25 * (self.mean**2).sum(-1) + 0.5 * (self.below.tril(-1) ** 2).sum((-1, -2))
        per_set = per_set + 0.5 * (self.log_diagonal**2).sum(-1)
        rarity = -2.0 * self.log_p_sets()[:, 0, :, 0].clamp_min(-50.0)
        return ((per_set + rarity) * active).sum(-1)
