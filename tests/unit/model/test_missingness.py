"""The models of missingness: integrals against scipy's, sums by hand, tilted draws by their law.

Draws are compared with their law at a false-alarm rate of 1e-4; the seeds are fixed.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import integrate, stats
from scipy.special import expit, log_expit, log_softmax

from psmimpute.inference.importance import propose
from psmimpute.likelihoods.base import LikelihoodBlocks
from psmimpute.likelihoods.registry import build_likelihood
from psmimpute.model.cells import Cells
from psmimpute.model.layout import lay_out
from psmimpute.model.missingness import Ignorable, SelfMasking, SharedParameter
from psmimpute.model.rows import store_rows
from psmimpute.table.encoded import EncodedTable, Feature
from psmimpute.table.kinds import Family

FALSE_ALARM = 1e-4
N_DRAWS = 4000
# Error in log P of the eight-node rule while slope times scale is 1 at most.
RULE_ERROR = 0.02

FEATURES = (
    Feature("real", 0, Family.GAUSSIAN),
    Feature("count", 1, Family.COUNT),
    Feature("binary", 2, Family.BERNOULLI, 2),
    Feature("grade", 3, Family.ORDINAL, 4),
    Feature("colour", 4, Family.CATEGORICAL, 3),
    Feature("spent:nonzero", 5, Family.BERNOULLI, 2),
    Feature("spent:amount", 5, Family.GAUSSIAN),
)
N_COLUMNS = 6


def _table(values, seen_cells):
    n_rows = len(values)
    columns = np.array([feature.column for feature in FEATURES])
    observed = seen_cells[:, columns].copy()
    observed[:, 6] &= values[:, 5] == 1
    lower = np.full(values.shape, np.nan)
    upper = lower.copy()
    lower[:, 1], upper[:, 1] = values[:, 1] - 0.2, values[:, 1] + 0.2
    table = EncodedTable(
        FEATURES, np.where(observed, values, 0.0), lower, upper, observed, seen_cells
    )
    assert table.n_rows == n_rows
    return table


def _values(n_rows, rng):
    return np.column_stack(
        [
            rng.normal(size=n_rows),
            rng.normal(size=n_rows),
            rng.integers(0, 2, n_rows),
            rng.integers(0, 4, n_rows),
            rng.integers(0, 3, n_rows),
            rng.integers(0, 2, n_rows),
            rng.normal(size=n_rows),
        ]
    ).astype(float)


class Masked:
    """A self-masking model of two members and two sets on every family, and its rows."""

    def __init__(self, gappy, *, nodes=None, known=()):
        rng = np.random.default_rng(17)
        self.layout = lay_out(FEATURES, n_columns=N_COLUMNS)
        self.likelihoods = LikelihoodBlocks(
            build_likelihood(block.family, n_members=2, n_levels=block.n_levels)
            for block in self.layout.blocks
        )
        self.model = SelfMasking(
            2,
            2,
            layout=self.layout,
            likelihoods=self.likelihoods,
            gappy=gappy,
            complete_inputs=known,
        )
        with torch.no_grad():
            for p in self.model.parameters():
                p.copy_(torch.from_numpy(rng.uniform(-1, 1, p.shape)))
        if nodes is not None:
            u, w = np.polynomial.legendre.leggauss(nodes)
            self.model.nodes = torch.from_numpy((u + 1) / 2).float()
            self.model.log_weights = torch.from_numpy(np.log(w / 2)).float()
        seen = rng.random((20, N_COLUMNS)) < 0.5
        self.values = _values(20, rng)
        self.table = _table(self.values, seen)
        self.rows = store_rows(self.table, self.layout, device=torch.device("cpu")).all()
        self.eta = torch.from_numpy(rng.normal(size=(2, 1, 2, 20, self.layout.n_outputs))).float()

    def at(self, feature):
        """Block number, place in the block and place in the model of an encoded feature."""
        place = self.layout.order.index(feature)
        for index, block in enumerate(self.layout.blocks):
            if block.features.start <= place < block.features.stop:
                return index, place - block.features.start, place
        raise AssertionError

    def outputs(self, feature):
        """Positions of the linear predictors, which are those of the effects, of a feature."""
        index, j, _ = self.at(feature)
        start = self.layout.blocks[index].outputs.start
        return slice(start, start + 3) if feature == 4 else slice(start + j, start + j + 1)

    def law(self, feature, e, eta):
        """Continuous law of a feature given its linear predictor."""
        index, j, _ = self.at(feature)
        scale = self.likelihoods[index].scale[e, j].item()
        return stats.norm(eta, scale)

    def levels(self, feature, e, eta):
        """Log masses of the levels given the linear predictors."""
        index, j, _ = self.at(feature)
        if feature == 4:
            return log_softmax(eta)
        if feature in (2, 5):
            return np.array([log_expit(-eta[0]), log_expit(eta[0])])
        cuts = self.likelihoods[index].cutpoints[e, j].detach().double().numpy()
        return np.log(np.diff(expit(np.concatenate([[-np.inf], cuts, [np.inf]]) - eta[0])))

    def logits(self, feature, e, r, x):
        """Log odds that a cell of value `x` is observed."""
        intercept = self.model.intercept[e, r, self.at(feature)[2]].item()
        effect = self.model.effect[e, r, self.outputs(feature)].detach().double().numpy()
        if feature == 4:
            return intercept + effect[x]
        score = {2: 2 * x - 1, 5: 2 * x - 1, 3: np.asarray(x) / 1.5 - 1}.get(feature, x)
        return intercept + effect[0] * score


def _log_missing(masked, feature, e, r, eta):
    """Log P(missing) of a cell: its value integrated or summed out."""
    if feature in (0, 1):
        law = masked.law(feature, e, eta[0])

        def integrand(x):
            return expit(-masked.logits(feature, e, r, x)) * law.pdf(x)

        low, high = law.ppf([1e-12, 1 - 1e-12])
        return np.log(integrate.quad(integrand, low, high, epsabs=1e-10, limit=200)[0])
    mass = np.exp(masked.levels(feature, e, eta))
    levels = np.arange(len(mass))
    return np.log(np.sum(mass * expit(-masked.logits(feature, e, r, levels))))


def _by_hand(masked, feature, e, r, i):
    """Log probability that the cell of row `i` was observed or not, as it was."""
    if masked.table.observed_cells[i, FEATURES[feature].column]:
        value = masked.values[i, feature]
        value = value if feature in (0, 1) else int(value)
        return log_expit(masked.logits(feature, e, r, value))
    eta = masked.eta[e, 0, r, i, masked.outputs(feature)].double().numpy()
    return _log_missing(masked, feature, e, r, eta)


@pytest.mark.parametrize(
    ("feature", "nodes", "tolerance"),
    [
        (0, None, RULE_ERROR),
        (1, None, RULE_ERROR),
        (0, 400, 1e-3),
        (1, 400, 1e-3),
        (2, None, 1e-5),
        (3, None, 1e-5),
        (4, None, 1e-5),
        (5, None, 1e-5),
    ],
)
@torch.no_grad()
def test_self_masking_integrates_the_missing_value_out(feature, nodes, tolerance):
    masked = Masked((FEATURES[feature].column,), nodes=nodes)
    found = masked.model.log_prob(masked.rows, masked.eta, masked.eta)
    assert found.shape == (2, 1, 2, 20)
    for e, r, i in np.ndindex(2, 2, 20):
        expected = _by_hand(masked, feature, e, r, i)
        assert found[e, 0, r, i].item() == pytest.approx(expected, abs=tolerance)


@torch.no_grad()
def test_columns_with_gaps_add_up_and_the_others_do_not_count():
    total = Masked((0, 2, 4, 5))
    found = total.model.log_prob(total.rows, total.eta, total.eta)
    parts = [Masked((column,)) for column in (0, 2, 4, 5)]
    expected = sum(one.model.log_prob(one.rows, one.eta, one.eta) for one in parts)
    torch.testing.assert_close(found, expected)
    none = Masked(())
    assert not none.model.log_prob(none.rows, none.eta, none.eta).any()


@torch.no_grad()
def test_without_slopes_missingness_depends_on_the_set_alone():
    masked = Masked((0, 1, 2, 3, 4, 5))
    masked.model.effect.zero_()
    found = masked.model.log_prob(masked.rows, masked.eta, masked.eta)[:, 0]
    first = [masked.layout.order.index(f) for f in range(6)]
    sign = np.where(masked.table.observed_cells, 1, -1)
    for e, r in np.ndindex(2, 2):
        intercept = masked.model.intercept[e, r, first].numpy()
        assert_allclose(found[e, r], log_expit(sign * intercept).sum(1), atol=1e-5)


@pytest.mark.parametrize(
    ("feature", "nodes"), [(0, 400), (1, 400), (2, None), (4, None), (5, None)]
)
@torch.no_grad()
def test_the_hidden_value_of_an_observed_cell_is_integrated_out(feature, nodes):
    masked = Masked((FEATURES[feature].column,), nodes=nodes)
    rows = masked.rows._replace(
        values=torch.zeros_like(masked.rows.values), observed=torch.zeros_like(masked.rows.observed)
    )
    found = masked.model.log_prob(rows, masked.eta, masked.eta)
    seen = masked.table.observed_cells[:, FEATURES[feature].column]
    for e, r, i in np.ndindex(2, 2, 20):
        eta = masked.eta[e, 0, r, i, masked.outputs(feature)].double().numpy()
        log_missing = _log_missing(masked, feature, e, r, eta)
        expected = np.log1p(-np.exp(log_missing)) if seen[i] else log_missing
        assert found[e, 0, r, i].item() == pytest.approx(expected, abs=2e-3)


@torch.no_grad()
def test_cells_to_which_a_column_does_not_apply_count_for_nothing():
    masked = Masked((0, 2, 4))
    rows = masked.rows._replace(
        values=torch.zeros_like(masked.rows.values),
        observed=torch.zeros_like(masked.rows.observed),
        cells=torch.full_like(masked.rows.cells, 0.5),
    )
    found = masked.model.log_prob(rows, masked.eta, masked.eta)
    assert_allclose(found, 3 * np.log(0.5), atol=1e-4)
    shared = SharedParameter(2, 2, latent_dim=2, gappy=(0, 2), complete_inputs=(), latent=False)
    for p in shared.parameters():
        p.normal_(generator=torch.Generator().manual_seed(0))
    z = masked.eta[..., :2]
    assert_allclose(shared.log_prob(rows, z, z), 2 * np.log(0.5), atol=1e-6)


@torch.no_grad()
def test_given_effects_take_the_place_of_learned_ones():
    masked = Masked((0, 2))
    plain = masked.model.effects().clone()
    given = SelfMasking(
        2,
        2,
        layout=masked.layout,
        likelihoods=masked.likelihoods,
        gappy=(0, 2),
        fixed=((0, (1.5,)), (3, (-1.0, 2.0))),
    )
    given.effect.copy_(masked.model.effect)
    found = given.effects()
    assert (found[..., 0] == 1.5).all()
    assert_allclose(found[..., 3], [[-1.0, 2.0]] * 2)
    rest = [i for i in range(plain.shape[-1]) if i not in (0, 3)]
    torch.testing.assert_close(found[..., rest], plain[..., rest])


def _tilted(masked, feature, e, r, *, observed=False):
    """Draws of a feature given that its cell is missing, and the linear predictors."""
    index, j, _ = masked.at(feature)
    block = masked.layout.blocks[index]
    eta = masked.eta[:, 0, r, :1, block.outputs].expand(-1, N_DRAWS, -1)
    shape = (2, N_DRAWS, block.n_features)
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(99))
    sets = torch.full((2, N_DRAWS), r)
    rows = masked.rows._replace(inputs=masked.rows.inputs[:, :1].expand(-1, N_DRAWS, -1))
    drawn = masked.model.tilt(index, rows, eta, sets, uniform, observed=observed)[e, :, j].numpy()
    return drawn, masked.eta[e, 0, r, 0, masked.outputs(feature)].double().numpy()


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("steep", [1.0, 4.0])
@pytest.mark.parametrize("feature", [0, 1])
@torch.no_grad()
def test_numbers_are_drawn_given_that_they_are_missing_or_hidden(feature, steep, observed):
    masked = Masked((0, 1))
    masked.model.effect.mul_(steep)
    for e, r in np.ndindex(2, 2):
        drawn, eta = _tilted(masked, feature, e, r, observed=observed)
        sign = 1 if observed else -1
        law = masked.law(feature, e, eta[0])
        grid = law.ppf(np.linspace(1e-9, 1 - 1e-9, 20_001))
        density = law.pdf(grid) * expit(sign * masked.logits(feature, e, r, grid))
        cdf = integrate.cumulative_trapezoid(density, grid, initial=0)
        found = stats.kstest(drawn, lambda x, g=grid, c=cdf: np.interp(x, g, c / c[-1]))
        assert found.pvalue > FALSE_ALARM / 4


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("feature", [2, 3, 4, 5])
@torch.no_grad()
def test_levels_are_drawn_given_that_they_are_missing_or_hidden(feature, observed):
    masked = Masked((2, 3, 4, 5))
    masked.model.effect.mul_(2.0)
    for e, r in np.ndindex(2, 2):
        drawn, eta = _tilted(masked, feature, e, r, observed=observed)
        sign = 1 if observed else -1
        log_mass = masked.levels(feature, e, eta)
        levels = np.arange(len(log_mass))
        mass = np.exp(log_mass) * expit(sign * masked.logits(feature, e, r, levels))
        expected = mass / mass.sum() * N_DRAWS
        seen = np.bincount(drawn.astype(int), minlength=len(mass))
        assert stats.chisquare(seen, expected).pvalue > FALSE_ALARM / 4


@torch.no_grad()
def test_what_does_not_self_mask_is_drawn_as_it_is():
    """Columns without gaps, and the amount of a semicontinuous column."""
    masked = Masked((2, 5))
    for feature in (0, 1, 3, 4, 6):
        drawn, _ = _tilted(masked, feature, 1, 1)
        index, j, _ = masked.at(feature)
        block = masked.layout.blocks[index]
        uniform = torch.rand(
            (2, N_DRAWS, block.n_features), generator=torch.Generator().manual_seed(99)
        )
        eta = masked.eta[:, 0, 1, :1, block.outputs].expand(-1, N_DRAWS, -1)
        plain = masked.likelihoods[index].draw(eta, uniform)[1, :, j]
        assert_allclose(drawn, plain, rtol=1e-5)


@pytest.mark.parametrize("row", [0, 7])
@torch.no_grad()
def test_a_column_without_gaps_shifts_the_log_odds_of_its_row(row):
    """What is computed with covariates is, row by row, that of shifted intercepts without."""
    known = [0, 3, 8]
    masked, plain = Masked(range(6), known=known), Masked(range(6))
    explained = masked.rows.inputs[0, row, known] @ masked.model.covariates
    assert explained.abs().max() > 0.1
    plain.model.effect.copy_(masked.model.effect)
    plain.model.intercept.copy_(masked.model.intercept + explained[:, None])
    pairs = zip(*(_computed(part.model, masked) for part in (masked, plain)), strict=True)
    for found, shifted in pairs:
        torch.testing.assert_close(found[:, row], shifted[:, row])


@pytest.mark.parametrize("known", [(), (0, 3, 8)])
@torch.no_grad()
def test_missing_cells_alone_weigh_what_they_do_among_all(known, monkeypatch):
    """As on a device that must not be waited for; members see different rows."""
    masked = Masked((0, 1, 4, 5), known=known)
    order = torch.stack([torch.arange(20), torch.arange(20).flip(0) // 2])
    rows = store_rows(masked.table, masked.layout, device=torch.device("cpu")).take(order)
    alone = masked.model.log_prob(rows, masked.eta, masked.eta)
    monkeypatch.setattr(Cells, "among", Cells.everywhere)
    among_all = masked.model.log_prob(rows, masked.eta, masked.eta)
    torch.testing.assert_close(alone, among_all)


def _computed(model, masked):
    """Everything that a self-masking model computes of rows, which are the second axis."""
    rows, eta = masked.rows, masked.eta
    yield model.log_prob(rows, eta, eta)[:, 0].movedim(2, 1)
    for index, block in enumerate(masked.layout.blocks):
        own = eta[..., block.outputs]
        uniform, sets = torch.full((2, 20, block.n_features), 0.3), torch.ones(2, 20)
        yield model.tilt(index, rows, own[:, 0, 1], sets, uniform)
        if block.family in (Family.GAUSSIAN, Family.COUNT):
            cells = Cells.everywhere(torch.ones(1, *own.shape[-2:]))
            found = model.tilted_mean(index, rows, cells, own, torch.exp).view_as(own)
        else:
            found = model.tilted_levels(index, rows, own)
        yield found[:, 0].movedim(2, 1)


@torch.no_grad()
def test_one_set_is_the_selection_model_computed_by_hand(linear_gaussian):
    """log of the integral over z of p(z) p(x_obs | z) prod P(observed | x) P(missing | z)."""
    exact = linear_gaussian(n_rows=15, n_sets=1, n_members=1, n_columns=3, latent_dim=1)
    model, rows = exact.model(missingness="selection"), exact.store().all()
    a, b = np.array([0.4, -0.3, 0.0]), np.array([0.8, -1.0, 0.5])
    model.missingness.intercept.copy_(torch.from_numpy(a))
    model.missingness.effect.copy_(torch.from_numpy(b))
    u, w = np.polynomial.legendre.leggauss(400)
    model.missingness.nodes = torch.from_numpy((u + 1) / 2).float()
    model.missingness.log_weights = torch.from_numpy(np.log(w / 2)).float()
    shift = torch.rand(1, 15, 1, generator=torch.Generator().manual_seed(0))
    log_w = propose(model, rows, shift, n_samples=2048).log_w
    found = torch.logsumexp(log_w, dim=(1, 2))[0] - np.log(2048)

    z = np.linspace(-8, 8, 801)
    location = exact.intercept[0] + z[:, None] * exact.loadings[0]
    scale = np.sqrt(exact.variance[0])
    noise = np.linspace(-8, 8, 401)
    values = location[..., None] + scale[:, None] * noise
    unseen = np.trapezoid(
        expit(-a[:, None] - b[:, None] * values) * stats.norm.pdf(noise), noise, axis=-1
    )
    for i, row in enumerate(exact.x):
        seen = ~np.isnan(row)
        density = stats.norm.pdf(z) * unseen[:, ~seen].prod(1)
        density = density * stats.norm(location[:, seen], scale[seen]).pdf(row[seen]).prod(1)
        by_hand = np.log(np.trapezoid(density, z)) + log_expit(a + b * row)[seen].sum()
        assert found[i].item() == pytest.approx(by_hand, abs=2e-3)


@torch.no_grad()
def test_shared_missingness_is_its_formula():
    rng = np.random.default_rng(3)
    masked = Masked((0,))
    rows, gappy, known = masked.rows, (1, 3), (0, 4)
    model = SharedParameter(2, 3, latent_dim=2, gappy=gappy, complete_inputs=known, latent=True)
    for p in model.parameters():
        p.copy_(torch.from_numpy(rng.normal(size=p.shape)))
    z = torch.from_numpy(rng.normal(size=(2, 4, 3, 20, 2))).float()
    found = model.log_prob(rows, z, z)
    inputs = rows.inputs[0].numpy()[:, known]
    sign = np.where(masked.table.observed_cells[:, gappy], 1, -1)
    for e, r in np.ndindex(2, 3):
        logit = model.intercept[e, r].numpy() + inputs @ model.covariates[e].numpy()
        logit = logit + z[e, :, r].numpy() @ model.latent[e].numpy()
        assert_allclose(found[e, :, r], log_expit(sign * logit).sum(-1), atol=1e-5)
    at_one = model.log_prob_at(rows, z[:, 0, 0])
    wide = z[:, :1, :1].expand(-1, 1, 3, -1, -1)
    torch.testing.assert_close(at_one, model.log_prob(rows, wide, wide)[:, 0])


def test_ignorable_missingness_has_no_factor_and_no_parameters():
    masked = Masked((0,))
    assert Ignorable().log_prob(masked.rows, masked.eta, masked.eta) == 0.0
    assert Ignorable().log_prob_at(masked.rows, masked.eta) == 0.0
    assert not list(Ignorable().parameters())


def test_the_prior_of_missingness_is_least_at_no_effect():
    masked = Masked((0, 1, 2, 3, 4, 5))
    before = masked.model.penalty()
    assert before.shape == (2,)
    assert bool((before > 0).all())
    with torch.no_grad():
        for p in masked.model.parameters():
            p.zero_()
    assert not masked.model.penalty().any()


def test_gradients_stay_finite_far_out():
    for masked in (Masked((0, 1, 2, 3, 4, 5)), Masked((5,))):
        for location in (-80.0, 80.0):
            eta = torch.full_like(masked.eta, location).requires_grad_()
            masked.model.log_prob(masked.rows, eta, eta).sum().backward()
            gradients = [eta.grad, *(p.grad for p in masked.model.parameters())]
            assert all(bool(torch.isfinite(g).all()) for g in gradients)
