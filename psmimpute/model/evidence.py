"""Gaussian evidence of the observed cells of a row about z."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from psmimpute.model.small_cholesky import by_library


class Deviation(NamedTuple):
    """How the decoder of x_mis departs from that of x_obs; both are shown the observed cells."""

    share: Tensor  # (outputs,); of a cell's weight, what falls to the decoder of x_mis
    shift: Tensor  # (members, 1, outputs); mean over the sets
    slope: Tensor  # (members, latent, outputs)


class Reading(NamedTuple):
    """How observed cells enter the evidence."""

    weight: Tensor | None  # (outputs,); None where all count once
    deviation: Deviation | None


class Evidence(NamedTuple):
    """Gaussian evidence of the observed cells about z, batch axes (members, rows) last."""

    precision: Tensor  # (latent, latent, members, rows); only the lower triangle is read
    natural: Tensor  # (latent, members, rows)

    def towards(self, other: Evidence, share: float) -> Evidence:
        """Go a share of the way to other evidence."""
        precision = self.precision.lerp(other.precision, share)
        return Evidence(precision, self.natural.lerp(other.natural, share))


def shared_evidence(
    step: tuple[Tensor, Tensor], loadings: Tensor, deviation: Deviation | None
) -> Evidence:
    """Evidence where all rows of a member have the same slopes (members, latent, outputs).

    With two decoders a cell is seen under the slopes w with weight 1 - beta and under w + d with
    weight beta: precisions add up to s s' + beta (1 - beta) d d', s = w + beta d.
    """
    information, target = (a.transpose(1, 2) for a in step)
    latent = loadings.shape[1]
    slopes = loadings if deviation is None else loadings + deviation.share * deviation.slope
    outer = slopes[:, :, None] * slopes[:, None]
    natural = torch.bmm(slopes, target)
    if deviation is not None:
        spread = deviation.share * (1 - deviation.share)
        outer += (spread * deviation.slope)[:, :, None] * deviation.slope[:, None]
        pull = deviation.share * deviation.shift * (loadings + deviation.slope)
        natural -= torch.bmm(pull, information)
    if not by_library(latent, loadings.device):
        flat = torch.bmm(outer.flatten(1, 2), information)
        precision = flat.reshape(-1, latent, latent, flat.shape[2]).permute(1, 2, 0, 3)
    else:  # as the library wants it
        flat = torch.bmm(step[0], outer.flatten(1, 2).transpose(1, 2))
        precision = flat.reshape(*flat.shape[:2], latent, latent).permute(2, 3, 0, 1)
    return Evidence(precision, natural.transpose(0, 1))


def row_evidence(
    step: tuple[Tensor, Tensor], slopes: Tensor, deviation: Deviation | None
) -> Evidence:
    """Evidence where each row has its own slopes (members, latent, rows, outputs)."""
    information, target = step
    latent = slopes.shape[1]
    if deviation is None:
        precision = slopes.new_zeros(latent, latent, *information.shape[:2])
        natural = (slopes * target[:, None]).sum(-1)
    else:
        share, slope = deviation.share, deviation.slope
        outer = (share * (1 - share) * slope)[:, :, None] * slope[:, None]
        precision = torch.einsum("eklo,ebo->kleb", outer, information).contiguous()
        pull = (share * deviation.shift * information)[:, None]
        mean_slopes = slopes + (share * slope)[:, :, None]
        natural = (mean_slopes * target[:, None] - (slopes + slope[:, :, None]) * pull).sum(-1)
        slopes = mean_slopes
    weighted = slopes * information[:, None]
    for i in range(latent):
        products = weighted[:, i, None] * slopes[:, : i + 1]
        precision[i, : i + 1] += products.sum(-1).transpose(0, 1)
    return Evidence(precision, natural.transpose(0, 1))
