"""Regressions of the columns with gaps on those without, by networks, before z is learned.

A network follows the rows that it has learned from more closely than others. What it leaves of
these would look smaller than what is missing, so that each row is predicted by the network of a
fold that has not seen it; what is missing, nobody has seen. Whether there are networks at all is
decided by the rows held out, against linear regressions, and only where rows are many: with few,
five networks differ by more than they tell beyond what z finds out.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from psmimpute.inference.averaging import BestAverage, paired_gain
from psmimpute.inference.batches import Batches
from psmimpute.inference.config import MANY_ROWS, FitConfig
from psmimpute.inference.flat import FlatAdamW, FlatParameters, cosine_schedule
from psmimpute.inference.groups import OnStep, resamples_of
from psmimpute.inference.members import Resamples, fold_rows
from psmimpute.inference.recorded import Recorded
from psmimpute.inference.trainer import Plan
from psmimpute.likelihoods.base import LikelihoodBlocks
from psmimpute.likelihoods.registry import build_likelihood
from psmimpute.model.covariates import CovariateNetwork
from psmimpute.model.networks import reset_networks
from psmimpute.model.objective import cell_log_probs
from psmimpute.model.products import ProductTerms
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import Rows, RowStore
from psmimpute.model.spec import ModelSpec
from psmimpute.random import Purpose, stream_seed

N_FOLDS = 5
_LEAST_ROWS = 100
_NETWORKS = ("covariates.trunk", "covariates.head")
# As much wider than the other networks, as much more decay of its weights, and as many more steps.
_TIMES_WIDTH, _TIMES_DECAY, _TIMES_STEPS = 2, 10.0, 3
# Folds that decide, and the nats per row, the standard errors and the nats in all rows that
# networks must gain over lines there.
_N_JUDGES, _LEAST_GAIN, _N_ERRORS, _LEAST_GAIN_OF_TABLE = 2, 0.01, 2.0, 4.0
_BLOCK_ROWS = 2**14


class DirectRegressions(nn.Module):
    """p(columns with gaps | columns without), each given the latter alone.

    Parameters
    ----------
    spec : ModelSpec
        Of the table.
    n_members : int
    hidden_dim : int
        Width of the network; 0 makes the regressions linear.
    """

    def __init__(self, spec: ModelSpec, n_members: int, *, hidden_dim: int) -> None:
        super().__init__()
        self.layout, self.hidden_dim = spec.layout, hidden_dim
        self.covariates = CovariateNetwork(
            n_members,
            complete=spec.complete_inputs,
            n_outputs=spec.layout.n_outputs,
            hidden_dim=hidden_dim,
            n_layers=spec.config.n_layers,
        )
        self.likelihoods = LikelihoodBlocks(
            build_likelihood(block.family, n_members=n_members, n_levels=block.n_levels)
            for block in spec.layout.blocks
        )
        gappy = torch.tensor([float(column in spec.gappy) for column in spec.layout.columns])
        self.register_buffer("gappy", gappy, persistent=False)

    def log_prob(self, rows: Rows) -> Tensor:
        """Log density of the observed cells of columns with gaps, shape (members, rows)."""
        eta = self.covariates(rows.inputs)[:, None, None]
        log_p = cell_log_probs(rows, eta, self.layout, self.likelihoods)[:, 0, 0]
        return (log_p * self.get_buffer("gappy")).sum(-1)

    def penalty(self) -> Tensor | float:
        """Negative log prior of the likelihoods' own parameters."""
        return sum((likelihood.penalty() for likelihood in self.likelihoods), 0.0)


@dataclass(frozen=True)
class CovariateFit:
    """Regressions that were fitted on folds of the rows.

    Attributes
    ----------
    model : DirectRegressions
        One member for each fold, without gradients.
    gain, error : float
        Gain over linear regressions in the held-out log density and its standard error, in nats
        per row; NaN where they were not compared.
    """

    model: DirectRegressions
    gain: float
    error: float


