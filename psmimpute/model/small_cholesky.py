"""Cholesky factors of very many very small matrices.

The batch is the last axis, so every step is one vectorised operation over the batch; library
routines factor such matrices one by one and are several times slower.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_SMALLEST_PIVOT = 1e-12


class Factor(NamedTuple):
    """Cholesky factor of a precision matrix.

    Attributes
    ----------
    lower : Tensor, shape (q, q, batch)
        The lower factor.
    inverse : Tensor, shape (q, q, batch)
        Inverse of the lower factor.
    log_det : Tensor, shape (batch,)
        Log determinant of the matrix.
    """

    lower: Tensor
    inverse: Tensor
    log_det: Tensor


def factor(matrix: Tensor) -> Factor:
    """Factor symmetric positive definite matrices.

    Parameters
    ----------
    matrix : Tensor, shape (q, q, batch)
        Overwritten.

    Returns
    -------
    Factor
    """
    q = matrix.shape[0]
    inverse = torch.zeros_like(matrix)
    log_det = torch.zeros_like(matrix[0, 0])
    for j in range(q):
        pivot = matrix[j, j].clamp_min(_SMALLEST_PIVOT)
        log_det += pivot.log()
        root = pivot.rsqrt()
        inverse[j, :j] *= root
        inverse[j, j] = root
        below = matrix[j + 1 :, j].mul_(root)
        matrix[j, j] = pivot * root
        matrix[j, j + 1 :] = 0.0
        for i in range(q - j - 1):
            # Row j + 1 + i of the lower triangle of what is left to factor.
            matrix[j + 1 + i, j + 1 : j + 2 + i].addcmul_(below[i], below[: i + 1], value=-1.0)
        inverse[j + 1 :, : j + 1].addcmul_(below[:, None], inverse[j, : j + 1], value=-1.0)
    return Factor(matrix, inverse, log_det)
