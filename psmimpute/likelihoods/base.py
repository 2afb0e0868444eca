"""What the likelihood of a block of features promises.

A block holds all features of one family, so that no loop over columns runs in training. The
axes of `eta` are (members, samples, sets, rows, outputs); those of the data `x` (members or 1,
1, 1, rows, features). Parameters that belong to a column, such as a scale, have a leading
member axis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from psmimpute.table.kinds import Family

PRIOR_ROWS = 2.0


class Observation(NamedTuple):
    """Observed values of a block of features, shape (..., n_features) each.

    Attributes
    ----------
    value : Tensor
        Encoded values, as :class:`psmimpute.table.encoded.EncodedTable` defines them.
    lower, upper : Tensor
        Ends of the interval that a rounded value stands for; used by counts only.
    """

    value: Tensor
    lower: Tensor
    upper: Tensor


class Expansion(NamedTuple):
    """First two derivatives of a log likelihood in its linear predictors, or their expectations.

    The recognition model reads each observed cell as a Gaussian pseudo-observation of the
    linear predictor: precision `information`, centre ``eta + score / information``. For a
    Gaussian cell this is exact at every expansion point; for the others it is one Newton step,
    or, by expectations, one step towards the Gaussian that makes the evidence lower bound
    largest [1]_.

    Attributes
    ----------
    score : Tensor, shape (..., n_outputs)
        Derivative of the log likelihood.
    information : Tensor, shape (..., n_outputs)
        Expected or observed information, never negative.

    References
    ----------
    .. [1] Opper, M. and Archambeau, C. (2009). The variational Gaussian approximation revisited.
       Neural Computation 21(3), 786-792.
    """

    score: Tensor
    information: Tensor


class Likelihood(nn.Module, ABC):
    """Distribution of the features of a block given their linear predictors.

    Parameters
    ----------
    n_members : int
        Number of members trained side by side.
    n_features : int
        Number of features of the block.
    """

    family: ClassVar[Family]

    def __init__(self, n_members: int, n_features: int) -> None:
        super().__init__()
        self.n_members = n_members
        self.n_features = n_features

    @property
    def n_outputs(self) -> int:
        """Number of linear predictors of the block."""
        return self.n_features

    @abstractmethod
    def log_prob(self, eta: Tensor, x: Observation) -> Tensor:
        """Log density or mass of `x`, shape (..., n_features)."""

    @abstractmethod
    def expand(self, eta: Tensor, x: Observation, variance: Tensor | None = None) -> Expansion:
        """Score and information at `eta`; axes (members, rows, outputs).

        Discrete likelihoods take their expectations over a normal `eta` where its `variance` is
        given: that of :meth:`DiscreteLikelihood.contrasts`.
        """

    @abstractmethod
    def draw(self, eta: Tensor, uniform: Tensor) -> Tensor:
        """One draw by inversion of `uniform`, shape (..., n_features), as encoded values.

        Counts come back as latent values, which decoding rounds.
        """

    @abstractmethod
    def check_support(self, x: Observation) -> None:
        """Raise a `SupportError` where a value has no mass under any parameter."""

    def penalty(self) -> Tensor | float:
        """Negative log prior of the block's own parameters, shape (n_members,) or 0."""
        return 0.0


class NumberLikelihood(Likelihood):
    """Likelihood of features whose encoded value has normal noise, one scale for each column.

    A weak inverse-gamma prior of the variance (Amelia's "empirical" prior has the same office), as
    if :data:`PRIOR_ROWS` rows had shown the `prior_variance`, keeps a column that the latent
    variables explain completely from a zero scale. It is no larger than what the other columns
    leave of a column (:func:`psmimpute.inference.factors.unexplained_variances`): of two columns
    that are nearly one it would blow up the difference.
    """

    log_scale_range: ClassVar[tuple[float, float]]
    largest_prior_variance: ClassVar[float]

    def __init__(self, n_members: int, n_features: int) -> None:
        super().__init__(n_members, n_features)
        shape = n_members, n_features
        self.log_scale = nn.Parameter(torch.full(shape, -0.35))
        # Known before training, and the same for all members of a table.
        prior_variance = torch.full(shape, self.largest_prior_variance)
        self.prior_variance = nn.Parameter(prior_variance, requires_grad=False)

    @property
    def scale(self) -> Tensor:
        """Standard deviation of the noise, shape (n_members, n_features)."""
        return self.log_scale.clamp(*self.log_scale_range).exp()

    def penalty(self) -> Tensor:
        """Negative log prior of the variances, shape (n_members,)."""
        log_variance = 2 * self.log_scale.clamp(*self.log_scale_range)
        terms = log_variance + self.prior_variance * torch.exp(-log_variance)
        return 0.5 * PRIOR_ROWS * terms.sum(-1)

    def draw(self, eta: Tensor, uniform: Tensor) -> Tensor:
        """Draws by inversion of the normal distribution function; decoding rounds counts."""
        scale = self.scale.reshape(self.n_members, *(1,) * (eta.dim() - 2), self.n_features)
        noise: Tensor = torch.special.ndtri(uniform)
        return eta + scale * noise


class DiscreteLikelihood(Likelihood):
    """Likelihood of features with a finite number of levels."""

    max_levels: int

    def contrasts(self, by_output: Tensor) -> Tensor:
        """Map outputs, on the last axis, to what a level's probability hangs on."""
        return by_output

    @abstractmethod
    def level_log_probs(self, eta: Tensor) -> Tensor:
        """Log mass of every level, shape (..., n_features, max_levels), -inf beyond the last."""


class LikelihoodBlocks(nn.ModuleList):
    """The likelihoods of all blocks, in the order of the layout."""

    def __iter__(self) -> Iterator[Likelihood]:
        return super().__iter__()  # type: ignore[return-value]

    def at(self, index: int) -> Likelihood:
        """Likelihood of the block at `index`."""
        return super().__getitem__(index)  # type: ignore[return-value]
