"""What columns without gaps say of the others: an offset that z need not explain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from scipy.stats import norm

from psmimpute.inference.draws import Drawer
from psmimpute.inference.means import MeanEstimator
from psmimpute.model.config import ModelConfig

GAPPY = (2, 3, 4)
N_ROWS = 40


@pytest.fixture
def exact(linear_gaussian):
    """Rows whose first two columns are complete; one set, so that everything is Gaussian."""
    law = linear_gaussian(n_sets=1, n_rows=N_ROWS)
    x = law.x.copy()
    x[:, :2] = np.random.default_rng(1).normal(size=(N_ROWS, 2))
    return law.with_rows(x)


def _with_network(exact, *, linear=False, **options):
    model = exact.model(gappy=GAPPY, covariate_dim=6, **options)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in model.covariates.named_parameters():
            if linear and not name.startswith("linear.weight"):
                continue
            p.copy_(0.7 * torch.randn(p.shape, generator=generator))
    return model.eval().requires_grad_(requires_grad=False)


def _said(model, exact):
    with torch.no_grad():
        return model.covariates(exact.store().all().inputs).numpy()


def _drawer(exact, model, n_rows=N_ROWS, n_samples=64):
    keys = np.arange(n_rows, dtype=np.uint64)
    return Drawer(model, exact.store(), row_keys=keys, seed=5, n_samples=n_samples)


def _means(exact, model, n_samples, n_rows=N_ROWS):
    return MeanEstimator(
        model,
        exact.store(),
        inverses=[lambda x: x] * 5,
        limits=np.tile([-50.0, 50.0], (5, 1)),
        row_keys=np.arange(n_rows, dtype=np.uint64),
        seed=5,
        n_samples=n_samples,
    ).estimate()


def test_an_offset_is_that_of_the_values_themselves(exact):
    model = _with_network(exact)
    said = _said(model, exact)
    assert_array_equal(said[..., :2], 0.0)
    eps = torch.zeros(2, 1, 1, N_ROWS, 2)
    found = model.bound(exact.store().all(), eps)
    for e in range(2):
        left = exact.with_rows(exact.x - said[e])
        assert_allclose(found[e], left.log_likelihood(e), atol=1e-4)


def test_draws_and_means_are_those_of_what_is_left_and_the_offset(exact):
    model = _with_network(exact, hidden_dim=4)  # neither is then known to be exact
    drawn = _drawer(exact, model).draw(range(2))
    means = _means(exact, model, n_samples=1024)
    said, expected = _said(model, exact), np.zeros(exact.x.shape)
    for e in range(2):
        left = exact.with_rows(exact.x - said[e])
        alone = _drawer(left, left.model(gappy=GAPPY, hidden_dim=4)).draw(range(2))
        for j in GAPPY:
            gaps = np.isnan(exact.x[:, j])
            assert_allclose(
                drawn.features[j][e], alone.features[j][e] + said[e, gaps, j], atol=1e-4
            )
        expected += (left.conditional_mean(e) + said[e]) / 2
    assert_array_equal(drawn.features[0].shape, (2, 0))
    assert set(means.numbers) >= set(GAPPY)
    for j in GAPPY:
        gaps = np.isnan(exact.x[:, j])
        inside = np.abs(expected[gaps, j]) < 4  # means are tabulated from -10 to 10
        assert inside.mean() > 0.5
        assert_allclose(means.numbers[j][inside], expected[gaps, j][inside], atol=0.05)


def test_rows_that_lack_a_complete_column_are_drawn_from_the_joint_law(exact):
    """Where the network is a line, columns with gaps follow the lacking one through it."""
    n = 6000
    row = exact.x[1].copy()
    row[[0, 2]] = np.nan
    many = exact.with_rows(np.repeat(row[None], n, 0))
    model = _with_network(exact, linear=True)
    line = np.zeros((2, 5, 5))
    line[:, :2, 2:] = model.covariates.linear.weight.detach().numpy()
    drawn = _drawer(many, model, n).draw(range(2))
    for e in range(2):
        spread = np.eye(5) + line[e]
        mean, cov = exact.moments(e, 0)
        mean, cov = mean @ spread, spread.T @ cov @ spread
        seen, lacking = [1, 3, 4], [0, 2]
        weight = np.linalg.solve(cov[np.ix_(seen, seen)], cov[np.ix_(seen, lacking)])
        expected = mean[lacking] + (row - mean)[seen] @ weight
        left = cov[np.ix_(lacking, lacking)] - cov[np.ix_(lacking, seen)] @ weight
        found = np.stack([drawn.features[j][e] for j in lacking])
        error = np.sqrt(np.diag(left))
        assert_allclose(found.mean(1), expected, atol=0.1 * error.max())
        assert_allclose(np.cov(found), left, atol=0.12 * error.max() ** 2)


def _with_gaps_by_the_first_column(exact, **options):
    """Whether each of the last three columns is there hangs on the first column."""
    model = exact.model(gappy=GAPPY, missingness="shared", **options)
    with torch.no_grad():
        model.missingness.intercept.fill_(0.3)
        model.missingness.covariates.copy_(torch.tensor([[0.5, 2.0, 0.2], [0.0, 0.0, 0.0]]))
    return model.eval().requires_grad_(requires_grad=False)


def test_gaps_tell_of_a_complete_column_that_a_row_lacks(exact):
    """p(x_0 | x_obs, m) is Gaussian times logistic functions: its moments by quadrature."""
    n = 6000
    row = exact.x[1].copy()
    row[[0, 3]] = np.nan
    many = exact.with_rows(np.repeat(row[None], n, 0))
    model = _with_gaps_by_the_first_column(exact)
    drawn = _drawer(many, model, n, n_samples=512).draw(range(2))
    single = _means(many, model, 512, n).numbers[0].mean()
    grid, everyone = np.linspace(-8, 8, 4001), []
    for e in range(2):
        means, sds = many.conditional(e, 0, 0)
        density = norm.pdf(grid, means[0], sds[0])
        for slope, sign in ((0.5, 1), (2.0, -1), (0.2, 1)):
            density *= expit(sign * (0.3 + slope * grid))
        density /= density.sum()
        expected = density @ grid
        sd = np.sqrt(density @ (grid - expected) ** 2)
        found = drawn.features[0][e]
        assert abs(expected - means[0]) > 0.25 * sds[0]
        assert_allclose(found.mean(), expected, atol=4 * sd / np.sqrt(n) + 0.02 * sd)
        assert_allclose(found.std(), sd, rtol=0.06)
        everyone.append(expected)
    assert_allclose(single, np.mean(everyone), atol=0.02)


def test_other_rows_are_drawn_alike_beside_one_that_lacks_a_column(exact):
    model = _with_gaps_by_the_first_column(exact)
    x = exact.x.copy()
    x[7, 0] = np.nan
    together = _drawer(exact.with_rows(x), model).draw(range(2))
    alone = _drawer(exact, model).draw(range(2))
    for j in GAPPY:
        others = np.flatnonzero(np.isnan(x[:, j])) != 7
        assert_allclose(
            together.features[j][:, others], alone.features[j][:, others], rtol=1e-5, atol=1e-5
        )
    others = np.arange(N_ROWS) != 7
    assert_array_equal(together.ess[others], alone.ess[others])


def test_a_hidden_cell_of_a_complete_column_counts_as_lacking(exact):
    model = _with_network(exact)
    hidden = np.zeros(exact.x.shape, dtype=bool)
    hidden[5, 0] = True
    store = exact.with_rows(np.where(hidden, np.nan, exact.x)).store()
    cells = store.packed.split_with_sizes(store.widths, dim=-1)[-1]
    cells[5, 0] = 1.0
    lacking = model.lacking(store.all())
    assert lacking[0, 5].tolist() == [True, *[False] * 4]
    assert lacking.sum() == 1
    assert model.lacks_covariates(store.all())
    assert not model.lacks_covariates(exact.store().all())


@pytest.mark.parametrize(
    "options",
    [{"missingness": "selection"}, {"encoder": "network", "hidden_dim": 4}, {"covariate_dim": 0}],
)
def test_some_models_have_no_such_network(exact, options):
    assert exact.model(gappy=GAPPY, **({"covariate_dim": 6} | options)).covariates is None


def test_without_complete_columns_there_is_nothing_to_go_by(exact):
    assert exact.model(covariate_dim=6).covariates is None
    assert exact.model(gappy=GAPPY).covariates is None, "'auto' is resolved by a fit"


def test_the_width_is_checked():
    with pytest.raises(ValueError, match="covariate_dim must be 'auto' or at least 0"):
        ModelConfig(covariate_dim=-1)
