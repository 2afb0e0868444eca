"""A linear-Gaussian mixture, for which every quantity of the model is known exactly.

The closed forms are computed in double precision by scipy, the model in single precision: they
agree to 1e-4.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import expit, logsumexp, softmax

from psmimpute.inference.importance import effective_sample_size, propose
from psmimpute.model.objective import elbo, importance_bound

TOLERANCE = 1e-4


def _noise(rows, samples, latent, members=2):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(members, samples, 1, rows, latent, generator=generator)


@pytest.fixture(params=[1, 3], ids=lambda k: f"{k} sets")
def exact(request, linear_gaussian):
    return linear_gaussian(n_sets=request.param)


@pytest.mark.parametrize("n_samples", [1, 4])
@torch.no_grad()
def test_both_bounds_are_the_exact_log_likelihood(exact, n_samples):
    model, rows = exact.model(), exact.store().all()
    terms = model.terms(rows, _noise(len(exact.x), n_samples, 2))
    for e in range(exact.n_members):
        expected = exact.log_likelihood(e)
        assert_allclose(elbo(terms)[e], expected, atol=TOLERANCE)
        assert_allclose(importance_bound(terms)[e], expected, atol=TOLERANCE)


@torch.no_grad()
def test_the_configured_bound_is_the_one_asked_for(exact):
    rows, eps = exact.store().all(), _noise(len(exact.x), 3, 2)
    for objective, bound in [("elbo", elbo), ("iwae", importance_bound)]:
        # With networks the two differ: the last layers must not be zero.
        model = exact.model(objective=objective, hidden_dim=4)
        model.reset([torch.Generator().manual_seed(e) for e in range(exact.n_members)])
        model.decoder.head.weight.normal_(generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(model.bound(rows, eps), bound(model.terms(rows, eps)))


@torch.no_grad()
def test_the_elbo_is_below_the_importance_bound_once_the_decoder_bends(exact):
    model, rows = exact.model(hidden_dim=4), exact.store().all()
    model.reset([torch.Generator().manual_seed(e) for e in range(exact.n_members)])
    model.decoder.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    model.decoder.head.weight.mul_(2)
    terms = model.terms(rows, _noise(len(exact.x), 6, 2))
    assert bool((elbo(terms) < importance_bound(terms) + 1e-5).all())
    assert (importance_bound(terms) - elbo(terms)).mean().item() > 0.01


@torch.no_grad()
def test_the_posterior_of_the_set_is_exact(exact):
    posterior = exact.model().posterior(exact.store().all())
    for e in range(exact.n_members):
        found = posterior.log_q_sets[e, 0].exp().T
        assert_allclose(found, exact.responsibilities(e), atol=TOLERANCE)


@torch.no_grad()
def test_the_posterior_of_z_is_exact(exact):
    posterior = exact.model().posterior(exact.store().all())
    for e, r, i in [(0, 0, 0), (1, exact.n_sets - 1, 1), (0, 0, 5), (1, 0, 9)]:
        seen = ~np.isnan(exact.x[i])
        loadings = exact.loadings[e][:, seen]
        prior = np.linalg.inv(exact.roots[e, r] @ exact.roots[e, r].T)
        precision = prior + loadings / exact.variance[e][seen] @ loadings.T
        residual = (exact.x[i] - exact.intercept[e])[seen] / exact.variance[e][seen]
        mean = np.linalg.solve(precision, prior @ exact.means[e, r] + loadings @ residual)
        root = posterior.root[e, r, i].double().numpy()
        assert_allclose(posterior.mean[e, r, i], mean, atol=TOLERANCE)
        assert_allclose(root.T @ root, np.linalg.inv(precision), atol=TOLERANCE)
        log_det = np.linalg.slogdet(precision)[1]
        assert posterior.log_det_precision[e, r, i].item() == pytest.approx(log_det, abs=1e-4)


@pytest.mark.parametrize("hidden_dim", [0, 4])
@pytest.mark.parametrize("evidence", ["normalised", "paper"])
@torch.no_grad()
def test_both_decoders_of_a_cell_are_in_the_posterior(linear_gaussian, evidence, hidden_dim):
    """Weights are flat although x_mis deviates from x_obs; networks are there, but straight."""
    exact = linear_gaussian(n_rows=9, n_sets=1)
    model = exact.model(decoders="separate", pi=0.3, evidence=evidence, hidden_dim=hidden_dim)
    noise = torch.Generator().manual_seed(2)
    model.decoder.shift.normal_(generator=noise)
    model.decoder.slope.normal_(generator=noise)
    shift = torch.rand(2, 9, 2, generator=noise)
    found = propose(model, exact.store().all(), shift, n_samples=32)
    assert found.log_w.std(1).max().item() < TOLERANCE


@pytest.mark.parametrize("latent_dim", [7, 14])
@torch.no_grad()
def test_the_refined_proposal_follows_the_decoder_of_each_set(linear_gaussian, latent_dim):
    """Weights are flat within each set, though x_mis deviates in each by a shift of its own."""
    exact = linear_gaussian(n_rows=9, n_sets=2, n_columns=20, latent_dim=latent_dim)
    model = exact.model(decoders="separate", pi=0.3, hidden_dim=4)
    noise = torch.Generator().manual_seed(2)
    model.decoder.shift.normal_(generator=noise)
    model.decoder.slope.normal_(0, 0.3, generator=noise)
    rows = exact.store().all()
    shift = torch.rand(2, 9, latent_dim, generator=noise)
    uneven = propose(model, rows, shift, n_samples=32, posterior=model.posterior(rows))
    assert uneven.log_w.std(1).max().item() > 0.1
    refined = propose(model, rows, shift, n_samples=32)
    assert refined.log_w.std(1).max().item() < 10 * TOLERANCE


@pytest.mark.parametrize("n_sets", [1, 2])
@torch.no_grad()
def test_the_posterior_of_many_latents_is_exact(linear_gaussian, n_sets):
    many = linear_gaussian(n_rows=7, n_sets=n_sets, n_columns=20, latent_dim=15)
    shift = torch.rand(2, 7, 15, generator=torch.Generator().manual_seed(3))
    found = propose(many.model(), many.store().all(), shift, n_samples=16)
    for e in range(many.n_members):
        assert_allclose(
            logsumexp(found.log_w[e].numpy(), axis=(0, 1)) - np.log(16),
            many.log_likelihood(e),
            atol=5e-4,
        )


@torch.no_grad()
def test_the_importance_weights_are_flat(exact):
    n_rows, n_samples = len(exact.x), 32
    shift = torch.rand(2, n_rows, 2, generator=torch.Generator().manual_seed(3))
    found = propose(exact.model(), exact.store().all(), shift, n_samples=n_samples)
    within = found.log_w - found.log_w.mean(1, keepdim=True)
    assert within.abs().max().item() < TOLERANCE
    for e in range(exact.n_members):
        assert_allclose(
            logsumexp(found.log_w[e].numpy(), axis=(0, 1)) - np.log(n_samples),
            exact.log_likelihood(e),
            atol=TOLERANCE,
        )
        # Flat within each set: the sets' shares alone lower the effective sample size.
        expected = n_samples / (exact.responsibilities(e) ** 2).sum(1)
        ess = effective_sample_size(found.normalised())[e]
        assert_allclose(ess, expected, rtol=1e-3)


@torch.no_grad()
def test_shared_missingness_adds_its_evidence_about_the_set(linear_gaussian):
    exact = linear_gaussian()
    model, rows = exact.model(missingness="shared"), exact.store().all()
    rng = np.random.default_rng(5)
    intercept = rng.normal(size=(2, 3, 5))
    model.missingness.intercept.copy_(torch.from_numpy(intercept))
    terms = model.terms(rows, _noise(len(exact.x), 2, 2))
    sign = np.where(np.isnan(exact.x), -1, 1)
    for e in range(2):
        mask = np.log(expit(sign[:, None] * intercept[e])).sum(-1)
        joint = exact.log_evidence(e) + mask
        assert_allclose(elbo(terms)[e], logsumexp(joint, axis=1), atol=TOLERANCE)
        assert_allclose(terms.log_q_sets[e, 0].exp().T, softmax(joint, axis=1), atol=TOLERANCE)


@torch.no_grad()
def test_with_one_set_shared_missingness_tells_nothing_about_the_values(linear_gaussian):
    """Its factor is the same for every z, so the law of x_mis is that of ignorable gaps."""
    exact = linear_gaussian(n_sets=1)
    model, rows = exact.model(missingness="shared"), exact.store().all()
    model.missingness.intercept.normal_(generator=torch.Generator().manual_seed(2))
    eps = _noise(len(exact.x), 4, 2)
    shared, ignorable = model.terms(rows, eps), exact.model().terms(rows, eps)
    difference = shared.log_joint - ignorable.log_joint
    assert difference.abs().max().item() > 0.1
    torch.testing.assert_close(
        difference, difference[:, :1].expand_as(difference), atol=TOLERANCE, rtol=0
    )


@torch.no_grad()
def test_the_bound_over_sampled_sets_is_the_exact_log_likelihood(linear_gaussian):
    """Where z is sampled from its posterior, what is left is how evenly the sets are drawn."""
    exact = linear_gaussian(n_rows=25, n_sets=5)
    model, rows = exact.model(), exact.store().all()
    found = model.bound(rows, _noise(25, 2000, 2), uniform=_even(25, 2000))
    few = model.bound(rows, _noise(25, 4, 2), uniform=_even(25, 4))
    for e in range(exact.n_members):
        assert_allclose(found[e], exact.log_likelihood(e), atol=5e-3)
        assert abs(few[e].numpy() - exact.log_likelihood(e)).max() > 0.05


def _even(n_rows, n_samples, members=2):
    """Stratified uniform numbers, shape (members, samples, rows)."""
    generator = torch.Generator().manual_seed(8)
    start = torch.rand(members, 1, n_rows, generator=generator)
    return ((torch.randperm(n_samples, generator=generator)[:, None] + start) / n_samples).frac()


@pytest.mark.parametrize("sampled_sets", [False, True])
def test_the_gradient_is_that_of_the_exact_log_likelihood(linear_gaussian, sampled_sets):
    """The recognition model is held fixed: where the bound is tight nothing is lost by it."""
    exact = linear_gaussian(n_rows=25)
    model, rows = exact.model(), exact.store().all()
    # Antithetic noise leaves the gradient its expectation, up to the spread of 4,000 samples.
    half = _noise(len(exact.x), 2000, 2)
    uniform = _even(len(exact.x), 4000) if sampled_sets else None
    model.bound(rows, torch.cat([half, -half], 1), uniform=uniform).sum().backward()
    step = 1e-5
    for name in ("intercept", "loadings"):
        values = getattr(exact, name)
        for at in [(0, *(0,) * (values.ndim - 1)), (1, *(1,) * (values.ndim - 1))]:
            original, ends = values[at], []
            for sign in (1, -1):
                values[at] = original + sign * step
                ends.append(exact.log_likelihood(at[0]).sum())
            values[at] = original
            numeric = (ends[0] - ends[1]) / (2 * step)
            index = at if name == "loadings" else (at[0], 0, at[1])
            found = getattr(model.decoder, name).grad[index].item()
            assert found == pytest.approx(numeric, rel=0.02, abs=0.05)


@torch.no_grad()
def test_a_subset_of_the_members_is_a_model_of_its_own(exact):
    rows, eps = exact.store().all(), _noise(len(exact.x), 2, 2)
    model = exact.model()
    both = model.bound(rows, eps)
    other = model.subset([1]).bound(rows, eps[1:])
    torch.testing.assert_close(other, both[1:], atol=1e-5, rtol=1e-5)
    assert model.subset([0, 1]) is model


@torch.no_grad()
def test_a_proposal_of_other_parameters_gives_the_same_likelihood(exact):
    """It is wider of the mark, so it takes many samples."""
    model, rows = exact.model(), exact.store().all()
    old = model.base(rows)
    model.decoder.loadings += 0.1
    model.prior.mean += 0.1
    now = model.base(rows)
    assert (old.posterior.mean - now.posterior.mean).abs().max() > 0.05
    eps = _noise(len(exact.x), 4096, 2)
    stale, fresh = (model.bound(rows, eps, base) for base in (old, now))
    assert_allclose(stale, fresh, atol=0.1)
    assert_allclose(stale.mean(1), fresh.mean(1), atol=0.01)


@torch.no_grad()
def test_the_posterior_follows_a_decoder_that_bends(exact, monkeypatch):
    model, rows = exact.model(hidden_dim=4), exact.store().all()
    model.reset([torch.Generator().manual_seed(e) for e in range(exact.n_members)])
    model.decoder.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    noise = _noise(len(exact.x), 64, 2)

    def spread():
        terms = model.terms(rows, noise)
        log_w = terms.log_joint + terms.log_p_sets
        gap = log_w.logsumexp((1, 2)) - math.log(64) - log_w.logsumexp(2).mean(1)
        return gap.mean().item()

    twice = spread()
    monkeypatch.setattr("psmimpute.model.encoders._N_SMOOTHINGS", 1)
    once = spread()
    model.encoder.smoothing = False
    never = spread()
    assert twice < once < 0.3 * never
