"""Cholesky factors of very many very small matrices.

The batch is the last axis. Up to a dozen rows every step is one vectorised operation over the
batch, which is faster than a library routine that factors such matrices one by one; larger ones
are left to it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_SMALLEST_PIVOT = 1e-12
# Share of the mean diagonal that is added where rounding has made a matrix indefinite.
_RIDGE = 1e-4
# Rows from which LAPACK is faster. An accelerator's library may wait for the device, and is asked
# only where the steps are very many.
_LARGE, _LARGE_ON_ACCELERATOR = 13, 49


class Factor(NamedTuple):
    """Cholesky factor of a precision matrix.

    Attributes
    ----------
    lower : Tensor, shape (q, q, batch)
        The lower factor.
    inverse : Tensor, shape (q, q, batch), or None
        Inverse of the lower factor; None where :func:`by_library`, and solving is cheaper.
    log_det : Tensor, shape (batch,)
        Log determinant of the matrix.
    """

    lower: Tensor
    inverse: Tensor | None
    log_det: Tensor

    def whiten(self, vector: Tensor) -> Tensor:
        """Product of the inverse lower factor and a vector, shape (q, batch)."""
        if self.inverse is None:
            return _solve(self.lower.permute(2, 0, 1), vector, upper=False)
        return (self.inverse * vector[None]).sum(1)

    def unwhiten(self, vector: Tensor) -> Tensor:
        """Product of the transposed inverse lower factor and a vector, shape (q, batch)."""
        if self.inverse is None:
            return _solve(self.lower.permute(2, 1, 0), vector, upper=True)
        return (self.inverse * vector[:, None]).sum(0)


def by_library(q: int, device: torch.device) -> bool:
    """Whether matrices of `q` rows are left to a library routine on this device."""
    return q >= (_LARGE if device.type == "cpu" else _LARGE_ON_ACCELERATOR)


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
    if by_library(q, matrix.device):
        return _factor_by_library(matrix)
    subtract = _subtract_by_row if matrix.device.type == "cpu" else _subtract_at_once
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
        matrix[j, j + 1 :].zero_()
        subtract(matrix[j + 1 :, j + 1 :], below)
        inverse[j + 1 :, : j + 1].addcmul_(below[:, None], inverse[j, : j + 1], value=-1.0)
    return Factor(matrix, inverse, log_det)


def _subtract_by_row(matrix: Tensor, column: Tensor) -> None:
    """Subtract the outer product of a column, of the lower triangle alone."""
    for i in range(len(column)):
        matrix[i, : i + 1].addcmul_(column[i], column[: i + 1], value=-1.0)


def _subtract_at_once(matrix: Tensor, column: Tensor) -> None:
    """Do the same to both triangles: on an accelerator one operation takes less than its half."""
    matrix.addcmul_(column[:, None], column[None], value=-1.0)


def _factor_by_library(matrix: Tensor) -> Factor:
    by_row = matrix.permute(2, 0, 1)
    lower, failed = torch.linalg.cholesky_ex(by_row)
    if bool(failed.any()):
        ridge = _RIDGE * by_row.diagonal(dim1=1, dim2=2).mean(1) * (failed > 0)
        identity = torch.eye(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)
        lower = torch.linalg.cholesky_ex(by_row + ridge[:, None, None] * identity)[0]
    log_det = 2 * lower.diagonal(dim1=1, dim2=2).log().sum(1)
    return Factor(lower.permute(1, 2, 0), None, log_det)


def _solve(triangle: Tensor, vector: Tensor, *, upper: bool) -> Tensor:
    solved: Tensor = torch.linalg.solve_triangular(triangle, vector.T[..., None], upper=upper)
    return solved[..., 0].T
