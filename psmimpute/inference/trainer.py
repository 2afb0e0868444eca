"""Training of all members as one batched computation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psmimpute.inference.averaging import AVERAGING, PATIENCE, BestAverage
from psmimpute.inference.batches import Batches
from psmimpute.inference.config import FitConfig
from psmimpute.inference.flat import FlatAdamW, FlatParameters, cosine_schedule
from psmimpute.inference.members import Resamples
from psmimpute.inference.recorded import Recorded
from psmimpute.model.posterior import Base
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import Rows, RowStore
from psmimpute.model.small_cholesky import by_library
from psmimpute.random import Purpose, stream_seed

_NETWORKS = ("decoder.trunk", "decoder.head", "encoder.")
_SELECTION = ("missingness.effect", "missingness.intercept", "missingness.covariates")
# The slopes of self-masking are the slowest parameters to learn.
_SELECTION_BOOST = 3.0
# Least weight of a step in the running mean of the parameters, times the steps.
_LEAST_TIMES_STEPS = 2.0
_N_JUDGE_SAMPLES = 8
_UNUSABLE = 1e30
# Samples that are in one pattern set each, for one that is in all of them, four or more.
_TIMES_SAMPLES_OF_ONE_SET = 2
# Steps for which a closed-form posterior that follows a bent decoder serves.
_LASTS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how finely to train.

    Attributes
    ----------
    n_steps : int
        Largest number of steps.
    n_samples : int
        Importance samples of the bound.
    every : int
        Steps between two looks at the rows held out.
    rate : float
        Share of the configured learning rate.
    stop_early : bool
        Whether the held-out rows decide which step is kept. Members that start from a fit
        which has seen those rows cannot be judged by them: they take all steps.
    same_noise : bool
        Whether all steps that see the whole table draw z by the same noise: the bound is then
        one function of the parameters, down which a weak signal is followed.
    least : int
        Steps that are taken in any case. Where training goes on from a trained model the loss
        rises as the rates do, and falls below its start only when they fall again.
    """

    n_steps: int
    n_samples: int
    every: int
    rate: float = 1.0
    stop_early: bool = True
    same_noise: bool = False
    least: int = 0


@dataclass(frozen=True)
class Trained:
    """Members at their best held-out step.

    Attributes
    ----------
    model : PatternSetMixtureVAE
        Without gradients.
    steps : tuple of int
        Steps at which the members were judged; the first is 0, before training.
    losses : ndarray, shape (len(steps), n_members)
        Mean negative bound of the rows held out.
    training_losses : ndarray, shape (len(steps), n_members)
        Mean negative bound of the rows of the steps since the last look; NaN at step 0.
    bad_gradients : int
        Derivatives that were not finite, and were taken as zero.
    best_step : ndarray of int, shape (n_members,)
        Step whose averaged parameters were kept.
    settled : ndarray of bool, shape (n_members,)
        Whether the loss had stopped falling before the steps ran out.
    """

    model: PatternSetMixtureVAE
    steps: tuple[int, ...]
    losses: npt.NDArray[np.float64]
    training_losses: npt.NDArray[np.float64]
    bad_gradients: int
    best_step: npt.NDArray[np.int64]
    settled: npt.NDArray[np.bool_]


def samples_of_step(model: PatternSetMixtureVAE, plan: Plan, fit: FitConfig) -> int:
    """Return the importance samples of a step: more where each is in one set instead of in all.

    Parameters
    ----------
    model : PatternSetMixtureVAE
    plan : Plan
    fit : FitConfig
        What the user asked for is not changed.

    Returns
    -------
    int
    """
    more = model.learns_from_sampled_sets and fit.n_samples == "auto"
    return plan.n_samples * (_TIMES_SAMPLES_OF_ONE_SET if more else 1)


