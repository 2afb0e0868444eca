"""Three models of which cells were observed, p(observed | ...)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psmimpute.likelihoods.base import (
    DiscreteLikelihood,
    Likelihood,
    LikelihoodBlocks,
    NumberLikelihood,
)
from psmimpute.likelihoods.categorical import CategoricalLikelihood
from psmimpute.model.by_set import by_set
from psmimpute.model.cells import Cells
from psmimpute.model.layout import Block, FeatureLayout
from psmimpute.model.rows import Rows

# Prior precisions of intercepts, of effects of the columns without gaps, and of z: the last
# are what makes missingness informative given the data, and are held nearest to zero.
INTERCEPT_PRECISION, COVARIATE_PRECISION, _LATENT_PRECISION = 0.05, 0.5, 10.0
_SLOPE_PRECISION = 0.1
_N_NODES = 8
# Of a probability: less has no logarithm in single precision.
_SMALLEST = torch.finfo(torch.float32).tiny
_N_STRATA = 64


class MissingnessModel(nn.Module, ABC):
    """Distribution of the observed-indicators of one row."""

    @property
    def reads_complete_columns(self) -> bool:
        """Whether gaps hang on columns without gaps, so that they tell of one that a row lacks."""
        return False

    @abstractmethod
    def log_prob(
        self,
        rows: Rows,
        z: Tensor,
        eta: Tensor,
        set_shares: Tensor | None = None,
        inputs: Tensor | None = None,
    ) -> Tensor | float:
        """Log probability of which cells were observed.

        Parameters
        ----------
        rows : Rows
        z : Tensor, shape (members, samples, sets, rows, latent)
        eta : Tensor, shape (members, samples, sets, rows, outputs)
            Linear predictors of x_mis.
        set_shares : Tensor, shape (members, samples, rows, sets), optional
            The set of each latent, where their axis of sets is 1.
        inputs : Tensor, shape (members, samples, sets, rows, outputs), optional
            Network inputs of each sample, where rows lack columns that had no gap.

        Returns
        -------
        Tensor, shape (members, samples or 1, sets, rows), or 0.0
        """

    def log_prob_at(self, rows: Rows, z: Tensor) -> Tensor | float:  # noqa: ARG002
        """Evidence about the set at one z a row, shape (members, sets, rows), or 0.0.

        Guides the recognition model; z has the axes (members, rows, latent).
        """
        return 0.0

    def penalty(self) -> Tensor | float:
        """Negative log prior of the parameters, shape (n_members,), or 0.0."""
        return 0.0


class Ignorable(MissingnessModel):
    """Missingness is left out: p(observed | ...) is taken to be constant."""

    def log_prob(
        self,
        rows: Rows,  # noqa: ARG002
        z: Tensor,  # noqa: ARG002
        eta: Tensor,  # noqa: ARG002
        set_shares: Tensor | None = None,  # noqa: ARG002
        inputs: Tensor | None = None,  # noqa: ARG002
    ) -> float:
        """Zero."""
        return 0.0


class SharedParameter(MissingnessModel):
    r"""PSMVAE(b): missingness depends on the set, on z, and on the columns without gaps.

    .. math:: \mathrm{logit}\, P(m_j = 1 \mid z, r) = a_{jr} + c_j' z + e_j' x_F

    x_F are the fully observed columns. A mechanism that depends on them is missing at random,
    and is told apart here from one that works through z or r.

    Parameters
    ----------
    n_members, n_sets, latent_dim : int
        Sizes.
    gappy : tuple of int
        Columns with gaps.
    complete_inputs : tuple of int
        Network inputs that belong to columns without gaps.
    latent : bool
        Whether c is there at all.
    """

    def __init__(
        self,
        n_members: int,
        n_sets: int,
        *,
        latent_dim: int,
        gappy: tuple[int, ...],
        complete_inputs: tuple[int, ...],
        latent: bool,
    ) -> None:
        super().__init__()
        n_gappy = len(gappy)
        self.intercept = nn.Parameter(torch.zeros(n_members, n_sets, n_gappy))
        self.covariates = nn.Parameter(torch.zeros(n_members, len(complete_inputs), n_gappy))
        self.latent = nn.Parameter(torch.zeros(n_members, latent_dim, n_gappy)) if latent else None
        self.register_buffer("gappy", torch.tensor(gappy, dtype=torch.long), persistent=False)
        self.register_buffer(
            "complete_inputs", torch.tensor(complete_inputs, dtype=torch.long), persistent=False
        )

    @property
    def reads_complete_columns(self) -> bool:
        """Whether gaps hang on columns without gaps."""
        return self.covariates.shape[1] > 0

    def _sign(self, rows: Rows) -> Tensor:
        return 2 * rows.cells[..., self.get_buffer("gappy")] - 1

    def _base(self, inputs: Tensor) -> Tensor:
        """Log odds by the columns without gaps, of network inputs (members or 1, ..., outputs)."""
        known = inputs[..., self.get_buffer("complete_inputs")]
        found = torch.matmul(known.flatten(1, -2), self.covariates)
        return found.reshape(len(found), *known.shape[1:-1], found.shape[-1])

    def log_prob(
        self,
        rows: Rows,
        z: Tensor,
        eta: Tensor,  # noqa: ARG002
        set_shares: Tensor | None = None,
        inputs: Tensor | None = None,
    ) -> Tensor:
        """Sum over the columns with gaps of log P(m_j | z, r)."""
        base = self._base(rows.inputs)[:, None, None] if inputs is None else self._base(inputs)
        logit = base + by_set(self.intercept, set_shares)
        if self.latent is not None:
            informative = torch.bmm(z.flatten(1, -2), self.latent)
            logit = logit + informative.reshape(*z.shape[:-1], -1)
        return F.logsigmoid(self._sign(rows)[:, None, None] * logit).sum(-1)

    def log_prob_at(self, rows: Rows, z: Tensor) -> Tensor:
        """Evidence about the set at one z a row, shape (members, sets, rows)."""
        base = self._base(rows.inputs)
        if self.latent is not None:
            base = base + torch.bmm(z, self.latent)
        logit = base[:, None] + self.intercept[:, :, None]
        return F.logsigmoid(self._sign(rows)[:, None] * logit).sum(-1)

    def penalty(self) -> Tensor:
        """Negative log prior, shape (n_members,)."""
        total = INTERCEPT_PRECISION * (self.intercept**2).sum((1, 2))
        total = total + COVARIATE_PRECISION * (self.covariates**2).sum((1, 2))
        if self.latent is not None:
            total = total + _LATENT_PRECISION * (self.latent**2).sum((1, 2))
        return 0.5 * total


class SelfMasking(MissingnessModel):
    r"""PSMVAE(a): missingness of a cell depends on the set and on the cell's own value.

    .. math:: \mathrm{logit}\, P(m_j = 1 \mid x, r) = a_{jr} + b_{jr} x_j + e_j' x_F

    x_F are the fully observed columns, where ``ModelConfig(mask_covariates=True)`` lets them in:
    without them, whatever they tell of the gaps is laid to the value itself. For a missing cell
    x_j is integrated out: over the levels of a discrete feature exactly, over a continuous one
    by Gauss-Legendre quadrature on the probability scale. A
    categorical feature has one b for each level; that of a semicontinuous column is whether
    it is zero. Likewise for the value of an observed cell that is hidden from the model.

    Parameters
    ----------
    n_members, n_sets : int
        Sizes.
    layout : FeatureLayout
        Order of the features.
    likelihoods : LikelihoodBlocks
        Those of the blocks of `layout`.
    gappy : tuple of int
        Columns with gaps.
    complete_inputs : tuple of int, default ()
        Network inputs that belong to columns without gaps.
    fixed : tuple of (int, tuple of float), optional
        Effects b that are given instead of learned: by output, one value or one for each set.
    """

    def __init__(
        self,
        n_members: int,
        n_sets: int,
        *,
        layout: FeatureLayout,
        likelihoods: LikelihoodBlocks,
        gappy: tuple[int, ...],
        complete_inputs: tuple[int, ...] = (),
        fixed: tuple[tuple[int, tuple[float, ...]], ...] = (),
    ) -> None:
        super().__init__()
        self.layout = layout
        self._likelihoods = [likelihoods]  # in a list: their parameters are not this module's
        carries = _carriers(layout, gappy)
        self._carry = [any(carries[block.features]) for block in layout.blocks]
        self.register_buffer("carries", torch.tensor(carries, dtype=torch.float32), False)
        self.intercept = nn.Parameter(torch.zeros(n_members, n_sets, layout.n_features))
        self.effect = nn.Parameter(torch.zeros(n_members, n_sets, layout.n_outputs))
        n_covariates = len(complete_inputs)
        self.covariates = nn.Parameter(torch.zeros(n_members, n_covariates, layout.n_features))
        given = torch.full((n_sets, layout.n_outputs), torch.nan)
        for output, effects in fixed:
            given[:, output] = torch.tensor(effects)
        self.register_buffer("given", given, persistent=False)
        columns = torch.tensor(layout.columns, dtype=torch.long)
        self.register_buffer("columns", columns, persistent=False)
        known = torch.tensor(complete_inputs, dtype=torch.long)
        self.register_buffer("complete_inputs", known, persistent=False)
        nodes, weights = torch.from_numpy(_gauss_legendre()).float()
        self.register_buffer("nodes", nodes, persistent=False)
        self.register_buffer("log_weights", weights.log(), persistent=False)

    def effects(self) -> Tensor:
        """Effects b, learned or given, shape (members, sets, outputs)."""
        given = self.get_buffer("given")
        return torch.where(given.isnan(), self.effect, given)

    def _explained(self, rows: Rows, features: slice) -> Tensor:
        """Log odds by the columns without gaps, shape (members, rows, features)."""
        known = rows.inputs[..., self.get_buffer("complete_inputs")]
        return torch.matmul(known, self.covariates[..., features])

    def _base(self, rows: Rows, features: slice, set_shares: Tensor | None) -> Tensor:
        """Log odds at a value of zero, shape (members, samples or 1, sets, rows, features)."""
        explained = self._explained(rows, features)[:, None, None]
        return by_set(self.intercept[..., features], set_shares) + explained

    def log_prob(
        self,
        rows: Rows,
        z: Tensor,  # noqa: ARG002
        eta: Tensor,
        set_shares: Tensor | None = None,
        inputs: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Sum over the columns with gaps of log P(m_j | r, x_j)."""
        signs = 2 * rows.cells[..., self.get_buffer("columns")] - 1
        total = torch.zeros(eta.shape[:-1], device=eta.device)
        for block, likelihood, carry in zip(
            self.layout.blocks, self._likelihoods[0], self._carry, strict=True
        ):
            if not carry:
                continue
            sign = signs[..., block.features]
            own = eta[..., block.outputs]
            if isinstance(likelihood, NumberLikelihood):
                found = self._of_numbers(block, likelihood, rows, sign, own, set_shares)
            else:
                found = self._of_levels(block, likelihood, rows, sign, own, set_shares)
            total = total + found
        return total

    def _of_numbers(
        self,
        block: Block,
        likelihood: NumberLikelihood,
        rows: Rows,
        sign: Tensor,
        eta: Tensor,
        set_shares: Tensor | None,
    ) -> Tensor:
        """Log probability of the gaps of one block, shape (members, samples, sets, rows)."""
        seen = rows.observed[..., block.features]
        carries = self.get_buffer("carries")[block.features]
        intercept = self._base(rows, block.features, set_shares)
        slope = by_set(self.effects()[..., block.outputs], set_shares)
        values = rows.values[:, None, None, :, block.features]
        known = F.logsigmoid(intercept + slope * values) * (seen * carries)[:, None, None]
        cells = Cells.without_waiting((1 - seen) * carries)
        logits = _Logits.of(cells, likelihood, eta, intercept, slope)
        signs = cells.pick(sign[:, None, None])
        share = torch.zeros_like(logits.middle)
        for noise, weight in self._nodes():
            share = share + weight * torch.sigmoid(signs * logits.at(noise))
        return known.sum(-1) + cells.sum_rows(share.clamp_min(_SMALLEST).log())

    def _of_levels(
        self,
        block: Block,
        likelihood: Likelihood,
        rows: Rows,
        sign: Tensor,
        eta: Tensor,
        set_shares: Tensor | None,
    ) -> Tensor:
        """Log probability of the gaps of one block, shape (members, samples, sets, rows)."""
        assert isinstance(likelihood, DiscreteLikelihood)
        seen = rows.observed[:, None, None, :, block.features]
        carries = self.get_buffer("carries")[block.features]
        effects = self._level_effects(block.outputs, likelihood, set_shares)
        logits = self._base(rows, block.features, set_shares)[..., None] + effects
        code = rows.values[:, None, None, :, block.features].long()[..., None]
        code = code.expand(*logits.shape[:3], *code.shape[3:])
        at_code = logits.expand(*code.shape[:-1], logits.shape[-1])
        known = F.logsigmoid(at_code.gather(-1, code).squeeze(-1))
        log_p = likelihood.level_log_probs(eta)
        signs = sign[:, None, None, ..., None]
        unknown = torch.logsumexp(log_p + F.logsigmoid(signs * logits), -1)
        return ((seen * known + (1 - seen) * unknown) * carries).sum(-1)

    def _nodes(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Noise at the nodes of the quadrature, and their weights."""
        noise: Tensor = torch.special.ndtri(self.get_buffer("nodes"))
        return zip(noise, self.get_buffer("log_weights").exp(), strict=True)

    def _level_effects(
        self, outputs: slice, likelihood: DiscreteLikelihood, set_shares: Tensor | None = None
    ) -> Tensor:
        """Effects of each level, the axes of :func:`by_set` and (features, levels)."""
        effect = by_set(self.effects()[..., outputs], set_shares)
        if isinstance(likelihood, CategoricalLikelihood):
            return likelihood.pad(effect)
        score = torch.linspace(-1.0, 1.0, likelihood.max_levels, device=effect.device)
        return effect[..., None] * score

    def tilt(
        self,
        index: int,
        rows: Rows,
        eta: Tensor,
        sets: Tensor,
        uniform: Tensor,
        *,
        observed: bool = False,
    ) -> Tensor:
        """Draw from p(x | eta) P(missing | x, r) for the features of one block.

        Parameters
        ----------
        index : int
            Which block.
        rows : Rows
        eta : Tensor, shape (members, rows, outputs of the block)
        sets : Tensor, shape (members, rows)
            The set drawn for each row.
        uniform : Tensor, shape (members, rows, features of the block)
        observed : bool, default False
            Whether the cells were observed, though their values are hidden.

        Returns
        -------
        Tensor, shape (members, rows, features of the block)
        """
        block, likelihood = self.layout.blocks[index], self._likelihoods[0].at(index)
        carries = self.get_buffer("carries")[block.features]
        pick = sets[..., None].long()
        sign = 1.0 if observed else -1.0
        intercept = self.intercept[..., block.features]
        intercept = intercept.gather(1, pick.expand(-1, -1, intercept.shape[-1]))
        intercept = intercept + self._explained(rows, block.features)
        if not isinstance(likelihood, DiscreteLikelihood):
            slope = self.effects()[..., block.outputs]
            slope = slope.gather(1, pick.expand(-1, -1, slope.shape[-1]))
            tilted = self._tilted_uniform(
                likelihood, eta, (sign * intercept, sign * slope), uniform
            )
            return likelihood.draw(eta, torch.where(carries > 0, tilted, uniform))
        effects = self._level_effects(block.outputs, likelihood)[:, 0, :, 0]
        at = pick[..., None].expand(-1, -1, *effects.shape[2:])
        logits = intercept[..., None] + effects.gather(1, at)
        log_p = likelihood.level_log_probs(eta)
        log_p = log_p + F.logsigmoid(sign * logits) * carries[:, None]
        cumulative = log_p.softmax(-1).cumsum(-1)
        code = (uniform[..., None] > cumulative).sum(-1)
        present = torch.isfinite(log_p).sum(-1) - 1
        return torch.minimum(code, present).to(eta.dtype)

    def tilted_levels(
        self, index: int, rows: Rows, eta: Tensor, set_shares: Tensor | None = None
    ) -> Tensor:
        """Log probabilities of the levels given that the cell is missing.

        Parameters
        ----------
        index : int
            Which block; a discrete one.
        rows : Rows
        eta : Tensor, shape (members, samples, sets, rows, outputs of the block)
        set_shares : Tensor, shape (members, samples, rows, sets), optional
            The set of each latent, where their axis of sets is 1.

        Returns
        -------
        Tensor, shape (members, samples, sets, rows, features, levels)
        """
        block, likelihood = self.layout.blocks[index], self._likelihoods[0].at(index)
        assert isinstance(likelihood, DiscreteLikelihood)
        intercept = self._base(rows, block.features, set_shares)
        logits = intercept[..., None] + self._level_effects(block.outputs, likelihood, set_shares)
        carries = self.get_buffer("carries")[block.features]
        log_p = likelihood.level_log_probs(eta) + F.logsigmoid(-logits) * carries[:, None]
        return log_p.log_softmax(-1)

    def tilted_mean(
        self,
        index: int,
        rows: Rows,
        cells: Cells,
        eta: Tensor,
        raw: Callable[[Tensor], Tensor],
        set_shares: Tensor | None = None,
    ) -> Tensor:
        """Mean of ``raw(x)`` given that the cell is missing, by quadrature.

        Parameters
        ----------
        index : int
            Which block; one of numbers.
        rows : Rows
        cells : Cells
            Of the block.
        eta : Tensor, shape (members, samples, sets, rows, outputs of the block)
        raw : callable
            From latent values of the cells, shape (members, samples, sets, n), to what is averaged.
        set_shares : Tensor, shape (members, samples, rows, sets), optional
            The set of each latent, where their axis of sets is 1.

        Returns
        -------
        Tensor, shape (members, samples, sets, n)
        """
        block, likelihood = self.layout.blocks[index], self._likelihoods[0].at(index)
        assert isinstance(likelihood, NumberLikelihood)
        intercept = self._base(rows, block.features, set_shares)
        slope = by_set(self.effects()[..., block.outputs], set_shares)
        logits = _Logits.of(cells, likelihood, eta, intercept, slope)
        carries = self.get_buffer("carries")[block.features][cells.features][:, None, None] > 0
        total, mean = torch.zeros_like(logits.eta), torch.zeros_like(logits.eta)
        for noise, weight in self._nodes():
            share = torch.sigmoid(-logits.at(noise)).clamp_min(_SMALLEST)
            share = weight * torch.where(carries, share, 1.0)
            total, mean = total + share, mean + share * raw(logits.values(noise))
        return mean / total

    def _tilted_uniform(
        self,
        likelihood: Likelihood,
        eta: Tensor,
        coefficients: tuple[Tensor, Tensor],
        uniform: Tensor,
    ) -> Tensor:
        """Uniforms reweighted by F(a + b x), by inversion over equally likely strata."""
        intercept, slope = coefficients
        middle = (torch.arange(_N_STRATA, device=eta.device) + 0.5) / _N_STRATA
        weights = torch.stack(
            [torch.sigmoid(intercept + slope * likelihood.draw(eta, u)) for u in middle],
            -1,
        )
        cumulative = (weights / weights.sum(-1, keepdim=True)).cumsum(-1)
        stratum = (uniform[..., None] > cumulative).sum(-1).clamp_max(_N_STRATA - 1)
        top = cumulative.gather(-1, stratum[..., None]).squeeze(-1)
        share = (weights / weights.sum(-1, keepdim=True)).gather(-1, stratum[..., None])[..., 0]
        within = (1 - (top - uniform) / share.clamp_min(1e-12)).clamp(1e-3, 1 - 1e-3)
        return (stratum + within) / _N_STRATA

    def penalty(self) -> Tensor:
        """Negative log prior, shape (n_members,)."""
        return 0.5 * (
            INTERCEPT_PRECISION * (self.intercept**2).sum((1, 2))
            + _SLOPE_PRECISION * (self.effect**2).sum((1, 2))
            + COVARIATE_PRECISION * (self.covariates**2).sum((1, 2))
        )


class _Logits(NamedTuple):
    """Log odds that cells are observed, as a function of the noise of their values.

    Attributes
    ----------
    eta, scale : Tensor, shape (members, samples or 1, sets or 1, n)
        Values where there is no noise, and what a unit of it adds.
    middle, spread : Tensor, shape (members, samples or 1, sets or 1, n)
        The same of the log odds.
    """

    eta: Tensor
    scale: Tensor
    middle: Tensor
    spread: Tensor

    @classmethod
    def of(
        cls,
        cells: Cells,
        likelihood: NumberLikelihood,
        eta: Tensor,
        intercept: Tensor,
        slope: Tensor,
    ) -> _Logits:
        """Return those of some cells of a block."""
        own, scale = cells.pick(eta), cells.pick(likelihood.scale[:, None, None, None])
        steepness = cells.pick(slope)
        return cls(own, scale, cells.pick(intercept) + steepness * own, steepness * scale)

    def values(self, noise: Tensor) -> Tensor:
        """Values at standard normal noise, shape (members, samples, sets, n)."""
        return self.eta + self.scale * noise

    def at(self, noise: Tensor) -> Tensor:
        """Log odds at standard normal noise, shape (members, samples, sets, n)."""
        return self.middle + self.spread * noise


def _carriers(layout: FeatureLayout, gappy: tuple[int, ...]) -> list[bool]:
    """Which features self-mask: the one, or of a semicontinuous column the discrete one."""
    discrete = {
        layout.columns[i]
        for block in layout.blocks
        if not block.family.is_number
        for i in range(block.features.start, block.features.stop)
    }
    carries = []
    for block in layout.blocks:
        continuous = block.family.is_number
        for i in range(block.features.start, block.features.stop):
            column = layout.columns[i]
            carries.append(column in gappy and not (continuous and column in discrete))
    return carries


def _gauss_legendre() -> npt.NDArray[np.float64]:
    """Nodes and weights on (0, 1), shape (2, _N_NODES)."""
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
    return np.stack([(nodes + 1) / 2, weights / 2])
