"""Linear layers and multilayer perceptrons for many members at once.

Each layer is written for one member; the leading axis of its parameters is the member, and a
batched matrix product runs all of them.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psmimpute.model.by_set import by_set


class MemberLinear(nn.Module):
    """Affine map for each member.

    Parameters
    ----------
    n_members, n_in, n_out : int
        Sizes.
    zero : bool, default False
        Start at zero instead of at random.
    """

    def __init__(self, n_members: int, n_in: int, n_out: int, *, zero: bool = False) -> None:
        super().__init__()
        self.zero = zero
        self.weight = nn.Parameter(torch.zeros(n_members, n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out))

    def reset(self, generators: list[torch.Generator]) -> None:
        """Draw the starting weights of each member from its own generator."""
        if self.zero:
            return
        _, n_in, n_out = self.weight.shape
        bound = math.sqrt(6.0 / (n_in + n_out))
        for weight, generator in zip(self.weight, generators, strict=True):
            start = torch.rand(n_in, n_out, generator=generator)
            with torch.no_grad():
                weight.copy_((2 * start - 1) * bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map (members or 1, rows, n_in) to (members, rows, n_out)."""
        if x.shape[0] == 1 and self.weight.shape[0] > 1:
            return torch.matmul(x, self.weight) + self.bias
        return torch.baddbmm(self.bias, x, self.weight)


class MemberMLP(nn.Module):
    """Hidden layers with SiLU units, for each member.

    Parameters
    ----------
    n_members, n_in, hidden_dim, n_layers : int
        Sizes.
    n_sets : int, default 0
        Where positive, the first layer has an offset of its own in each pattern set, which
        starts at zero.
    """

    def __init__(
        self, n_members: int, n_in: int, *, hidden_dim: int, n_layers: int, n_sets: int = 0
    ) -> None:
        super().__init__()
        widths = [n_in, *(hidden_dim,) * n_layers]
        self.layers = nn.ModuleList(MemberLinear(n_members, i, o) for i, o in pairwise(widths))
        self.set_offset = (
            nn.Parameter(torch.zeros(n_members, 1, n_sets, 1, hidden_dim)) if n_sets > 1 else None
        )

    def forward(self, x: Tensor, set_shares: Tensor | None = None) -> Tensor:
        """Map (members, ..., n_in) to (members, ..., hidden_dim).

        The axis before the rows is that of the sets; where it is 1, `set_shares` are the
        weights of the sets' offsets, as in :func:`psmimpute.model.by_set.by_set`.
        """
        shape = x.shape
        h = self.layers[0](x.reshape(shape[0], -1, shape[-1]))
        if self.set_offset is not None:
            offset = by_set(self.set_offset[:, 0, :, 0], set_shares)
            wide = h.reshape(*h.shape[:1], *shape[1:-1], -1)
            h = (wide.add_(offset) if not h.requires_grad else wide + offset).flatten(1, -2)
        # Without gradients nobody needs the input again, and fresh memory costs more than SiLU.
        h = F.silu(h, inplace=not h.requires_grad)
        for layer in list(self.layers)[1:]:
            h = layer(h)
            h = F.silu(h, inplace=not h.requires_grad)
        return h.reshape(h.shape[0], *shape[1:-1], -1)


def reset_networks(module: nn.Module, generators: list[torch.Generator]) -> None:
    """Reset every :class:`MemberLinear` of `module`, in the order of definition."""
    for child in module.modules():
        if isinstance(child, MemberLinear):
            child.reset(generators)
