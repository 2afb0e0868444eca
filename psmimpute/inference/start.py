"""A closed-form start: principal factors of the pairwise-complete correlations."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psmimpute.inference.covariates import CovariateFit, DirectRegressions
from psmimpute.inference.factors import (
    Array,
    Moments,
    complete_correlation,
    count_factors,
    find_moments,
    latent_correlation,
    principal_factors,
    unexplained_variances,
)
from psmimpute.inference.mask_regressions import MaskRegressions
from psmimpute.likelihoods.base import NumberLikelihood
from psmimpute.likelihoods.ordinal import OrdinalLikelihood
from psmimpute.model.inputs import by_output
from psmimpute.model.layout import FeatureLayout
from psmimpute.model.missingness import SelfMasking, SharedParameter
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import Rows, RowStore
from psmimpute.table.kinds import Family

_MOST_ROWS = 20_000
# Most factors that z has room for where it has not one for each output.
_MOST_FACTORS = 48
# Where z has as many dimensions as a row has numbers, correlations cannot tell how much of the
# variance is noise. A start with little of it lets networks see the columns themselves: noise in
# a column shrinks its interactions, and leaves slowly in training. Self-masking is learned worse
# from there: the mean of a column that masks itself keeps twice the bias.
_UNIQUENESS_OF_FULL_RANK = 0.05
# Beside truth values and levels the prior of a residual variance is no smaller: steps by gradients
# are rough where little noise is left.
_LEAST_PRIOR_BESIDE_LEVELS = 0.04
# Truth values and levels keep more: they are then about what normal values are cut into, whose
# correlations say how they hang together. From weaker loadings that is learned slowly, the more so
# of rare levels, and what was imputed made their effects too small.
_UNIQUENESS_OF_LEVELS = 0.3
_LOGISTIC_SD = math.pi / math.sqrt(3)
_JITTER = 0.02
_N_LLOYD = 10


class Start:
    """Start of every model of a table: its moments are taken once.

    Parameters
    ----------
    store : RowStore
        Rows on any device.
    layout : FeatureLayout
        Order of the features.
    covariates : CovariateFit, optional
        Regressions on the columns without gaps that `store` has been told of: what they leave is
        for z.
    """

    def __init__(
        self, store: RowStore, layout: FeatureLayout, covariates: CovariateFit | None = None
    ) -> None:
        stride = max(1, store.n_rows // _MOST_ROWS)
        every = torch.arange(0, store.n_rows, stride, device=store.packed.device)
        self._rows = store.take(every)
        self._regressions = None if covariates is None else covariates.model
        self._moments = find_moments(self._rows, layout)
        self._correlation = complete_correlation(
            latent_correlation(self._moments, layout), self._moments.pairs
        )
        is_number = layout.is_number().numpy()
        self._unexplained = unexplained_variances(self._moments, is_number)
        self._uniqueness_of_full_rank = np.where(
            is_number, _UNIQUENESS_OF_FULL_RANK, _UNIQUENESS_OF_LEVELS
        )
        self._has_levels = layout.has_levels
        self._factors: dict[tuple[int, bool], tuple[Array, Array]] = {}

    def n_factors(self, least: int) -> int:
        """Return how many factors the correlations show, for a z that holds them all."""
        return count_factors(self._moments, least, _MOST_FACTORS)

    def _principal_factors(self, n_factors: int, *, full: bool) -> tuple[Array, Array]:
        key = n_factors, full
        if key not in self._factors:
            given = self._uniqueness_of_full_rank if full else None
            found = principal_factors(self._correlation, n_factors, uniqueness=given)
            self._factors[key] = found
        return self._factors[key]

    @torch.no_grad()
    def write(self, model: PatternSetMixtureVAE, generators: list[torch.Generator]) -> None:
        """Set loadings, intercepts, scales and pattern sets.

        All members start alike but for a small jitter, so that their sets start aligned.

        Parameters
        ----------
        model : PatternSetMixtureVAE
            Changed in place.
        generators : list of torch.Generator
            One for each member, on the CPU.
        """
        model.reset(generators)
        rows, moments, spec = self._rows, self._moments, model.spec
        whole = spec.latent_dim >= spec.layout.n_outputs
        suited = spec.layout.is_gaussian or self._has_levels
        full = whole and suited and spec.missingness != "selection"
        loadings, uniqueness = self._principal_factors(spec.latent_dim, full=full)
        _write(model, loadings, uniqueness, moments)
        _write_prior_variances(model, moments.sd**2 * self._unexplained)
        for e, generator in enumerate(generators):
            noise = torch.randn(model.decoder.loadings.shape[1:], generator=generator)
            model.decoder.loadings[e] += _JITTER * noise.to(model.decoder.loadings.device)
        widths = torch.from_numpy(uniqueness).rsqrt().float()
        _marginals(model, rows.values[0].cpu(), rows.observed[0].cpu(), widths)
        if self._regressions is not None:
            _go_by_regressions(model, self._regressions)
        gaps = rows.cells[0].cpu().double().numpy()[:, list(spec.gappy)]
        if spec.n_sets > 1:
            latent = _regression_scores(moments.scores, moments.seen, loadings, uniqueness)
            _start_sets(model, latent, gaps)
        elif isinstance(model.missingness, SharedParameter):
            rate = gaps.mean(0).clip(0.01, 0.99)
            intercept = torch.from_numpy(np.log(rate / (1 - rate))).float()
            model.missingness.intercept[:] = intercept
        if isinstance(model.missingness, SelfMasking):
            _start_at_random(model.missingness, rows, spec.gappy)


def _start_at_random(mask: SelfMasking, rows: Rows, gappy: tuple[int, ...]) -> None:
    """Start where gaps depend on the columns without gaps alone: no effect but by evidence."""
    columns = torch.tensor(gappy, device=rows.cells.device)
    known = mask.get_buffer("complete_inputs")
    regressions = MaskRegressions(
        rows, np.ones((1, rows.cells.shape[1]), np.uint16), columns, known
    )
    start = torch.zeros(1, 1 + len(known), len(gappy), device=columns.device)
    found = regressions.fit(start).coefficients[0].float().to(mask.intercept.device)
    of_feature = mask.get_buffer("columns")
    for place, column in enumerate(gappy):
        mask.intercept[..., of_feature == column] = found[0, place]
        mask.covariates[..., of_feature == column] = found[1:, place, None]


def _write(
    model: PatternSetMixtureVAE, loadings_of_scores: Array, uniqueness_of: Array, moments: Moments
) -> None:
    """Put correlation-scale loadings on the scale of each family's linear predictor."""
    decoder = model.decoder
    loadings, uniqueness, mean, sd = (
        torch.from_numpy(a) for a in (loadings_of_scores, uniqueness_of, moments.mean, moments.sd)
    )
    for block, likelihood in zip(model.spec.layout.blocks, model.likelihoods, strict=True):
        part = block.outputs
        own, unique = loadings[:, part], uniqueness[part]
        if block.family.is_number:
            decoder.loadings[..., part] = (own * sd[part]).float()
            decoder.intercept[..., part] = mean[part].float()
            assert isinstance(likelihood, NumberLikelihood)
            likelihood.log_scale[:] = (sd[part] * unique.sqrt()).log().float()
        else:
            decoder.loadings[..., part] = (own * _LOGISTIC_SD / unique.sqrt()).clamp(-3, 3).float()