class Trainer:
    """Trains the members of a model that has been given its start.

    Parameters
    ----------
    model : PatternSetMixtureVAE
        Trained in place, on the device of `store`.
    store : RowStore
        Rows of the table.
    resamples : Resamples
        Rows of each member.
    fit : FitConfig
        Options.
    plan : Plan
        Steps and samples.
    seed : int
        Member i's noise depends on (seed, i) alone.
    first : int, default 0
        Number of the first member.
    """

    def __init__(
        self,
        model: PatternSetMixtureVAE,
        store: RowStore,
        resamples: Resamples,
        *,
        fit: FitConfig,
        plan: Plan,
        seed: int,
        first: int = 0,
    ) -> None:
        self.model, self.store, self.fit, self.plan = model, store, fit, plan
        self.device = store.packed.device
        self.n_members, self.n_rows = resamples.counts.shape
        self.n_samples = samples_of_step(model, plan, fit)
        # A library routine may wait for the device.
        self.records = self.device.type == "cuda" and not by_library(
            model.spec.latent_dim, self.device
        )
        numbers = range(first, first + self.n_members)
        seeds = [stream_seed(seed, member=i, purpose=Purpose.TRAINING) for i in numbers]
        self.batches = Batches(store, resamples, fit=fit, seeds=seeds)
        self.averaging = AVERAGING
        if model.spec.hidden_dim == 0 and not plan.stop_early:
            # Steps that see few of very many rows are averaged over as many as see them all, if
            # there are: else their noise would exceed the uncertainty that the members stand for.
            # Networks still improve, and would lag.
            seen = min(AVERAGING, self.batches.batch_rows / self.n_rows)
            self.averaging = max(seen, _LEAST_TIMES_STEPS / plan.n_steps)
        self.counts = resamples.counts
        self.held_out = torch.from_numpy(resamples.held_out).to(self.device)
        self.held_out_weight = torch.from_numpy(resamples.held_out_weight).to(self.device)
        self._noise = [torch.Generator(self.device).manual_seed(s) for s in seeds]
        self.flat = FlatParameters(model)
        self._noise_of_all: Tensor | None = None
        self._base: Base | None = None
        self._base_age = 0
        n_samples = 1 if model.knows_posterior else _N_JUDGE_SAMPLES
        shape = (n_samples, 1, self.held_out.shape[1], model.spec.latent_dim)
        fixed = torch.Generator().manual_seed(seed & (2**63 - 1))
        self._judge_eps = torch.randn(shape, generator=fixed)[None].to(self.device)

    def _optimiser(self) -> FlatAdamW:
        network = self.flat.select(_NETWORKS)
        rates = torch.full_like(self.flat.values, self.fit.learning_rate * self.plan.rate)
        rates[network] *= self.fit.network_rate_for(self.n_rows)
        if self.model.spec.missingness == "selection":
            rates[self.flat.select(_SELECTION)] *= _SELECTION_BOOST
        return FlatAdamW(self.flat, rates, self.fit.weight_decay * network.float())

    def _eps(self, n_rows: int) -> Tensor:
        """Antithetic noise, shape (members, samples, 1, rows, latent)."""
        if self._noise_of_all is not None:
            return self._noise_of_all
        half = -(-self.n_samples // 2)
        shape = (half, 1, n_rows, self.model.spec.latent_dim)
        eps = torch.empty(self.n_members, *shape, device=self.device)
        for i, generator in enumerate(self._noise):
            torch.randn(shape, generator=generator, out=eps[i])
        eps = torch.cat([eps, -eps], 1)[:, : self.n_samples]
        if self.plan.same_noise and self.batches.whole:
            self._noise_of_all = eps
        return eps

    def _uniform(self, n_rows: int) -> Tensor | None:
        """Even numbers that draw the sets of a row's samples, shape (members, samples, rows).

        Neighbours among them, which mostly draw the same set, go to antithetic samples.
        """
        if not self.model.learns_from_sampled_sets:
            return None
        start = torch.empty(self.n_members, 1, n_rows, device=self.device)
        for i, generator in enumerate(self._noise):
            torch.rand((1, n_rows), generator=generator, out=start[i])
        n, half = self.n_samples, -(-self.n_samples // 2)
        order = torch.arange(2 * half, device=self.device).reshape(half, 2).T.flatten()[:n]
        return ((order[:, None] + start) / n).frac()

    def _step(self, descend: Recorded, optimiser: FlatAdamW, schedule: float) -> Tensor:
        """One step; returns the mean negative bound of its rows, shape (members,)."""
        packed = self.batches.next()
        n_rows = packed.shape[1]
        uniform = self._uniform(n_rows)
        fit = descend(packed, self._eps(n_rows), *([] if uniform is None else [uniform]))
        optimiser.step(schedule)
        return fit

    def _descend(self, packed: Tensor, eps: Tensor, uniform: Tensor | None = None) -> Tensor:
        """Add a step's gradients; returns the mean negative bound of its rows."""
        batches, rows = self.batches, self.store.unpack(packed)
        bound = self.model.bound(rows, eps, self._known_base(rows), uniform)
        fit = -(bound * batches.weights).sum(1) / batches.total_of_step
        loss = self.model.penalty() / batches.total + fit
        loss.sum().backward()  # type: ignore[no-untyped-call]
        return fit.detach()

    def _recorded(self) -> Recorded:
        return Recorded(self._descend, records=self.records, forget=self.flat.gradients.zero_)

    def _known_base(self, rows: Rows) -> Base | None:
        """Closed-form posterior of a few steps ago, where it is dear and the rows are the same.

        A step that is recorded does the same every time, and takes the posterior anew.
        """
        dear = self.batches.whole and self.model.encoder.smooths(self.model.decoder)
        if self.records or not dear:
            return None
        if self._base is None or self._base_age >= _LASTS:
            self._base, self._base_age = self.model.base(rows), 0
        self._base_age += 1
        return self._base

    @torch.no_grad()
    def judge_rows(self) -> Tensor:
        """Negative bound of each held-out row, shape (members, held-out rows)."""
        bound = self.model.bound(self.store.take(self.held_out), self._judge_eps)
        return -torch.nan_to_num(bound, nan=-_UNUSABLE, posinf=-_UNUSABLE, neginf=-_UNUSABLE)

    def judge(self) -> Tensor:
        """Mean negative bound of the held-out rows, shape (members,)."""
        loss = self.judge_rows() * self.held_out_weight
        return loss.sum(1) / self.held_out_weight.sum(1).clamp_min(1)

    def run(
        self, on_step: Callable[[int], None] | None = None, target: float = math.inf
    ) -> Trained:
        """Train until the held-out loss settles, the steps are used up or there is no hope.

        Parameters
        ----------
        on_step : callable, optional
            Called with each step's number.
        target : float
            Mean held-out loss to come below: training ends when that is out of reach.

        Returns
        -------
        Trained
        """
        plan, optimiser, descend = self.plan, self._optimiser(), self._recorded()
        average = BestAverage(
            self.flat,
            self.judge,
            weight=self.averaging,
            every=plan.every,
            keep_last=not plan.stop_early,
        )
        steps, losses = [0], [average.best_loss.cpu().numpy()]
        training = [np.full(self.n_members, np.nan)]
        since = torch.zeros(self.n_members, device=self.device)
        for step in range(1, plan.n_steps + 1):
            since += self._step(descend, optimiser, cosine_schedule(step, plan.n_steps))
            average.add(step)
            if on_step is not None:
                on_step(step)
            if step % plan.every and step != plan.n_steps:
                continue
            losses.append(average.look(step).cpu().numpy())
            training.append(since.cpu().numpy() / (step - steps[-1]))
            since.zero_()
            steps.append(step)
            if step < plan.least:
                continue
            if bool(average.settled(step).all()) or _is_hopeless(
                steps, losses, plan.n_steps, target
            ):
                break
        average.restore()
        model = self.model.eval().requires_grad_(False)
        best_step = average.best_step.cpu().numpy()
        done = average.settled(steps[-1]).cpu().numpy() | (best_step < plan.n_steps)
        return Trained(
            model,
            tuple(steps),
            np.array(losses),
            np.array(training),
            int(optimiser.n_bad),
            best_step,
            done,
        )


def _is_hopeless(
    steps: list[int], losses: list[npt.NDArray[np.float64]], n_steps: int, target: float
) -> bool:
    """Tell whether the loss will not come below `target` in the steps that are left.

    Not if each doubling of the steps lowers it as much as the last one did, though they lower it
    less and less.
    """
    if len(steps) <= PATIENCE:
        return False
    half = int(np.searchsorted(steps, steps[-1] / 2))
    now, before = float(losses[-1].mean()), float(losses[half].mean())
    doublings = math.log2(n_steps / steps[-1])
    return now - max(0.0, before - now) * doublings > target
