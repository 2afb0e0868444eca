"""Weights of importance samples: how good they are, and the points they stand on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from psmimpute.inference.importance import effective_sample_size, net_dim, pareto_k, propose

# Two-sided normal quantile at a false-alarm rate of 1e-4.
Z = stats.norm.isf(0.5e-4)


def test_the_effective_sample_size_of_known_weights():
    weights = torch.tensor([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert effective_sample_size(weights).tolist() == [4.0, 1.0, 2.0]


@pytest.mark.parametrize("k", [0.1, 0.5, 0.8, 1.2])
def test_pareto_k_finds_the_shape_of_generalised_pareto_samples(k):
    n_rows, n = 300, 4000
    weights = stats.genpareto(k).rvs((n_rows, n), random_state=np.random.default_rng(4))
    size = int(3 * np.sqrt(n))
    found = pareto_k(weights)
    # Undo the shrinkage towards one half by ten pseudo-observations.
    raw = (found * (size + 10) - 5) / size
    # Asymptotic variance of the maximum-likelihood estimate; the estimator of Zhang and Stephens
    # has a bias of order 1 / size besides.
    error = (1 + k) / np.sqrt(size * n_rows)
    assert raw.mean() == pytest.approx(k, abs=Z * error + 2 / size)
    assert raw.std() == pytest.approx((1 + k) / np.sqrt(size), rel=0.25)


def test_pareto_k_does_not_depend_on_scale_or_order(rng):
    weights = stats.genpareto(0.6).rvs((20, 500), random_state=rng)
    expected = pareto_k(weights)
    assert_allclose(pareto_k(1e-200 * weights), expected, rtol=1e-6)
    assert_allclose(pareto_k(rng.permuted(weights, axis=1)), expected)


def test_weights_that_rounding_alone_tells_apart_have_no_tail(rng):
    flat = np.full((50, 64), 1 / 64)
    assert np.isneginf(pareto_k(flat)).all()
    rounded = flat * (1 + 1e-6 * rng.normal(size=flat.shape))
    assert np.isneginf(pareto_k(rounded)).all()
    assert np.isneginf(pareto_k(rounded.astype(np.float32).astype(float))).all()


def test_a_weight_that_dominates_is_called_unreliable():
    weights = np.full((1, 1000), 1e-9)
    weights[0, :30] = np.exp(np.linspace(0, 30, 30))
    assert pareto_k(weights)[0] > 0.7


def test_few_weights_have_no_pareto_k():
    assert np.isnan(pareto_k(np.ones((3, 24)))).all()
    assert pareto_k(np.ones((3, 25))).shape == (3,)


def test_equal_weights_from_an_underflow_are_finite_or_flat():
    weights = np.zeros((1, 100))
    weights[0, 0] = 1.0
    assert not np.isnan(pareto_k(weights)).any()


@pytest.mark.parametrize(("n_sets", "hidden_dim"), [(3, 0), (5, 4)])
@torch.no_grad()
def test_a_long_run_can_be_taken_in_pieces(linear_gaussian, n_sets, hidden_dim):
    exact = linear_gaussian(n_rows=10, n_sets=n_sets)
    model, rows = exact.model(hidden_dim=hidden_dim), exact.store().all()
    shift = torch.rand(2, 10, net_dim(model), generator=torch.Generator().manual_seed(0))
    whole = propose(model, rows, shift, n_samples=100)
    parts = [propose(model, rows, shift, n_samples=n, skip=skip) for skip, n in [(0, 30), (30, 70)]]
    torch.testing.assert_close(torch.cat([part.z for part in parts], 1), whole.z)
    torch.testing.assert_close(torch.cat([part.log_w for part in parts], 1), whole.log_w)


@torch.no_grad()
def test_sets_that_are_sampled_are_shared_out_by_their_weights(linear_gaussian):
    """Nine tenths by q(r | .), which is exact here, and a tenth by p(r)."""
    exact = linear_gaussian(n_rows=10, n_sets=5)
    model, rows = exact.model(hidden_dim=4), exact.store().all()
    shift = torch.rand(2, 10, net_dim(model), generator=torch.Generator().manual_seed(0))
    n = 1024
    found = propose(model, rows, shift, n_samples=n)
    assert found.z.shape[:4] == found.sets.shape == (2, n, 1, 10)
    shares = found.set_shares(found.normalised(), 5)
    for e in range(2):
        share = exact.responsibilities(e)
        taken = np.stack([(found.sets[e, :, 0] == k).float().mean(0).numpy() for k in range(5)], -1)
        # The first coordinate of the net is even to one point in each interval.
        assert_allclose(taken, 0.9 * share + 0.1 * exact.weights[e], atol=4 / n)
        assert_allclose(shares[e], share, atol=0.01)
    # Weights are at most ten times p(r) over what the net takes of a set.
    ess = effective_sample_size(found.normalised())
    assert bool((ess > 0.8 * n).all())


@torch.no_grad()
def test_a_set_that_is_not_in_use_has_no_weight(linear_gaussian):
    exact = linear_gaussian(n_rows=10, n_sets=5)
    model, rows = exact.model(hidden_dim=4), exact.store().all()
    model.prior.get_buffer("active")[:, 4] = False
    shift = torch.rand(2, 10, net_dim(model), generator=torch.Generator().manual_seed(0))
    found = propose(model, rows, shift, n_samples=256)
    assert bool(torch.isfinite(found.normalised()).all())
    assert bool((found.set_shares(found.normalised(), 5)[..., 4] == 0).all())


@torch.no_grad()
def test_every_sample_alone_is_a_draw_from_the_proposal(linear_gaussian):
    """A random shift makes each point of the net uniform."""
    n = 4000
    exact = linear_gaussian(n_sets=1, n_members=1)
    exact = exact.with_rows(np.repeat(exact.x[5:6], n, 0))
    shift = torch.rand(1, n, 2, generator=torch.Generator().manual_seed(0))
    rows, model = exact.store().all(), exact.model()
    z = propose(model, rows, shift, n_samples=8).z
    posterior = model.posterior(rows)
    root = posterior.root[0, 0, 0].double().numpy()
    for sample in (0, 3, 7):
        white = (z[0, sample, 0] - posterior.mean[0, 0, 0]).double().numpy() @ np.linalg.inv(root)
        for axis in (0, 1):
            assert stats.kstest(white[:, axis], "norm").pvalue > 1e-4 / 6


@torch.no_grad()
def test_normalised_weights_sum_to_one(linear_gaussian):
    exact = linear_gaussian(n_rows=10)
    shift = torch.rand(2, 10, 2, generator=torch.Generator().manual_seed(0))
    weights = propose(exact.model(), exact.store().all(), shift, n_samples=16).normalised()
    assert weights.shape == (2, 10, 48)
    assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    # Samples run slower than sets.
    shares = weights.unflatten(-1, (16, 3)).sum(2)
    assert_allclose(shares[1], exact.responsibilities(1), atol=1e-4)