def _write_prior_variances(model: PatternSetMixtureVAE, unexplained: Array) -> None:
    least = 0.0 if model.spec.layout.is_gaussian else _LEAST_PRIOR_BESIDE_LEVELS
    for block, likelihood in zip(model.spec.layout.blocks, model.likelihoods, strict=True):
        if isinstance(likelihood, NumberLikelihood):
            left = torch.from_numpy(unexplained[block.outputs]).float()
            likelihood.prior_variance[:] = left.clamp(least, likelihood.largest_prior_variance)


def _marginals(
    model: PatternSetMixtureVAE, values: Tensor, observed: Tensor, widths: Tensor
) -> None:
    """Set the intercepts of discrete features from their observed proportions.

    What z adds spreads the linear predictors: `widths`, of shape (outputs,), are the standard
    deviations of both over that of the noise.
    """
    for block, likelihood in zip(model.spec.layout.blocks, model.likelihoods, strict=True):
        start = block.outputs.start
        for j in range(block.n_features):
            i = block.features.start + j
            known = values[observed[:, i] > 0, i]
            if block.family == Family.BERNOULLI:
                p = (known.sum() + 0.5) / (known.numel() + 1)
                model.decoder.intercept[..., start + j] = _spread_logit(p, widths[start + j])
            elif block.family == Family.CATEGORICAL:
                share = _shares(known, block.n_levels[j])
                at = start + sum(block.n_levels[:j])
                own = slice(at, at + share.numel())
                centred = share.log() - share.log().mean()
                model.decoder.intercept[..., own] = centred * widths[own]
            elif isinstance(likelihood, OrdinalLikelihood):
                below = _shares(known, block.n_levels[j]).cumsum(0)[:-1]
                cuts = _spread_logit(below, widths[start + j])
                gaps = cuts.diff().clamp_min(0.05)
                likelihood.first_cutpoint[:, j] = cuts[0]
                likelihood.raw_gaps[:, j, : gaps.numel()] = torch.log(torch.expm1(gaps))