def fit_on_folds(
    spec: ModelSpec,
    store: RowStore,
    *,
    fit: FitConfig,
    plan: Plan,
    seed: int,
    on_step: OnStep | None,
) -> CovariateFit | None:
    """Fit the regressions on folds, if they are wanted.

    Parameters
    ----------
    spec : ModelSpec
        Whose `covariate_dim` is their width; ``"auto"`` there takes, of many rows, twice that of
        the other networks where it clearly beats lines.
    store : RowStore
        Rows of the table.
    fit : FitConfig
    plan : Plan
        Of a common fit with networks.
    seed : int
    on_step : callable, optional
        Called after every step.

    Returns
    -------
    CovariateFit or None
    """
    asked = spec.config.covariate_dim != "auto"
    width = spec.covariate_dim if asked else _width(spec)
    if width == 0 or store.n_rows < (_LEAST_ROWS if asked else MANY_ROWS):
        return None
    folds = folds_of(store.n_rows, seed=seed)
    judges = resamples_of(folds, range(_N_JUDGES))
    others = resamples_of(folds, range(_N_JUDGES, N_FOLDS))

    def run(part: Resamples, first: int, hidden_dim: int) -> DirectRegressions:
        n_members = part.counts.shape[0]
        seeds = _seeds(seed, range(first, first + n_members))
        model = DirectRegressions(spec, n_members, hidden_dim=hidden_dim)
        reset_networks(model, [torch.Generator().manual_seed(s) for s in seeds])
        model.to(store.packed.device)
        _train(model, store, part, fit=fit, plan=plan, seeds=seeds, on_step=on_step)
        return model

    found = run(judges, 0, width)
    gain = error = float("nan")
    if not asked:
        lines = run(judges, 0, 0)
        gain, error = paired_gain(_losses(found, store, judges), _losses(lines, store, judges))
        least = max(_LEAST_GAIN, _LEAST_GAIN_OF_TABLE / store.n_rows)
        if not gain > max(_N_ERRORS * error, least):
            return None
    whole = DirectRegressions(spec, N_FOLDS, hidden_dim=width).to(store.packed.device)
    parts = [dict(m.named_parameters()) for m in (found, run(others, _N_JUDGES, width))]
    with torch.no_grad():
        for name, p in whole.named_parameters():
            p.copy_(torch.cat([part[name] for part in parts]))
    return CovariateFit(whole.requires_grad_(requires_grad=False), gain, error)


def folds_of(n_rows: int, *, seed: int) -> Resamples:
    """Split rows into the folds of the regressions.

    Parameters
    ----------
    n_rows : int
    seed : int

    Returns
    -------
    Resamples
        Each row is held out of one of them.
    """
    own = stream_seed(seed, member=N_FOLDS, purpose=Purpose.COVARIATES)
    return fold_rows(n_rows, n_folds=N_FOLDS, seed=own)


@torch.no_grad()
def inform_store(
    store: RowStore, model: DirectRegressions | PatternSetMixtureVAE, *, seed: int
) -> RowStore:
    """Add to each row what the network of the fold that has not seen it says.

    Parameters
    ----------
    store : RowStore
        The rows that were fitted.
    model : DirectRegressions or PatternSetMixtureVAE
        With a network for each fold, or products fitted to all rows; without, the rows stay as
        they are, as do rows that have been told already.
    seed : int
        That of :func:`fit_on_folds`.

    Returns
    -------
    RowStore
    """
    if model.covariates is None or store.is_informed:
        return store
    if isinstance(model.covariates, ProductTerms):
        one = model.subset([0])  # alone, so that the last digits are always the same
        told = one.inform(store.all())
        assert told.offset is not None
        return store.informed(told.inputs[0], told.offset[0])
    unseen = folds_of(store.n_rows, seed=seed).counts.argmin(0)
    layout = model.layout if isinstance(model, DirectRegressions) else model.spec.layout
    inputs, offset = [], []
    for start in range(0, store.n_rows, _BLOCK_ROWS):
        every = torch.arange(start, min(start + _BLOCK_ROWS, store.n_rows))
        rows = store.take(every.to(store.packed.device))
        told = model.covariates.inform(rows, layout, model.likelihoods)
        assert told.offset is not None
        fold = torch.from_numpy(unseen[every.numpy()]).to(store.packed.device)
        own = torch.arange(len(every), device=store.packed.device)
        inputs.append(told.inputs[fold, own])
        offset.append(told.offset[fold, own])
    return store.informed(torch.cat(inputs), torch.cat(offset))


