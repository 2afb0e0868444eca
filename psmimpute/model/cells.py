"""Some cells of a batch, side by side: what they alone need is not computed for all the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Devices that do what they are asked at once, so that nobody waits for an answer.
_AT_ONCE = ("cpu",)


@dataclass(frozen=True)
class Cells:
    """Cells of a block of features in a batch of rows; those of a row are next to each other.

    Attributes
    ----------
    n_rows, n_features : int
        Of the batch, and of the block.
    index : Tensor of int, shape (members or 1, n)
        Row times `n_features`, plus feature.
    share : Tensor, shape (members or 1, n)
        1.0; 0.0 where a member has fewer cells than others, or where none was to be had.
    """

    n_rows: int
    n_features: int
    index: Tensor
    share: Tensor

    @classmethod
    def among(cls, chosen: Tensor) -> Cells:
        """Return the cells where `chosen`, shape (members or 1, rows, features), is not zero.

        How many they are has to be known, for which the program waits for the device.
        """
        n_rows, n_features = chosen.shape[1:]
        member, place = chosen.flatten(1).nonzero(as_tuple=True)
        counts = torch.bincount(member, minlength=len(chosen))
        rank = torch.arange(len(place), device=place.device)
        rank = rank - (counts.cumsum(0) - counts)[member]
        index = place.new_zeros(len(chosen), int(counts.max()))
        share = torch.zeros(index.shape, device=place.device)
        index[member, rank], share[member, rank] = place, 1.0
        return cls(n_rows, n_features, index, share)

    @classmethod
    def everywhere(cls, chosen: Tensor) -> Cells:
        """Return all cells, with the share that `chosen` gives them."""
        index = torch.arange(chosen[0].numel(), device=chosen.device)[None]
        n_rows, n_features = chosen.shape[1:]
        return cls(n_rows, n_features, index, chosen.flatten(1))

    @classmethod
    def without_waiting(cls, chosen: Tensor) -> Cells:
        """Return as few cells as can be told without waiting for the device."""
        at_once = chosen.device.type in _AT_ONCE
        return cls.among(chosen) if at_once else cls.everywhere(chosen)

    @property
    def rows(self) -> Tensor:
        """Row of each cell, the shape of `index`."""
        return self.index.div(self.n_features, rounding_mode="floor")

    @property
    def features(self) -> Tensor:
        """Feature of each cell, the shape of `index`."""
        return self.index % self.n_features

    def pick(self, values: Tensor) -> Tensor:
        """Take values of the cells.

        Parameters
        ----------
        values : Tensor, shape (members or 1, samples or 1, sets or 1, rows or 1, features)

        Returns
        -------
        Tensor, shape (members or 1, samples or 1, sets or 1, n)
        """
        wide = values.expand(*values.shape[:3], self.n_rows, self.n_features).flatten(-2)
        return _gather(wide, self.index)

    def pick_rows(self, values: Tensor) -> Tensor:
        """Take values of the cells' rows, of the shape (members, samples, sets, rows)."""
        return _gather(values, self.rows)

    def sum_rows(self, values: Tensor) -> Tensor:
        """Add up the cells of each row: (members, samples, sets, n) to (..., rows)."""
        rows = self.rows[:, None, None].expand(values.shape)
        total = values.new_zeros(*values.shape[:3], self.n_rows)
        return total.scatter_add(-1, rows, values * self.share[:, None, None])


def _gather(values: Tensor, index: Tensor) -> Tensor:
    members = max(len(values), len(index))
    values = values.expand(members, *values.shape[1:])
    return values.gather(-1, index[:, None, None].expand(*values.shape[:3], -1))
