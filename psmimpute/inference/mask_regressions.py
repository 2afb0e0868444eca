"""Logistic regressions of which cells were observed on other columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from psmimpute.model.missingness import COVARIATE_PRECISION, INTERCEPT_PRECISION
from psmimpute.model.rows import Rows

_MOST_STEPS, _SMALLEST_STEP = 50, 1e-4
_BLOCK_FLOATS = 2**22


class Regressions(NamedTuple):
    """Where Newton's method is."""

    coefficients: Tensor  # (members, 1 + covariates, gaps)
    loss: Tensor  # (members, gaps); without the priors
    penalised: Tensor  # (members, gaps)
    step: Tensor  # to be taken next; like the coefficients


class MaskRegressions:
    """Fits whether each column was observed, by Newton's method, under the model's priors.

    Parameters
    ----------
    rows : Rows
        The same for all members.
    counts : ndarray, shape (members, rows)
        Weights.
    gappy : Tensor of int
        Columns with gaps.
    covariates : Tensor of int
        Network inputs that are regressors.
    allowed : Tensor, shape (covariates, gaps), optional
        1.0 where a regressor may tell of the gaps of a column, 0.0 where its coefficient is held
        at zero; by default each may tell of all.
    """

    def __init__(
        self,
        rows: Rows,
        counts: npt.NDArray[np.uint16],
        gappy: Tensor,
        covariates: Tensor,
        allowed: Tensor | None = None,
    ) -> None:
        self.counts = counts
        self.cells, self.inputs = rows.cells[0], rows.inputs[0]
        self.gappy, self.covariates = gappy, covariates
        precision = torch.full((1 + len(covariates),), COVARIATE_PRECISION)
        precision[0] = INTERCEPT_PRECISION
        self.precision = precision.double().to(self.cells.device)
        self.free = self.precision.new_ones(1 + len(covariates), len(gappy))
        if allowed is not None:
            self.free[1:] = allowed

    @torch.no_grad()
    def fit(self, start: Tensor) -> Regressions:
        """Fit all columns, from coefficients of shape (members, 1 + covariates, gaps)."""
        best = self._look(start.double())
        step = best.step
        for _ in range(_MOST_STEPS):
            if float(step.abs().max()) < _SMALLEST_STEP:
                break
            tried = self._look(best.coefficients + step)
            # Where a whole step goes too far, half of it is tried next.
            better = tried.penalised <= best.penalised
            best = Regressions(
                torch.where(better[:, None], tried.coefficients, best.coefficients),
                torch.where(better, tried.loss, best.loss),
                torch.where(better, tried.penalised, best.penalised),
                torch.where(better[:, None], tried.step, best.step),
            )
            step = torch.where(better[:, None], best.step, step / 2)
        return best

    def _blocks(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Design, and weighted numbers of cells that were observed, missing, and neither."""
        n_rows, n_members = len(self.cells), len(self.counts)
        size = len(self.precision)
        most = max(1, _BLOCK_FLOATS // (n_members * len(self.gappy) + size**2))
        alone = None
        for begin in range(0, n_rows, most):
            part = slice(begin, begin + most)
            cells = self.cells[part, self.gappy]
            counts = torch.from_numpy(self.counts[:, part].astype(np.float64)).to(cells.device)
            each = [(cells == state).double() for state in (1.0, 0.0, 0.5)]
            if size == 1:  # all rows are alike
                sums = torch.stack([(counts @ state)[:, None] for state in each])
                alone = sums if alone is None else alone + sums
                continue
            x = F.pad(self.inputs[part][:, self.covariates].double(), (1, 0), value=1.0)
            observed, missing, neither = (counts[..., None] * state for state in each)
            yield x, observed, missing, neither
        if alone is not None:
            yield alone.new_ones(1, 1), *alone

    def _look(self, b: Tensor) -> Regressions:
        """Losses at some coefficients, and Newton's steps from there."""
        gradient = -self.precision[:, None] * b
        n_members, size, n_gaps = b.shape
        curvature = self.precision.diag().expand(n_members, n_gaps, -1, -1).clone()
        loss = b.new_zeros(n_members, n_gaps)
        for x, observed, missing, neither in self._blocks():
            logit = x @ b
            share = logit.sigmoid()
            trials = observed + missing
            gradient = gradient + x.T @ (observed - trials * share)
            products = (x[:, :, None] * x[:, None]).flatten(1)
            information = (trials * share * (1 - share)).transpose(1, 2) @ products
            curvature += information.reshape(n_members, n_gaps, size, size)
            cost = trials * F.softplus(logit) - observed * logit + neither * math.log(2)
            loss = loss + cost.sum(1)
        free = self.free.T
        curvature = curvature * (free[:, :, None] * free[:, None]) + (1 - free).diag_embed()
        step = torch.linalg.solve(curvature, (gradient * self.free).transpose(1, 2))
        step = step.transpose(1, 2)
        penalised = loss + 0.5 * (self.precision[:, None] * b * b).sum(1)
        return Regressions(b, loss, penalised, step)