def blind_models(
    model: PatternSetMixtureVAE,
    start: PatternSetMixtureVAE,
    rows: npt.NDArray[np.intp],
    *,
    n_rows: int,
    seed: int,
) -> list[tuple[PatternSetMixtureVAE, npt.NDArray[np.intp]]]:
    """Split fitted rows so that each part meets networks which have not seen it.

    Parameters
    ----------
    model : PatternSetMixtureVAE
        Members.
    start : PatternSetMixtureVAE
        With a network for each fold.
    rows : ndarray of int
        Positions of fitted rows.
    n_rows : int
        Rows of the table that was fitted.
    seed : int
        That of :func:`fit_on_folds`.

    Returns
    -------
    list of (PatternSetMixtureVAE, ndarray of int)
        The members with other networks, and the rows that are for them.
    """
    if not isinstance(model.covariates, CovariateNetwork) or start.covariates is None:
        return [(model, rows)]
    unseen = folds_of(n_rows, seed=seed).counts.argmin(0)[rows]
    parts = []
    for k in np.unique(unseen).tolist():
        own = deepcopy(model)
        assert own.covariates is not None
        network = dict(start.covariates.named_parameters())
        with torch.no_grad():
            for name, p in own.covariates.named_parameters():
                p.copy_(network[name][[k] * own.n_members])
        parts.append((own, rows[unseen == k]))
    return parts


def _width(spec: ModelSpec) -> int:
    wanted = replace(
        spec, config=replace(spec.config, covariate_dim=_TIMES_WIDTH * spec.hidden_dim)
    )
    return wanted.covariate_dim


def _seeds(seed: int, members: range) -> list[int]:
    return [stream_seed(seed, member=i, purpose=Purpose.COVARIATES) for i in members]


@torch.no_grad()
def _losses(model: DirectRegressions, store: RowStore, folds: Resamples) -> Tensor:
    """Negative log density of each row held out, flat."""
    device = store.packed.device
    kept = torch.from_numpy(folds.held_out_weight).to(device) > 0
    return -model.log_prob(store.take(torch.from_numpy(folds.held_out).to(device)))[kept]


def _train(
    model: DirectRegressions,
    store: RowStore,
    folds: Resamples,
    *,
    fit: FitConfig,
    plan: Plan,
    seeds: list[int],
    on_step: OnStep | None,
) -> None:
    """Train, and keep the average of the parameters that predicts the rows held out best."""
    batches = Batches(store, folds, fit=fit, seeds=seeds)
    judged = store.take(torch.from_numpy(folds.held_out).to(batches.device))
    weight_of = torch.from_numpy(folds.held_out_weight).to(batches.device)
    flat = FlatParameters(model)
    network = flat.select(_NETWORKS)
    rates = torch.full_like(flat.values, fit.learning_rate * plan.rate)
    rates[network] *= fit.network_rate_for(store.n_rows)
    optimiser = FlatAdamW(flat, rates, _TIMES_DECAY * fit.weight_decay * network.float())
    n_steps, every = _TIMES_STEPS * plan.n_steps, _TIMES_STEPS * plan.every

    def judge() -> Tensor:
        loss = -(model.log_prob(judged) * weight_of).sum(1) / weight_of.sum(1).clamp_min(1)
        return torch.nan_to_num(loss, nan=torch.inf)

    def descend(packed: Tensor) -> Tensor:
        log_p = model.log_prob(store.unpack(packed)) * batches.weights
        loss = (model.penalty() / batches.total - log_p.sum(1) / batches.total_of_step).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    records = batches.device.type == "cuda"
    recorded = Recorded(descend, records=records, forget=flat.gradients.zero_)
    average = BestAverage(flat, judge, every=every)
    for step in range(1, n_steps + 1):
        recorded(batches.next())
        optimiser.step(cosine_schedule(step, n_steps))
        average.add(step)
        if on_step is not None:
            on_step(step)
        if step % every and step != n_steps:
            continue
        average.look(step)
        if bool(average.settled(step).all()):
            break
    average.restore()
    model.requires_grad_(requires_grad=False)
