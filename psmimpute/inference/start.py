"""A closed-form start: principal factors of the pairwise-complete correlations."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psmimpute.likelihoods.count import CountLikelihood
from psmimpute.likelihoods.gaussian import GaussianLikelihood
from psmimpute.likelihoods.ordinal import OrdinalLikelihood
from psmimpute.model.missingness import SharedParameter
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import RowStore
from psmimpute.table.kinds import Family

_MOST_ROWS = 20_000
_LEAST_UNIQUENESS = 0.1
# Where z has as many dimensions as a row has numbers, correlations cannot tell how much of the
# variance is noise. A start with little of it lets networks see the columns themselves: noise in
# a column shrinks its interactions, and leaves slowly in training. Self-masking is learned worse
# from there: the mean of a column that masks itself keeps twice the bias.
_UNIQUENESS_OF_FULL_RANK = 0.05
_LOGISTIC_SD = math.pi / math.sqrt(3)
_JITTER = 0.02
_N_LLOYD = 10

Array = npt.NDArray[np.float64]


@torch.no_grad()
def start_from_moments(
    model: PatternSetMixtureVAE, store: RowStore, generators: list[torch.Generator]
) -> None:
    """Set loadings, intercepts, scales and pattern sets from the moments of the table.

    All members start alike but for a small jitter, so that their sets start aligned.

    Parameters
    ----------
    model : PatternSetMixtureVAE
        Changed in place.
    store : RowStore
        Rows on any device.
    generators : list of torch.Generator
        One for each member, on the CPU.
    """
    model.reset(generators)
    rows = store.take(_subsample(store.n_rows, store.packed.device))
    inputs, seen = rows.inputs[0].cpu().double(), _seen_outputs(rows.observed[0].cpu(), model)
    mean, sd = _moments(inputs, seen)
    scores = ((inputs - mean) / sd * seen).numpy()
    layout, latent_dim = model.spec.layout, model.spec.latent_dim
    gaussian = all(block.family == Family.GAUSSIAN for block in layout.blocks)
    selection = model.spec.missingness == "selection"
    full = gaussian and latent_dim >= layout.n_outputs and not selection
    loadings, uniqueness = _principal_factors(scores, seen.numpy(), latent_dim, full=full)
    _write(model, torch.from_numpy(loadings), torch.from_numpy(uniqueness), mean, sd)
    for e, generator in enumerate(generators):
        noise = torch.randn(model.decoder.loadings.shape[1:], generator=generator)
        model.decoder.loadings[e] += _JITTER * noise.to(model.decoder.loadings.device)
    _marginals(model, rows.values[0].cpu(), rows.observed[0].cpu())
    gaps = rows.cells[0].cpu().double().numpy()
    if model.spec.n_sets > 1:
        latent = _regression_scores(scores, seen.numpy(), loadings, uniqueness)
        _start_sets(model, latent, gaps[:, list(model.spec.gappy)])
    elif isinstance(model.missingness, SharedParameter):
        rate = gaps[:, list(model.spec.gappy)].mean(0).clip(0.01, 0.99)
        model.missingness.intercept[:] = torch.from_numpy(np.log(rate / (1 - rate))).float()


def _subsample(n_rows: int, device: torch.device) -> Tensor:
    stride = max(1, n_rows // _MOST_ROWS)
    return torch.arange(0, n_rows, stride, device=device)


def _seen_outputs(observed: Tensor, model: PatternSetMixtureVAE) -> Tensor:
    """Observed-indicators repeated for each level of a categorical feature."""
    parts = []
    for block in model.spec.layout.blocks:
        seen = observed[:, block.features]
        if block.family == Family.CATEGORICAL:
            seen = seen.repeat_interleave(torch.tensor(block.n_levels), dim=1)
        parts.append(seen)
    return (torch.cat(parts, 1) if parts else observed).double()


def _moments(inputs: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    n = seen.sum(0).clamp_min(1.0)
    mean = (inputs * seen).sum(0) / n
    variance = ((inputs - mean) ** 2 * seen).sum(0) / n
    return mean, variance.clamp_min(1e-4).sqrt()


def _principal_factors(
    scores: Array, seen: Array, latent_dim: int, *, full: bool
) -> tuple[Array, Array]:
    """Find loadings (latent, outputs) and uniquenesses of pairwise-complete correlations."""
    pairs = seen.T @ seen
    correlation = (scores.T @ scores) / np.maximum(pairs, 1.0)
    # Shrunk where few rows show both columns; a positive definite repair follows by eigenvalues.
    correlation *= pairs / (pairs + 5.0)
    np.fill_diagonal(correlation, 1.0)
    n_outputs = correlation.shape[0]
    uniqueness = np.full(n_outputs, _UNIQUENESS_OF_FULL_RANK if full else 0.5)
    loadings = np.zeros((latent_dim, n_outputs))
    for _ in range(1 if full else 20):
        reduced = correlation - np.diag(uniqueness)
        values, vectors = np.linalg.eigh(reduced)
        top = np.argsort(values)[::-1][:latent_dim]
        root = np.sqrt(np.maximum(values[top], 0.0))
        loadings[:] = 0.0
        loadings[: top.size] = root[:, None] * vectors[:, top].T
        least = _UNIQUENESS_OF_FULL_RANK if full else _LEAST_UNIQUENESS
        uniqueness = np.clip(1.0 - (loadings**2).sum(0), least, 1.0)
    return loadings, uniqueness


def _write(
    model: PatternSetMixtureVAE, loadings: Tensor, uniqueness: Tensor, mean: Tensor, sd: Tensor
) -> None:
    """Put correlation-scale loadings on the scale of each family's linear predictor."""
    decoder = model.decoder
    for block, likelihood in zip(model.spec.layout.blocks, model.likelihoods, strict=True):
        part = block.outputs
        own, unique = loadings[:, part], uniqueness[part]
        if block.family in (Family.GAUSSIAN, Family.COUNT):
            decoder.loadings[..., part] = (own * sd[part]).float()
            decoder.intercept[..., part] = mean[part].float()
            shrink = 1.0 if block.family == Family.GAUSSIAN else 1 / _LOGISTIC_SD
            assert isinstance(likelihood, GaussianLikelihood | CountLikelihood)
            likelihood.log_scale[:] = (sd[part] * unique.sqrt() * shrink).log().float()
        else:
            decoder.loadings[..., part] = (own * _LOGISTIC_SD / unique.sqrt()).clamp(-3, 3).float()


def _marginals(model: PatternSetMixtureVAE, values: Tensor, observed: Tensor) -> None:
    """Set the intercepts of discrete features from their observed proportions."""
    for block, likelihood in zip(model.spec.layout.blocks, model.likelihoods, strict=True):
        start = block.outputs.start
        for j in range(block.n_features):
            i = block.features.start + j
            known = values[observed[:, i] > 0, i]
            if block.family == Family.BERNOULLI:
                p = (known.sum() + 0.5) / (known.numel() + 1)
                model.decoder.intercept[..., start + j] = torch.logit(p)
            elif block.family == Family.CATEGORICAL:
                share = _shares(known, block.n_levels[j])
                at = start + sum(block.n_levels[:j])
                model.decoder.intercept[..., at : at + share.numel()] = share.log() - (
                    share.log().mean()
                )
            elif isinstance(likelihood, OrdinalLikelihood):
                cuts = torch.logit(_shares(known, block.n_levels[j]).cumsum(0)[:-1])
                gaps = cuts.diff().clamp_min(0.05)
                likelihood.first_cutpoint[:, j] = cuts[0]
                likelihood.raw_gaps[:, j, : gaps.numel()] = torch.log(torch.expm1(gaps))


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
