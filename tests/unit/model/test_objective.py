"""Each term of Table 1 against its formula, and what pi' does to the evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import norm

from psmimpute.model.objective import (
    Terms,
    cell_log_probs,
    elbo,
    importance_bound,
    latent_term,
    reconstruction_term,
    set_term,
    supervision_term,
)

PI = (0.0, 0.2, 0.5, 0.9, 1.0)


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _noise(exact, n_samples=3):
    return _normal(exact.n_members, n_samples, 1, len(exact.x), 2, seed=7)


@pytest.fixture
def exact(linear_gaussian):
    return linear_gaussian(n_rows=12)


def _log_joint(model, exact):
    return model.terms(exact.store().all(), _noise(exact)).log_joint


@torch.no_grad()
def test_cells_that_were_not_observed_add_nothing(exact):
    model, rows = exact.model(), exact.store().all()
    eta = _normal(2, 3, 3, 12, 5)
    found = cell_log_probs(rows, eta, model.spec.layout, model.likelihoods)
    scale = np.sqrt(exact.variance)[:, None, None, None]
    expected = norm(eta.numpy(), scale).logpdf(exact.x)
    assert_allclose(found, np.where(np.isnan(exact.x), 0, expected), atol=1e-4)


def test_reconstruction_and_supervision_weigh_every_cell():
    log_p, pi = _normal(2, 3, 4, 6, 5).numpy(), np.array(PI, dtype=np.float32)
    by_hand = np.zeros((2, 3, 4, 6))
    for j in range(5):
        by_hand += (1 - pi[j]) * log_p[..., j]
    found = supervision_term(torch.from_numpy(log_p), torch.from_numpy(pi))
    assert_allclose(found, by_hand, rtol=1e-4, atol=1e-5)
    one = reconstruction_term(torch.from_numpy(log_p), torch.ones(len(pi)))
    assert_allclose(one, log_p.sum(-1), rtol=1e-4, atol=1e-5)
    weighted = reconstruction_term(torch.from_numpy(log_p), torch.from_numpy(pi))
    assert_allclose(weighted, log_p.sum(-1) - by_hand, rtol=1e-4, atol=1e-5)


def test_latent_and_set_terms_are_log_ratios():
    p, q = _normal(2, 3, 4, 6), _normal(2, 3, 4, 6, seed=1)
    torch.testing.assert_close(latent_term(p, q), p - q)
    torch.testing.assert_close(set_term(p[:, :1, :, :1], q[:, :1]), p[:, :1, :, :1] - q[:, :1])


def _terms():
    log_q = _normal(2, 1, 4, 6, seed=3).log_softmax(2)
    log_p = _normal(2, 1, 4, 1, seed=4).log_softmax(2)
    return Terms(_normal(2, 3, 4, 6), log_p, log_q)


def test_the_elbo_is_its_formula():
    terms = _terms()
    joint, log_p, log_q = (a.double().numpy() for a in terms)
    expected = np.zeros((2, 6))
    for e, i, r in np.ndindex(2, 6, 4):
        q, p = log_q[e, 0, r, i], log_p[e, 0, r, 0]
        expected[e, i] += math.exp(q) * (joint[e, :, r, i].mean() + p - q)
    assert_allclose(elbo(terms), expected, rtol=1e-5)


def test_the_importance_bound_is_its_formula():
    terms = _terms()
    joint, log_p, _ = (a.double().numpy() for a in terms)
    expected = logsumexp(joint + log_p, axis=(1, 2)) - math.log(3)
    assert_allclose(importance_bound(terms), expected, rtol=1e-5)


def test_the_importance_bound_does_not_overflow():
    terms = _terms()
    low = terms._replace(log_joint=terms.log_joint - 1e4)
    torch.testing.assert_close(
        importance_bound(low) + 1e4, importance_bound(terms), atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("decoders", ["tied", "separate"])
@torch.no_grad()
def test_while_the_decoders_coincide_normalised_evidence_does_not_depend_on_pi(exact, decoders):
    rows = exact.store().all()
    for pi in PI:
        model = exact.model(pi=pi, decoders=decoders)
        bound = model.bound(rows, _noise(exact))
        for e in range(2):
            assert_allclose(bound[e], exact.log_likelihood(e), atol=1e-4)


@pytest.mark.parametrize("decoders", ["tied", "separate"])
@pytest.mark.parametrize("pi", PI)
@torch.no_grad()
def test_the_papers_evidence_counts_an_observed_cell_two_minus_pi_times(exact, pi, decoders):
    """At the limits: once where pi' is 1, twice where it is 0."""
    model = exact.model(pi=pi, decoders=decoders, evidence="paper")
    rows, eps = exact.store().all(), _noise(exact)
    posterior = model.posterior(rows)
    z, log_q = posterior.sample(eps)
    cells = cell_log_probs(rows, model.decoder(z), model.spec.layout, model.likelihoods).sum(-1)
    once = exact.model(pi=pi, decoders=decoders).terms_at(rows, posterior, z, log_q).log_joint
    found = model.terms_at(rows, posterior, z, log_q).log_joint
    assert_allclose(found - once, (1 - pi) * cells, atol=2e-4)


