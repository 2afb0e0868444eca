"""What the networks read: cells as numbers, about centred, zero where not observed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from psmimpute.likelihoods.base import DiscreteLikelihood, LikelihoodBlocks
from psmimpute.likelihoods.categorical import CategoricalLikelihood
from psmimpute.model.layout import Block, FeatureLayout
from psmimpute.table.kinds import Family


def network_inputs(values: Tensor, observed: Tensor, layout: FeatureLayout) -> Tensor:
    """Make what the networks read: about centred, about unit scale, zero where not observed.

    Parameters
    ----------
    values : Tensor, shape (..., features)
        Encoded, in the model's order.
    observed : Tensor, shape (..., features)
    layout : FeatureLayout

    Returns
    -------
    Tensor, shape (..., outputs)
    """
    parts = []
    for block in layout.blocks:
        x, seen = values[..., block.features], observed[..., block.features]
        if block.family in (Family.BERNOULLI, Family.ORDINAL):
            parts.append(_centred(x, block) * seen)
        elif block.family == Family.CATEGORICAL:
            for j, n_levels in enumerate(block.n_levels):
                one_hot = F.one_hot(x[..., j].long(), n_levels).to(x.dtype) - 1 / n_levels
                parts.append(one_hot * seen[..., j, None])
        else:
            parts.append(x * seen)
    return torch.cat(parts, -1) if parts else values


def expected_inputs(eta: Tensor, layout: FeatureLayout, likelihoods: LikelihoodBlocks) -> Tensor:
    """Expect what the networks would read, had every cell been drawn at linear predictors `eta`.

    Parameters
    ----------
    eta : Tensor, shape (members, ..., outputs)
    layout : FeatureLayout
    likelihoods : LikelihoodBlocks
        Of the blocks of `layout`.

    Returns
    -------
    Tensor, shape (members, ..., outputs)
    """
    parts = []
    for block, likelihood in zip(layout.blocks, likelihoods, strict=True):
        own = eta[..., block.outputs]
        if not isinstance(likelihood, DiscreteLikelihood):
            parts.append(own)
            continue
        shares = likelihood.level_log_probs(own).exp()
        if block.family in (Family.BERNOULLI, Family.ORDINAL):
            codes = torch.arange(likelihood.max_levels, dtype=eta.dtype, device=eta.device)
            parts.append(_centred((shares * codes).sum(-1), block))
        else:
            assert isinstance(likelihood, CategoricalLikelihood)
            parts.append(likelihood.by_level(shares) - 1 / likelihood.get_buffer("n_of_owner"))
    return torch.cat(parts, -1) if parts else eta


def _centred(codes: Tensor, block: Block) -> Tensor:
    """Put codes of ordered levels, or their means, about zero; last axis the block's features."""
    if block.family == Family.BERNOULLI:
        return 2 * codes - 1
    levels = torch.tensor(block.n_levels, dtype=codes.dtype, device=codes.device)
    return (codes - (levels - 1) / 2) * (3.46 / levels)


def by_output(of_features: Tensor, layout: FeatureLayout) -> Tensor:
    """Repeat numbers of categorical features for each of their levels.

    Parameters
    ----------
    of_features : Tensor, shape (..., features)
    layout : FeatureLayout

    Returns
    -------
    Tensor, shape (..., outputs)
    """
    parts = []
    for block in layout.blocks:
        own = of_features[..., block.features]
        if block.family == Family.CATEGORICAL:  # views: no device is waited for
            for j, n_levels in enumerate(block.n_levels):
                parts.append(own[..., j : j + 1].expand(*own.shape[:-1], n_levels))
        else:
            parts.append(own)
    return torch.cat(parts, -1) if parts else of_features
