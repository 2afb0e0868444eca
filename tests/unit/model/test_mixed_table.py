"""The model of a table with every family of feature: order, inputs, weights and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from psmimpute.exceptions import ConfigError
from psmimpute.inference.importance import net_dim, propose
from psmimpute.model.config import ModelConfig
from psmimpute.model.inputs import by_output, expected_inputs, network_inputs
from psmimpute.model.layout import lay_out
from psmimpute.model.objective import cell_log_probs
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import store_rows
from psmimpute.model.spec import ModelSpec
from psmimpute.table.encoded import EncodedTable, Feature
from psmimpute.table.kinds import Family

FEATURES = (
    Feature("colour", 0, Family.CATEGORICAL, 3),
    Feature("real", 1, Family.GAUSSIAN),
    Feature("spent:nonzero", 2, Family.BERNOULLI, 2),
    Feature("spent:amount", 2, Family.GAUSSIAN),
    Feature("visits", 3, Family.COUNT),
    Feature("grade", 4, Family.ORDINAL, 4),
    Feature("town", 5, Family.CATEGORICAL, 2),
)
N_COLUMNS = 6
MISSINGNESS = ["shared", "selection", "ignorable"]


@pytest.fixture
def table(rng):
    n = 25
    visits = rng.integers(0, 4, n)
    values = np.column_stack(
        [
            rng.integers(0, 3, n),
            rng.normal(size=n),
            rng.integers(0, 2, n),
            rng.normal(size=n),
            visits - 1.5,
            rng.integers(0, 4, n),
            rng.integers(0, 2, n),
        ]
    ).astype(float)
    cells = rng.random((n, N_COLUMNS)) < 0.7
    cells[:, 5] = True
    observed = cells[:, [feature.column for feature in FEATURES]]
    observed[:, 3] &= values[:, 2] == 1
    lower, upper = np.full((2, *values.shape), np.nan)
    lower[:, 4] = np.where(visits > 0, visits - 2.0, -np.inf)
    upper[:, 4] = visits - 1.0
    return EncodedTable(FEATURES, np.where(observed, values, 0), lower, upper, observed, cells)


def _store(table):
    layout = lay_out(table.features, n_columns=N_COLUMNS)
    return store_rows(table, layout, device=torch.device("cpu"))


def _model(missingness="shared", *, n_sets=2, n_members=2, **config):
    options = {"latent_dim": 1, "hidden_dim": 6} | config
    spec = ModelSpec(
        layout=lay_out(FEATURES, n_columns=N_COLUMNS),
        gappy=(0, 1, 2, 3, 4),
        n_sets=n_sets,
        missingness=missingness,
        pi=(0.5,) * N_COLUMNS,
        config=ModelConfig(**options),
    )
    model = PatternSetMixtureVAE(spec, n_members)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad and "encoder" not in name:
                p.add_(0.3 * torch.randn(p.shape, generator=generator))
    return model


def test_features_of_a_family_lie_side_by_side():
    layout = lay_out(FEATURES, n_columns=N_COLUMNS)
    families = [FEATURES[i].family for i in layout.order]
    assert sorted(layout.order) == list(range(len(FEATURES)))
    assert layout.columns == tuple(FEATURES[i].column for i in layout.order)
    assert layout.n_outputs == 5 + 3 + 2
    at = 0
    for block in layout.blocks:
        assert set(families[block.features]) == {block.family}
        assert block.outputs.start == at
        at = block.outputs.stop
    assert at == layout.n_outputs
    assert layout.block(Family.CATEGORICAL).n_levels == (3, 2)
    assert lay_out(FEATURES[:1], n_columns=1).block(Family.COUNT) is None


def test_what_networks_expect_to_read_is_the_mean_of_what_they_would_read():
    model, layout = _model(), lay_out(FEATURES, n_columns=N_COLUMNS)
    eta = torch.randn(2, 1, layout.n_outputs, generator=torch.Generator().manual_seed(3))
    wide = eta.expand(-1, 40_000, -1)
    drawn = torch.cat(
        [
            likelihood.draw(
                wide[..., block.outputs],
                torch.rand(2, 40_000, block.n_features, generator=torch.Generator().manual_seed(i)),
            )
            for i, (block, likelihood) in enumerate(
                zip(layout.blocks, model.likelihoods, strict=True)
            )
        ],
        -1,
    )
    read = network_inputs(drawn, torch.ones_like(drawn), layout)
    error = read.std(1) / 200
    expected = expected_inputs(eta, layout, model.likelihoods)[:, 0]
    assert ((read.mean(1) - expected).abs() < 4 * error + 1e-6).all()


def test_features_of_levels_are_repeated_for_each():
    layout = lay_out(FEATURES, n_columns=N_COLUMNS)
    wide = by_output(torch.tensor(layout.columns), layout)
    for block in layout.blocks:
        times = block.n_levels if block.family == Family.CATEGORICAL else (1,) * block.n_features
        own = np.repeat(layout.columns[block.features], times)
        assert_array_equal(wide[block.outputs], own)


def test_a_store_gives_back_the_rows_asked_for(table):
    store = _store(table)
    everyone, order = store.all(), torch.tensor([3, 0, 3])
    some = store.take(order)
    own = store.take(torch.tensor([[1, 2], [4, 4]]))
    layout = lay_out(FEATURES, n_columns=N_COLUMNS)
    assert_allclose(everyone.values[0], table.values[:, layout.order], rtol=1e-6)
    assert_array_equal(everyone.observed[0] > 0, table.observed[:, layout.order])
    assert_array_equal(everyone.cells[0] > 0, table.observed_cells)
    assert everyone.offset is some.offset is own.offset is None
    for all_of, few, each in zip(everyone[:-1], some[:-1], own[:-1], strict=True):
        torch.testing.assert_close(few[0], all_of[0][order])
        torch.testing.assert_close(each[1], all_of[0][[4, 4]])


def test_a_store_keeps_an_offset_beside_the_rows(table):
    store = _store(table)
    inputs, offset = torch.randn(2, 25, 10, generator=torch.Generator().manual_seed(1))
    told = store.informed(inputs, offset)
    assert told.is_informed
    assert not store.is_informed
    rows, before = told.take(torch.tensor([4, 2])), store.take(torch.tensor([4, 2]))
    torch.testing.assert_close(rows.offset[0], offset[[4, 2]])
    torch.testing.assert_close(rows.inputs[0], inputs[[4, 2]])
    torch.testing.assert_close(rows.values, before.values)
    torch.testing.assert_close(rows.cells, before.cells)
    assert store.n_rows == 25


def test_network_inputs_are_zero_where_nothing_was_observed(table):
    rows = _store(table).all()
    inputs = rows.inputs[0]
    layout = lay_out(FEATURES, n_columns=N_COLUMNS)
    assert inputs.shape == (25, layout.n_outputs)
    for block in layout.blocks:
        seen = rows.observed[0][:, block.features]
        if block.family == Family.CATEGORICAL:
            seen = seen.repeat_interleave(torch.tensor(block.n_levels), dim=1)
        assert not inputs[:, block.inputs][seen == 0].any()
        assert inputs[:, block.inputs][seen == 1].abs().max() < 5


def test_inputs_of_the_columns_without_gaps(table):
    model = _model()
    town = model.spec.complete_inputs
    inputs = _store(table).all().inputs[0][:, town]
    assert_allclose(inputs.abs(), 0.5)
    assert_allclose(inputs.sum(1), 0)


@pytest.mark.parametrize("decoders", ["tied", "separate"])
@pytest.mark.parametrize("missingness", MISSINGNESS)
@torch.no_grad()
def test_latents_with_a_set_of_their_own_have_the_density_of_that_set(table, missingness, decoders):
    model, rows = _model(missingness, n_sets=4, decoders=decoders), _store(table).all()
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(2, 3, 4, 25, 1, generator=generator)
    whole = model.log_prob_rows(rows, z, model.decode(rows, z))
    sets = torch.randint(4, (2, 3, 1, 25), generator=generator)
    own = z.gather(2, sets[..., None])
    shares = torch.nn.functional.one_hot(sets[:, :, 0], 4).float()
    found = model.log_prob_rows(rows, own, model.decode(rows, own, shares), shares)
    torch.testing.assert_close(found, whole.gather(2, sets))
    assert whole.std(2).min().item() > 1e-3


@pytest.mark.parametrize("missingness", MISSINGNESS)
@pytest.mark.parametrize("n_sets", [1, 2, 5])
@torch.no_grad()
def test_the_importance_estimate_is_the_integral_over_z(table, missingness, n_sets):
    """log of sum_r p(r) times the integral of p(z | r) p(row | z, r), by quadrature."""
    model, rows = _model(missingness, n_sets=n_sets, decoders="tied"), _store(table).all()
    model.reset([torch.Generator().manual_seed(e) for e in range(2)])
    shift = torch.rand(2, 25, net_dim(model), generator=torch.Generator().manual_seed(5))
    log_w = propose(model, rows, shift, n_samples=1024).log_w
    found = torch.logsumexp(log_w, dim=(1, 2)) - np.log(1024)

    grid = torch.linspace(-9, 9, 901)
    z = grid[None, :, None, None, None].expand(2, -1, n_sets, 25, 1)
    eta = model.decoder(z)
    log_p = cell_log_probs(rows, eta, model.spec.layout, model.likelihoods).sum(-1)
    log_p = log_p + model.missingness.log_prob(rows, z, eta)
    log_p = log_p + model.prior.log_p_latent(z) + model.prior.log_p_sets()
    step = np.log(18 / 900)
    exact = torch.logsumexp(log_p.double(), dim=(1, 2)) + step
    # 1,024 quasi-random samples; where the posterior has longer tails than the proposal, one
    # sample far out can carry a few hundredths.
    error = (found - exact).abs()
    assert error.median().item() < 0.005
    assert error.max().item() < 0.1


@torch.no_grad()
def test_two_samples_bound_truth_values_that_hang_together_closely(rng):
    """The bound is within a hundredth of a nat; from Newton's steps it was six below."""
    features = tuple(Feature(name, i, Family.BERNOULLI, 2) for i, name in enumerate("abcdef"))
    layout, n = lay_out(features, n_columns=6), 2000
    values = np.asarray(rng.random((n, 6)) < expit(3 * rng.normal(size=(n, 1))), float)
    seen, nothing = rng.random((n, 6)) < 0.7, np.full((n, 6), np.nan)
    table = EncodedTable(features, values * seen, nothing, nothing, seen, seen)
    rows = store_rows(table, layout, device=torch.device("cpu")).all()
    config = ModelConfig(latent_dim=1, hidden_dim=0)
    spec = ModelSpec(layout, tuple(range(6)), 1, "ignorable", (0.5,) * 6, config)
    model = PatternSetMixtureVAE(spec, 1)
    model.decoder.loadings.fill_(3.0)
    half = torch.randn(1, 1, 1, n, 1, generator=torch.Generator().manual_seed(2))
    bound = model.bound(rows, torch.cat([half, -half], 1)).mean().item()

    grid = torch.linspace(-9, 9, 901)[None, :, None, None, None].expand(1, -1, 1, n, 1)
    log_p = cell_log_probs(rows, model.decoder(grid), layout, model.likelihoods).sum(-1)
    log_p = log_p + model.prior.log_p_latent(grid)
    exact = (torch.logsumexp(log_p.double(), 1) + np.log(18 / 900)).mean().item()
    assert exact - 0.01 < bound < exact + 0.005


