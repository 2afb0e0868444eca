"""Parameters that differ by pattern set, laid along the axes of latents."""

from __future__ import annotations

import torch
from torch import Tensor


def set_weights(sets: Tensor, n_sets: int) -> Tensor:
    """Weights of the sets for latents that each have one.

    Parameters
    ----------
    sets : Tensor of int, shape (members, samples, 1, rows)
    n_sets : int

    Returns
    -------
    Tensor, shape (members, samples, rows, sets)
        1 for the set of the latent, else 0.
    """
    labels = torch.arange(n_sets, device=sets.device)
    return (sets[:, :, 0, :, None] == labels).float()


def by_set(values: Tensor, shares: Tensor | None) -> Tensor:
    """Values for latents in every set, or for latents that each have a set of their own.

    Parameters
    ----------
    values : Tensor, shape (members, sets, features)
    shares : Tensor, shape (members, samples or 1, rows, sets), or None
        Weights of the sets, one of them 1 where a latent is in one set; None for latents with an
        axis of sets.

    Returns
    -------
    Tensor, shape (members, 1, sets, 1, features) or (members, samples or 1, 1, rows, features)
        To be broadcast along (members, samples, sets, rows).
    """
    if shares is None:
        return values[:, None, :, None]
    own = torch.bmm(shares.flatten(1, 2), values)
    return own.reshape(*shares.shape[:3], -1)[:, :, None]
