"""The columns with gaps given those without, by a network: what z need not explain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from psmimpute.likelihoods.base import LikelihoodBlocks
from psmimpute.model.inputs import by_output, expected_inputs
from psmimpute.model.layout import FeatureLayout
from psmimpute.model.networks import MemberLinear, MemberMLP
from psmimpute.model.rows import Rows


class CompleteColumns(nn.Module):
    """What the columns without gaps add to the linear predictors of the others.

    Parameters
    ----------
    n_members : int
    complete : tuple of int
        Network inputs of the columns without gaps.
    n_outputs : int
        Number of linear predictors, which is also that of the network inputs.
    """

    def __init__(self, n_members: int, *, complete: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        self.n_members, self.n_outputs = n_members, n_outputs
        gappy = sorted(set(range(n_outputs)) - set(complete))
        self.register_buffer("complete", torch.tensor(complete, dtype=torch.long), False)
        self.register_buffer("gappy", torch.tensor(gappy, dtype=torch.long), False)

    def predict(self, known: Tensor) -> Tensor:
        """Map these columns, shape (members or 1, rows, columns), to those with gaps."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        """Map network inputs (members or 1, ..., outputs) to o, zero in columns without gaps."""
        found = self.predict(inputs[..., self.get_buffer("complete")].flatten(1, -2))
        whole: Tensor = found.new_zeros(*found.shape[:-1], self.n_outputs)
        whole = whole.index_copy(-1, self.get_buffer("gappy"), found)
        return whole.reshape(len(whole), *inputs.shape[1:-1], self.n_outputs)

    @torch.no_grad()
    def inform(self, rows: Rows, layout: FeatureLayout, likelihoods: LikelihoodBlocks) -> Rows:
        """Add o to rows, and take what it makes expect from what the networks read.

        Parameters
        ----------
        rows : Rows
        layout : FeatureLayout
        likelihoods : LikelihoodBlocks
            Of the columns given their linear predictors.

        Returns
        -------
        Rows
            With an `offset`; the leading axis of it and of `inputs` is that of the members.
        """
        offset, gappy = self(rows.inputs), self.get_buffer("gappy")
        expected = expected_inputs(offset, layout, likelihoods)[..., gappy]
        inputs = rows.inputs.expand(len(offset), -1, -1).clone()
        inputs[..., gappy] -= expected * by_output(rows.observed, layout)[..., gappy]
        return rows._replace(inputs=inputs, offset=offset)


class CovariateNetwork(CompleteColumns):
    r"""What the columns without gaps say of the linear predictors of the others.

    .. math:: o = a + B' x_F + f(x_F)

    The decoder adds o to the linear predictors of the columns with gaps, of x_obs and of x_mis
    alike. A mixture of latent variables spends itself on all columns; a regression on the ones
    that are asked for. What it leaves, and how that hangs together, is for z.

    Parameters
    ----------
    n_members : int
    complete : tuple of int
        Network inputs of the columns without gaps, x_F.
    n_outputs : int
        Number of linear predictors, which is also that of the network inputs.
    hidden_dim, n_layers : int
        Of the network f; ``hidden_dim=0`` leaves it out.
    """

    def __init__(
        self,
        n_members: int,
        *,
        complete: tuple[int, ...],
        n_outputs: int,
        hidden_dim: int,
        n_layers: int,
    ) -> None:
        super().__init__(n_members, complete=complete, n_outputs=n_outputs)
        n_gappy = len(self.get_buffer("gappy"))
        self.linear = MemberLinear(n_members, len(complete), n_gappy, zero=True)
        self.trunk: MemberMLP | None = None
        self.head: MemberLinear | None = None
        if hidden_dim > 0:
            self.trunk = MemberMLP(
                n_members, len(complete), hidden_dim=hidden_dim, n_layers=n_layers
            )
            self.head = MemberLinear(n_members, hidden_dim, n_gappy, zero=True)

    def predict(self, known: Tensor) -> Tensor:
        """Map x_F, shape (members or 1, rows, columns), to o of the columns with gaps."""
        found: Tensor = self.linear(known)
        if self.trunk is not None and self.head is not None:
            found = found + self.head(self.trunk(known))
        return found
