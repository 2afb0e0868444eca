"""Pooled results beside those of statsmodels: same names, same types, and the same numbers
where nothing is missing."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose
from scipy import special, stats
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.summary2 import summary_col
from statsmodels.stats.contrast import ContrastResults, WaldTestResults

from psmimpute.exceptions import ConfigError, PoolingError, PoolingWarning
from psmimpute.pooling.item import PoolItem
from psmimpute.pooling.pool import pool

M, N = 5, 80
FORMULA = "y ~ x + g"


@pytest.fixture
def frames(rng):
    x, group = rng.normal(size=N), rng.choice(list("abc"), N)
    y = 1 + x + (group == "b") + rng.normal(size=N)
    missing = rng.random(N) < 0.3
    made = []
    for _ in range(M):
        frame = pd.DataFrame({"x": np.where(missing, rng.normal(size=N), x), "g": group, "y": y})
        frame["hit"] = (frame["y"] > 1).astype(int)
        frame["count"] = np.round(np.exp(0.2 * frame["y"])).astype(int)
        made.append(frame)
    return made


@pytest.fixture
def pooled(frames):
    return pool([smf.ols(FORMULA, frame).fit() for frame in frames])


@pytest.fixture
def equal(frames):
    """One fit, and the pool of five copies of it: nothing is missing."""
    fit = smf.ols(FORMULA, frames[0]).fit()
    return fit, pool([fit] * M)


def test_members_have_the_types_of_statsmodels(frames, pooled):
    fit = smf.ols(FORMULA, frames[0]).fit()
    for name in ["params", "bse", "tvalues", "pvalues"]:
        assert type(getattr(pooled, name)) is type(getattr(fit, name))
        assert getattr(pooled, name).index.equals(getattr(fit, name).index)
    for call in ["cov_params", "conf_int"]:
        ours, theirs = getattr(pooled, call)(), getattr(fit, call)()
        assert ours.index.equals(theirs.index)
        assert list(ours.columns) == list(theirs.columns)
    assert isinstance(pooled.normalized_cov_params, pd.DataFrame)
    assert (pooled.nobs, pooled.df_model, pooled.df_resid) == (N, fit.df_model, fit.df_resid)
    assert pooled.use_t is True
    assert pooled.cov_type == "nonrobust"
    assert pooled.converged
    assert pooled.model.exog_names == fit.model.exog_names
    assert pooled.model.endog_names == "y"
    assert pooled.model.formula == FORMULA


def test_mice_members_are_series_of_the_terms(pooled):
    for name in ["ubar", "b", "t", "riv", "lambda_", "fmi", "df"]:
        assert getattr(pooled, name).index.equals(pooled.params.index)
    assert_allclose(pooled.t, pooled.ubar + (1 + 1 / M) * pooled.b)
    assert_allclose(np.diag(pooled.cov_params()), pooled.t)
    assert_allclose(np.diag(pooled.ubar_cov), pooled.ubar)
    assert_allclose(np.diag(pooled.b_cov), pooled.b)
    assert pooled.qhat.shape == (M, 4)
    assert_allclose(pooled.qhat.mean(), pooled.params)


def test_intervals_and_p_values_use_each_terms_own_degrees_of_freedom(pooled):
    half = stats.t.ppf(0.95, pooled.df) * pooled.bse
    assert_allclose(pooled.conf_int(alpha=0.1)[1] - pooled.params, half)
    assert_allclose(pooled.pvalues, 2 * stats.t.sf(np.abs(pooled.tvalues), pooled.df))


def test_equal_imputations_give_the_complete_data_analysis(equal):
    fit, pooled = equal
    assert_allclose(pooled.params, fit.params)
    assert_allclose(pooled.cov_params(), fit.cov_params())
    large = pool([fit] * M, dfcom=np.inf)
    assert_allclose(large.pvalues, 2 * stats.norm.sf(np.abs(fit.tvalues)))
    for constraint in ["x = 1", "g[T.b] = g[T.c], x"]:
        assert_allclose(large.wald_test(constraint).statistic, fit.wald_test(constraint).statistic)
    ours, theirs = pooled.t_test("x - g[T.b] = 1"), fit.t_test("x - g[T.b] = 1")
    assert_allclose(ours.effect, theirs.effect)
    assert_allclose(ours.sd, theirs.sd.ravel())
    assert_allclose(ours.tvalue, theirs.tvalue.ravel())
    terms = large.wald_test_terms().table
    assert_allclose(terms["statistic"], fit.wald_test_terms().table["statistic"])


def test_covariances_of_combinations_follow_statsmodels(equal):
    fit, pooled = equal[0]._results, equal[1]  # its wrapper cannot label other shapes
    r, other = np.array([[0, 1, -1, 0], [0, 0, 0, 1.0]]), np.eye(4)[:1]
    assert_allclose(pooled.cov_params(r_matrix=r), fit.cov_params(r_matrix=r))
    assert_allclose(
        pooled.cov_params(r_matrix=r, other=other), fit.cov_params(r_matrix=r, other=other)
    )
    assert_allclose(pooled.cov_params(column=[0, 3]), fit.cov_params(column=[0, 3]))
    assert_allclose(pooled.cov_params(column=2), fit.cov_params(column=2))
    assert_allclose(pooled.cov_params(cov_p=np.eye(4)), np.eye(4))
    assert_allclose(pooled.cov_params(scale=2.0), 2 * fit.cov_params())


@pytest.mark.parametrize(
    "options", [{"column": 0, "r_matrix": np.eye(4)}, {"other": np.eye(4)}, {"r_matrix": 1}]
)
def test_covariances_refuse_what_statsmodels_refuses(pooled, options):
    with pytest.raises(PoolingError, match=r"column|other|dimension"):
        pooled.cov_params(**options)


def test_contrasts_have_degrees_of_freedom_of_their_own(pooled):
    test = pooled.t_test(["x = 0", "g[T.b] - g[T.c] = 0"])
    assert isinstance(test, ContrastResults)
    assert test.df_denom.shape == (2,)
    assert_allclose(test.df_denom[0], pooled.df["x"])
    assert_allclose(test.pvalue[0], pooled.pvalues["x"])
    assert_allclose(test.conf_int()[0], pooled.conf_int().loc["x"])
    assert list(test.summary_frame().columns) == [
        "coef",
        "std err",
        "t",
        "P>|t|",
        "Conf. Int. Low",
        "Conf. Int. Upp.",
    ]
    assert "Test for Constraints" in str(test.summary())
    z = pooled.t_test("x = 0", use_t=False)
    assert_allclose(z.pvalue, 2 * stats.norm.sf(abs(pooled.tvalues["x"])))


def test_one_constraint_has_the_square_of_t(pooled):
    t, f = pooled.t_test("x = 0.5"), pooled.f_test("x = 0.5")
    assert_allclose(f.statistic, t.tvalue[0] ** 2)
    assert f.riv == pytest.approx(pooled.riv["x"])


def test_joint_tests_are_contrast_results(pooled):
    test = pooled.wald_test("x = 0, g[T.b] = 0")
    assert isinstance(test, ContrastResults)
    assert isinstance(test.statistic, float)
    assert (test.distribution, test.df_num) == ("F", 2)
    assert test.fvalue == test.statistic
    assert "F test" in str(test)
    assert pooled.wald_test("x = 0", scalar=False).statistic.shape == (1, 1)
    chi2 = pooled.wald_test("x = 0, g[T.b] = 0", use_f=False)
    assert_allclose(chi2.statistic, 2 * test.statistic)
    assert chi2.distribution == "chi2"


@pytest.mark.parametrize("options", [{}, {"dfcom": np.inf}, {"df": "rubin1987"}])
def test_one_constraint_has_one_p_value(frames, options):
    pooled = pool([smf.ols(FORMULA, frame).fit() for frame in frames], **options)
    alone = pooled.t_test("x - g[T.b] = 0.1")
    joint = pooled.wald_test("x - g[T.b] = 0.1")
    assert_allclose(joint.statistic, alone.tvalue.item() ** 2)
    assert_allclose(joint.pvalue, alone.pvalue.item())
    assert_allclose(joint.df_denom, np.asarray(alone.df_denom).item())
    term = pooled.wald_test_terms().table.loc["x", "pvalue"]
    assert_allclose(term, pooled.pvalues["x"])


def test_terms_of_the_formula_are_tested_together(pooled):
    result = pooled.wald_test_terms(combine_terms=["x", "g"])
    assert isinstance(result, WaldTestResults)
    assert list(result.table.index) == ["Intercept", "g", "x", "x", "g"]
    assert list(result.table["df_constraint"]) == [1, 2, 1, 1, 2]
    joint = pooled.wald_test("g[T.b] = 0, g[T.c] = 0")
    assert_allclose(result.table["statistic"].iloc[1], joint.statistic)
    assert list(pooled.wald_test_terms(skip_single=True).table.index) == ["g"]
    assert "P>F" in str(result.summary_frame())


def test_smooth_functions_are_tested_by_the_delta_method(pooled):
    ours = pooled.test_constraints(lambda b: b["x"] - 2 * b["g[T.b]"])
    assert_allclose(ours.statistic, pooled.wald_test("x = 2*g[T.b]").statistic, rtol=1e-7)
    with pytest.raises(PoolingError, match="not finite in imputation 1"):
        pooled.test_constraints(lambda b: np.log(-abs(b["x"])))


def test_pooled_results_compare_themselves(frames, pooled):
    null = pool([smf.ols("y ~ x", frame).fit() for frame in frames])
    joint = pooled.wald_test("g[T.b] = 0, g[T.c] = 0")
    assert_allclose(pooled.compare(null).statistic, joint.statistic)
    assert 0 < pooled.compare(null, method="D4").p_value < 1


@pytest.mark.parametrize("model", ["ols", "logit", "glm"])
def test_predictions_are_averaged_not_coefficients(frames, model):
    outcome = "y" if model == "ols" else "hit"
    options = {"family": sm.families.Binomial()} if model == "glm" else {}
    fits = [
        getattr(smf, model)(f"{outcome} ~ x", frame, **options).fit(
            **({"disp": 0} if model == "logit" else {})
        )
        for frame in frames
    ]
    pooled, new = pool(fits), pd.DataFrame({"x": [-1.0, 0.0, 3.0]}, index=["p", "q", "r"])
    each = np.array([fit.predict(new) for fit in fits])
    ours = pooled.predict(new)
    assert isinstance(ours, pd.Series)
    assert list(ours.index) == ["p", "q", "r"]
    assert_allclose(ours, each.mean(axis=0))
    assert isinstance(pooled.predict(), np.ndarray)
    if model != "ols":
        through_link = special.expit(pooled.params["Intercept"] + pooled.params["x"] * new["x"])
        assert not np.allclose(ours, through_link, rtol=1e-6)


def test_rows_to_predict_reach_a_model_that_does_not_take_them_first(frames):
    fits = [smf.phreg("t ~ x", frame.assign(t=np.exp(frame["y"]))).fit() for frame in frames]
    new = pd.DataFrame({"x": [-1.0, 0.0, 3.0], "t": 1.0})
    expected = pool(fits).params["x"] * new["x"]
    assert_allclose(pool(fits).predict(new), expected, atol=1e-8)


def test_predictions_of_linear_models_have_the_columns_of_statsmodels(equal, frames):
    fit, pooled = equal
    new = frames[0].head(4)
    theirs, ours = fit.get_prediction(new).summary_frame(), pooled.get_prediction(new)
    table = ours.summary_frame()
    assert list(table.columns) == list(theirs.columns)
    assert_allclose(table[["mean", "mean_se"]], theirs[["mean", "mean_se"]])
    large = pool([fit] * M, dfcom=np.inf).get_prediction(new)
    z, t = stats.norm.ppf(0.975), stats.t.ppf(0.975, fit.df_resid)
    for column, kind in (("mean_ci_upper", False), ("obs_ci_upper", True)):
        half = (theirs[column] - theirs["mean"]) * z / t
        assert_allclose(large.conf_int(obs=kind)[:, 1] - theirs["mean"], half)


@pytest.mark.parametrize("model", ["logit", "glm", "poisson"])
def test_intervals_of_predictions_stay_in_the_range_of_the_link(frames, model):
    outcome = "count" if model == "poisson" else "hit"
    options = {"family": sm.families.Binomial()} if model == "glm" else {}
    fits = [
        getattr(smf, model)(f"{outcome} ~ x", frame, **options).fit(
            **({} if model == "glm" else {"disp": 0})
        )
        for frame in frames
    ]
    new = pd.DataFrame({"x": [-6.0, 0.0, 6.0]})
    prediction = pool(fits).get_prediction(new)
    table = prediction.summary_frame()
    assert list(table.columns) == list(fits[0].get_prediction(new).summary_frame().columns)
    limits = prediction.conf_int()
    assert (limits > 0).all()
    assert (limits[:, 1] < (1 if model != "poisson" else np.inf)).all()
    assert ((limits[:, 0] < prediction.predicted) & (prediction.predicted < limits[:, 1])).all()
    assert_allclose(prediction.predicted, pool(fits).predict(new))
    with pytest.raises(PoolingError, match="linear regression only"):
        prediction.conf_int(obs=True)


def test_predicting_different_numbers_of_rows_is_refused(frames):
    fits = [smf.ols("y ~ x", frame).fit() for frame in (frames[0], frames[1].head(70))]
    with pytest.warns(PoolingWarning, match=r"degrees of freedom|numbers of rows"):
        pooled = pool(fits)
    for call in (pooled.predict, pooled.get_prediction):
        with pytest.raises(PoolingError, match="different numbers of rows, 70 to 80: give exog"):
            call()


def test_summary_prints_in_all_formats(pooled):
    summary = pooled.summary()
    assert isinstance(summary, Summary)
    text = summary.as_text()
    for part in ["Pooled OLS Results", "P>|t|", "FMI", "RIV", "Imputations:", "g[T.b]"]:
        assert part in text
    assert "<table" in summary.as_html()
    assert "tabular" in summary.as_latex()
    assert "FMI" in summary.as_csv()
    assert "<table" in pooled._repr_html_()
    assert "m=5" in repr(pooled)


def test_works_in_summary_col_beside_statsmodels(frames, pooled):
    single = smf.ols(FORMULA, frames[0]).fit()
    text = str(summary_col([single, pooled], model_names=["one", "pooled"], stars=True))
    assert f"{pooled.params['x']:.4f}" in text
    assert f"{single.params['x']:.4f}" in text


def test_pickles_with_and_without_its_fits(pooled, frames):
    copy = pickle.loads(pickle.dumps(pooled))
    assert copy.summary().as_text() == pooled.summary().as_text()
    assert copy.llf_mean == pooled.llf_mean
    pooled.remove_data()
    assert np.isfinite(pooled.llf_mean)
    small = pickle.loads(pickle.dumps(pooled))
    assert_allclose(small.t_test("x = 0").pvalue, pooled.pvalues["x"])
    with pytest.raises(PoolingError, match="analyses were not kept"):
        small.predict(frames[0])


def test_tables_for_further_work(pooled):
    frame, tidy, glance = pooled.to_frame(), pooled.tidy(), pooled.glance()
    assert_allclose(frame["conf_low"], pooled.conf_int()[0])
    assert list(tidy.columns[:3]) == ["term", "estimate", "std_error"]
    assert_allclose(pooled.tidy(exponentiate=True)["estimate"], np.exp(pooled.params))
    assert_allclose(pooled.tidy(exponentiate=True)["std_error"], pooled.bse)
    assert glance.loc[0, "m"] == M
    assert glance.loc[0, "m_needed"] == pooled.m_needed()


def test_information_criteria_are_refused_with_a_pointer(pooled):
    for name in ["aic", "bic"]:
        with pytest.raises(PoolingError, match=f"{name} is not defined .* compare"):
            getattr(pooled, name)
        assert not hasattr(pooled, name)  # summary tables leave the cell empty


def test_what_is_pooled_elsewhere_says_where(pooled):
    with pytest.raises(PoolingError, match="pool_r_squared"):
        _ = pooled.rsquared
    with pytest.raises(PoolingError, match="compare"):
        _ = pooled.fvalue
    assert not hasattr(pooled, "rsquared_adj")


def test_imputations_needed_follow_von_hippel(pooled):
    fmi, z = pooled.fmi.max(), stats.norm.ppf(0.975)
    upper = special.expit(special.logit(fmi) + z * np.sqrt(2 / M))
    assert pooled.fmi_ci()[1].max() == pytest.approx(upper)
    assert pooled.m_needed(cv=0.1) == np.ceil(1 + 0.5 * (upper / 0.1) ** 2)
    assert pooled.m_needed(cv=0.05) > pooled.m_needed(cv=0.1)


def test_monte_carlo_errors(pooled):
    assert_allclose(pooled.mcse(), np.sqrt(pooled.b / M))
    assert_allclose(pooled.mcse(), pooled.qhat.sem())


@pytest.mark.parametrize(
    "call",
    [
        lambda results: results.conf_int(alpha=1.5),
        lambda results: results.m_needed(cv=0),
        lambda results: results.wald_test("x", method="D3"),
    ],
    ids=["alpha", "cv", "method"],
)
def test_options_that_do_not_exist_are_refused(pooled, call):
    with pytest.raises(ConfigError, match=r"alpha must|cv must|'D1' or 'D2'"):
        call(pooled)


def test_large_sample_degrees_of_freedom_reach_the_joint_tests(frames):
    fits = [smf.ols(FORMULA, frame).fit() for frame in frames]
    ours = pool(fits, df="rubin1987").wald_test("x = 0, g[T.b] = 0")
    assert_allclose(ours.df_denom, pool(fits, np.inf).wald_test("x = 0, g[T.b] = 0").df_denom)


def test_exposure_and_offset_reach_the_predictions(frames):
    fits = [
        smf.glm("count ~ x", f, family=sm.families.Poisson(), exposure=np.full(N, 2.0)).fit()
        for f in frames
    ]
    pooled, new = pool(fits), pd.DataFrame({"x": [0.0, 1.0]})
    doubled = pooled.predict(new, exposure=[2.0, 2.0])
    assert_allclose(doubled, 2 * pooled.predict(new, exposure=[1.0, 1.0]))
    assert_allclose(pooled.get_prediction(new, exposure=[2.0, 2.0]).predicted, doubled)


def test_synthetic_data_rules_print_too(frames):
    results = pool([smf.ols(FORMULA, frame).fit() for frame in frames], rule="reiter2003")
    assert "Synthetic" in results.summary().as_text()
    assert results.glance().loc[0, "m_needed"] is None
    with pytest.raises(ConfigError, match="not known under these rules"):
        results.m_needed()


def test_a_single_fit_is_no_list_of_fits(frames):
    with pytest.raises(PoolingError, match=r"needs a list of fitted models.* got one Regression"):
        pool(smf.ols(FORMULA, frames[0]).fit())


def test_naming_the_index_of_one_result_leaves_the_others_alone(frames):
    fits = [smf.ols(FORMULA, frame).fit() for frame in frames]
    pool(fits).params.index.name = "term"
    assert pool(fits).params.index.name is None


class Unpicklable:
    """A fit that holds a function of its maker."""

    def __init__(self, estimate: float) -> None:
        self.estimate = estimate
        self.function = lambda x: x

    def __psm_pool_item__(self):
        return PoolItem(pd.Series({"x": self.estimate}), np.eye(1), df=10)


class Forgetful(Unpicklable):
    """A fit that pickles and cannot be read back, as some formulas of statsmodels."""

    def __reduce__(self):
        return (_lost, ())


def _lost():
    raise AttributeError("'NoneType' object has no attribute 'f_locals'")


@pytest.mark.parametrize("kind", [Unpicklable, Forgetful])
def test_numbers_pickle_where_fits_do_not(kind):
    pooled = pool([kind(1.0), kind(2.0)])
    copy = pickle.loads(pickle.dumps(pooled))
    assert copy.params["x"] == 1.5
    with pytest.raises(PoolingError, match="analyses were not kept"):
        copy.predict()


def test_the_summary_is_ruled_like_those_of_statsmodels(rng):
    frame = pd.DataFrame({"x": rng.normal(size=30), "y": rng.normal(size=30)})
    fits = [smf.ols("y ~ x", frame.assign(y=frame.y + rng.normal(size=30))).fit() for _ in "abc"]
    text = pool(fits).summary().as_text()
    assert '":' not in text
    assert set(text.splitlines()[1]) == {"="}


def test_the_scale_and_the_second_summary_are_those_of_the_analyses(rng):
    frame = pd.DataFrame({"x": rng.normal(size=30), "y": rng.normal(size=30)})
    fits = [smf.ols("y ~ x", frame.assign(y=frame.y + rng.normal(size=30))).fit() for _ in "abc"]
    pooled = pool(fits)
    assert_allclose(pooled.scale, np.mean([fit.scale for fit in fits]))
    table = pooled.summary2().tables[0]
    assert list(table.columns) == ["Coef.", "Std.Err.", "t", "P>|t|", "[0.025", "0.975]"]
    assert list(table.index) == ["Intercept", "x"]
    pooled.remove_data()
    assert np.isnan(pooled.scale)


def test_rows_with_nullable_columns_are_predicted(frames):
    truth = [f.assign(hit=f["hit"] == 1) for f in frames]
    pooled = pool([smf.ols("y ~ x + hit", frame).fit() for frame in truth])
    plain = truth[0].head(10)
    nullable = plain.convert_dtypes()
    assert_allclose(pooled.predict(nullable), pooled.predict(plain))
    expected = pooled.get_prediction(plain).summary_frame()
    assert_allclose(pooled.get_prediction(nullable).summary_frame(), expected)


@pytest.mark.parametrize(
    ("rows", "said"),
    [({"x": [0.0]}, "'g' is not defined"), ({"x": [0.0], "g": ["z"]}, "expected levels")],
)
@pytest.mark.parametrize("how", ["predict", "get_prediction"])
def test_rows_that_do_not_fit_the_formula_are_told_in_a_line(frames, rows, said, how):
    pooled = pool([smf.ols(FORMULA, frame).fit() for frame in frames])
    with pytest.raises(PoolingError, match=f"^the rows to predict do not fit.*{said}") as told:
        getattr(pooled, how)(pd.DataFrame(rows))
    assert "\n" not in str(told.value)