@pytest.mark.parametrize("latent_dim", [2, 14])
@torch.no_grad()
def test_slopes_along_unit_directions_give_the_variance_of_linear_predictors(table, latent_dim):
    model, rows = _model(n_sets=3, latent_dim=latent_dim, hidden_dim=0), _store(table).all()
    loadings, sets = model.decoder.loadings, model.prior.components()
    shares = model.prior.log_p_sets()[:, 0, :, 0].exp()
    own = slice(2, 7)
    centred = sets.mean - torch.einsum("es,esl->el", shares, sets.mean)[:, None]
    spread = sets.precision.inverse() + centred[..., None] * centred[..., None, :]
    covariance = torch.einsum("es,eslm->elm", shares, spread)
    expected = torch.einsum("elo,elm,emo->eo", loadings, covariance, loadings)[..., own]
    found = sets.slopes(shares, loadings, own).square().sum(1)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-3, atol=1e-4)

    one = _model(n_sets=1, latent_dim=latent_dim, hidden_dim=0)
    posterior, loadings = one.posterior(rows), one.decoder.loadings
    assert (posterior.root is None) == (latent_dim == 14)
    lower = posterior.lower[:, 0]
    covariance = (lower @ lower.transpose(-1, -2)).inverse()
    expected = torch.einsum("elo,eblm,emo->ebo", loadings, covariance, loadings)[..., own]
    found = posterior.slopes(loadings, own).square().sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("missingness", MISSINGNESS)
