"""The decoder: linear predictors of x_obs and x_mis given z and r."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from psmimpute.model.by_set import by_set
from psmimpute.model.networks import MemberLinear, MemberMLP

# Prior precisions. Loadings: a standard normal prior, the weight of one row. Those of truth values
# and levels are on the scale of logits, about which logistic noise decides, and how much of it
# there is beside z shows little in data: of a tight prior comes more of it, and effects that are
# too small. Deviations of x_mis from x_obs: the data never show both, so they are held near zero
# by the weight of rows.
LOADING_PRECISION, LOADING_PRECISION_OF_LEVELS = 1.0, 0.1
DEVIATION_PRECISION = 10.0


class Decoder(nn.Module):
    r"""Linear predictors, linear in z at the start and bent by a network where data ask for it.

    .. math::

        \eta_{obs} = b + W' z + f(z, r), \qquad
        \eta_{mis} = \eta_{obs} + \delta_r + D' z

    The last layer of f and both parts of the deviation start at zero.

    Parameters
    ----------
    n_members, n_sets, latent_dim : int
        Sizes.
    is_number : Tensor of bool, shape (n_outputs,)
        Which outputs are about numbers, and not about truth values or levels.
    hidden_dim, n_layers : int
        Of the network f; ``hidden_dim=0`` leaves it out.
    separate : bool
        Whether x_mis has deviations of its own.
    """

    def __init__(
        self,
        n_members: int,
        n_sets: int,
        *,
        latent_dim: int,
        is_number: Tensor,
        hidden_dim: int,
        n_layers: int,
        separate: bool,
    ) -> None:
        super().__init__()
        n_outputs = len(is_number)
        precision = torch.where(is_number, LOADING_PRECISION, LOADING_PRECISION_OF_LEVELS)
        self.register_buffer("loading_precision", precision, persistent=False)
        self.loadings = nn.Parameter(torch.zeros(n_members, latent_dim, n_outputs))
        self.intercept = nn.Parameter(torch.zeros(n_members, 1, n_outputs))
        self.trunk: MemberMLP | None = None
        self.head: MemberLinear | None = None
        if hidden_dim > 0:
            self.trunk = MemberMLP(
                n_members, latent_dim, hidden_dim=hidden_dim, n_layers=n_layers, n_sets=n_sets
            )
            self.head = MemberLinear(n_members, hidden_dim, n_outputs, zero=True)
        shape = (n_members, 1, n_sets, 1, n_outputs)
        self.shift = nn.Parameter(torch.zeros(shape)) if separate else None
        self.slope = nn.Parameter(torch.zeros_like(self.loadings)) if separate else None

    def forward(self, z: Tensor, set_shares: Tensor | None = None) -> Tensor:
        """Linear predictors of x_obs, shape (members, samples, sets, rows, outputs).

        Parameters
        ----------
        z : Tensor, shape (members, samples, sets, rows, latent)
        set_shares : Tensor, shape (members, samples or 1, rows, sets), optional
            Weights of the sets, for latents that have one set's axis for all of them.
        """
        flat = z.flatten(1, -2)
        if self.trunk is None or self.head is None:
            eta = torch.baddbmm(self.intercept, flat, self.loadings)
        else:
            hidden = self.trunk(z, set_shares).flatten(1, -2)
            line = torch.baddbmm(self.intercept + self.head.bias, flat, self.loadings)
            eta = torch.baddbmm(line, hidden, self.head.weight)
        return eta.reshape(*z.shape[:-1], -1)

    def missing(self, z: Tensor, eta: Tensor, set_shares: Tensor | None = None) -> Tensor:
        """Linear predictors of x_mis, given those of x_obs."""
        if self.shift is None or self.slope is None:
            return eta
        bent = torch.bmm(z.flatten(1, -2), self.slope).reshape(eta.shape)
        return eta + bent + by_set(self.shift[:, 0, :, 0], set_shares)

    def linear(self, z: Tensor) -> Tensor:
        """Return the part b + W'z, shape (members, rows, outputs), at z (members, rows, latent)."""
        return torch.baddbmm(self.intercept, z, self.loadings)

    def penalty(self) -> Tensor:
        """Negative log prior of the loadings and deviations, shape (n_members,)."""
        precision = self.get_buffer("loading_precision")
        total = 0.5 * (precision * self.loadings**2).sum((1, 2))
        if self.shift is not None and self.slope is not None:
            size = (self.shift**2).flatten(1).sum(1) + (self.slope**2).sum((1, 2))
            total = total + 0.5 * DEVIATION_PRECISION * size
        return total
