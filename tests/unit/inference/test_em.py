"""EM of linear Gaussian members: it climbs, ends at the optimum, and knows when to stay out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize

from psmimpute.inference.config import FitConfig
from psmimpute.inference.em import LinearEM, pattern_of_rows, patterns_for_em
from psmimpute.inference.members import Resamples, resample_rows
from psmimpute.inference.trainer import Plan, Trainer

N_ROWS, N_COLUMNS, N_MEMBERS = 120, 4, 3
MASKED = {"missingness": "shared"}
VARIANTS = {
    "tied": {},
    "separate": {"decoders": "separate"},
    "paper": {"decoders": "separate", "evidence": "paper"},
    "all weight on x_mis": {"decoders": "separate", "pi": 0.0},
    "all weight on x_obs": {"decoders": "separate", "pi": 1.0},
    "mask": {"decoders": "separate", **MASKED},
}


@pytest.fixture
def exact(linear_gaussian):
    return linear_gaussian(
        n_rows=N_ROWS, n_sets=1, n_members=N_MEMBERS, n_columns=N_COLUMNS, latent_dim=N_COLUMNS
    )


def _trainer(exact, *, counts=None, n_steps=200, model=None, **options):
    model = model or exact.model(**options)
    n_rows = len(exact.x)
    resamples = resample_rows(n_rows, members=range(model.n_members), seed=3, resample=True)
    if counts is not None:
        held_out = np.zeros((model.n_members, 1), dtype=np.int64)
        resamples = Resamples(counts, held_out, np.ones(held_out.shape, dtype=np.float32))
    plan = Plan(n_steps, 2, every=10)
    return Trainer(model, exact.store(), resamples, fit=FitConfig(), plan=plan, seed=9)


def _em(trainer):
    patterns = patterns_for_em(trainer.model, trainer.store)
    return None if patterns is None else LinearEM(trainer, patterns)


def _double(trainer):
    trainer.model.double()
    trainer.store = replace(trainer.store, packed=trainer.store.packed.double())
    trainer._judge_eps = trainer._judge_eps.double()
    return trainer


def _bounds(trainer):
    """Weighted sums of the exact log likelihood of the members."""
    rows, model = trainer.store.all(), trainer.model
    eps = torch.zeros(1, 1, 1, rows.values.shape[1], model.spec.latent_dim).to(rows.values)
    return (model.bound(rows, eps) * torch.from_numpy(trainer.counts.astype(float))).sum(1)


@torch.no_grad()
def _slopes(trainer, step=1e-4):
    """Derivatives of the penalised likelihood of all members by each parameter."""
    found = {}
    for name, p in trainer.model.named_parameters():
        if "prior" in name or not p.numel():
            continue
        flat, found[name] = p.view(-1), np.empty(p.numel())
        for i in range(p.numel()):
            sides = []
            for h in (step, -2 * step):
                flat[i] += h
                sides.append(float((_bounds(trainer) - trainer.model.penalty()).sum()))
            flat[i] += step
            found[name][i] = (sides[0] - sides[1]) / (2 * step)
    return found


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_the_penalised_likelihood_never_falls_and_ends_where_its_gradient_is_zero(exact, options):
    trainer = _double(_trainer(exact, **options))
    decoder, generator = trainer.model.decoder, torch.Generator().manual_seed(1)
    with torch.no_grad():  # far from where it ends
        for p in (decoder.shift, decoder.slope) if decoder.slope is not None else ():
            p += 0.5 * torch.randn(p.shape, generator=generator)
    em = _em(trainer)
    climbed = []

    def look(_):
        climbed.append((_bounds(trainer) - trainer.model.penalty()).detach().numpy())

    trained = em.run(look)
    assert trained.settled.all()
    assert len(climbed) < 60
    assert (np.diff(climbed, axis=0) > -1e-9).all()
    # A standard error is about 1 / sqrt(120): times it, a slope is the gain within reach. How the
    # variance is split between loadings and noise only the priors know, and EM leaves it.
    for name, slopes in _slopes(trainer).items():
        assert_allclose(slopes / N_ROWS**0.5, 0.0, atol=0.1, err_msg=name)


@pytest.fixture
def halfway(exact):
    """EM at parameters with large deviations of x_mis, and what it expects there."""
    em = _em(_double(_trainer(exact, decoders="separate")))
    em.model.requires_grad_(False)
    p = em.read()
    generator = torch.Generator().manual_seed(2)
    far = 0.7 * torch.randn(p.direct.shape, generator=generator, dtype=torch.float64)
    p = p._replace(deviation=far)
    return em, p, em.expect(p)


def _penalty(direct, deviation):
    return 0.5 * (direct[:, :, 1:] ** 2).sum() + 5.0 * (deviation**2).sum()


def test_each_regression_is_at_its_optimum(halfway):
    em, p, found = halfway
    new = em.regress(p, found)
    direct, deviation = (a.clone().requires_grad_(True) for a in (new.direct, new.deviation))
    cost = _penalty(direct, deviation)
    for weight, b in ((em.own, direct), (em.supervised, direct + deviation)):
        squares = (b * ((found.products @ b[..., None])[..., 0] - 2 * found.crossed)).sum(2)
        cost = cost + 0.5 * (weight / p.variance * squares).sum()
    cost.backward()
    assert_allclose(direct.grad, 0.0, atol=1e-5)
    assert_allclose(deviation.grad, 0.0, atol=1e-5)


def test_the_mean_and_the_covariance_given_away_are_at_their_optimum(halfway):
    em, p, found = halfway
    new = em.give_away(p, found)
    inverse = torch.linalg.inv(p.direct[:, :, 1:])
    centre = inverse @ (new.direct[:, :, :1] - p.direct[:, :, :1])
    root = inverse @ new.direct[:, :, 1:]
    one = torch.eye(N_COLUMNS, dtype=torch.float64).expand_as(root)

    def cost(centre, root):
        mixed = found.total[:, 1:, :1] @ centre.transpose(1, 2)
        around = found.total[:, 1:, 1:] - mixed - mixed.transpose(1, 2)
        around = around + em.n_rows[:, None, None] * centre @ centre.transpose(1, 2)
        covariance = root @ root.transpose(1, 2)
        fit = (torch.linalg.inv(covariance) * around).sum() / 2
        fit = fit + 0.5 * (em.n_rows * torch.logdet(covariance)).sum()
        moved = [
            torch.cat([b[:, :, :1] + b[:, :, 1:] @ centre, b[:, :, 1:] @ root], 2)
            for b in (p.direct, p.deviation)
        ]
        return fit + _penalty(*moved)

    at = centre.clone().requires_grad_(True)
    cost(at, one).backward()
    assert_allclose(at.grad, 0.0, atol=1e-8)
    spread = root.clone().requires_grad_(True)
    cost(centre, spread).backward()
    assert_allclose(spread.grad, 0.0, atol=1e-8)


def test_the_losses_are_those_of_the_model(exact):
    trainer = _trainer(exact, n_steps=3, decoders="separate", **MASKED)
    trained = _em(trainer).run()
    mean = -_bounds(trainer).numpy() / trainer.counts.sum(1)
    assert trained.steps == (0, 1, 2, 3)
    assert np.isnan(trained.training_losses[0]).all()
    assert_allclose(trained.training_losses[-1], mean, rtol=1e-5)
    assert_allclose(trained.losses[-1], trainer.judge(), rtol=1e-6)
    assert not any(p.requires_grad for p in trained.model.parameters())


def test_monotone_gaps_have_the_closed_form_of_anderson(linear_gaussian, rng):
    """x_2 is missing where x_1 is large: its mean is the regression's at the mean of x_1."""
    n = 20_000
    x = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], n)
    seen = x[:, 0] < 0.5
    law = linear_gaussian(n_rows=2, n_sets=1, n_members=1, n_columns=2, latent_dim=2)
    exact = law.with_rows(np.where(np.stack([seen | True, seen], 1), x, np.nan))
    counts = rng.integers(0, 3, (1, n)).astype(np.uint16)
    trained = _em(_trainer(exact, counts=counts)).run()
    weight, both = counts[0], counts[0] * seen
    slope, at_zero = np.polyfit(x[:, 0], x[:, 1], 1, w=np.sqrt(both))
    mean = np.average(x[:, 0], weights=weight)
    variance = np.average((x[:, 0] - mean) ** 2, weights=weight)
    residual = np.average((x[:, 1] - at_zero - slope * x[:, 0]) ** 2, weights=both)
    b = trained.model.decoder.loadings[0].double()
    noise = trained.model.likelihoods[0].scale[0].double() ** 2
    assert_allclose(
        trained.model.decoder.intercept[0, 0], [mean, at_zero + slope * mean], atol=1e-3
    )
    cov = [[variance, slope * variance], [slope * variance, residual + slope**2 * variance]]
    assert_allclose(b.T @ b + noise.diag(), cov, atol=2e-3)