@pytest.mark.parametrize(
    "config", [{}, {"decoders": "tied"}, {"mask_latent": True}, {"mask_covariates": True}]
)
def test_every_gradient_is_finite_and_every_parameter_learns(table, missingness, config):
    model = _model(missingness, **config)
    model.reset([torch.Generator().manual_seed(e) for e in range(2)])
    with torch.no_grad():
        model.decoder.head.weight.normal_(generator=torch.Generator().manual_seed(3))
        model.encoder.head.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(4))
        model.encoder.set_head.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(5))
    eps = torch.randn(2, 3, 1, 25, 1, generator=torch.Generator().manual_seed(6))
    elbo_like = model.terms(_store(table).all(), eps)
    loss = (elbo_like.log_q_sets.exp() * elbo_like.log_joint).sum() - model.penalty().sum()
    loss.backward()
    for name, p in model.named_parameters():
        if p.requires_grad and not _idle(name, p, missingness):
            assert p.grad is not None, name
            assert bool(torch.isfinite(p.grad).all()), name
            assert bool(p.grad.flatten(1).abs().sum(1).gt(0).all()), name


def _idle(name, p, missingness):
    """Parameters that cannot learn: below the diagonal of a factor of one dimension."""
    return name == "prior.below" or (name == "missingness.covariates" and p.shape[1] == 0)


