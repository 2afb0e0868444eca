"""Likelihoods at pooled parameters, where they are known by other means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose

from psmimpute.exceptions import PoolingError, PoolingWarning
from psmimpute.imputed.analyses import Analyses
from psmimpute.pooling.likelihood import at_pooled_parameters

M, N = 4, 120


@pytest.fixture
def frames(rng):
    x, z = rng.normal(size=(2, N))
    y = 0.5 + x + 0.4 * z + rng.normal(size=N)
    gap = rng.random(N) < 0.3
    made = []
    for _ in range(M):
        frame = pd.DataFrame({"x": np.where(gap, x + rng.normal(size=N), x), "z": z, "y": y})
        frame["hit"] = (y > 0.5).astype(int)
        frame["size"] = np.exp(0.3 * y)
        frame["count"] = np.round(frame["size"]).astype(int)
        frame["time"] = np.exp(-y)
        made.append(frame)
    return made


def _families(name: str):
    return {
        "gaussian": ("y", sm.families.Gaussian()),
        "binomial": ("hit", sm.families.Binomial()),
        "gamma": ("size", sm.families.Gamma(sm.families.links.Log())),
    }[name]


def _glm(frames, terms: str, family: str):
    outcome, object_ = _families(family)
    return Analyses([smf.glm(f"{outcome} ~ {terms}", f, family=object_).fit() for f in frames])


def _equal(analyses: Analyses) -> Analyses:
    return Analyses([analyses[0]] * M)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "gamma"])
@pytest.mark.parametrize("nuisance", ["pooled", "refitted"])
def test_equal_fits_have_their_own_likelihood(frames, family, nuisance):
    fits = [_glm(frames, "x + z", family)[0]] * 3
    expected = [fit.llf for fit in fits]
    assert_allclose(at_pooled_parameters(fits, nuisance=nuisance), expected, rtol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("nuisance", ["pooled", "refitted"])
def test_equal_linear_models_have_their_own_likelihood(frames, weighted, nuisance):
    weights = np.exp(frames[0]["z"]) if weighted else 1.0
    fits = [smf.wls("y ~ x", frames[0], weights=weights).fit()] * 3
    assert_allclose(at_pooled_parameters(fits, nuisance=nuisance), fits[0].llf)


def test_gaussian_glm_and_least_squares_agree(frames):
    def ols(terms):
        return Analyses([smf.ols(f"y ~ {terms}", frame).fit() for frame in frames])

    ours = _glm(frames, "x + z", "gaussian").compare(
        _glm(frames, "x", "gaussian"), "D3", nuisance="pooled"
    )
    expected = ols("x + z").compare(ols("x"), "D3", nuisance="pooled")
    assert_allclose(ours.statistic, expected.statistic, rtol=1e-6)
    ours = _glm(frames, "x + z", "gaussian").compare(_glm(frames, "x", "gaussian"), "D4")
    assert_allclose(ours.statistic, ols("x + z").compare(ols("x"), "D4").statistic, rtol=1e-6)


def test_discrete_models_and_their_glm_agree(frames):
    def logit(terms):
        return Analyses([smf.logit(f"hit ~ {terms}", f).fit(disp=0) for f in frames])

    for options in ({"nuisance": "pooled"}, {"nuisance": "refitted"}):
        ours = logit("x + z").compare(logit("x"), "D3", **options)
        expected = _glm(frames, "x + z", "binomial").compare(
            _glm(frames, "x", "binomial"), "D3", **options
        )
        assert_allclose(ours.statistic, expected.statistic, rtol=1e-6)


def test_a_model_without_an_intercept_has_none_to_refit(frames):
    fits = [smf.logit("hit ~ x - 1", frame).fit(disp=0) for frame in frames]
    assert_allclose(
        at_pooled_parameters(fits, nuisance="refitted"),
        at_pooled_parameters(fits, nuisance="pooled"),
    )


@pytest.mark.parametrize("method", ["D3", "D4"])
def test_partial_likelihoods_and_offsets_compare(frames, method):
    def cox(terms):
        return Analyses([smf.phreg(f"time ~ {terms}", f, ties="efron").fit(disp=0) for f in frames])

    def poisson(terms):
        family = sm.families.Poisson()
        return Analyses(
            [
                smf.glm(f"count ~ {terms}", f, family=family, offset=0.1 * f["z"]).fit()
                for f in frames
            ]
        )

    for make in (cox, poisson):
        assert make("x + z").compare(make("z"), method).p_value < 0.01
        equal = _equal(make("x + z")).compare(_equal(make("z")), method)
        ratio = 2 * (make("x + z")[0].llf - make("z")[0].llf)
        assert_allclose(equal.statistic, ratio, rtol=1e-3)


def test_models_whose_likelihood_cannot_be_moved_are_told_what_to_do(frames):
    class Fixed:
        llf = 1.0

    with pytest.raises(PoolingError, match=r"likelihood of a Fixed cannot be evaluated.*'D4'"):
        at_pooled_parameters([Fixed(), Fixed()])


def test_models_that_cannot_be_refitted_are_told_what_to_do(frames):
    lifelines = pytest.importorskip("lifelines")

    def cox(names):
        return Analyses([lifelines.CoxPHFitter().fit(f[["time", *names]], "time") for f in frames])

    with pytest.raises(PoolingError, match=r"cannot be refitted .* frames=..., model=...\)"):
        cox(["x", "z"]).compare(cox(["x"]), "D4")


def test_models_of_other_data_are_not_compared(frames):
    full = Analyses([smf.ols("time ~ x + z", f).fit() for f in frames])
    for method in ("D1", "D2", "D3", "D4"):
        other = Analyses([smf.ols("count ~ z", f).fit() for f in frames])
        with pytest.raises(PoolingError, match="different outcomes"):
            full.compare(other, method)
        fewer = Analyses([smf.ols("time ~ z", f[5:]).fit() for f in frames])
        with pytest.raises(PoolingError, match=r"different rows \(\d+ and \d+\)"):
            full.compare(fewer, method)


def test_groups_are_not_stacked(frames):
    group = np.arange(len(frames[0])) % 8
    effects = np.random.default_rng(0).normal(size=8)[group]

    def mixed(terms):
        tables = [f.assign(g=group, y=f["z"] + effects + f["count"]) for f in frames]
        fits = [smf.mixedlm(f"y ~ {terms}", table, groups="g") for table in tables]
        return Analyses([fit.fit(reml=False) for fit in fits])

    with pytest.raises(PoolingError, match="groups of this model would run through all"):
        mixed("x + z").compare(mixed("z"), "D4")
    with pytest.raises(PoolingError, match="use method='D2' with use='likelihood'"):
        mixed("x + z").compare(mixed("z"), "D3")
    assert mixed("x + z").compare(mixed("z"), "D2", use="likelihood").p_value < 1


def test_a_vector_that_is_not_of_the_stacked_rows_is_told(frames):
    def weighted(terms):
        weights = np.ones(len(frames[0]))
        return Analyses(
            [smf.wls(f"time ~ {terms}", f, weights=weights).fit() for f in frames],
            frames=lambda i: frames[i - 1],
            model=lambda f: smf.wls(f"time ~ {terms}", f, weights=weights).fit(),
        )

    with pytest.raises(PoolingError, match="weights and the like from the columns"):
        weighted("x + z").compare(weighted("z"), "D4")


@pytest.mark.parametrize("options", [{"method": "D3"}, {"method": "D2", "use": "likelihood"}])
def test_likelihoods_of_models_with_a_robust_covariance_are_warned_of(frames, options):
    def fits(terms):
        return Analyses([smf.ols(f"y ~ {terms}", f).fit(cov_type="HC1") for f in frames])

    with pytest.warns(PoolingWarning, match=r"'HC1', but D.*'D1' takes the covariance"):
        fits("x + z").compare(fits("x"), **options)


@pytest.mark.filterwarnings("error::psmimpute.exceptions.PoolingWarning")
def test_what_knows_the_robust_covariance_is_not(frames):
    def fits(terms, **options):
        return Analyses([smf.ols(f"y ~ {terms}", f).fit(**options) for f in frames])

    fits("x + z", cov_type="HC1").compare(fits("x", cov_type="HC1"), method="D1")
    fits("x + z").compare(fits("x"), method="D3")
