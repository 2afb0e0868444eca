"""All parameters of all members in one vector, so that an optimiser step is a few operations."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_N_WARM_UP = 10


class FlatParameters:
    """Parameters and gradients of a model, each as one vector.

    The module's trainable parameters become views of `values`, their gradients views of
    `gradients`; each is contiguous, with its leading member axis.

    Parameters
    ----------
    module : Module
        Every trainable parameter has a leading member axis of the same length.

    Attributes
    ----------
    values, gradients : Tensor, shape (size,)
    member : Tensor of int, shape (size,)
        Member to which each number belongs.
    spans : dict of str to slice
        Where each parameter lies.
    """

    def __init__(self, module: nn.Module) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        n_members, device = named[0][1].shape[0], named[0][1].device
        size = sum(p.numel() for _, p in named)
        self.spans: dict[str, slice] = {}
        self.values = torch.empty(size, device=device)
        self.gradients = torch.zeros(size, device=device)
        self.member = torch.empty(size, dtype=torch.long, device=device)
        at = 0
        for name, p in named:
            span = slice(at, at + p.numel())
            at = span.stop
            self.spans[name] = span
            self.values[span] = p.detach().reshape(-1)
            each = p.numel() // n_members
            self.member[span] = torch.arange(n_members, device=device).repeat_interleave(each)
            p.data = self.values[span].view(p.shape)
            p.grad = self.gradients[span].view(p.shape)

    def select(self, prefixes: tuple[str, ...]) -> Tensor:
        """Mark, shape (size,), the parameters whose names start with a prefix."""
        chosen = torch.zeros_like(self.member, dtype=torch.bool)
        for name, span in self.spans.items():
            if name.startswith(prefixes):
                chosen[span] = True
        return chosen


class FlatAdamW:
    """AdamW on :class:`FlatParameters`.

    A step of Adam is bounded whatever the gradient, so no clipping is needed; gradients that
    are not finite are taken as zero, and counted.

    Parameters
    ----------
    parameters : FlatParameters
    rates : Tensor, shape (size,)
        Peak learning rate of each parameter.
    decay : Tensor, shape (size,)
        Decoupled weight decay of each parameter.

    Attributes
    ----------
    n_bad : Tensor of int, shape ()
        Number of derivatives that were not finite.

    References
    ----------
    .. [1] Loshchilov, I. and Hutter, F. (2019). Decoupled weight decay regularization. ICLR.
    """

    _BETAS = (0.9, 0.99)
    _EPS = 1e-8

    def __init__(self, parameters: FlatParameters, rates: Tensor, decay: Tensor) -> None:
        self.parameters, self.rates = parameters, rates
        self.decay = rates * decay
        self.decays = bool(self.decay.any())
        self.first = torch.zeros_like(parameters.values)
        self.second = torch.zeros_like(parameters.values)
        self.n_steps = 0
        self.n_bad = torch.zeros((), dtype=torch.long, device=parameters.values.device)

    @torch.no_grad()
    def step(self, schedule: float) -> None:
        """One step at `schedule` times the peak rates; gradients are then cleared."""
        gradient, values = self.parameters.gradients, self.parameters.values
        self.n_bad += gradient.isfinite().logical_not_().sum()
        torch.nan_to_num_(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        self.n_steps += 1
        b1, b2 = self._BETAS
        self.first.lerp_(gradient, 1 - b1)
        self.second.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        root = (self.second / (1 - b2**self.n_steps)).sqrt_().add_(self._EPS)
        if self.decays:
            values.addcmul_(values, self.decay, value=-schedule)
        update = (self.first / root).mul_(self.rates)
        values.add_(update, alpha=-schedule / (1 - b1**self.n_steps))
        gradient.zero_()


def cosine_schedule(step: int, n_steps: int) -> float:
    """Linear warm-up, then half a cosine.

    Parameters
    ----------
    step : int
        From 1 on.
    n_steps : int
        Steps in all.

    Returns
    -------
    float
        Share of the peak rates.
    """
    warm = min(1.0, step / _N_WARM_UP)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - 1) / n_steps)))
