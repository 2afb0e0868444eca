"""What the recognition model says of a row: q(r | .) and the Gaussian q(z | r, .)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from psmimpute.model.evidence import Evidence
from psmimpute.model.priors import GaussianSets
from psmimpute.model.small_cholesky import factor

_LOG_2PI = math.log(2 * math.pi)


class Posterior(NamedTuple):
    """q(r | .) and the Gaussian q(z | r, .).

    Attributes
    ----------
    log_q_sets : Tensor, shape (members, 1, sets, rows)
    mean : Tensor, shape (members, sets, rows, latent)
    root : Tensor, shape (members, sets, rows, latent, latent), or None
        ``eps @ root`` has the covariance of z for standard normal `eps`; None where z has so many
        dimensions that solving with `lower` is cheaper.
    log_det_precision : Tensor, shape (members, sets, rows)
    lower : Tensor, shape (members, sets, rows, latent, latent)
        Inverse of the root: the lower Cholesky factor of the precision.
    log_stretch : Tensor, shape (members, sets or 1, rows, latent) or None
        Network's correction of the scale of each coordinate of z.
    """

    log_q_sets: Tensor
    mean: Tensor
    root: Tensor | None
    log_det_precision: Tensor
    lower: Tensor
    log_stretch: Tensor | None

    def sample(self, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and their log density.

        Parameters
        ----------
        eps : Tensor, shape (members, samples, sets, rows, latent)
            Standard normal; the axes of members, sets and rows may be 1.

        Returns
        -------
        z : Tensor, shape (members, samples, sets, rows, latent)
        log_q : Tensor, shape (members, samples, sets, rows)
        """
        members, sets, rows, latent = self.mean.shape
        with torch.no_grad():
            wide = eps.expand(members, -1, sets, rows, latent).permute(0, 2, 3, 1, 4)
            white = self._colour(wide).permute(0, 3, 1, 2, 4)
            log_q = -0.5 * (eps * eps).sum(-1) - 0.5 * latent * _LOG_2PI
            log_q = log_q + 0.5 * self.log_det_precision[:, None]
        if self.log_stretch is None:
            return self.mean[:, None] + white, log_q
        z = self.mean[:, None] + self.log_stretch.exp()[:, None] * white
        return z, log_q - self.log_stretch.sum(-1)[:, None]

    def slopes(self, loadings: Tensor, outputs: slice) -> Tensor:
        """Slopes of linear predictors along directions in which z has unit variance.

        For one set and no stretch.

        Parameters
        ----------
        loadings : Tensor, shape (members, latent, n_outputs)
        outputs : slice
            Those that are wanted.

        Returns
        -------
        Tensor, shape (members, directions, rows, outputs)
        """
        own = loadings[:, None, :, outputs]
        if self.root is not None:
            return torch.matmul(self.root[:, 0], own).transpose(1, 2)
        lower = self.lower[:, 0]
        wide = own.expand(-1, lower.shape[1], -1, -1)
        found: Tensor = torch.linalg.solve_triangular(lower, wide, upper=False)
        return found.transpose(1, 2)

    def unstretched(self) -> Posterior:
        """Return the same law with the stretch in the root."""
        if self.log_stretch is None:
            return self
        stretch = self.log_stretch.exp()
        lower = self.lower / stretch[..., None]
        return self._replace(
            root=None if self.root is None else self.root * stretch[..., None, :],
            log_det_precision=self.log_det_precision - 2 * self.log_stretch.sum(-1),
            lower=lower,
            log_stretch=None,
        )

    def where(self, chosen: Tensor, other: Posterior) -> Posterior:
        """Keep q(z | r, .) where `chosen`, shape (members, sets, rows), else take that of `other`.

        Neither has a stretch.
        """
        wide = chosen[..., None, None]
        root = None
        if self.root is not None and other.root is not None:
            root = torch.where(wide, self.root, other.root)
        return self._replace(
            mean=torch.where(wide[..., 0], self.mean, other.mean),
            root=root,
            log_det_precision=torch.where(chosen, self.log_det_precision, other.log_det_precision),
            lower=torch.where(wide, self.lower, other.lower),
        )

    def _colour(self, eps: Tensor) -> Tensor:
        """Give standard normal vectors, the rows of the last two axes, the covariance of z."""
        if self.root is not None:
            return torch.matmul(eps, self.root)
        coloured: Tensor = torch.linalg.solve_triangular(self.lower, eps, upper=False, left=False)
        return coloured


class Base(NamedTuple):
    """What the network corrects.

    Attributes
    ----------
    posterior : Posterior
        In closed form, without gradients.
    centre : Tensor, shape (members, rows, latent)
        Its mean over the sets.
    """

    posterior: Posterior
    centre: Tensor


def prior_of_rows(sets: GaussianSets, log_rho: Tensor, n_rows: int) -> Posterior:
    """Posterior of rows about which nothing is known."""
    members, n_sets, latent = sets.mean.shape
    nothing = Evidence(
        sets.mean.new_zeros(latent, latent, members, 1), sets.mean.new_zeros(latent, members, 1)
    )
    one = combine(nothing, sets, log_rho)
    wide = (members, n_sets, n_rows)
    return Posterior(
        log_q_sets=one.log_q_sets.expand(-1, -1, -1, n_rows),
        mean=one.mean.expand(*wide, latent),
        root=None if one.root is None else one.root.expand(*wide, latent, latent),
        log_det_precision=one.log_det_precision.expand(wide),
        lower=one.lower.expand(*wide, latent, latent),
        log_stretch=None,
    )


def pool_sets(sets: GaussianSets, share: Tensor) -> GaussianSets:
    """One component in place of the mixture, good enough to find an expansion point."""
    if sets.mean.shape[1] == 1:
        return sets
    mean = torch.einsum("es,esl->el", share, sets.mean)[:, None]
    precision = torch.einsum("es,eslm->elm", share, sets.precision)[:, None]
    log_det = torch.zeros_like(mean[..., 0])
    return GaussianSets(mean, precision, precision, log_det)


def combine(evidence: Evidence, parts: GaussianSets, log_prior: Tensor | float) -> Posterior:
    """Bayes' rule for Gaussian pseudo-observations, batch last for :func:`factor`."""
    latent, members, n_rows = evidence.natural.shape
    sets = parts.mean.shape[1]
    pull = torch.einsum("eslm,esm->esl", parts.precision, parts.mean)
    prior_precision = parts.precision.permute(2, 3, 0, 1)[..., None]
    precision = evidence.precision[:, :, :, None] + prior_precision
    natural = evidence.natural[:, :, None] + pull.permute(2, 0, 1)[..., None]
    fact = factor(precision.reshape(latent, latent, -1))
    white = fact.whiten(natural.reshape(latent, -1))
    mean = fact.unwhiten(white).reshape(natural.shape)
    white = white.reshape(natural.shape)
    shape = (members, sets, n_rows, latent, latent)
    root = fact.inverse
    log_det = fact.log_det.reshape(members, sets, n_rows)
    prior_term = 0.5 * (parts.log_det_precision - torch.einsum("esl,esl->es", pull, parts.mean))
    log_evidence = 0.5 * (white * white).sum(0) - 0.5 * log_det + prior_term[..., None]
    log_q = log_evidence + log_prior
    return Posterior(
        log_q_sets=log_q.log_softmax(1)[:, None],
        mean=mean.permute(1, 2, 3, 0).contiguous(),
        root=None if root is None else root.permute(2, 0, 1).reshape(shape).contiguous(),
        log_det_precision=log_det,
        lower=fact.lower.permute(2, 0, 1).reshape(shape),
        log_stretch=None,
    )
