"""Even points in the unit cube."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=32)
def sobol_net(n_points: int, dim: int) -> Tensor:
    """First points of an unscrambled Sobol sequence.

    Parameters
    ----------
    n_points, dim : int
        How many, and of how many coordinates.

    Returns
    -------
    Tensor, shape (n_points, dim), float32
        In [0, 1); the first is the origin.
    """
    exponent = max(0, math.ceil(math.log2(n_points)))
    points: Tensor = torch.quasirandom.SobolEngine(dim).draw(2**exponent)  # type: ignore[no-untyped-call]
    return points[:n_points]
