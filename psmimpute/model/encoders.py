"""The recognition model q(r | .) q(z | r, .), which starts from an exact posterior.

While the decoder is linear and its columns Gaussian, the posterior of z given any subset of
the columns is Gaussian with precision

    Lambda_r = P_r + sum_j h_j w_j w_j',    P_r the prior precision of set r,

over the observed outputs j, h_j their information, and the posterior of r follows from the
normalising constants. Columns of other families enter by the score and the information of the
cell's log likelihood, which for Gaussian columns are the same wherever they are taken. Of truth
values and levels they are expectations, first over the prior and then over the posterior that
this gives: steps towards the Gaussian of the largest evidence lower bound. Newton's steps, which
know the curve at one point, left a bound that is the looser the more such columns hang on z, and
pattern sets that only made up for it. A missing cell contributes nothing. Where a network bends
the decoder and z has few dimensions, the step is repeated twice about the straight line that fits
the bent decoder best where z is likely to lie (statistical linearisation, [1]_): a worse
proposal makes the bound prefer a decoder that bends less. A network adds corrections that
start at zero. Where z has more dimensions that is too dear in training, and is done, in each set
apart, when a trained model is sampled. Without the exact base, which is for comparisons, the
network corrects the prior instead, and has to learn all that the cells tell.

The base is held fixed while the decoder's gradient is taken: by Fisher's identity the
gradient of a bound that is tight does not need the derivative of the posterior.

References
----------
.. [1] Garcia-Fernandez, A. F., Svensson, L., Morelande, M. R. and Sarkka, S. (2015). Posterior
   linearization filter: principles and implementation using sigma points. IEEE Transactions
   on Signal Processing 63(20), 5561-5573.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from psmimpute.likelihoods.base import DiscreteLikelihood, LikelihoodBlocks
from psmimpute.model.decoder import Decoder
from psmimpute.model.evidence import Deviation, Evidence, Reading, row_evidence, shared_evidence
from psmimpute.model.inputs import by_output
from psmimpute.model.layout import FeatureLayout
from psmimpute.model.missingness import MissingnessModel
from psmimpute.model.networks import MemberLinear, MemberMLP
from psmimpute.model.posterior import Base, Posterior, combine, pool_sets, prior_of_rows
from psmimpute.model.priors import GaussianSets, PatternSetPrior
from psmimpute.model.rows import Rows
from psmimpute.table.kinds import Family

_LARGEST_LOG_STRETCH = 2.0
_LARGEST_LOG_STRETCH_OF_PRIOR = 5.0
# Up to so many latents the base follows a bent decoder unless the user says otherwise: it costs
# 2 * latent_dim + 1 passes of the decoder a row. With more it goes too far for some tables.
SMOOTHED_DIM = 6
# Standard deviations over which the decoder's slopes are taken.
_REACH = 1.0
# Times that the line is fitted anew where the last one says that z is likely to lie. The first
# time that is what the linear part says, which is far off where the decoder bends much. With many
# latents a second line gained nothing.
_N_SMOOTHINGS, _N_WIDE_SMOOTHINGS = 2, 1
# Times that truth values and levels are expanded where no line is fitted after that, the first
# time about the prior, and how far each goes: whole steps may overshoot.
_N_EXPANSIONS, _DAMPING = 3, 0.7
# Slopes of the linear predictors of some outputs along directions in which z has unit variance,
# shape (members, directions, rows or 1, outputs): their squares add up to the variance of each.
Slopes = Callable[[slice], Tensor]


class Encoder(nn.Module):
    """Recognition model.

    Parameters
    ----------
    n_members, n_sets, latent_dim : int
        Sizes.
    layout : FeatureLayout
        Order of the features.
    hidden_dim, n_layers : int
        Of the correcting network; ``hidden_dim=0`` leaves it out.
    exact : bool, default True
        Whether the network corrects the posterior of the linear part, alike in all sets, or the
        prior, in each set apart.
    reads_cells : bool, default True
        Whether the network is told which cells are missing.
    smoothing : bool, default False
        Whether the exact base follows a bent decoder.
    counts_once : bool, default True
        Whether an observed cell's weights under the two decoders add up to one.
    """

    def __init__(
        self,
        n_members: int,
        n_sets: int,
        *,
        latent_dim: int,
        layout: FeatureLayout,
        hidden_dim: int,
        n_layers: int,
        exact: bool = True,
        reads_cells: bool = True,
        smoothing: bool = False,
        counts_once: bool = True,
    ) -> None:
        super().__init__()
        self.layout, self.n_sets, self.latent_dim = layout, n_sets, latent_dim
        self.exact, self.reads_cells, self.smoothing = exact, reads_cells, smoothing
        self.counts_once = counts_once
        self.n_corrections = 1 if exact else n_sets
        self.trunk: MemberMLP | None = None
        self.head: MemberLinear | None = None
        if hidden_dim > 0:
            n_in = layout.n_outputs + layout.n_columns * reads_cells + latent_dim
            self.trunk = MemberMLP(n_members, n_in, hidden_dim=hidden_dim, n_layers=n_layers)
            n_out = 2 * latent_dim * self.n_corrections
            self.head = MemberLinear(n_members, hidden_dim, n_out, zero=True)
            self.set_head = MemberLinear(n_members, hidden_dim, n_sets, zero=True)

    def smooths(self, decoder: Decoder) -> bool:
        """Whether the base follows a bent decoder, at the cost of many passes through it."""
        return self._bends(decoder) and self.smoothing

    def refines(self, decoder: Decoder) -> bool:
        """Whether :meth:`line` may make a better proposal: the base does not follow the bend.

        Or not well, as it follows it in all sets at once where z has many dimensions.
        """
        follows = self.smoothing and self.latent_dim <= SMOOTHED_DIM
        return self._bends(decoder) and not follows

    def _n_expansions(self, *, smooths: bool) -> int:
        """How often the linear part's evidence is taken, each time about what the last one says."""
        if self.layout.is_gaussian:
            return 2 if smooths and self.n_sets > 1 else 1
        return 2 if smooths or not self.layout.has_levels else _N_EXPANSIONS

    def _bends(self, decoder: Decoder) -> bool:
        return decoder.trunk is not None and self.exact

    def correct(self, rows: Rows, base: Base) -> Posterior:
        """Take the posterior that the network makes of `base`."""
        found = base.posterior
        if self.trunk is None or self.head is None:
            return found
        cells = [rows.cells - 0.5] if self.reads_cells else []
        n_members = base.centre.shape[0]
        known = [part.expand(n_members, -1, -1) for part in (rows.inputs, *cells)]
        hidden = self.trunk(torch.cat([*known, base.centre], -1))
        by_set = self.head(hidden).unflatten(-1, (self.n_corrections, -1)).transpose(1, 2)
        shift, stretch = by_set.split(self.latent_dim, -1)
        log_q = found.log_q_sets[:, 0] + self.set_head(hidden).transpose(1, 2)
        bound = _LARGEST_LOG_STRETCH if self.exact else _LARGEST_LOG_STRETCH_OF_PRIOR
        return found._replace(
            log_q_sets=log_q.log_softmax(1)[:, None],
            mean=found.mean + shift,
            log_stretch=bound * torch.tanh(stretch / bound),
        )

    @torch.no_grad()
    def base(
        self,
        rows: Rows,
        decoder: Decoder,
        likelihoods: LikelihoodBlocks,
        prior: PatternSetPrior,
        missingness: MissingnessModel,
        weights: tuple[Tensor, Tensor],
    ) -> Base:
        """Closed-form posterior, which needs no training.

        `weights` are those of the log densities under the decoders of x_obs and of x_mis, shape
        (features,) each.
        """
        n_rows = rows.values.shape[1]
        log_rho = prior.log_p_sets()[:, 0]
        rho = log_rho[..., 0].exp()
        centre = torch.einsum("es,esl->el", rho, prior.mean)
        centre = centre[:, None].expand(-1, n_rows, -1)
        sets = prior.components()
        if not self.exact:
            return Base(prior_of_rows(sets, log_rho, n_rows), centre)
        one = pool_sets(sets, rho)
        smooths = self.smooths(decoder)
        reading = self._reading(decoder, weights, rho)
        slopes = partial(sets.slopes, rho, decoder.loadings)
        evidence = self._linear_evidence(rows, centre, slopes, decoder, likelihoods, reading)
        for _ in range(self._n_expansions(smooths=smooths) - 1):
            pooled = combine(evidence, one, 0.0)
            centre, slopes = pooled.mean[:, 0], partial(pooled.slopes, decoder.loadings)
            new = self._linear_evidence(rows, centre, slopes, decoder, likelihoods, reading)
            evidence = evidence.towards(new, _DAMPING if self.layout.has_levels else 1.0)
        log_prior = log_rho + missingness.log_prob_at(rows, centre)
        posterior = combine(evidence, sets, log_prior)
        n_smoothings = _N_SMOOTHINGS if self.latent_dim <= SMOOTHED_DIM else _N_WIDE_SMOOTHINGS
        for _ in range(n_smoothings if smooths else 0):
            shares = posterior.log_q_sets[:, 0].exp().transpose(1, 2)
            about = posterior
            if self.n_sets > 1:
                about = combine(evidence, one, 0.0)
            evidence = self._smoothed_evidence(rows, about, shares, decoder, likelihoods, reading)
            posterior = combine(evidence, sets, log_prior)
        shares = posterior.log_q_sets[:, 0].exp()
        return Base(posterior, torch.einsum("esb,esbl->ebl", shares, posterior.mean))

    @torch.no_grad()
    def line(
        self,
        rows: Rows,
        found: Posterior,
        decoder: Decoder,
        likelihoods: LikelihoodBlocks,
        prior: PatternSetPrior,
        weights: tuple[Tensor, Tensor],
    ) -> Posterior:
        """Fit the line anew in each pattern set where `found` says that z is likely to lie.

        It takes ``2 * latent_dim + 1`` passes of the decoder for each set: dear for a training
        step, cheap beside the many samples that a poor proposal asks for. Where the decoder bends
        strongly the step can go too far. The probabilities of the sets stay as they were.
        """
        sets = prior.components()
        reading = self._reading(decoder, weights, prior.log_p_sets()[:, 0, :, 0].exp())
        n_members, _, n_rows, _ = found.mean.shape
        parts = []
        for k in range(self.n_sets):
            own = slice(k, k + 1)
            about = found._replace(
                mean=found.mean[:, own],
                root=None if found.root is None else found.root[:, own],
                lower=found.lower[:, own],
            )
            shares = found.mean.new_zeros(n_members, n_rows, self.n_sets)
            shares[..., k] = 1.0
            if reading.deviation is not None and decoder.shift is not None:
                shift = decoder.shift[:, 0, k]
                reading = reading._replace(deviation=reading.deviation._replace(shift=shift))
            evidence = self._smoothed_evidence(rows, about, shares, decoder, likelihoods, reading)
            parts.append(combine(evidence, GaussianSets(*(part[:, own] for part in sets)), 0.0))
        roots = [part.root for part in parts if part.root is not None]
        return Posterior(
            log_q_sets=found.log_q_sets,
            mean=torch.cat([part.mean for part in parts], 1),
            root=torch.cat(roots, 1) if roots else None,
            log_det_precision=torch.cat([part.log_det_precision for part in parts], 1),
            lower=torch.cat([part.lower for part in parts], 1),
            log_stretch=None,
        )

    def _reading(
        self,
        decoder: Decoder,
        weights: tuple[Tensor, Tensor],
        set_shares: Tensor,
    ) -> Reading:
        """How much an observed cell counts, and how far x_mis departs from x_obs."""
        observed, missing = (by_output(weight, self.layout) for weight in weights)
        total = observed + missing
        weight = None if self.counts_once else total
        if decoder.shift is None or decoder.slope is None:
            return Reading(weight, None)
        shift = torch.einsum("es,eso->eo", set_shares, decoder.shift[:, 0, :, 0])
        return Reading(weight, Deviation(missing / total, shift[:, None], decoder.slope))

    def _linear_evidence(
        self,
        rows: Rows,
        centre: Tensor,
        slopes: Slopes,
        decoder: Decoder,
        likelihoods: LikelihoodBlocks,
        reading: Reading,
    ) -> Evidence:
        """Evidence under the decoder's linear part, expanded about `centre`."""
        eta = decoder.linear(centre)
        step = self._expand(rows, eta, eta - decoder.intercept, slopes, likelihoods, reading)
        return shared_evidence(step, decoder.loadings, reading.deviation)

    def _smoothed_evidence(
        self,
        rows: Rows,
        pooled: Posterior,
        set_shares: Tensor,
        decoder: Decoder,
        likelihoods: LikelihoodBlocks,
        reading: Reading,
    ) -> Evidence:
        """Evidence under the line that fits the bent decoder best where z is likely to lie.

        Central differences over one posterior standard deviation in each direction give the
        slopes, second differences the decoder's departure from them: it counts as noise.
        """
        latent = pooled.mean.shape[-1]
        lower = pooled.lower[:, 0]
        if pooled.root is None:
            one = torch.eye(latent, device=lower.device).expand_as(lower)
            root = torch.linalg.solve_triangular(lower, one, upper=False)
        else:
            root = pooled.root[:, 0]
        root = root.transpose(1, 2)  # (members, directions, rows, latent)
        offsets = _REACH * torch.cat([torch.zeros_like(root[:, :1]), root, -root], 1)
        points = (pooled.mean + offsets)[:, :, None]
        eta = decoder(points, set_shares[:, None])[:, :, 0]
        middle, above, below = eta.split([1, latent, latent], 1)
        slopes = (above - below) / (2 * _REACH)
        bend = (above + below - 2 * middle) / _REACH**2
        middle = (middle + 0.5 * bend.sum(1, keepdim=True))[:, 0]
        along = slopes
        # From the directions to the coordinates of z.
        slopes = torch.matmul(lower, slopes.transpose(1, 2)).transpose(1, 2)
        latent_part = torch.einsum("ebl,elbo->ebo", pooled.mean[:, 0], slopes)
        excess = 0.5 * (bend * bend).sum(1)
        step = self._expand(
            rows, middle, latent_part, lambda own: along[..., own], likelihoods, reading, excess
        )
        return row_evidence(step, slopes, reading.deviation)

    def _expand(
        self,
        rows: Rows,
        eta: Tensor,
        latent_part: Tensor,
        slopes: Slopes,
        likelihoods: LikelihoodBlocks,
        reading: Reading,
        excess: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Information and natural target of each output, zero where not observed.

        `eta` are the linear predictors at the point of expansion, `latent_part` their slopes
        times that point, `excess` a variance to add to that of the cell; all have the axes
        (members, rows, outputs). What the columns without gaps add belongs to no latent. By
        `slopes` truth values and levels are expanded over all of z.
        """
        if rows.offset is not None:
            eta = eta + rows.offset
        found = []
        for block, likelihood in zip(self.layout.blocks, likelihoods, strict=True):
            variance = None
            if isinstance(likelihood, DiscreteLikelihood):
                variance = likelihood.contrasts(slopes(block.outputs)).square().sum(1)
            step = likelihood.expand(eta[..., block.outputs], rows.observation(block), variance)
            seen = rows.observed[..., block.features]
            if block.family == Family.CATEGORICAL:
                seen = seen[..., likelihood.get_buffer("owner")]
            centred = step.information * latent_part[..., block.outputs] + step.score
            found.append((step.information * seen, centred * seen))
        if not found:
            return eta, eta
        information, target = (
            parts[0] if len(parts) == 1 else torch.cat(parts, -1)
            for parts in zip(*found, strict=True)
        )
        if excess is not None:
            share = 1 / (1 + information * excess)
            information, target = information * share, target * share
        if reading.weight is not None:
            information, target = information * reading.weight, target * reading.weight
        return information, target