def test_missingness_is_a_ridge_logistic_regression_on_complete_columns(exact, rng):
    x = exact.x.copy()
    x[:, 0] = rng.normal(size=N_ROWS)
    exact = exact.with_rows(x)
    model = exact.model(decoders="separate", **MASKED)
    model = type(model)(replace(model.spec, gappy=(1, 2, 3)), N_MEMBERS)
    trainer = _trainer(exact, model=model)
    _em(trainer).run()
    mask = trainer.model.missingness.requires_grad_(True)
    rows = trainer.store.all()
    nothing = torch.zeros(1, 1, 1, N_ROWS, N_COLUMNS)
    weights = torch.from_numpy(trainer.counts.astype(np.float32))
    loss = mask.penalty() - (mask.log_prob(rows, nothing, nothing)[:, 0, 0] * weights).sum(1)
    loss.sum().backward()
    assert mask.covariates.shape[1] == 1
    assert mask.covariates.abs().max() > 0.05
    assert_allclose(mask.covariates.grad, 0.0, atol=1e-3)
    assert_allclose(mask.intercept.grad, 0.0, atol=1e-3)


def test_cells_that_do_not_apply_tell_nothing_and_count_in_the_loss(exact, rng):
    trainer = _trainer(exact, n_steps=5, decoders="separate", **MASKED)
    cells = trainer.store.all().cells[0]
    cells[rng.random(N_ROWS) < 0.4, 1] = 0.5
    trained = _em(trainer).run()
    mean = -_bounds(trainer).numpy() / trainer.counts.sum(1)
    assert_allclose(trained.training_losses[-1], mean, rtol=1e-5)
    applies = cells[:, 1] != 0.5
    weight = trainer.counts * applies.numpy()
    rate = (weight * cells[:, 1].numpy()).sum(1) / weight.sum(1)
    found = trained.model.missingness.intercept[:, 0, 1].sigmoid()
    assert_allclose(found, rate, atol=2e-3)  # the prior is that of a twentieth of a row


