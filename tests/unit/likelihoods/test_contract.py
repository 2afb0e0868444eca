"""What every likelihood promises, checked for all of them alike.

Draws are compared with the log density at a false-alarm rate of 1e-4 a comparison; the seeds are
fixed, so a comparison fails always or never.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from psmimpute.exceptions import SchemaError, SupportError
from psmimpute.likelihoods.base import Likelihood, Observation
from psmimpute.likelihoods.bernoulli import BernoulliLikelihood
from psmimpute.likelihoods.categorical import CategoricalLikelihood
from psmimpute.likelihoods.count import CountLikelihood
from psmimpute.likelihoods.gaussian import GaussianLikelihood
from psmimpute.likelihoods.ordinal import OrdinalLikelihood
from psmimpute.likelihoods.registry import build_likelihood
from psmimpute.table.kinds import Family

FALSE_ALARM = 1e-4
N_MEMBERS = 2
# Count k has the latent value g(k) = sqrt(k) / 2 - 1; what lies beyond so many has no mass.
N_COUNTS = 4000
N_DRAWS = 20_000


def _transform(k):
    return np.sqrt(k) / 2 - 1


def _observe(values):
    """Levels or numbers as the model sees them, and the intervals that they stand for as counts."""
    values = torch.as_tensor(values)
    raw = np.maximum(values.double().numpy(), 0)
    lower = np.where(raw > 0, _transform(np.maximum(raw - 0.5, 0)), -np.inf)
    ends = (torch.from_numpy(a).to(values.dtype) for a in (lower, _transform(raw + 0.5)))
    return Observation(values, *ends)


def _gaussian():
    likelihood = GaussianLikelihood(N_MEMBERS, 2)
    with torch.no_grad():
        likelihood.log_scale.copy_(torch.tensor([[-0.6, 0.4], [0.1, -1.1]]))
    return likelihood


def _count():
    likelihood = CountLikelihood(N_MEMBERS, 2)
    with torch.no_grad():
        likelihood.log_scale.copy_(torch.tensor([[-0.3, -1.0], [-0.7, 0.2]]))
    return likelihood


def _ordinal():
    likelihood = OrdinalLikelihood(N_MEMBERS, (3, 5))
    with torch.no_grad():
        likelihood.first_cutpoint.copy_(torch.tensor([[-1.0, -2.0], [0.2, -1.5]]))
        likelihood.raw_gaps.copy_(torch.linspace(-1.5, 1.0, 12).reshape(2, 2, 3))
    return likelihood


@dataclass(frozen=True)
class Case:
    """One likelihood of two features and two members.

    Attributes
    ----------
    support : tuple of ndarray
        For each feature all values with mass; of numbers, a grid to integrate over.
    illegal : tuple of float
        Values off the support.
    exact_information : bool
        Whether the information is minus the second derivative.
    """

    name: str
    build: Callable[[], Likelihood]
    support: tuple[np.ndarray, np.ndarray]
    illegal: tuple[float, ...]
    exact_information: bool = True

    def outputs(self, feature):
        """Positions of the linear predictors of one feature."""
        if self.name == "categorical":
            return slice(0, 4) if feature == 0 else slice(4, 6)
        return slice(feature, feature + 1)

    def sum_mass(self, mass):
        """Total mass over the support, first axis."""
        if self.name == "gaussian":
            return np.trapezoid(mass, self.support[0], axis=0)
        return mass.sum(0)

    def decode(self, drawn):
        """Draws as values of the support: counts are drawn as latent values and then rounded."""
        if self.name != "count":
            return drawn
        return np.searchsorted(_transform(np.arange(N_COUNTS) + 0.5), drawn)


_GRID = np.linspace(-40.0, 40.0, 20_001)

CASES = [
    Case("gaussian", _gaussian, (_GRID, _GRID), (np.nan, np.inf, -np.inf)),
    Case("count", _count, (np.arange(N_COUNTS, dtype=float),) * 2, (np.nan,)),
    Case(
        "bernoulli",
        lambda: BernoulliLikelihood(N_MEMBERS, 2),
        (np.arange(2.0),) * 2,
        (-1.0, 0.5, 2.0, np.nan),
    ),
    Case("ordinal", _ordinal, (np.arange(3.0), np.arange(5.0)), (-1.0, 0.5, 3.0, np.nan)),
    Case(
        "categorical",
        lambda: CategoricalLikelihood(N_MEMBERS, (4, 2)),
        (np.arange(4.0), np.arange(2.0)),
        (-1.0, 0.5, 4.0, np.nan),
        exact_information=False,
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.fixture
def eta(case, rng):
    """Three sets of linear predictors, axes (members, 1, sets, 1, outputs)."""
    n_outputs = case.build().n_outputs
    return torch.from_numpy(rng.normal(scale=1.5, size=(N_MEMBERS, 1, 3, 1, n_outputs)))


def _pair(case, feature, values):
    """Observation of the values in one feature, the other at its first value with mass."""
    other = np.full_like(values, case.support[1 - feature][0])
    both = [values, other] if feature == 0 else [other, values]
    return _observe(np.stack(both, -1)[None, None, None])


def _log_mass(case, likelihood, eta, feature):
    """Log mass of the whole support of a feature, axes (support, members, sets)."""
    x = _pair(case, feature, case.support[feature])
    wide = eta.expand(-1, -1, -1, x.value.shape[3], -1)
    return likelihood.log_prob(wide, x)[:, 0, :, :, feature].permute(2, 0, 1)


@pytest.mark.parametrize("feature", [0, 1])
def test_it_normalises(case, eta, feature):
    with torch.no_grad():
        mass = _log_mass(case, case.build().double(), eta, feature).exp().numpy()
    assert_allclose(case.sum_mass(mass), 1.0, rtol=1e-9)


@pytest.mark.parametrize("feature", [0, 1])
def test_draws_follow_the_log_density(case, eta, feature):
    likelihood = case.build().double()
    generator = torch.Generator().manual_seed(20210413)
    shape = (N_MEMBERS, 1, 3, N_DRAWS, 2)
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        wide = eta.expand(-1, -1, -1, N_DRAWS, -1)
        drawn = likelihood.draw(wide, uniform)[:, 0, ..., feature].numpy()
        mass = _log_mass(case, likelihood, eta, feature).exp().numpy()
    alarm = FALSE_ALARM / (N_MEMBERS * 3)
    for e, s in np.ndindex(N_MEMBERS, 3):
        sample = case.decode(drawn[e, s])
        if case.name == "gaussian":
            location = eta[e, 0, s, 0, feature].item()
            scale = likelihood.scale[e, feature].item()
            assert stats.kstest(sample, stats.norm(location, scale).cdf).pvalue > alarm
        else:
            assert _chi_square(sample, case.support[feature], mass[:, e, s]) > alarm


def _chi_square(sample, support, mass):
    """P value of the sample's frequencies, rare values put together."""
    expected = mass * len(sample)
    seen = np.bincount(sample.astype(int), minlength=len(support))
    common = expected >= 10
    seen = np.append(seen[common], seen[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    kept = expected > 1e-3
    return stats.chisquare(seen[kept], expected[kept] * seen.sum() / expected[kept].sum()).pvalue


def test_a_draw_is_monotone_in_its_uniform_number_or_falls_where_the_mass_is(case, eta):
    """Inversion: equal uniforms give equal draws, and other rows have no part in them."""
    likelihood = case.build().double()
    uniform = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    uniform = uniform[None, None, None, :, None].expand(N_MEMBERS, 1, 3, 50, 2)
    with torch.no_grad():
        drawn = likelihood.draw(eta.expand(-1, -1, -1, 50, -1), uniform)
        alone = likelihood.draw(eta, uniform[..., 7:8, :])
    torch.testing.assert_close(drawn[..., 7:8, :], alone)
    steps = drawn.diff(dim=-2)
    if case.name == "bernoulli":
        steps = -steps
    assert bool((steps >= 0).all())


@pytest.mark.parametrize("location", [-80.0, -10.0, 0.0, 10.0, 80.0])
@pytest.mark.parametrize("feature", [0, 1])
def test_gradients_are_finite_far_out_in_single_precision(case, location, feature):
    likelihood = case.build()
    values = np.asarray(case.support[feature], dtype=np.float32)
    if len(values) > 100:
        values = values[np.linspace(0, len(values) - 1, 100).astype(int)]
        values = np.unique(np.append(values, [0, 1, 2]).astype(np.float32))
    x = _pair(case, feature, values)
    shape = (N_MEMBERS, 1, 1, len(values), likelihood.n_outputs)
    eta = torch.full(shape, location)
    eta[..., 1:] *= -1
    eta.requires_grad_()
    log_p = likelihood.log_prob(eta, x)
    assert bool(torch.isfinite(log_p).all())
    log_p.sum().backward()
    trained = {n: p for n, p in likelihood.named_parameters() if p.requires_grad}
    gradients = {"eta": eta.grad} | {name: p.grad for name, p in trained.items()}
    for name, gradient in gradients.items():
        assert bool(torch.isfinite(gradient).all()), name


def test_gradients_in_the_parameters_are_those_of_finite_differences(case, eta):
    likelihood = case.build().double()
    x = _pair(case, 0, case.support[0][:3])
    parameters = [p for p in likelihood.parameters() if p.requires_grad]
    eta = eta.expand(-1, -1, -1, x.value.shape[3], -1)
    total = likelihood.log_prob(eta, x).sum()
    gradients = torch.autograd.grad(total, parameters) if parameters else ()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        flat = parameter.data.view(-1)
        for i in range(flat.numel()):
            ends = []
            for step in (1e-6, -1e-6):
                flat[i] += step
                with torch.no_grad():
                    ends.append(likelihood.log_prob(eta, x).sum())
                flat[i] -= step
            numeric = ((ends[0] - ends[1]) / 2e-6).item()
            assert gradient.view(-1)[i].item() == pytest.approx(numeric, rel=1e-6, abs=1e-6)


def _expand(case, eta, feature):
    """Expansion and derivatives at the linear predictors `eta`, axes (members, rows, outputs)."""
    likelihood = case.build().double()
    support = case.support[feature][:: max(1, len(case.support[feature]) // 7)]
    x = Observation(*(a[:, 0, 0] for a in _pair(case, feature, support)))
    wide = eta[:, 0, 0].expand(-1, len(support), -1).clone().requires_grad_()
    with torch.no_grad():
        step = likelihood.expand(wide, x)
    log_p = likelihood.log_prob(wide[:, None, None], Observation(*(a[:, None, None] for a in x)))
    own = case.outputs(feature)
    score = torch.autograd.grad(log_p[..., feature].sum(), wide, create_graph=True)[0]
    return step, score, own, wide


@pytest.mark.parametrize("feature", [0, 1])
def test_the_score_is_the_first_derivative(case, eta, feature):
    step, score, own, _ = _expand(case, eta, feature)
    torch.testing.assert_close(step.score[..., own], score[..., own].detach())


@pytest.mark.parametrize("feature", [0, 1])
def test_the_information_is_never_negative_and_exact_where_it_claims_to_be(case, eta, feature):
    step, score, own, wide = _expand(case, eta, feature)
    assert bool((step.information >= 0).all())
    diagonal = [
        torch.autograd.grad(score[..., j].sum(), wide, retain_graph=True)[0][..., j]
        for j in range(own.start, own.stop)
    ]
    exact = -torch.stack(diagonal, -1)
    if not case.exact_information:
        n_levels = own.stop - own.start
        exact = exact * n_levels / (n_levels - 1)
    found = step.information[..., own]
    if case.name == "count":  # the first of the support is zero, whose mass is one-sided
        steepest = 1 / case.build().scale.detach()[:, None, own].double() ** 2
        assert bool((found[:, :1] <= 0.5 * steepest).all())
        found, exact = found[:, 1:], exact[:, 1:]
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("feature", [0, 1])
@pytest.mark.parametrize("variance", [0.3, 2.0, 9.0])
@torch.no_grad()
def test_expected_scores_and_information_are_those_over_normal_predictors(
    case, eta, feature, variance
):
    """By quadrature; the formula that the code uses is good to three hundredths."""
    if case.name in ("gaussian", "count"):
        pytest.skip("numbers are expanded at a point")
    likelihood = case.build().double()
    if case.name == "categorical":
        if feature == 0:
            pytest.skip("with more than two levels there is no such formula")
        likelihood = CategoricalLikelihood(N_MEMBERS, (2, 2))
        eta = eta[..., :4]
        own = slice(2, 4)
    else:
        own = case.outputs(feature)
    support = case.support[feature]
    x = Observation(*(a[:, 0, 0] for a in _pair(case, feature, support)))
    wide = eta[:, 0, 0].expand(-1, len(support), -1)
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    score = information = 0.0
    for point, weight in zip(points, weights / weights.sum(), strict=True):
        shift = np.sqrt(variance) * point
        moved = wide.clone()
        if case.name == "categorical":  # half to each side
            moved[..., own] += shift * torch.tensor([0.5, -0.5])
        else:
            moved[..., own] += shift
        step = likelihood.expand(moved, x)
        score, information = score + weight * step.score, information + weight * step.information
    found = likelihood.expand(wide, x, torch.full_like(wide, variance))
    assert_allclose(found.score[..., own], score[..., own], atol=0.03)
    assert_allclose(found.information[..., own], information[..., own], atol=0.03)
    at_a_point = likelihood.expand(wide, x, torch.zeros_like(wide))
    torch.testing.assert_close(at_a_point, likelihood.expand(wide, x))


def test_contrasts_of_levels_do_not_hang_on_what_is_added_to_all(rng):
    likelihood = CategoricalLikelihood(N_MEMBERS, (4, 2))
    eta = torch.from_numpy(rng.normal(size=(3, 6)))
    moved = eta + torch.tensor([1.0] * 4 + [-2.0] * 2)
    torch.testing.assert_close(likelihood.contrasts(eta), likelihood.contrasts(moved))
    torch.testing.assert_close(likelihood.contrasts(eta)[:, 4], eta[:, 4] - eta[:, 5])
    others = eta[:, 1:4].mean(1)
    torch.testing.assert_close(likelihood.contrasts(eta)[:, 0], eta[:, 0] - others)


def test_the_support_is_accepted_and_all_else_refused(case):
    likelihood = case.build()
    smallest = min(len(support) for support in case.support)
    x = _observe(np.stack([support[:smallest] for support in case.support], -1))
    likelihood.check_support(x)
    for value in case.illegal:
        bad = x.value.clone()
        bad[-1, 0] = value
        ends = torch.full_like(bad, np.nan) if case.name == "count" else x.lower
        with pytest.raises(SupportError, match=r"must be"):
            likelihood.check_support(Observation(bad, ends, x.upper))


def test_members_have_parameters_of_their_own(case, eta):
    likelihood = case.build().double()
    x = _pair(case, 0, case.support[0][:2])
    eta = eta.expand(-1, -1, -1, 2, -1)
    with torch.no_grad():
        both = likelihood.log_prob(eta, x)
        own = case.build().double()
        for p in own.parameters():
            p.copy_(p.flip(0))
        swapped = own.log_prob(eta.flip(0), x)
    torch.testing.assert_close(swapped.flip(0), both)


def test_the_penalty_is_one_finite_number_a_member_or_zero(case):
    penalty = torch.as_tensor(case.build().penalty())
    assert bool(torch.isfinite(penalty).all())
    assert penalty.shape in [(), (N_MEMBERS,)]


@pytest.mark.parametrize("case", CASES[2:], ids=lambda case: case.name)
def test_level_probabilities_are_those_of_the_log_density(case, eta):
    likelihood = case.build().double()
    with torch.no_grad():
        table = likelihood.level_log_probs(eta)
    for feature in (0, 1):
        n_levels = len(case.support[feature])
        expected = _log_mass(case, likelihood, eta, feature).detach()
        found = table[:, 0, :, 0, feature].permute(2, 0, 1)
        torch.testing.assert_close(found[:n_levels], expected)
        assert bool(torch.isneginf(found[n_levels:]).all())


def test_every_family_is_in_the_registry_and_in_this_contract():
    built = {
        family: build_likelihood(family, n_members=1, n_levels=(3,)).family for family in Family
    }
    assert built == {family: family for family in Family}
    assert {case.build().family for case in CASES} == set(Family)


@pytest.mark.parametrize(("build", "least"), [(OrdinalLikelihood, 3), (CategoricalLikelihood, 2)])
def test_too_few_levels_are_refused(build, least):
    with pytest.raises(SchemaError, match=f"at least {least} levels, got {least - 1}"):
        build(1, (5, least - 1))


def test_the_information_of_equally_likely_levels_is_exact_on_contrasts():
    likelihood = CategoricalLikelihood(1, (5,)).double()
    x = _observe(torch.zeros(1, 1, 1, dtype=torch.float64))
    information = likelihood.expand(torch.zeros(1, 1, 5, dtype=torch.float64), x).information
    contrast = np.array([2.0, -1.0, -1.0, 0.5, -0.5])
    exact = contrast @ (np.eye(5) / 5 - 1 / 25) @ contrast
    assert contrast**2 @ information[0, 0].numpy() == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("n_levels", [(8, 3), (9, 2)])
def test_the_log_mass_of_few_and_of_many_levels_is_that_of_a_softmax(n_levels, rng):
    """Also far out, where exponentials would overflow."""
    likelihood = CategoricalLikelihood(1, n_levels)
    eta = torch.from_numpy(rng.normal(0, 60, (1, 1, 1, 40, sum(n_levels)))).float()
    codes = torch.stack([torch.arange(40) % n for n in n_levels], -1).float()[None, None, None]
    with torch.no_grad():
        found = likelihood.log_prob(eta.requires_grad_(True), _observe(codes))
        table = likelihood.level_log_probs(eta).gather(-1, codes.long()[..., None]).squeeze(-1)
    assert_allclose(found, table, rtol=1e-5, atol=1e-4)
    likelihood.log_prob(eta, _observe(codes)).sum().backward()
    first = slice(0, n_levels[0])
    hit = torch.nn.functional.one_hot(codes[..., 0].long(), n_levels[0])
    assert_allclose(eta.grad[..., first], hit - eta.detach()[..., first].softmax(-1), atol=1e-5)
