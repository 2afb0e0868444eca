"""Which parameters of a training run are kept: a running mean, as the rows held out judge it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from psmimpute.inference.flat import FlatParameters

AVERAGING = 0.05  # least weight of a step in the mean
PATIENCE = 6  # looks without a better one, after which a member has settled


class BestAverage:
    """Running mean over steps of each member's parameters, and the best that was looked at.

    Parameters
    ----------
    flat : FlatParameters
        Parameters in training.
    judge : callable
        Mean held-out loss of the members with the parameters that `flat` holds, shape (members,).
    weight : float
        Least weight of a step in the mean, which begins as the mean of all steps.
    every : int
        Steps between two looks.
    keep_last : bool, default False
        Whether the last look is kept, however it was judged.
    """

    def __init__(
        self,
        flat: FlatParameters,
        judge: Callable[[], Tensor],
        *,
        weight: float = AVERAGING,
        every: int,
        keep_last: bool = False,
    ) -> None:
        self.flat, self._judge_current = flat, judge
        self.weight, self.every, self.keep_last = weight, every, keep_last
        self.mean = flat.values.clone()
        self.best, self.best_loss = self.mean.clone(), self._judge()
        self.best_step = torch.zeros_like(self.best_loss, dtype=torch.long)

    def add(self, step: int) -> None:
        """Take the parameters after a step into the mean."""
        self.mean.lerp_(self.flat.values, max(self.weight, 1 / (1 + step)))

    def look(self, step: int) -> Tensor:
        """Judge the mean, keep it where it is the best; returns its losses, shape (members,)."""
        loss = self._judge()
        better = (loss < self.best_loss) | self.keep_last
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best_step = torch.where(better, step, self.best_step)
        self.best = torch.where(better[self.flat.member], self.mean, self.best)
        return loss

    def settled(self, step: int) -> Tensor:
        """Tell which members have not been better for long, shape (members,)."""
        return step - self.best_step >= PATIENCE * self.every

    @torch.no_grad()
    def restore(self) -> None:
        """Give the model the parameters that were kept."""
        self.flat.values.copy_(self.best)

    @torch.no_grad()
    def _judge(self) -> Tensor:
        current = self.flat.values.clone()
        self.flat.values.copy_(self.mean)
        loss = self._judge_current()
        self.flat.values.copy_(current)
        return loss


def paired_gain(rival: Tensor, best: Tensor) -> tuple[float, float]:
    """Mean paired gain in the losses of rows held out, and its standard error.

    Parameters
    ----------
    rival, best : Tensor, shape (n,)
        Losses of the same rows, in nats.

    Returns
    -------
    gain, error : float
        Nats per row.
    """
    difference = best - rival
    error = difference.std() / difference.numel() ** 0.5
    return float(difference.mean()), float(error)