@pytest.mark.parametrize("heavy", [False, True])
def test_gaps_that_a_column_decides_are_fitted_to_the_optimum(linear_gaussian, rng, heavy):
    """Newton's whole steps go astray here; the prior decides how steep the curve is."""
    n = 20_000
    x = np.exp(rng.normal(size=(n, 1))) if heavy else rng.normal(size=(n, 1))
    x = (x - x.mean()) / x.std()
    y = np.where(x < (np.median(x) if heavy else 1.5), np.nan, rng.normal(size=(n, 1)))
    law = linear_gaussian(n_rows=2, n_sets=1, n_members=1, n_columns=2, latent_dim=2)
    exact = law.with_rows(np.hstack([x, y]))
    model = exact.model(decoders="separate", **MASKED)
    model = type(model)(replace(model.spec, gappy=(1,)), 1)
    counts = np.ones((1, n), dtype=np.uint16)
    _em(_trainer(exact, model=model, counts=counts)).run()
    mask, observed = model.missingness, ~np.isnan(y[:, 0])

    def loss(b):
        logit = b[0] + b[1] * x[:, 0]
        return (
            np.logaddexp(0, logit).sum()
            - logit[observed].sum()
            + 0.025 * b[0] ** 2
            + (0.25 * b[1] ** 2)
        )

    found = [float(mask.intercept), float(mask.covariates)]
    best = optimize.minimize(loss, found, method="Nelder-Mead").fun
    assert loss(found) < best + 0.01
    assert loss(found) < 0.6 * loss([0.0, 0.0])