def _bent(exact, **options):
    """A model whose x_mis deviates from x_obs."""
    model = exact.model(decoders="separate", **options)
    with torch.no_grad():
        model.decoder.shift.copy_(0.5 * _normal(*model.decoder.shift.shape, seed=8))
        model.decoder.slope.copy_(0.5 * _normal(*model.decoder.slope.shape, seed=9))
    return model


@pytest.mark.parametrize("evidence", ["normalised", "paper"])
@pytest.mark.parametrize("missingness", ["ignorable", "shared"])
def test_at_pi_one_the_data_say_nothing_about_the_deviations_of_x_mis(exact, evidence, missingness):
    rows = exact.store().all()
    for pi in (1.0, 0.5):
        model = _bent(exact, pi=pi, evidence=evidence, missingness=missingness)
        model.bound(rows, _noise(exact)).sum().backward()
        size = max(p.grad.abs().max().item() for p in (model.decoder.shift, model.decoder.slope))
        assert (size == 0) if pi == 1.0 else (size > 0.1)


@torch.no_grad()
def test_at_pi_zero_normalised_evidence_is_that_of_x_mis_alone(exact):
    model, rows = _bent(exact, pi=0.0), exact.store().all()
    posterior = model.posterior(rows)
    z, log_q = posterior.sample(_noise(exact))
    found = model.terms_at(rows, posterior, z, log_q).log_joint
    eta = model.decoder.missing(z, model.decoder(z))
    cells = cell_log_probs(rows, eta, model.spec.layout, model.likelihoods).sum(-1)
    expected = cells + model.prior.log_p_latent(z) - log_q
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_in_between_the_evidence_is_the_weighted_sum_of_both_limits(exact):
    rows, joint = exact.store().all(), {}
    posterior = _bent(exact).posterior(rows)
    z, log_q = posterior.sample(_noise(exact))
    for pi in (0.0, 0.3, 1.0):
        joint[pi] = _bent(exact, pi=pi).terms_at(rows, posterior, z, log_q).log_joint
    torch.testing.assert_close(
        joint[0.3], 0.7 * joint[0.0] + 0.3 * joint[1.0], atol=1e-4, rtol=1e-5
    )


@torch.no_grad()
def test_x_mis_deviates_by_shift_and_slope_of_its_set(exact):
    model = _bent(exact)
    z = _normal(2, 3, 3, 12, 2)
    eta = model.decoder(z)
    found = model.decoder.missing(z, eta) - eta
    shift, slope = model.decoder.shift.numpy(), model.decoder.slope.numpy()
    for e, r in np.ndindex(2, 3):
        expected = shift[e, 0, r] + z[e, :, r].numpy() @ slope[e]
        assert_allclose(found[e, :, r], expected, atol=1e-5)


@torch.no_grad()
def test_each_columns_own_pi_counts(exact):
    rows, pi = exact.store().all(), torch.tensor(PI)
    model = _bent(exact)
    posterior = model.posterior(rows)
    z, log_q = posterior.sample(_noise(exact))
    eta = model.decoder(z)
    parts = [
        cell_log_probs(rows, own, model.spec.layout, model.likelihoods)
        for own in (eta, model.decoder.missing(z, eta))
    ]
    model.get_buffer("pi").copy_(pi)
    found = model.terms_at(rows, posterior, z, log_q).log_joint
    expected = (parts[0] * pi + parts[1] * (1 - pi)).sum(-1)
    torch.testing.assert_close(found, expected + model.prior.log_p_latent(z) - log_q)