def _spread_logit(p: Tensor, width: Tensor) -> Tensor:
    """Where logistic noise and a normal value, together of that width, lie below with p."""
    normal, logit = torch.special.ndtri(p), torch.logit(p)
    of_normal = _LOGISTIC_SD**2 * (width**2 - 1)
    found: Tensor = (logit**2 + of_normal * normal**2).sqrt() * logit.sign()
    return found


def _go_by_regressions(model: PatternSetMixtureVAE, regressions: DirectRegressions) -> None:
    """Leave to regressions what they say of the discrete columns with gaps, whole as it is."""
    gappy = regressions.get_buffer("gappy") > 0
    pairs = zip(model.likelihoods, regressions.likelihoods, strict=True)
    for block, (own, given) in zip(model.spec.layout.blocks, pairs, strict=True):
        told = gappy[block.features]
        if not block.family.is_number:
            outputs = by_output(gappy, model.spec.layout)[block.outputs]
            model.decoder.intercept[..., block.outputs][..., outputs] = 0.0
        if isinstance(own, OrdinalLikelihood) and isinstance(given, OrdinalLikelihood):
            own.first_cutpoint[:, told] = given.first_cutpoint.mean(0)[told]
            own.raw_gaps[:, told] = given.raw_gaps.mean(0)[told]


def _shares(codes: Tensor, n_levels: int) -> Tensor:
    counts = torch.bincount(codes.long(), minlength=n_levels).float() + 0.5
    return counts / counts.sum()


def _regression_scores(scores: Array, seen: Array, loadings: Array, uniqueness: Array) -> Array:
    """Posterior means of z of every row under the factor start."""
    q = loadings.shape[0]
    weighted = loadings / uniqueness
    precision = np.einsum("no,qo,po->nqp", seen, weighted, loadings, optimize=True) + np.eye(q)
    solved = np.linalg.solve(precision, (scores @ weighted.T)[..., None])
    return np.asarray(solved[..., 0])


def _start_sets(model: PatternSetMixtureVAE, latent: Array, gaps: Array) -> None:
    """Cluster rows on their latent scores and gaps, and start each set at a cluster."""
    k = model.spec.n_sets
    spread = gaps.std(0)
    varying = gaps[:, spread > 0] / np.maximum(spread[spread > 0], 0.1)
    use_gaps = model.spec.missingness != "ignorable"
    shown = varying / max(1.0, math.sqrt(varying.shape[1])) if use_gaps else varying[:, :0]
    labels = _k_means(np.hstack([latent, shown]), k)
    prior = model.prior
    for r in range(k):
        mine = latent[labels == r]
        share = (len(mine) + 1.0) / (len(latent) + k)
        centre = mine.mean(0) if len(mine) else np.zeros(latent.shape[1])
        prior.logits[:, r] = math.log(share)
        prior.mean[:, r] = torch.from_numpy(centre).float()
        within = mine.std(0) if len(mine) > 2 else np.ones(latent.shape[1])
        # Scores vary less than the latents; the prior of a set is kept wide at the start.
        prior.log_diagonal[:, r] = torch.from_numpy(np.log(within.clip(0.5, 1.2))).float()
        if isinstance(model.missingness, SharedParameter):
            rate = gaps[labels == r].mean(0) if len(mine) else gaps.mean(0)
            rate = rate.clip(0.02, 0.98)
            model.missingness.intercept[:, r] = torch.from_numpy(np.log(rate / (1 - rate))).float()


def _k_means(points: Array, k: int) -> npt.NDArray[np.intp]:
    """Lloyd's algorithm from far-apart starting points; deterministic."""
    centres = [points[np.argmin(((points - points.mean(0)) ** 2).sum(1))]]
    distance = ((points - centres[0]) ** 2).sum(1)
    for _ in range(1, k):
        # A high quantile, not the maximum: the farthest row is an outlier.
        centres.append(points[np.argsort(distance)[int(0.95 * (len(points) - 1))]])
        distance = np.minimum(distance, ((points - centres[-1]) ** 2).sum(1))
    centre = np.stack(centres)
    labels = np.zeros(len(points), dtype=np.intp)
    for _ in range(_N_LLOYD):
        far = ((points[:, None] - centre[None]) ** 2).sum(-1)
        labels = far.argmin(1)
        centre = np.stack(
            [points[labels == r].mean(0) if (labels == r).any() else centre[r] for r in range(k)]
        )
    return labels