def test_a_column_that_a_resample_never_shows_does_no_harm(exact):
    counts = np.ones((N_MEMBERS, N_ROWS), dtype=np.uint16)
    counts[0, ~np.isnan(exact.x[:, 2])] = 0
    trained = _em(_trainer(exact, counts=counts, decoders="separate")).run()
    for p in trained.model.parameters():
        assert torch.isfinite(p).all()
    assert trained.model.decoder.loadings[0, :, 2].abs().max() < 1e-6


def test_what_a_member_learns_does_not_depend_on_the_others(exact):
    together = _em(_trainer(exact, decoders="separate")).run().model
    counts = resample_rows(N_ROWS, members=range(N_MEMBERS), seed=3, resample=True).counts[1:2]
    alone = exact.model(decoders="separate").subset([1]).requires_grad_(True)
    alone = _em(_trainer(exact, model=alone, counts=counts)).run().model
    for name, p in alone.named_parameters():
        assert_allclose(p[0], dict(together.named_parameters())[name][1], atol=1e-6, err_msg=name)


def test_rows_of_a_pattern_share_their_gaps(exact):
    pattern, seen = pattern_of_rows(exact.store().all())
    assert patterns_for_em(exact.model(), exact.store()).n_sums == len(seen) * 25
    assert_array_equal(seen.numpy()[pattern], ~np.isnan(exact.x))
    assert len(np.unique(seen.numpy(), axis=0)) == len(seen)


def test_more_columns_than_a_word_has_bits(linear_gaussian, rng):
    law = linear_gaussian(n_rows=2, n_sets=1, n_columns=70, latent_dim=1)
    x = np.zeros((9, 70))
    x[4:, 69] = np.nan
    x[7:, 0] = np.nan
    pattern, seen = pattern_of_rows(law.with_rows(x).store().all())
    assert_array_equal(seen.numpy()[pattern], ~np.isnan(x))
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ({"n_sets": 2, "latent_dim": 4}, {}),
        ({"n_sets": 1, "latent_dim": 3}, {}),
        ({"n_sets": 1, "latent_dim": 4}, {"hidden_dim": 8}),
        ({"n_sets": 1, "latent_dim": 4}, {"missingness": "selection"}),
        ({"n_sets": 1, "latent_dim": 4}, {"missingness": "shared", "mask_latent": True}),
    ],
)
def test_other_models_are_for_gradient_steps(linear_gaussian, shape, options):
    exact = linear_gaussian(n_rows=30, n_columns=4, n_members=2, **shape)
    assert _em(_trainer(exact, **options)) is None


def test_many_patterns_are_for_gradient_steps(exact, monkeypatch):
    monkeypatch.setattr("psmimpute.inference.em._MOST_SUMS", 4 * (1 + N_COLUMNS) ** 2)
    assert _em(_trainer(exact)) is None


def test_rows_are_summed_in_blocks(exact, monkeypatch):
    whole = _em(_trainer(exact)).sums.products
    monkeypatch.setattr("psmimpute.inference.em._BLOCK_FLOATS", 3 * (1 + N_COLUMNS) ** 2)
    assert_allclose(_em(_trainer(exact)).sums.products, whole, rtol=1e-12)
