"""The common fit: how many pattern sets, and whether the networks earn their keep.

Members are costly and many. Before they are trained, a few folds of the rows decide what they
should look like: sets are added while the held-out bound improves by more than its standard
error, and so are the networks, and latents where the correlations show more factors. The
folds' parameters are the members' start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from psmimpute.inference.at_random import GapsAtRandom
from psmimpute.inference.averaging import paired_gain
from psmimpute.inference.config import MANY_ROWS, FitConfig
from psmimpute.inference.covariates import CovariateFit, fit_on_folds, inform_store
from psmimpute.inference.em import LinearEM, patterns_for_em
from psmimpute.inference.groups import (
    OnStep,
    join_trained,
    local_groups,
    resamples_of,
    run_groups,
)
from psmimpute.inference.members import Resamples, fold_rows
from psmimpute.inference.plans import member_plan, plan_training, with_selection_effort
from psmimpute.inference.products import choose_products, write_products
from psmimpute.inference.start import Start
from psmimpute.inference.threads import one_thread
from psmimpute.inference.trainer import Plan, Trained, Trainer, samples_of_step
from psmimpute.model.encoders import SMOOTHED_DIM
from psmimpute.model.products import ProductTerms
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import RowStore
from psmimpute.model.spec import ModelSpec
from psmimpute.random import Purpose, stream_seed

_CANDIDATE_SETS = (1, 2, 3)
_MORE_CANDIDATES = (1, 2, 3, 5)  # for many rows
_N_FOLDS = 2
# A richer structure must beat the simpler one by so many standard errors. Networks start at zero
# and are stopped there where they do not help, so that they need less proof than sets.
_N_ERRORS, _N_ERRORS_OF_NETWORKS = 2.0, 1.0
# Nats per row. Stopping early on the rows that judge is worth about half of the first, and going
# on from a fit that has not settled about half of the second for each output.
_LEAST_GAIN, _LEAST_GAIN_OF_OUTPUT = 0.01, 0.001
# Nats in all rows: where these are few, that is what stopping networks early can be worth.
_LEAST_GAIN_OF_NETWORKS = 4.0
# Standard errors by which products may predict worse where no network is needed beside them, and
# by which they must predict better where one is.
_N_ERRORS_OF_PRODUCTS, _N_ERRORS_BESIDE_NETWORKS = 2.0, 1.0
# Up to so many latents a posterior that follows the networks is tried.
_MOST_SMOOTHED_DIM = 12
# Up to so many outputs, z as wide as a row is tried: columns may hang together in more ways than
# there are factors, as those that are nearly sums of others do.
_LARGEST_FULL_DIM = 32


@dataclass(frozen=True)
class Structure:
    """What the common fit decided.

    Attributes
    ----------
    spec : ModelSpec
        With the chosen number of sets, and without networks where they did not help.
    reason : str
        Why this number of sets and these networks, in words.
    start : PatternSetMixtureVAE
        The folds' parameters.
    comparisons : tuple of dict
        One for each candidate: sets, latents, networks, held-out loss, gain over the one before
        and its standard error, in nats per row.
    """

    spec: ModelSpec
    reason: str
    start: PatternSetMixtureVAE
    comparisons: tuple[dict[str, float | int | bool], ...]


@dataclass
class _Candidate:
    spec: ModelSpec
    trained: Trained
    rows: torch.Tensor  # held-out loss of each row, flat
    gain: float = 0.0  # nats per row that gaps at random have taken off it

    @property
    def loss(self) -> float:
        """Mean held-out loss of a row."""
        return float(self.rows.mean())


class CommonFit:
    """Fits candidates on folds of the rows.

    Parameters
    ----------
    spec : ModelSpec
        With the user's choices; `n_sets` is the choice where `sets` is fixed. Its products are
        taken in.
    store : RowStore
        Rows of the table.
    fit : FitConfig
        Options.
    seed : int
        Of the folds and of training noise.
    on_step : callable
        Called after every step.

    Attributes
    ----------
    rows : Tensor
        Held-out loss of each row under what was chosen, nats.
    """

    def __init__(
        self,
        spec: ModelSpec,
        store: RowStore,
        *,
        fit: FitConfig,
        seed: int,
        on_step: OnStep | None,
    ) -> None:
        self.store, self.fit, self.on_step = store, fit, on_step
        self._candidates: tuple[int, ...] = ()
        self._comparisons: list[dict[str, float | int | bool]] = []
        self.seed = stream_seed(seed, member=0, purpose=Purpose.SETS)
        n_rows = store.n_rows
        self.many = n_rows >= MANY_ROWS
        self.folds = fold_rows(n_rows, n_folds=1 if self.many else _N_FOLDS, seed=self.seed)
        plans = plan_training(n_rows, spec.latent_dim, fit)
        self.plans = replace(plans, linear=with_selection_effort(plans.linear, spec, fit))
        with one_thread():
            self.covariates = fit_on_folds(
                spec, store, fit=fit, plan=plans.deep, seed=seed, on_step=on_step
            )
        width = 0
        if self.covariates is not None:
            width = self.covariates.model.hidden_dim
            self.store = inform_store(store, self.covariates.model, seed=seed)
        self.spec = replace(spec, config=replace(spec.config, covariate_dim=width))
        if spec.products:
            self.store = inform_store(store, self._with_products(), seed=seed)
        self.rows = torch.empty(0)
        self.start = Start(self.store, spec.layout, self.covariates)

    def choose(self, *, sets: int | None) -> Structure:
        """Choose the structure.

        Parameters
        ----------
        sets : int or None
            Number of pattern sets where the user fixed it.
        """
        self._comparisons.clear()
        if sets is None:
            self._candidates = _MORE_CANDIDATES if self.many else _CANDIDATE_SETS
        else:
            self._candidates = (sets,)
        exact = self.spec.config.encoder == "exact"  # else there is no model without networks
        config = replace(self.spec.config, hidden_dim=0) if exact else self.spec.config
        plan = self.plans.linear if exact else self.plans.deep
        best = self._fit(replace(self.spec, config=config, n_sets=self._candidates[0]), None, plan)
        self._comparisons.append(_describe(best, None))
        best = self._try_networks(self._try_latents(best)) if exact else self._try_sets(best)
        most = self._candidates[-1] if sets is None else 0
        reason = _explain(best, most=most, comparisons=self._comparisons)
        reason += _explain_covariates(self.covariates)
        if n_products := len(best.spec.products):
            reason += f"; products of complete columns, {n_products} of them, before z"
        if exact and self.many and best.spec.hidden_dim > 0:
            best = self._train_on(best)
            reason += f"; trained on to {best.loss:.3f}"
        self.rows = best.rows
        return Structure(best.spec, reason, self._start_of(best), tuple(self._comparisons))

    def _start_of(self, best: _Candidate) -> PatternSetMixtureVAE:
        """Return the folds' parameters, beside each network that knows the covariates."""
        model = best.trained.model
        if isinstance(model.covariates, ProductTerms):
            write_products(model.covariates, self.spec, self.store)
        if self.covariates is None:
            return model
        networks = self.covariates.model.covariates
        start = model.subset([i % model.n_members for i in range(networks.n_members)])
        assert start.covariates is not None
        start.covariates.load_state_dict(networks.state_dict())
        return start

    def _with_products(self) -> PatternSetMixtureVAE:
        """Return a member of which the coefficients of products alone are known."""
        model = PatternSetMixtureVAE(self.spec, 1).to(self.store.packed.device)
        assert isinstance(model.covariates, ProductTerms)
        write_products(model.covariates, self.spec, self.store)
        return model

    def _train_on(self, best: _Candidate) -> _Candidate:
        """Train what was chosen up to as long again: many rows tell more than choosing takes."""
        plan = self.plans.deep
        return self._fit(best.spec, best, replace(plan, rate=0.5, least=plan.n_steps // 2))

    def _try_networks(self, linear: _Candidate) -> _Candidate:
        """Add networks, then sets.

        Where z has many dimensions, with a posterior that follows the networks and with one that
        does not: sets come from one alone, and make up for much of what it misses.
        """
        if self.spec.hidden_dim == 0:
            return self._try_sets(linear)
        config = replace(linear.spec.config, hidden_dim=self.spec.hidden_dim)
        spec = replace(linear.spec, config=config)
        if config.smoothing != "auto" or not SMOOTHED_DIM < spec.latent_dim <= _MOST_SMOOTHED_DIM:
            best = self._challenge(linear, spec, linear, self.plans.deep)
            return self._try_sets(best)
        follows, follows_not = (
            replace(spec, config=replace(config, smoothing=smoothing))
            for smoothing in (True, False)
        )
        best = self._challenge(linear, follows, linear, self.plans.deep)
        if best is not linear:
            plain = self._challenge(linear, follows_not, linear, self.plans.deep)
            rival = self._try_sets(plain)
            if self._is_clearly_better(rival, best):
                return rival
        return self._try_sets(best)

    def _try_latents(self, best: _Candidate) -> _Candidate:
        """Give z a dimension for each factor that the correlations show, or for each output."""
        spec = best.spec
        if spec.config.latent_dim != "auto":
            return best
        widths = {self.start.n_factors(spec.latent_dim)}
        if spec.full_latent_dim <= _LARGEST_FULL_DIM:
            widths.add(spec.full_latent_dim)
        for width in sorted(widths - {spec.latent_dim}):
            rival = replace(spec, config=replace(spec.config, latent_dim=width))
            best = self._challenge(best, rival, None, self.plans.linear)
        return best

    def _try_sets(self, best: _Candidate) -> _Candidate:
        plan = self.plans.linear if best.spec.hidden_dim == 0 else self.plans.more_sets
        for k in self._candidates[1:]:
            rival = self._challenge(best, replace(best.spec, n_sets=k), best, plan)
            if rival is best:
                break
            best = rival
        return best

    def _challenge(
        self, best: _Candidate, spec: ModelSpec, warm: _Candidate | None, plan: Plan
    ) -> _Candidate:
        """Fit a rival, from the parameters it has in common with `warm`; return the better."""
        target = best.loss + (best.gain if spec.n_sets == 1 else 0.0)
        rival = self._fit(spec, warm, plan, target)
        self._comparisons.append(_describe(rival, best))
        return rival if self._is_clearly_better(rival, best) else best

    def _is_clearly_better(self, rival: _Candidate, best: _Candidate) -> bool:
        gain, error = paired_gain(rival.rows, best.rows)
        least = max(_LEAST_GAIN, _LEAST_GAIN_OF_OUTPUT * best.spec.layout.n_outputs)
        if rival.spec.hidden_dim > 0 and best.spec.hidden_dim == 0:
            least = max(least, _LEAST_GAIN_OF_NETWORKS / self.store.n_rows)
            return gain > max(_N_ERRORS_OF_NETWORKS * error, least)
        return gain > max(_N_ERRORS * error, least)

    def _fit(
        self, spec: ModelSpec, warm: _Candidate | None, plan: Plan, target: float = math.inf
    ) -> _Candidate:
        n_folds = self.folds.counts.shape[0]
        model = PatternSetMixtureVAE(spec, n_folds)
        generators = [
            torch.Generator().manual_seed(stream_seed(self.seed, member=i, purpose=Purpose.START))
            for i in range(n_folds)
        ]
        self.start.write(model, generators)
        model.to(self.store.packed.device)
        if warm is not None:
            copy_shared(warm.trained.model, model, list(range(n_folds)))
        trainer = Trainer(model, self.store, self.folds, fit=self.fit, plan=plan, seed=self.seed)
        with one_thread():  # folds are too little work for two
            trained = trainer.run(self.on_step, target)
        counts = trainer.held_out_weight > 0
        rows = trainer.judge_rows()[counts]
        if spec.n_sets > 1 or not self._sets_are_open:
            return _Candidate(spec, trained, rows)
        gain = self.at_random.gain(model).to(rows)[counts]
        return _Candidate(spec, trained, rows - gain, float(gain.mean()))

    @property
    def _sets_are_open(self) -> bool:
        """Whether sets may be added that explain gaps beside the columns without."""
        spec = self.spec
        explained = spec.missingness == "shared" and bool(spec.gappy) and spec.explains_gaps
        return explained and not spec.config.mask_latent and len(self._candidates) > 1

    @cached_property
    def at_random(self) -> GapsAtRandom:
        """The gaps explained as missing at random, which sets have to beat."""
        return GapsAtRandom(self.store, self.spec.layout, self.spec.gappy, self.folds)


def choose_structure(
    spec: ModelSpec,
    store: RowStore,
    *,
    fit: FitConfig,
    seed: int,
    on_step: OnStep | None,
    sets: int | None,
) -> tuple[Structure, RowStore]:
    """Choose the structure, with products of complete columns where these predict better.

    A column may bend by z, as a predictor that interacts does with its outcome: then networks are
    still needed beside products, and describe it better alone.

    Parameters
    ----------
    spec, store, fit, seed, on_step
        See :class:`CommonFit`.
    sets : int or None
        Number of pattern sets where the user fixed it.

    Returns
    -------
    structure : Structure
    store : RowStore
        The rows as the members learn from them.
    """
    common = CommonFit(spec, store, fit=fit, seed=seed, on_step=on_step)
    structure = common.choose(sets=sets)
    products = choose_products(spec, store) if common.covariates is None else ()
    if not products:
        return structure, common.store
    rival = CommonFit(replace(spec, products=products), store, fit=fit, seed=seed, on_step=on_step)
    found = rival.choose(sets=sets)
    gain, error = paired_gain(rival.rows, common.rows)
    bends = found.spec.hidden_dim > 0
    if gain > error * (_N_ERRORS_BESIDE_NETWORKS if bends else -_N_ERRORS_OF_PRODUCTS):
        return found, rival.store
    reason = f"{structure.reason}; products of complete columns did not help"
    return replace(structure, reason=reason), common.store


def train_members(
    structure: Structure,
    store: RowStore,
    resamples: Resamples,
    *,
    fit: FitConfig,
    seed: int,
    first: int,
    on_step: OnStep | None,
) -> Trained:
    """Train one member on each resample, from the start that the common fit found.

    `first` is the number of the first member.
    """
    device = store.packed.device
    store = inform_store(store, structure.start, seed=seed)
    patterns = patterns_for_em(structure.start, store)

    def train(group: range, on_step: OnStep | None) -> Trained:
        trainer = member_trainer(
            structure,
            store,
            resamples_of(resamples, group),
            fit=fit,
            seed=seed,
            first=first + group.start,
        )
        by_em = trainer if patterns is None else LinearEM(trainer, patterns)
        return by_em.run(on_step)

    n_members = resamples.counts.shape[0]
    if patterns is None:
        groups = member_groups(structure, store, n_members, fit=fit)
    else:
        groups = local_groups(n_members, patterns.n_sums, device)
    trained = join_trained(run_groups(train, groups, device=device, on_step=on_step), device)
    if isinstance(trained.model.covariates, ProductTerms):
        write_products(trained.model.covariates, structure.spec, store, resamples.counts)
    return trained


def member_groups(
    structure: Structure, store: RowStore, n_members: int, *, fit: FitConfig
) -> list[range]:
    """Split members into the groups that are trained beside each other on this machine."""
    plan = member_plan(structure.spec, store.n_rows, fit)
    n_samples = samples_of_step(structure.start, plan, fit)
    size = _largest_tensor(structure.start, n_samples, fit.rows_at_once(store.n_rows))
    return local_groups(n_members, size, store.packed.device)


def member_trainer(
    structure: Structure,
    store: RowStore,
    resamples: Resamples,
    *,
    fit: FitConfig,
    seed: int,
    first: int,
) -> Trainer:
    """Make the trainer of one member on each resample; see :func:`train_members`."""
    n_members, n_starts = resamples.counts.shape[0], structure.start.n_members
    model = PatternSetMixtureVAE(structure.spec, n_members).to(store.packed.device)
    copy_shared(structure.start, model, [(first + i) % n_starts for i in range(n_members)])
    plan = member_plan(structure.spec, store.n_rows, fit)
    return Trainer(model, store, resamples, fit=fit, plan=plan, seed=seed, first=first)


def _largest_tensor(model: PatternSetMixtureVAE, n_samples: int, n_rows: int) -> int:
    """Numbers in the largest tensor of a member's step of so many samples and rows."""
    spec = model.spec
    wide = max(spec.hidden_dim, spec.layout.n_outputs)
    if model.learns_from_sampled_sets:  # z is in every set until its own is drawn
        return n_samples * n_rows * max(wide, spec.n_sets * spec.latent_dim)
    return n_samples * spec.n_sets * n_rows * max(wide, spec.latent_dim)


@torch.no_grad()
def copy_shared(
    source: PatternSetMixtureVAE, target: PatternSetMixtureVAE, members: list[int]
) -> None:
    """Copy the parameters that both models have.

    Parameters
    ----------
    source, target : PatternSetMixtureVAE
        `target` is changed in place.
    members : list of int
        Member of `source` whose parameters each member of `target` gets.
    """
    given = dict(source.named_parameters())
    for name, p in target.named_parameters():
        if name in given and given[name].shape[1:] == p.shape[1:]:
            p.copy_(given[name][members])


def _describe(rival: _Candidate, best: _Candidate | None) -> dict[str, float | int | bool]:
    gain, error = paired_gain(rival.rows, best.rows) if best else (float("nan"), float("nan"))
    return {
        "n_sets": rival.spec.n_sets,
        "latents": rival.spec.latent_dim,
        "networks": rival.spec.hidden_dim > 0,
        "smoothed": rival.spec.hidden_dim > 0 and rival.spec.smoothing,
        "held_out_loss": rival.loss,
        "gain": gain,
        "standard_error": error,
    }


def _explain(
    best: _Candidate, *, most: int, comparisons: list[dict[str, float | int | bool]]
) -> str:
    k = best.spec.n_sets
    if not most:
        text = f"{k} pattern set{'s' if k > 1 else ''}, as asked"
    else:
        several = len({row["latents"] for row in comparisons}) > 1
        ways = len({row["smoothed"] for row in comparisons if row["networks"]}) > 1
        shown = "; ".join(_show(row, latents=several, ways=ways) for row in comparisons)
        why = "the most that are tried" if k == most else "one more did not help"
        text = f"{k} pattern set{'s' if k > 1 else ''}, {why} (held-out nats per row: {shown})"
    if best.spec.hidden_dim == 0:
        text += "; no networks: the linear model predicts rows held out as well"
    return text


def _explain_covariates(covariates: CovariateFit | None) -> str:
    if covariates is None:
        return ""
    text = "; a network predicts columns with gaps from those without"
    if math.isnan(covariates.gain):
        return text + ", as asked"
    return text + f", gain over lines {covariates.gain:.3f} ± {covariates.error:.3f}"


def _show(row: dict[str, float | int | bool], *, latents: bool, ways: bool) -> str:
    k = row["n_sets"]
    kind = "with networks" if row["networks"] else "linear"
    more = ["smoothed"] if ways and row["smoothed"] else []
    more += [f"{row['latents']} latents"] if latents else []
    kind = ", ".join([kind, *more]) + "," * bool(more)
    gain = (
        "" if np.isnan(row["gain"]) else f", gain {row['gain']:.3f} ± {row['standard_error']:.3f}"
    )
    return f"{k} set{'s' if k > 1 else ''} {kind} {row['held_out_loss']:.3f}{gain}"
