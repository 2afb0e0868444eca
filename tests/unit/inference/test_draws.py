"""Draws: their law, and that nothing but (seed, imputation, row key) decides them.

Laws are compared at a false-alarm rate of 1e-4 a test; the seeds are fixed.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import log_expit, softmax

from psmimpute.inference import draws
from psmimpute.inference.draws import Drawer

FALSE_ALARM = 1e-4


def _drawer(exact, *, keys=None, seed=5, n_samples=64, model=None, **options):
    n_rows = len(exact.x)
    keys = np.arange(n_rows) if keys is None else keys
    return Drawer(
        exact.model(**options) if model is None else model,
        exact.store(),
        row_keys=np.asarray(keys, dtype=np.uint64),
        seed=seed,
        n_samples=n_samples,
    )


def _same(a, b, *, sets=True):
    for one, other in zip(a.features, b.features, strict=True):
        assert_allclose(one, other, atol=1e-5)
    assert_allclose(a.ess, b.ess, rtol=1e-3)
    if sets:
        assert_array_equal(a.sets, b.sets)
        assert_allclose(a.set_probabilities, b.set_probabilities, atol=1e-5)


@pytest.fixture
def exact(linear_gaussian):
    return linear_gaussian()


@pytest.mark.parametrize(("n_sets", "hidden_dim"), [(1, 0), (3, 0), (5, 4)])
def test_draws_of_a_missing_cell_follow_its_exact_conditional_law(
    linear_gaussian, n_sets, hidden_dim
):
    """From four sets on, where there are networks, each sample has a set of its own."""
    one = linear_gaussian(n_sets=n_sets, n_members=1)
    row = next(i for i in range(2, 40) if np.isnan(one.x[i]).sum() == 2)
    n = 4000
    exact = one.with_rows(np.repeat(one.x[row : row + 1], n, 0))
    drawer = _drawer(exact, hidden_dim=hidden_dim)
    drawn = drawer.draw(range(1))
    share = one.responsibilities(0)[row]
    cells = np.flatnonzero(np.isnan(one.x[row]))
    for j in cells:
        means, sds = one.conditional(0, row, j)

        def cdf(x, means=means, sds=sds):
            return share @ stats.norm(means[:, None], sds[:, None]).cdf(x)

        assert stats.kstest(drawn.features[j][0], cdf).pvalue > FALSE_ALARM / 3
    seen = np.bincount(drawn.sets[0], minlength=n_sets)
    if n_sets > 1:
        assert stats.chisquare(seen, share * n).pvalue > FALSE_ALARM / 3
    sampled = drawer.model.samples_sets
    # 64 samples of a row tell its probabilities to about 1/64, and no worse on average.
    assert_allclose(drawn.set_probabilities[0], share, atol=0.05 if sampled else 1e-4)
    assert_allclose(drawn.set_probabilities.mean(0), share, atol=2e-3 if sampled else 1e-4)
    # Both missing cells come from one draw of the latents, so they are correlated as they should.
    pair = np.corrcoef(drawn.features[cells[0]][0], drawn.features[cells[1]][0])[0, 1]
    assert pair == pytest.approx(_correlation(one, row, cells), abs=4.5 / np.sqrt(n))


@pytest.mark.parametrize(
    ("n_sets", "options", "n_samples"),
    [
        (1, {}, 1),
        (1, {"decoders": "separate"}, 1),
        (1, {"missingness": "shared"}, 1),
        (2, {}, 64),
        (1, {"hidden_dim": 4}, 64),
        (1, {"missingness": "selection"}, 64),
        (1, {"missingness": "shared", "mask_latent": True}, 64),
        (1, {"encoder": "network", "hidden_dim": 4}, 64),
    ],
)
def test_one_sample_does_where_the_posterior_is_known(
    linear_gaussian, monkeypatch, n_sets, options, n_samples
):
    exact = linear_gaussian(n_sets=n_sets)
    taken, real = [], draws.propose

    def spy(*given, n_samples, **named):
        taken.append(n_samples)
        return real(*given, n_samples=n_samples, **named)

    monkeypatch.setattr(draws, "propose", spy)
    drawer = _drawer(exact, **options)
    drawn = drawer._draw_rows(drawer.model, range(2), drawer.gappy_rows)
    assert taken[0] == n_samples
    if n_samples == 1:
        assert_array_equal(drawn.ess, 64)
        assert np.isneginf(drawn.tail).all()


def _correlation(one, i, cells):
    """Correlation of two missing cells given the observed ones, over the sets."""
    seen, share = ~np.isnan(one.x[i]), one.responsibilities(0)[i]
    second = np.zeros((2, 2))
    means = np.array([one.conditional(0, i, j)[0] for j in cells])
    for r in range(one.n_sets):
        _, cov = one.moments(0, r)
        own, cross = cov[np.ix_(cells, cells)], cov[np.ix_(cells, seen)]
        within = own - cross @ np.linalg.solve(cov[np.ix_(seen, seen)], cross.T)
        second += share[r] * (within + np.outer(means[:, r], means[:, r]))
    total = second - np.outer(means @ share, means @ share)
    return total[0, 1] / np.sqrt(total[0, 0] * total[1, 1])


def test_the_sets_of_complete_rows_follow_their_probabilities(linear_gaussian):
    one = linear_gaussian(n_members=1)
    n = 4000
    exact = one.with_rows(np.repeat(one.x[1:2], n, 0))
    drawn = _drawer(exact).draw(range(1))
    share = one.responsibilities(0)[1]
    assert stats.chisquare(np.bincount(drawn.sets[0], minlength=3), share * n).pvalue > FALSE_ALARM
    assert_allclose(drawn.set_probabilities[0], share, atol=1e-4)
    assert np.isnan(drawn.ess).all()
    assert np.isnan(drawn.pareto_k).all()


def test_shapes_and_what_complete_rows_are_told(exact):
    drawn = _drawer(exact).draw(range(5))
    missing = np.isnan(exact.x)
    assert [a.shape for a in drawn.features] == [(5, n) for n in missing.sum(0)]
    assert drawn.sets.shape == (5, 40)
    assert drawn.sets.dtype == np.int8
    assert_allclose(drawn.set_probabilities.sum(1), 1, rtol=1e-5)
    assert_array_equal(np.isnan(drawn.ess), ~missing.any(1))
    assert_array_equal(np.isnan(drawn.pareto_k), ~missing.any(1))


@pytest.mark.parametrize("most", [2, 3])
def test_the_members_of_a_pass_do_not_matter(exact, most, monkeypatch):
    whole = _drawer(exact).draw(range(4))
    monkeypatch.setattr(Drawer, "_most_members", lambda *_: most)
    _same(_drawer(exact).draw(range(4)), whole)


def test_the_rows_beside_a_row_and_their_order_do_not_matter(linear_gaussian):
    exact = linear_gaussian(n_members=1)
    whole = _drawer(exact).draw(range(3))
    order = np.random.default_rng(0).permutation(40)[:17]
    part = _drawer(exact.with_rows(exact.x[order]), keys=order).draw(range(3))
    missing = np.isnan(exact.x)
    for j in range(5):
        place = np.full(40, -1)
        place[missing[:, j]] = np.arange(missing[:, j].sum())
        expected = whole.features[j][:, place[order][missing[order, j]]]
        assert_allclose(part.features[j], expected, atol=1e-5)
    assert_array_equal(part.sets, whole.sets[:, order])
    assert_allclose(part.ess, whole.ess[order], rtol=1e-3)


def test_imputations_can_be_drawn_in_any_pieces(exact):
    whole = _drawer(exact).draw(range(7))
    parts = [_drawer(exact).draw(part) for part in (range(3), range(3, 4), range(4, 7))]
    for j in range(5):
        pieces = np.concatenate([part.features[j] for part in parts])
        assert_allclose(pieces, whole.features[j], atol=1e-5)
    assert_array_equal(np.concatenate([part.sets for part in parts]), whole.sets)


def test_imputation_i_comes_from_member_i_modulo_their_number(exact):
    model = exact.model()
    with torch.no_grad():
        model.decoder.intercept[1] += 100.0
    drawn = _drawer(exact, model=model).draw(range(5))
    level = np.array([np.abs(a).mean(1) for a in drawn.features]).mean(0)
    assert_array_equal(level > 30, [False, True, False, True, False])


def test_seeds_keys_and_imputations_give_other_draws(exact):
    base = _drawer(exact).draw(range(3))
    others = [
        _drawer(exact, seed=6).draw(range(3)),
        _drawer(exact, keys=np.arange(40) + 40).draw(range(3)),
    ]
    for other in others:
        assert not np.isclose(base.features[0], other.features[0]).any()
    assert not np.isclose(base.features[0][0], base.features[0][2]).any()
    _same(base, _drawer(exact).draw(range(3)))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_labels_of_permuted_sets_are_aligned(linear_gaussian, order):
    one = linear_gaussian(n_members=1, n_rows=200)
    order = list(order)
    both = type(one)(
        weights=np.concatenate([one.weights, one.weights[:, order]]),
        means=np.concatenate([one.means, one.means[:, order]]),
        roots=np.concatenate([one.roots, one.roots[:, order]]),
        loadings=np.repeat(one.loadings, 2, 0),
        intercept=np.repeat(one.intercept, 2, 0),
        variance=np.repeat(one.variance, 2, 0),
        x=one.x,
    )
    drawn = _drawer(both).draw(range(2))
    assert_allclose(drawn.set_probabilities, one.responsibilities(0), atol=1e-4)
    # The second member's draws, by label, are as frequent as its probabilities say.
    share = one.responsibilities(0)
    excess = np.eye(3)[drawn.sets[1]].sum(0) - share.sum(0)
    error = np.sqrt((share * (1 - share)).sum(0))
    assert (np.abs(excess) < stats.norm.isf(FALSE_ALARM / 6) * error).all()


def test_progress_counts_rows_and_imputations(exact):
    counted = []
    drawer = _drawer(exact)
    drawer.on_rows = counted.append
    drawer.draw(range(3))
    assert sum(counted) == 3 * np.isnan(exact.x).any(1).sum()


def test_with_shared_missingness_the_gaps_speak_of_the_set(linear_gaussian):
    exact = linear_gaussian(n_members=1)
    model = exact.model(missingness="shared")
    intercept = np.random.default_rng(2).normal(scale=3, size=(3, 5))
    with torch.no_grad():
        model.missingness.intercept.copy_(torch.from_numpy(intercept)[None])
    sign = np.where(np.isnan(exact.x), -1, 1)
    log_mask = log_expit(sign[:, None] * intercept).sum(-1)
    found = _drawer(exact, model=model).draw(range(1)).set_probabilities
    assert_allclose(found, softmax(exact.log_evidence(0) + log_mask, axis=1), atol=1e-4)


def test_hidden_observed_cells_are_drawn_given_the_others_and_that_they_were_observed(
    linear_gaussian,
):
    """Under shared missingness: the gaps still count, the hidden cell as one that was seen."""
    one = linear_gaussian(n_members=1)
    n, j = 4000, 2
    rows = np.repeat(one.x[1:2], n, 0)
    model = one.model(missingness="shared")
    intercept = np.random.default_rng(2).normal(scale=2, size=(3, 5))
    with torch.no_grad():
        model.missingness.intercept.copy_(torch.from_numpy(intercept)[None])
    shown = one.with_rows(np.where(np.arange(5) == j, np.nan, rows))
    hidden = np.zeros(rows.shape, bool)
    hidden[:, j] = True
    store = one.with_rows(rows).store()
    packed = store.packed.clone()
    start = sum(store.widths[:3])
    packed[:, [j, start + j, start + 5 + j]] = 0.0  # value, observed, input; the cell stays
    drawer = Drawer(
        model,
        type(store)(packed, store.widths),
        row_keys=np.arange(n, dtype=np.uint64),
        seed=5,
        n_samples=64,
        hidden=hidden,
    )
    drawn = drawer.draw(range(1))
    share = softmax(shown.with_rows(shown.x[:1]).log_evidence(0)[0] + log_expit(intercept).sum(1))
    means, sds = shown.with_rows(shown.x[:1]).conditional(0, 0, j)

    def cdf(x):
        return share @ stats.norm(means[:, None], sds[:, None]).cdf(x)

    assert [a.shape[1] for a in drawn.features] == [0, 0, n, 0, 0]
    assert stats.kstest(drawn.features[j][0], cdf).pvalue > FALSE_ALARM
    assert_allclose(drawn.set_probabilities[0], share, atol=1e-4)


def _bent(exact, *, size, **options):
    """A model whose decoder bends, with an encoder that has learned nothing of it."""
    model = exact.model(hidden_dim=8, **options)
    model.reset([torch.Generator().manual_seed(e) for e in range(exact.n_members)])
    with torch.no_grad():
        model.decoder.head.weight.normal_(0, size, generator=torch.Generator().manual_seed(1))
    return model.requires_grad_(False)


@torch.no_grad()
@pytest.mark.parametrize("size", [0.3, 3.0])
def test_a_refined_proposal_has_no_lower_bound(linear_gaussian, size):
    """Also where the decoder bends so much that a line leads astray."""
    exact = linear_gaussian(n_sets=2, n_columns=9, latent_dim=7)
    model, rows = _bent(exact, size=size), exact.store().all()
    found = model.posterior(rows)
    start, refined = (model._bound_of_sets(rows, each) for each in (found, model.proposal(rows)))
    line = model.encoder.line(
        rows, found, model.decoder, model.likelihoods, model.prior, model.cell_weights()
    )
    astray = (model._bound_of_sets(rows, line) < start).float().mean().item()
    assert (astray > 0.1) == (size > 1)
    assert bool((refined >= start).all())
    assert (refined - start).median().item() > 0.05


def test_rows_with_poor_weights_are_drawn_again_with_more_effort(linear_gaussian, monkeypatch):
    exact = linear_gaussian(n_sets=2, n_columns=9, latent_dim=7)
    drawer = _drawer(exact, model=_bent(exact, size=3.0))
    tried, real = [], Drawer._sample

    def spy(self, model, block, group, effort):
        found = real(self, model, block, group, effort)
        tried.append((effort.refined, effort.n_samples, found.ess))
        return found

    monkeypatch.setattr(Drawer, "_sample", spy)
    drawn = drawer._draw_rows(drawer.model, range(2), drawer.gappy_rows)
    efforts = [(False, 64), (True, 64), (True, 512)]
    assert sorted({each[:2] for each in tried}) == efforts
    ess = [np.concatenate([e.ravel() for *what, e in tried if (*what,) == x]) for x in efforts]
    # Each effort has the rows that were left with poor weights by the one before.
    assert ess[1].size == (ess[0] < 8).sum() > ess[2].size == (ess[1] < 8).sum() > 0
    assert (drawn.ess < 8).sum() == (ess[2] < 8).sum()
    assert drawn.ess.shape == (2, len(drawer.gappy_rows))


def test_a_row_that_is_drawn_again_does_not_depend_on_its_neighbours(linear_gaussian):
    exact = linear_gaussian(n_sets=2, n_columns=9, latent_dim=7)
    model = _bent(exact, size=1.0)
    whole = _drawer(exact, model=model).draw(range(2))
    gappy = np.flatnonzero(np.isnan(exact.x).any(1))
    some = gappy[::3]
    part = _drawer(exact.with_rows(exact.x[some]), model=model, keys=some).draw(range(2))
    for j in range(9):
        place = np.cumsum(np.isnan(exact.x[:, j])) - 1
        own = some[np.isnan(exact.x[some, j])]
        assert_array_equal(part.features[j], whole.features[j][:, place[own]])
    assert_array_equal(part.sets, whole.sets[:, some])
