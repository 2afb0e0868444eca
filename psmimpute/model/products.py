"""Products and squares of the columns without gaps, added to what the others are given z."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from psmimpute.model.covariates import CompleteColumns

# A value further out counts as this: no product rests on a single row.
FARTHEST = 4.0


class ProductTerms(CompleteColumns):
    r"""Interactions and curves among the columns without gaps, for the others.

    .. math:: o = C' \{p(x_F) - G' (1, x_F)\}

    with p the products of pairs, of which only what no line in x_F says is taken: lines are for z,
    which shrinks what is between columns less than a network with few rows would. Unlike columns
    of the table, products are conditioned on and not modelled.

    Parameters
    ----------
    n_members : int
    complete : tuple of int
        Network inputs of the columns without gaps, x_F.
    pairs : tuple of (int, int)
        Network inputs whose product is taken; a square where both are one.
    n_outputs : int
        Number of linear predictors, which is also that of the network inputs.
    """

    def __init__(
        self,
        n_members: int,
        *,
        complete: tuple[int, ...],
        pairs: tuple[tuple[int, int], ...],
        n_outputs: int,
    ) -> None:
        super().__init__(n_members, complete=complete, n_outputs=n_outputs)
        place = {own: i for i, own in enumerate(complete)}
        found = torch.tensor([[place[i], place[j]] for i, j in pairs], dtype=torch.long)
        self.register_buffer("pairs", found.T, persistent=False)
        n_gappy = len(self.get_buffer("gappy"))
        self.lines = nn.Parameter(torch.zeros(n_members, 1 + len(complete), len(pairs)))
        self.coefficients = nn.Parameter(torch.zeros(n_members, len(pairs), n_gappy))

    def predict(self, known: Tensor) -> Tensor:
        """Map x_F, shape (members or 1, rows, columns), to o of the columns with gaps."""
        terms = products_of(known, self.get_buffer("pairs")) - with_one(known) @ self.lines
        found: Tensor = terms @ self.coefficients
        return found


def products_of(known: Tensor, pairs: Tensor) -> Tensor:
    """Multiply columns.

    Parameters
    ----------
    known : Tensor, shape (..., columns)
    pairs : Tensor of int, shape (2, n_pairs)

    Returns
    -------
    Tensor, shape (..., n_pairs)
    """
    near = known.clamp(-FARTHEST, FARTHEST)
    return near[..., pairs[0]] * near[..., pairs[1]]


def with_one(known: Tensor) -> Tensor:
    """Put a column of ones before the others."""
    return torch.cat([torch.ones_like(known[..., :1]), known], -1)
