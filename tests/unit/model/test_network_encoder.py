"""The network alone as a recognition model: for the baselines of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from psmimpute.exceptions import ConfigError
from psmimpute.model.config import ModelConfig
from psmimpute.model.objective import importance_bound


def _noise(n_rows, n_samples):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(2, n_samples, 1, n_rows, 2, generator=generator)


def _model(exact, *, disturbed=True, **options):
    """Decoder linear as ever: its network's last layer is zero."""
    model = exact.model(encoder="network", hidden_dim=4, **options)
    model.reset([torch.Generator().manual_seed(e) for e in range(exact.n_members)])
    if disturbed:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for head in (model.encoder.head, model.encoder.set_head):
                head.weight.normal_(std=0.3, generator=generator)
    return model


@pytest.fixture(params=[1, 3], ids=lambda k: f"{k} sets")
def exact(request, linear_gaussian):
    return linear_gaussian(n_rows=12, n_sets=request.param)


@torch.no_grad()
def test_it_starts_at_the_prior(exact):
    posterior = _model(exact, disturbed=False).posterior(exact.store().all())
    for e in range(exact.n_members):
        assert_allclose(posterior.log_q_sets[e, 0, :, 3].exp(), exact.weights[e], atol=1e-5)
        for r in range(exact.n_sets):
            assert_allclose(posterior.mean[e, r, 5], exact.means[e, r], atol=1e-5)
            root = posterior.root[e, r, 5].numpy()
            covariance = exact.roots[e, r] @ exact.roots[e, r].T
            assert_allclose(root.T @ root, covariance, atol=1e-4)


@torch.no_grad()
def test_its_bound_tends_to_the_exact_log_likelihood(exact):
    """Whatever the network says, the densities of its samples are what they are taken for."""
    model, rows = _model(exact), exact.store().all()
    found = [
        importance_bound(model.terms(rows, noise)).numpy()
        for noise in torch.randn(8, 2, 4000, 1, 12, 2, generator=torch.Generator().manual_seed(3))
    ]
    error = np.std(found, axis=0) / np.sqrt(8)
    for e in range(exact.n_members):
        difference = np.mean(found, axis=0)[e] - exact.log_likelihood(e)
        # Five standard errors, and the rounding of single precision.
        assert (np.abs(difference) < 5 * error[e] + 2e-3).all()


@torch.no_grad()
def test_it_corrects_each_set_apart(linear_gaussian):
    exact = linear_gaussian(n_rows=12, n_sets=3)
    posterior = _model(exact).posterior(exact.store().all())
    shift = posterior.mean.numpy() - exact.means[:, :, None]
    assert np.abs(shift[:, 0] - shift[:, 1]).max() > 0.1


@torch.no_grad()
@pytest.mark.parametrize(("missingness", "told"), [("ignorable", False), ("shared", True)])
def test_it_is_told_of_gaps_only_where_missingness_is_modelled(missingness, told, exact):
    model, rows = _model(exact, missingness=missingness), exact.store().all()
    changed = rows._replace(cells=1 - rows.cells)
    means = [model.posterior(r).mean for r in (rows, changed)]
    assert bool((means[0] - means[1]).abs().max() > 1e-4) == told


def test_it_needs_a_network():
    with pytest.raises(ConfigError, match="needs a network"):
        ModelConfig(encoder="network", hidden_dim=0)
    with pytest.raises(ConfigError, match="encoder must be one of"):
        ModelConfig(encoder="plain")
