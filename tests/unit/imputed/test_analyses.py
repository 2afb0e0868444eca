"""Fitted models of all imputations: pooling, comparing, and what they refuse."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose

from psmimpute.exceptions import ConfigError, ImputationError, PoolingError, PoolingWarning
from psmimpute.imputed.analyses import Analyses
from psmimpute.imputed.multiply_imputed import MultiplyImputed
from psmimpute.table.infer import infer_schema

M, N = 4, 100


@pytest.fixture
def frames(rng):
    x, z = rng.normal(size=(2, N))
    y = x + z + rng.normal(size=N)
    gap = rng.random(N) < 0.4
    return [
        pd.DataFrame({"x": np.where(gap, rng.normal(size=N), x), "z": z, "y": y}) for _ in range(M)
    ]


@pytest.fixture
def fit(frames):
    def make(formula, **options):
        fits = [smf.ols(formula, frame).fit() for frame in frames]
        return Analyses(
            fits, frames=lambda i: frames[i - 1], model=smf.ols, formula=formula, **options
        )

    return make


def test_is_a_sequence_of_fits(fit):
    analyses = fit("y ~ x + z")
    assert len(analyses) == analyses.m == M
    assert list(analyses) == analyses.fits
    assert analyses[0] is analyses.fits[0]
    assert repr(analyses) == "<Analyses: 4 fits of RegressionResultsWrapper, 'y ~ x + z'>"


def test_pools_with_the_degrees_of_freedom_asked_for(fit):
    analyses = fit("y ~ x + z")
    assert analyses.pool().dfcom == N - 3
    assert analyses.pool(dfcom=12).dfcom == 12
    assert (analyses.pool(df="infinite").df == np.inf).all()


@pytest.mark.parametrize("method", ["D1", "D2", "D3", "D4"])
def test_every_method_sees_a_strong_effect_and_no_effect_in_noise(fit, frames, method):
    for frame in frames:
        frame["noise"] = np.cos(np.arange(N))
    strong = fit("y ~ x + z").compare(fit("y ~ x"), method)
    weak = fit("y ~ x + z + noise").compare(fit("y ~ x + z"), method)
    assert (strong.method, strong.df1, strong.m) == (method, 1, M)
    assert strong.p_value < 0.05 < weak.p_value


def test_all_terms_are_tested_without_a_null_model(fit):
    test, joint = fit("y ~ x + z").compare(), fit("y ~ x + z").pool().wald_test("x = 0, z = 0")
    assert_allclose(test.statistic, joint.statistic)


def test_refitting_to_stacked_frames_and_to_stacked_fits_agree(fit):
    full, null = fit("y ~ x + z"), fit("y ~ x")
    with_frames = full.compare(null, "D4")
    without = Analyses(full.fits).compare(Analyses(null.fits), "D4")
    assert_allclose(with_frames.statistic, without.statistic)


def test_weights_are_stacked_with_the_rows(frames):
    def weighted(formula):
        return [smf.wls(formula, f, weights=np.exp(f["z"])).fit() for f in frames]

    full, null = Analyses(weighted("y ~ x + z")), Analyses(weighted("y ~ x"))
    assert full.compare(null, "D4").p_value < 0.05
    assert full.compare(null, "D3").p_value < 0.05


def test_positive_and_robust_increases_in_variance_are_not_negative(fit):
    for method, ariv in [("D3", "positive"), ("D4", "positive"), ("D4", "robust")]:
        assert fit("y ~ x + z").compare(fit("y ~ x"), method, ariv=ariv).riv >= 0


def test_pickles_without_frames_and_functions(fit):
    analyses = pickle.loads(pickle.dumps(fit("y ~ x")))
    assert analyses.pool().params["x"] == fit("y ~ x").pool().params["x"]


def test_refuses_models_that_are_not_nested(fit, frames):
    with pytest.raises(PoolingError, match=r"not nested: the null model has 'z'.* larger model"):
        fit("y ~ x").compare(fit("y ~ x + z"))
    with pytest.raises(PoolingError, match="both models have the same terms"):
        fit("y ~ x").compare(fit("y ~ x"))
    with pytest.raises(PoolingError, match="got 4 and 3 analyses"):
        fit("y ~ x").compare(Analyses([smf.ols("y ~ 1", f).fit() for f in frames[:3]]))
    with pytest.raises(PoolingError, match="no terms but the intercept"):
        fit("y ~ 1").compare()


@pytest.mark.parametrize(
    ("larger", "smaller", "n_restrictions"),
    [
        ("y ~ C(level)", "y ~ level", 2),
        ("y ~ bs(z, knots=(-1, 0, 1), degree=3, lower_bound=-9, upper_bound=9)", "y ~ z", 5),
        ("y ~ g * z + level", "y ~ z * g", 1),
        ("y ~ C(level) - 1", "y ~ 1", 3),
    ],
)
def test_models_whose_terms_have_other_names_are_nested_by_their_columns(
    fit, frames, larger, smaller, n_restrictions
):
    for frame in frames:
        frame["level"], frame["g"] = np.arange(N) % 4, np.where(np.arange(N) % 3, "a", "b")
    # These columns are complete: every test is that of the complete data, or nearly.
    full, null = (smf.ols(text, frames[0]).fit() for text in (larger, smaller))
    ratio, p_value, df = full.compare_lr_test(null)
    assert df == n_restrictions
    for method in ("D1", "D3", "D4"):
        found = fit(larger).compare(fit(smaller), method)
        assert found.df_num == n_restrictions
        expected = full.compare_f_test(null)[0] if method == "D1" else ratio / n_restrictions
        assert float(found.statistic) == pytest.approx(expected, rel=1e-5)
    d2 = fit(larger).compare(fit(smaller), "D2", use="likelihood")
    assert float(d2.statistic) == pytest.approx(ratio / n_restrictions, rel=1e-6)
    assert p_value < 1


def test_the_scale_of_a_column_does_not_matter_to_nesting(fit, frames):
    spline = "y ~ bs(x, knots=(-1, 0, 1), lower_bound=-9, upper_bound=9)"
    expected = fit(spline).compare(fit("y ~ x"))
    for frame in frames:
        frame["far"], frame["near"] = 1e9 * frame["x"], 1e-12 * frame["x"]
    for name, scale in (("far", 1e9), ("near", 1e-12)):
        knots = tuple(scale * k for k in (-1, 0, 1))
        wide = f"y ~ bs({name}, knots={knots}, lower_bound={-9 * scale}, upper_bound={9 * scale})"
        found = fit(wide).compare(fit(f"y ~ {name}"))
        assert found.df_num == expected.df_num
        assert float(found.statistic) == pytest.approx(float(expected.statistic), rel=1e-4)
    with pytest.raises(PoolingError, match="not nested"):
        fit("y ~ z + I(z**2)").compare(fit("y ~ near"))


def test_coefficients_that_mean_something_else_in_each_imputation_are_not_tested(fit):
    spline, line = fit("y ~ bs(x, df=5)"), fit("y ~ x")
    for method in ("D1", "D3"):
        with pytest.raises(PoolingError, match=r"give the knots, or .* method='D4'"):
            spline.compare(line, method)
    assert 0 < spline.compare(line, "D4").p_value < 1
    with pytest.raises(PoolingError, match="not nested: the null model has 'bs"):
        line.compare(spline, "D4")


def test_refuses_tests_that_the_models_cannot_give(fit, frames):
    robust = [Analyses([smf.rlm(t, f).fit() for f in frames]) for t in ("y ~ x + z", "y ~ x")]
    assert robust[0].compare(robust[1]).p_value < 0.05
    with pytest.raises(PoolingError, match=r"no log-likelihood .* method='D1'"):
        robust[0].compare(robust[1], "D4")
    with pytest.raises(PoolingError, match="D3 is not known for the nested rules"):
        fit("y ~ x + z", member_of=[0, 0, 1, 1]).compare(fit("y ~ x"), "D3", rule="nested")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "D5"}, "method must be .* got 'D5'"),
        ({"method": "D2", "use": "score"}, "use must be .* got 'score'"),
        ({"method": "D3", "nuisance": "gone"}, "nuisance must be .* got 'gone'"),
        ({"method": "D3", "ariv": "robust"}, "D3 takes ariv='default' or 'positive'"),
    ],
)
def test_refuses_options_that_do_not_exist(fit, options, message):
    with pytest.raises(ConfigError, match=message):
        fit("y ~ x + z").compare(fit("y ~ x"), **options)


@pytest.mark.parametrize("method", ["D1", "D2", "D3", "D4"])
def test_compares_with_what_was_pooled_already(fit, method):
    full, null = fit("y ~ x + z"), fit("y ~ x")
    expected = Analyses(full.fits).compare(Analyses(null.fits), method)
    found = [full.compare(null.pool(), method), full.pool().compare(null, method=method)]
    for test in found:
        assert test.statistic == pytest.approx(expected.statistic, rel=1e-6)


def test_a_smaller_model_that_was_not_fitted_is_refused_in_words(fit):
    for full in (fit("y ~ x + z"), fit("y ~ x + z").pool()):
        with pytest.raises(ConfigError, match=r"fitted to the same .*; got 'y ~ x'"):
            full.compare("y ~ x")


def test_likelihood_tests_need_a_null_model(fit):
    with pytest.raises(ConfigError, match="D4 compares likelihoods and needs a null model"):
        fit("y ~ x").compare(None, "D4")


@pytest.mark.parametrize(
    ("fits", "member_of", "message"),
    [([], None, "at least one fitted model"), ([1, 2], [0], r"each of the 2 fits, got shape \(1,")],
)
def test_refuses_what_are_no_analyses(fits, member_of, message):
    with pytest.raises(PoolingError, match=message):
        Analyses(fits, member_of=member_of)


def test_formulas_take_nullable_columns_and_truth_values(imp, rng):
    truth = rng.random(40) < 0.5
    more = imp.assign(
        event=truth,
        hit=truth.astype(float),
        old=lambda d: pd.array(d["height"] > 170, dtype="boolean"),
        plain=lambda d: d["height"] > 170,
    )
    pooled = more.pool("event ~ done + old + visits", model=smf.logit)
    assert list(pooled.params.index) == ["Intercept", "old[T.True]", "done", "visits"]
    by_hand = more.pool("hit ~ done + plain + visits", model=smf.logit)
    assert_allclose(pooled.params, by_hand.params)
    assert_allclose(
        more.pool("old ~ done", model=smf.ols).params,
        more.assign(n=lambda d: d["plain"].astype(float)).pool("n ~ done", model=smf.ols).params,
    )


def test_columns_of_keywords_are_named_where_they_are_missing(imp, rng):
    weighted = imp.assign(w=rng.uniform(1, 2, 40), count=rng.poisson(2, 40))
    for keyword, model in (("weights", smf.wls), ("offset", smf.poisson), ("exposure", smf.glm)):
        with pytest.raises(
            ImputationError, match=rf"^{keyword}='ww' is no column; .* 'w', 'count'"
        ):
            weighted.pool("count ~ done", model=model, **{keyword: "ww"})
    clusters = {"cov_type": "cluster", "cov_kwds": {"groups": "village"}}
    with pytest.raises(ImputationError, match=r"^groups='village' is no column"):
        weighted.pool("count ~ done", model=smf.ols, **clusters)


def test_moments_are_coded_in_their_order(imp, rng):
    panel = imp.assign(week=rng.permutation(np.repeat(np.arange(10), 4)))
    late = panel.assign(week=lambda d: d["week"].map("2020-w{:02d}".format))
    by_hand = panel.pool(
        lambda d: smf.ols("weight ~ done", d).fit(
            cov_type="hac-groupsum", cov_kwds={"time": d["week"].to_numpy(), "maxlags": 2}
        )
    )
    for table in (panel, late):
        named = table.pool(
            "weight ~ done",
            model=smf.ols,
            cov_type="hac-groupsum",
            cov_kwds={"time": "week", "maxlags": 2},
        )
        assert_allclose(named.bse, by_hand.bse)


def test_other_models_take_texts_as_they_are(imp):
    def model(formula, frame, weights):
        assert weights == "uniform"
        return smf.ols(formula, frame).fit()

    assert imp.fit("weight ~ done", model=model, weights="uniform").m == imp.m


def test_gaps_of_keywords_are_told_as_those_of_a_formula_are(frame, fill_gaps):
    weights = frame["height"].notna().astype(float).where(frame["weight"].notna())
    schema = infer_schema(frame.assign(w=weights), exclude=["w"])
    imp = fill_gaps(frame)
    given = MultiplyImputed(
        data=frame.assign(w=weights),
        schema=schema,
        where=imp.where.assign(w=False).to_numpy(),
        values=imp.values,
        member_of=imp.member_of,
    )
    n = int(weights.isna().sum())
    with pytest.warns(PoolingWarning, match=rf"names 'w' \({n} gaps\), left out"):
        given.fit("weight ~ done", model=smf.wls, weights="w")
    # Filled in every table, as derived columns are that were stored: nothing drops out.
    filled = given.where.to_numpy().copy()
    filled[:, -1] = weights.isna()
    values = given.values | {7: np.ones((given.m, n))}
    whole = MultiplyImputed(
        data=given.data, schema=schema, where=filled, values=values, member_of=imp.member_of
    )
    assert whole.pool("weight ~ w", model=smf.ols).nobs == len(frame)


def test_estimates_under_a_penalty_are_refused_in_words(imp):
    with pytest.raises(PoolingError, match="shrunk by a penalty have none"):
        imp.pool(lambda d: smf.ols("weight ~ done", d).fit_regularized())


def test_a_model_that_was_not_fitted_is_refused_in_words(imp):
    with pytest.raises(PoolingError, match=r"OLS that has not been fitted: call its fit\(\)"):
        imp.pool(lambda d: smf.ols("weight ~ done", d))
    with pytest.raises(PoolingError, match="pool_mean"):
        imp.pool(lambda d: d["weight"].mean())