@torch.no_grad()
def test_members_do_not_see_each_other(table):
    model, rows = _model(n_members=3), _store(table).all()
    eps = torch.randn(3, 2, 1, 25, 1, generator=torch.Generator().manual_seed(6))
    before = model.bound(rows, eps)
    for p in model.parameters():
        p[1] += 0.1
    after = model.bound(rows, eps)
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]])
    assert not torch.allclose(after[1], before[1])
    assert bool((model.subset([2, 0]).bound(rows, eps[[2, 0]]) - before[[2, 0]]).abs().max() < 1e-4)


@torch.no_grad()
def test_rows_do_not_see_each_other(table):
    model, store = _model(), _store(table)
    eps = torch.randn(2, 2, 1, 25, 1, generator=torch.Generator().manual_seed(6))
    whole = model.bound(store.all(), eps)
    part = model.bound(store.take(torch.arange(5, 9)), eps[..., 5:9, :])
    torch.testing.assert_close(part, whole[:, 5:9], atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_networks_start_without_effect(table):
    rows = _store(table).all()
    deep, linear = (_model(hidden_dim=h, n_members=1) for h in (6, 0))
    own = dict(linear.named_parameters())
    for name, p in deep.named_parameters():
        if name in own:
            own[name].copy_(p)
        elif "head" in name:
            p.zero_()
    deep.encoder.set_head.weight.zero_()
    deep.reset([torch.Generator().manual_seed(0)])
    eps = torch.randn(1, 2, 1, 25, 1, generator=torch.Generator().manual_seed(6))
    # The proposals differ by Newton steps: discrete columns get more of them with networks.
    base, other = linear.base(rows), deep.base(rows)
    torch.testing.assert_close(deep.bound(rows, eps, base), linear.bound(rows, eps, base))
    torch.testing.assert_close(other.posterior.mean, base.posterior.mean, atol=0.02, rtol=0.0)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"objective": "vi"}, r"objective must be one of .*'iwae'.*got 'vi'"),
        ({"evidence": "twice"}, r"evidence must be one of .*'paper'.*got 'twice'"),
        ({"decoders": "three"}, r"decoders must be one of .*'tied'.*got 'three'"),
        ({"latent_dim": 0}, r"latent_dim must be 'auto' or at least 1, got 0"),
        ({"hidden_dim": -1}, r"hidden_dim must be 'auto' or at least 0.*got -1"),
        ({"n_layers": 0}, r"n_layers at least 1.*0"),
        ({"latent_dim": 2.0}, r"latent_dim must be 'auto' or a whole number, got 2.0"),
        ({"mask_covariates": "yes"}, r"mask_covariates must be .auto. or True or False, got .yes."),
        ({"n_layers": True}, r"n_layers must be a whole number, got True"),
        ({"mask_latent": 1}, r"mask_latent must be True or False, got 1"),
        ({"smoothing": "yes"}, r"smoothing must be 'auto' or True or False, got 'yes'"),
    ],
)
def test_an_impossible_option_is_refused(option, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**option)


def test_the_latent_dimension_counts_what_can_vary():
    spec = _model(latent_dim="auto").spec
    # One of the levels of each categorical feature is redundant.
    assert spec.latent_dim == 10 - 2
    with pytest.raises(ConfigError, match="hidden_dim must be resolved"):
        _ = _model(hidden_dim="auto")
