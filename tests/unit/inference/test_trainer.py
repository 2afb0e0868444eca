"""Training: likelihoods rise, members and batches are independent, and nothing breaks it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from psmimpute.exceptions import ConfigError
from psmimpute.inference.config import FitConfig
from psmimpute.inference.members import Resamples, resample_rows
from psmimpute.inference.plans import plan_training
from psmimpute.inference.start import Start
from psmimpute.inference.structure import CommonFit
from psmimpute.inference.trainer import Plan, Trainer, _is_hopeless
from psmimpute.model.config import ModelConfig

N_ROWS = 60


@pytest.fixture
def exact(linear_gaussian):
    return linear_gaussian(n_rows=N_ROWS, n_sets=1, n_members=4)


def _train(exact, *, members=range(4), plan=None, fit=None, first=0, target=math.inf, **options):
    model = exact.model(**options)
    model = model.subset(list(members)).requires_grad_(True)
    resamples = resample_rows(N_ROWS, members=members, seed=3, resample=True)
    trainer = Trainer(
        model,
        exact.store(),
        resamples,
        fit=fit or FitConfig(),
        plan=plan or Plan(30, 2, every=10),
        seed=9,
        first=first,
    )
    return trainer.run(target=target)


def test_the_held_out_loss_falls_and_the_best_state_is_kept(exact):
    trained = _train(exact, plan=Plan(60, 2, every=10))
    start, last = trained.losses[0], trained.losses.min(0)
    assert trained.steps == (0, 10, 20, 30, 40, 50, 60)
    assert (last < start - 0.3).all()
    for e, step in enumerate(trained.best_step):
        assert trained.losses[trained.steps.index(step), e] == trained.losses[:, e].min()
    assert not any(p.requires_grad for p in trained.model.parameters())


def test_the_loss_is_the_negative_exact_log_likelihood_of_the_held_out_rows(exact):
    """With one Gaussian set the bound is tight, whatever the noise."""
    resamples = resample_rows(N_ROWS, members=range(4), seed=3, resample=True)
    trained = _train(exact, plan=Plan(1, 2, every=1))
    for e in range(4):
        rows = resamples.held_out[e][resamples.held_out_weight[e] > 0]
        expected = -exact.log_likelihood(e)[rows].mean()
        assert trained.losses[0, e] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("batch_rows", "hidden_dim", "expected"), [(512, 4, 3), (512, 0, 12), (16, 4, 12)]
)
def test_a_dear_proposal_serves_four_steps_on_the_same_rows(
    exact, monkeypatch, batch_rows, hidden_dim, expected
):
    model, n = exact.model(hidden_dim=hidden_dim), []
    counts = resample_rows(N_ROWS, members=range(4), seed=3, resample=True)
    fit = FitConfig(batch_rows=batch_rows)
    trainer = Trainer(model, exact.store(), counts, fit=fit, plan=Plan(12, 2, every=12), seed=9)
    base = model.base
    monkeypatch.setattr(model, "base", lambda rows: n.append(rows.values.shape[1]) or base(rows))
    trainer.run()
    # Two looks at the rows held out, at the start and at the end, take their own.
    assert len(n) == expected + 2


@pytest.mark.parametrize("batch_rows", [512, 16])
def test_a_member_is_the_same_alone_and_among_others(exact, batch_rows):
    """Batched products may round differently; thirty steps blow that up a little."""
    fit, plan = FitConfig(batch_rows=batch_rows), Plan(30, 2, every=10, stop_early=False)
    together = _train(exact, fit=fit, plan=plan)
    alone = _train(exact, fit=fit, plan=plan, members=range(2, 3), first=2)
    own = dict(alone.model.named_parameters())
    for name, p in together.model.named_parameters():
        assert_allclose(p[2], own[name][0], atol=2e-4, err_msg=name)
    assert_allclose(together.losses[:, 2], alone.losses[:, 0], atol=1e-3)


def test_a_resample_counts_each_row_as_often_as_it_was_drawn(exact):
    """One step on weighted rows is one step on the rows themselves, in some order."""
    counts = resample_rows(N_ROWS, members=range(4), seed=3, resample=True)
    fit = FitConfig()
    weighted = Trainer(
        exact.model(), exact.store(), counts, fit=fit, plan=Plan(1, 2, every=1), seed=9
    )
    batches = weighted.batches
    rows = weighted.store.unpack(batches.next())
    bound = weighted.model.bound(rows, torch.zeros(4, 1, 1, N_ROWS, 2))
    loss = (bound * batches.weights).sum(1) / batches.total_of_step
    for e in range(4):
        repeated = np.repeat(exact.log_likelihood(e), counts.counts[e])
        assert loss[e].item() == pytest.approx(repeated.mean(), abs=1e-4)


def test_minibatches_are_epochs_of_the_members_own_rows(exact):
    fit, counts = (
        FitConfig(batch_rows=12),
        resample_rows(N_ROWS, members=range(4), seed=3, resample=True),
    )
    exact = exact.with_rows(np.arange(N_ROWS, dtype=float)[:, None] + np.zeros(5))
    trainer = Trainer(
        exact.model(), exact.store(), counts, fit=fit, plan=Plan(1, 2, every=1), seed=9
    )
    assert not trainer.batches.whole
    taken = torch.cat(
        [trainer.store.unpack(trainer.batches.next()).values[..., 0] for _ in range(5)], 1
    )
    for e in range(4):
        found = np.bincount(taken[e].int().numpy(), minlength=N_ROWS)
        assert_array_equal(found, counts.counts[e])


def test_early_stopping_stops_early(exact):
    """Once no look improves, the rest of the steps is not taken."""
    fit = FitConfig(learning_rate=0.0, network_rate=0.0)
    trained = _train(exact, fit=fit, plan=Plan(500, 2, every=5))
    assert trained.steps[-1] < 500
    assert trained.settled.all()
    assert_array_equal(trained.best_step, 0)


def test_without_early_stopping_all_steps_are_taken(exact):
    trained = _train(exact, plan=Plan(30, 2, every=10, stop_early=False))
    assert_array_equal(trained.best_step, 30)


def test_a_loss_that_is_not_finite_is_not_kept(exact):
    model = exact.model().requires_grad_(True)
    resamples = resample_rows(N_ROWS, members=range(4), seed=3, resample=True)
    trainer = Trainer(
        model, exact.store(), resamples, fit=FitConfig(), plan=Plan(4, 2, every=1), seed=9
    )
    real, calls = trainer._step, []

    def step(*given):
        loss = real(*given)
        calls.append(1)
        if len(calls) == 3:
            trainer.flat.values[trainer.flat.member == 1] = torch.nan
        return loss

    trainer._step = step
    trained = trainer.run()
    assert trained.best_step[1] < 3
    assert trained.bad_gradients > 0
    assert all(bool(torch.isfinite(p).all()) for p in trained.model.parameters())


def test_every_step_is_reported(exact):
    model = exact.model().requires_grad_(True)
    resamples = resample_rows(N_ROWS, members=range(4), seed=3, resample=True)
    plan, steps = Plan(7, 2, every=3), []
    Trainer(model, exact.store(), resamples, fit=FitConfig(), plan=plan, seed=9).run(steps.append)
    assert steps == [1, 2, 3, 4, 5, 6, 7]


def test_steps_that_are_owed_are_taken_though_the_loss_rises(exact):
    hasty, owed = (
        _train(exact, plan=Plan(60, 2, every=2, least=least), fit=FitConfig(learning_rate=3.0))
        for least in (0, 50)
    )
    assert hasty.steps[-1] < 30
    assert owed.steps[-1] >= 50


def test_many_sets_are_sampled_evenly_and_alike_however_members_are_grouped(linear_gaussian):
    exact = linear_gaussian(n_rows=N_ROWS, n_sets=5, n_members=4)
    model = exact.model(hidden_dim=4).requires_grad_(True)
    resamples = resample_rows(N_ROWS, members=range(4), seed=3, resample=True)
    plan = Plan(1, 4, every=1)  # twice as many where each has a set of its own
    trainer = Trainer(model, exact.store(), resamples, fit=FitConfig(), plan=plan, seed=9)
    uniform = trainer._uniform(N_ROWS)
    assert uniform.shape == (4, 8, N_ROWS)
    strata = (8 * uniform).floor().long()
    assert (strata.sort(1).values == torch.arange(8)[:, None]).all()
    assert (strata[:, :4] // 2 == strata[:, 4:] // 2).all()  # antithetic samples are neighbours
    whole = _train(exact, plan=Plan(3, 4, every=1), hidden_dim=4)
    part = _train(exact, plan=Plan(3, 4, every=1), hidden_dim=4, members=range(2, 4), first=2)
    assert (whole.losses[-1] < whole.losses[0]).all()
    np.testing.assert_allclose(part.losses, whole.losses[:, 2:], rtol=1e-4)


@pytest.mark.parametrize("n_sets", [1, 3])
@pytest.mark.parametrize("missingness", ["shared", "selection", "ignorable"])
def test_the_start_is_far_better_than_nothing_and_finite(linear_gaussian, n_sets, missingness):
    exact = linear_gaussian(n_rows=200, n_sets=n_sets)
    rng = np.random.default_rng(1)
    latent = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 5))
    x = np.where(np.isnan(exact.x), np.nan, latent + 0.4 * rng.normal(size=(200, 5)))
    exact = exact.with_rows((x - np.nanmean(x, 0)) / np.nanstd(x, 0))
    model = exact.model(missingness=missingness)
    generators = [torch.Generator().manual_seed(e) for e in range(2)]
    rows, eps = exact.store().all(), torch.zeros(2, 1, 1, 200, 2)
    with torch.no_grad():
        model.decoder.loadings.zero_()
        model.decoder.intercept.zero_()
        model.likelihoods[0].log_scale.zero_()
        nothing = model.bound(rows, eps).mean()
        Start(exact.store(), model.spec.layout).write(model, generators)
        started = model.bound(rows, eps).mean()
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert started > nothing + 0.3


def _choose(x, *, linear_gaussian, sets=None, steps=60, hidden_dim=0):
    exact = linear_gaussian(n_rows=len(x), n_sets=1, n_members=1).with_rows(x)
    spec = exact.model(hidden_dim=hidden_dim).spec
    fit = FitConfig(max_steps=steps)
    found = CommonFit(spec, exact.store(), fit=fit, seed=1, on_step=None)
    return found.choose(sets=sets)


def test_of_many_rows_what_was_chosen_is_trained_on(linear_gaussian, rng, monkeypatch):
    monkeypatch.setattr("psmimpute.inference.structure.MANY_ROWS", 300)
    bent = rng.normal(size=(400, 1)) + np.zeros(5)
    bent[:, 1::2] **= 2
    x = bent + 0.2 * rng.normal(size=(400, 5))
    few, many = (
        _choose(x[:n], linear_gaussian=linear_gaussian, sets=1, hidden_dim=16) for n in (299, 400)
    )
    for chosen in (few, many):
        assert chosen.spec.hidden_dim == 16
    assert "trained on" not in few.reason
    told = float(many.reason.rpartition("trained on to ")[2])
    assert told <= many.comparisons[-1]["held_out_loss"] + 5e-4


def test_the_number_of_sets_is_chosen_on_held_out_rows_and_says_why(linear_gaussian, rng):
    n = 300
    one = rng.normal(size=(n, 5))
    centre = np.where(rng.random((n, 1)) < 0.5, -2.0, 2.0) * np.array([1, 1, -1, 1, 0.0])
    two = 0.4 * rng.normal(size=(n, 5)) + centre
    gaps = rng.random((n, 5)) < 0.2
    chosen = [
        _choose(np.where(gaps, np.nan, x / x.std(0)), linear_gaussian=linear_gaussian)
        for x in (one, two)
    ]
    assert chosen[0].spec.n_sets == 1
    assert chosen[0].reason.startswith("1 pattern set, ")
    assert f"{chosen[0].comparisons[0]['held_out_loss']:.3f}" in chosen[0].reason
    assert chosen[1].spec.n_sets >= 2
    assert chosen[1].reason.startswith(f"{chosen[1].spec.n_sets} pattern sets, ")
    first, second = chosen[1].comparisons[:2]
    assert second["held_out_loss"] < first["held_out_loss"]
    assert second["gain"] > 2 * second["standard_error"]


@pytest.mark.parametrize("smoothing", ["auto", True, False])
def test_networks_are_tried_with_a_posterior_that_follows_them_and_without(
    linear_gaussian, rng, smoothing
):
    x = rng.normal(size=(1000, 8))
    x[:, 7] = 0.8 * x[:, 0] * x[:, 1] + 0.3 * x[:, 7]
    exact = linear_gaussian(n_rows=4, n_sets=1, n_members=1, n_columns=8).with_rows(x)
    config = ModelConfig(latent_dim=8, hidden_dim=16, smoothing=smoothing)
    spec = replace(exact.model().spec, config=config)
    fit = FitConfig(max_steps=300)
    found = CommonFit(spec, exact.store(), fit=fit, seed=1, on_step=None).choose(sets=None)
    tried = {bool(row["smoothed"]) for row in found.comparisons if row["networks"]}
    assert tried == ({True, False} if smoothing == "auto" else {smoothing})
    assert ("1 set with networks, smoothed, " in found.reason) is (smoothing == "auto")
    # A line that follows the product is much better than none.
    assert found.spec.hidden_dim == 16
    assert found.spec.smoothing is bool(smoothing)
    assert found.start.encoder.smoothing is found.spec.smoothing


def test_a_number_of_sets_asked_for_is_kept(linear_gaussian, rng):
    found = _choose(rng.normal(size=(60, 5)), linear_gaussian=linear_gaussian, sets=3)
    assert found.spec.n_sets == 3
    assert found.reason.startswith("3 pattern sets, as asked")


@pytest.mark.parametrize("max_steps", [1, 2, 7, 1000])
@pytest.mark.parametrize("n_rows", [2, 500, 50_000])
def test_every_plan_takes_at_least_one_step_and_one_look(max_steps, n_rows):
    plans = plan_training(n_rows, 4, FitConfig(max_steps=max_steps))
    for plan in (plans.linear, plans.deep, plans.more_sets, plans.members):
        assert plan.n_steps >= 1
        assert plan.every >= 1
        assert plan.n_samples >= 1
    assert plans.deep.n_steps == max_steps
    assert plans.members.n_steps <= max_steps


@pytest.mark.parametrize(
    ("covariates", "n_samples", "more"), [("auto", 4, 2), (False, 4, 2), (True, 8, 4)]
)
def test_self_masking_is_learned_with_more_steps_that_draw_alike(
    linear_gaussian, covariates, n_samples, more
):
    exact = linear_gaussian(n_rows=40, n_sets=1, n_members=2, n_columns=3)
    config = ModelConfig(hidden_dim=0, mask_covariates=covariates)
    common = {}
    for missingness in ("selection", "shared"):
        spec = replace(exact.model().spec, missingness=missingness, gappy=(0, 1), config=config)
        fit = CommonFit(spec, exact.store(), fit=FitConfig(), seed=1, on_step=None)
        common[missingness] = fit.plans.linear
    selection, shared = common["selection"], common["shared"]
    assert (selection.n_samples, selection.n_steps) == (n_samples, more * shared.n_steps)
    assert selection.same_noise
    assert not shared.same_noise


@pytest.mark.parametrize("same", [False, True])
def test_steps_draw_by_the_same_noise_only_if_they_are_told_to(linear_gaussian, same):
    exact = linear_gaussian(n_rows=20, n_sets=1, n_members=2)
    plan = Plan(2, 4, every=1, same_noise=same)
    resamples = resample_rows(20, members=range(2), seed=3, resample=True)
    trainer = Trainer(exact.model(), exact.store(), resamples, fit=FitConfig(), plan=plan, seed=9)
    first, second = trainer._eps(20), trainer._eps(20)
    assert torch.equal(first, second) is same
    assert torch.equal(first[:, 2:], -first[:, :2])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"n_samples": 0}, "n_samples must be at least 1, got 0"),
        ({"batch_rows": 0}, "batch_rows must be at least 1, got 0"),
        ({"n_draw_samples": -3}, "n_draw_samples must be at least 1, got -3"),
        ({"draw_rows": 0}, "draw_rows must be at least 1, got 0"),
        ({"learning_rate": -0.1}, r"learning_rate must lie in \[0, 10\), got -0.1"),
        ({"network_rate": float("nan")}, r"network_rate must lie in \[0, 10\), got nan"),
        ({"learning_rate": "0.1"}, "learning_rate must be a number, got '0.1'"),
        ({"weight_decay": 10.0}, r"weight_decay must lie in \[0, 10\), got 10.0"),
    ],
)
def test_an_impossible_option_is_refused(option, message):
    with pytest.raises(ConfigError, match=message):
        FitConfig(**option)


def test_networks_learn_faster_from_many_rows():
    fit = FitConfig()
    assert fit.network_rate_for(4096) == 0.3
    assert fit.network_rate_for(4097) == 1.2
    assert FitConfig(network_rate=0.3).network_rate_for(4097) == 0.3


@pytest.mark.parametrize(("rate", "shift"), [("auto", 0.3), (0.5, 0.5)])
def test_the_networks_rate_is_relative_to_that_of_the_lines(exact, rate, shift):
    """The first step of Adam is the learning rate, whatever the gradient."""
    bent = exact.model(hidden_dim=4).requires_grad_(True)
    resamples = resample_rows(N_ROWS, members=range(4), seed=3, resample=True)
    fit = FitConfig(network_rate=rate, weight_decay=0.0)
    plan = Plan(1, 2, every=1, stop_early=False)
    trainer = Trainer(bent, exact.store(), resamples, fit=fit, plan=plan, seed=9)
    before = {name: p.detach().clone() for name, p in bent.named_parameters()}
    trainer._step(trainer._recorded(), trainer._optimiser(), 1.0)
    moved = {name: (p.detach() - before[name]).abs().max() for name, p in bent.named_parameters()}
    assert_allclose(moved["decoder.loadings"], fit.learning_rate, rtol=1e-3)
    assert_allclose(moved["decoder.head.bias"], shift * fit.learning_rate, rtol=1e-3)


def test_padding_of_the_held_out_rows_does_not_count(exact):
    counts = np.ones((4, N_ROWS), dtype=np.int64)
    held_out = np.zeros((4, 3), dtype=np.int64)
    held_out[:, :2] = [7, 9]
    weight = np.array([[1, 1, 0]] * 4, dtype=np.float32)
    trainer = Trainer(
        exact.model(),
        exact.store(),
        Resamples(counts, held_out, weight),
        fit=FitConfig(),
        plan=Plan(1, 2, every=1),
        seed=0,
    )
    loss = trainer.run().losses[0]
    expected = [-exact.log_likelihood(e)[[7, 9]].mean() for e in range(4)]
    assert_allclose(loss, expected, atol=1e-4)


def _losses(*values):
    return [np.array([value]) for value in values]


def test_a_rival_out_of_reach_is_given_up():
    steps = list(range(0, 80, 10))
    falling = _losses(9.0, 8.0, 7.0, 6.4, 6.0, 5.7, 5.5, 5.4)
    # From step 40 to 70 it fell by .6, and 300 steps are two doublings away: 4.1 at best.
    assert not _is_hopeless(steps, falling, 300, 4.2)
    assert _is_hopeless(steps, falling, 300, 4.0)
    assert not _is_hopeless(steps, falling, 300, math.inf)
    assert _is_hopeless(steps, falling, 70, 5.3)  # no steps are left
    assert not _is_hopeless(steps[:6], falling[:6], 300, 0.0)  # too early to tell


def test_a_fit_with_a_target_out_of_reach_ends_early(exact):
    plan = Plan(200, 2, every=5)
    given_up, whole = (_train(exact, plan=plan, target=t) for t in (-1e9, math.inf))
    assert given_up.steps == tuple(range(0, 40, 5))[: len(given_up.steps)]
    assert len(given_up.steps) < len(whole.steps)


@pytest.mark.parametrize(
    ("hidden_dim", "stop_early", "expected"), [(0, False, 0.02), (0, True, 0.05), (4, False, 0.05)]
)
def test_linear_members_of_many_rows_are_averaged_over_more_steps(
    exact, hidden_dim, stop_early, expected
):
    """One row of sixty a step: the mean would be over sixty steps, if half of them were so many."""
    counts = resample_rows(N_ROWS, members=range(4), seed=3, resample=True)
    plan = Plan(100, 2, every=10, stop_early=stop_early)
    trainer = Trainer(
        exact.model(hidden_dim=hidden_dim),
        exact.store(),
        counts,
        fit=FitConfig(batch_rows=1),
        plan=plan,
        seed=9,
    )
    assert trainer.averaging == pytest.approx(expected)
    whole = Trainer(exact.model(), exact.store(), counts, fit=FitConfig(), plan=plan, seed=9)
    assert whole.averaging == 0.05
