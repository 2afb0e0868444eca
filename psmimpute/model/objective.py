r"""The terms of the paper's Table 1, and the bounds made of them.

Every term is a log density by sample, set and row, axes (members, samples, sets, rows).
Table 1 takes their expectation under q(r, z | .); x_mis is integrated out in closed form, so
that its term in the paper, pi E[log p(x_mis | r, z) - log q(x_mis | .)] with q = p, is zero.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from psmimpute.likelihoods.base import LikelihoodBlocks, Observation
from psmimpute.model.layout import FeatureLayout
from psmimpute.model.rows import Rows


class Terms(NamedTuple):
    """Terms of the bound.

    Attributes
    ----------
    log_joint : Tensor, shape (members, samples, sets, rows)
        log p(x_obs, x_mis where supervised, observed | z, r) + log p(z | r) - log q(z | r, .).
    log_p_sets : Tensor, shape (members, 1, sets, 1)
        log p(r).
    log_q_sets : Tensor, shape (members, 1, sets, rows)
        log q(r | .).
    """

    log_joint: Tensor
    log_p_sets: Tensor
    log_q_sets: Tensor


def cell_log_probs(
    rows: Rows, eta: Tensor, layout: FeatureLayout, likelihoods: LikelihoodBlocks
) -> Tensor:
    """Log density of every feature, zero where it was not observed; last axis features."""
    parts = []
    for block, likelihood in zip(layout.blocks, likelihoods, strict=True):
        x = Observation(*(a[:, None, None] for a in rows.observation(block)))
        log_p = likelihood.log_prob(eta[..., block.outputs], x)
        parts.append(log_p * rows.observed[:, None, None, :, block.features])
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts, -1) if parts else eta


def reconstruction_term(log_p_obs: Tensor, weight: Tensor) -> Tensor:
    r"""Table 1, line 1: E log p(x_obs | r, z), each cell with its weight.

    Parameters
    ----------
    log_p_obs : Tensor, shape (..., features)
        From :func:`cell_log_probs` under the decoder of x_obs.
    weight : Tensor, shape (features,)
        1 in the paper; pi'_j where evidence is normalised.
    """
    return (log_p_obs * weight).sum(-1)


def supervision_term(log_p_mis: Tensor, pi: Tensor) -> Tensor:
    r"""Table 1, line 3: (1 - pi'_j) E log p(x_mis,j = x_obs,j | r, z) over observed cells.

    Parameters
    ----------
    log_p_mis : Tensor, shape (..., features)
        From :func:`cell_log_probs` under the decoder of x_mis.
    pi : Tensor, shape (features,)
        pi' of each feature's column.
    """
    return (log_p_mis * (1 - pi)).sum(-1)


def latent_term(log_p_z: Tensor, log_q_z: Tensor) -> Tensor:
    """Table 1, line 1: E log p(z | r) / q(z | r, .)."""
    return log_p_z - log_q_z


def set_term(log_p_sets: Tensor, log_q_sets: Tensor) -> Tensor:
    """Table 1, line 1: E log p(r) / q(r | .)."""
    return log_p_sets - log_q_sets


def elbo(terms: Terms) -> Tensor:
    r"""Evidence lower bound with the pattern set summed exactly, shape (members, rows).

    .. math:: \sum_r q(r)\, \{ E_{q(z|r)} [\log p(x_{obs}, m | z, r) + \log p(z|r)/q(z|r)]
              + \log p(r)/q(r) \}
    """
    inner = terms.log_joint.mean(1, keepdim=True) + set_term(terms.log_p_sets, terms.log_q_sets)
    return (terms.log_q_sets.exp() * inner).sum(2)[:, 0]


def importance_bound(terms: Terms) -> Tensor:
    r"""Importance-weighted bound with the pattern set summed exactly, shape (members, rows).

    .. math:: \log \frac1S \sum_s \sum_r p(r)\,
              \frac{p(x_{obs}, m | z_{rs}, r)\, p(z_{rs} | r)}{q(z_{rs} | r, \cdot)}

    At one sample it is already no less than :func:`elbo`.

    References
    ----------
    .. [1] Burda, Y., Grosse, R. and Salakhutdinov, R. (2016). Importance weighted
       autoencoders. ICLR.
    """
    return importance_bound_of(terms.log_joint + terms.log_p_sets)


def importance_bound_of(log_w: Tensor) -> Tensor:
    """Log of the mean over samples of the weights, added up over sets, shape (members, rows).

    Parameters
    ----------
    log_w : Tensor, shape (members, samples, sets or 1, rows)
        Log weights of latents in every set, or in one set each, drawn with a probability that
        is in the weight.
    """
    return torch.logsumexp(log_w, dim=(1, 2)) - math.log(log_w.shape[1])
