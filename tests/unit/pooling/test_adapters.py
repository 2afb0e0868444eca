"""Every library's fitted models: the numbers that are read, and their pooling."""

from __future__ import annotations

import functools
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose
from statsmodels.miscmodels.ordinal_model import OrderedModel

from psmimpute.exceptions import PoolingError, PoolingWarning
from psmimpute.imputed.analyses import Analyses
from psmimpute.pooling.coefficients import to_pool_item
from psmimpute.pooling.item import PoolItem
from psmimpute.pooling.pool import pool

N = 200


@functools.cache
def _frame(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, N))
    unit = rng.integers(0, 20, N)
    y = 1 + x - 0.5 * z + rng.normal(size=20)[unit] + rng.normal(size=N)
    return pd.DataFrame(
        {
            "x": x,
            "z": z,
            "y": y,
            "unit": unit,
            "period": pd.Series(unit).groupby(unit).cumcount(),
            "hit": (y + rng.logistic(size=N) > 1).astype(int),
            "count": rng.poisson(np.exp(0.3 * x)),
            "level": rng.integers(0, 3, N) + (x > 1),
            "time": rng.exponential(np.exp(-0.5 * x)) + 0.01,
            "event": (rng.random(N) < 0.7).astype(int),
        }
    )


SM_FITS = {
    "ols": (lambda d: smf.ols("y ~ x + z", d).fit(), N - 3),
    "ols arrays": (lambda d: sm.OLS(d["y"].to_numpy(), d[["x", "z"]].to_numpy()).fit(), N - 2),
    "ols HC3": (lambda d: smf.ols("y ~ x", d).fit(cov_type="HC3"), N - 2),
    "ols clustered": (
        lambda d: smf.ols("y ~ x", d).fit(cov_type="cluster", cov_kwds={"groups": d["unit"]}),
        19,
    ),
    "wls": (lambda d: smf.wls("y ~ x", d, weights=np.exp(d["z"])).fit(), N - 2),
    "glm": (lambda d: smf.glm("hit ~ x", d, family=sm.families.Binomial()).fit(), N - 2),
    "logit": (lambda d: smf.logit("hit ~ x", d).fit(disp=0), N - 2),
    "probit": (lambda d: smf.probit("hit ~ x", d).fit(disp=0), N - 2),
    "poisson": (lambda d: smf.poisson("count ~ x", d).fit(disp=0), N - 2),
    "negative binomial": (
        lambda d: smf.negativebinomial("count ~ x", d.assign(count=d["count"] * 3)).fit(disp=0),
        N - 2,
    ),
    "ordered": (
        lambda d: OrderedModel(d["level"], d[["x", "z"]], distr="logit").fit(disp=0, method="bfgs"),
        N - 5,
    ),
    "quantile": (lambda d: smf.quantreg("y ~ x", d).fit(), N - 2),
    "robust": (lambda d: smf.rlm("y ~ x", d).fit(), N - 2),
    "gee": (lambda d: smf.gee("y ~ x", "unit", d).fit(), np.inf),
}


@pytest.mark.parametrize("name", SM_FITS)
def test_statsmodels_results_are_read_as_they_are(name):
    fit, dfcom = SM_FITS[name]
    results = fit(_frame(1))
    item = to_pool_item(results)
    assert_allclose(item.params, np.asarray(results.params))
    assert_allclose(item.covariance, np.asarray(results.cov_params()))
    assert item.nobs == N
    assert item.df == dfcom


@pytest.mark.parametrize("name", SM_FITS)
def test_statsmodels_results_pool(name):
    fit, _dfcom = SM_FITS[name]
    pooled = pool([fit(_frame(seed)) for seed in (1, 2, 3)])
    first = fit(_frame(1))
    if isinstance(first.params, pd.Series):
        assert list(pooled.params.index) == list(first.params.index)
    assert np.isfinite(pooled.bse).all()
    assert "Pooled" in pooled.summary().as_text()


def test_multinomial_logit_has_pairs_as_terms_in_the_order_of_its_covariance():
    fits = [smf.mnlogit("level ~ x + z", _frame(seed)).fit(disp=0) for seed in (1, 2)]
    item = to_pool_item(fits[0])
    assert list(item.params.index) == list(fits[0].cov_params().index)
    for (level, term), estimate in item.params.items():
        column = fits[0].model.data.cov_names.get_level_values(0).unique().get_loc(level)
        assert estimate == fits[0].params.loc[term].iloc[column]
    pooled = pool(fits)
    assert pooled.params.index.nlevels == 2
    ours = pooled.wald_test("y1_x = 0, y2_x = 0")
    columns = [name in (("1", "x"), ("2", "x")) for name in pooled.params.index]
    assert_allclose(ours.statistic, pooled.wald_test(np.eye(len(columns))[columns]).statistic)
    assert list(pooled.wald_test_terms().table["df_constraint"]) == [3, 3, 3]


def test_mixed_models_give_their_fixed_effects():
    fits = [smf.mixedlm("y ~ x", _frame(seed), groups="unit").fit() for seed in (1, 2)]
    item = to_pool_item(fits[0])
    assert list(item.params.index) == ["Intercept", "x"]
    assert_allclose(np.sqrt(np.diag(item.covariance)), fits[0].bse_fe)
    assert item.df == np.inf
    assert item.log_likelihood is None
    assert pool(fits).nobs == N


@pytest.mark.filterwarnings("ignore:.*ptimization:UserWarning")
@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.ConvergenceWarning")
def test_mixed_models_where_groups_hardly_differ_name_another_optimizer():
    frames = [_frame(seed).assign(unit=np.arange(N) // 10) for seed in (1, 2)]
    fits = [smf.mixedlm("y ~ x", frame, groups="unit").fit(maxiter=1) for frame in frames]
    assert not all(fit.converged for fit in fits)
    with pytest.raises(PoolingError, match=r"near 0: fit it by fit\(method='powell'\)"):
        pool(fits)


def test_mixed_models_by_maximum_likelihood_compare_by_d2():
    def fit(formula):
        return [
            smf.mixedlm(formula, _frame(seed), groups="unit").fit(reml=False) for seed in (1, 2)
        ]

    full, null = Analyses(fit("y ~ x + z")), Analyses(fit("y ~ x"))
    assert full.compare(null, "D2", use="likelihood").p_value < 0.01


def _assert_same_cox(table, r_values):
    for ours, theirs in {"estimate": "estimate", "std_error": "std.error", "df": "df"}.items():
        expected = r_values("lung_m10", "cox_efron", f"pool:{theirs}").to_numpy()
        # mice floors lambda at 1e-4; that of age is 6e-5, which changes its degrees of freedom.
        comparable = (table["lambda_"] > 1e-4).to_numpy() | (ours != "df")
        assert comparable.sum() >= 3
        assert_allclose(table[ours][comparable], expected[comparable], rtol=1e-7, err_msg=ours)


@pytest.mark.parametrize("formula", [True, False])
def test_proportional_hazards_agree_with_r(completed, r_values, formula):
    fits = []
    for frame in completed("lung_m10"):
        status, names = frame["event"].to_numpy(), ["age", "sexfemale", "ph.karno", "wt.loss"]
        renamed = frame.rename(columns={"ph.karno": "karno", "wt.loss": "loss"})
        model = (
            smf.phreg("time ~ age + sexfemale + karno + loss", renamed, status=status, ties="efron")
            if formula
            else sm.PHReg(frame["time"], frame[names], status=status, ties="efron")
        )
        fits.append(model.fit(disp=0))
    _assert_same_cox(pool(fits).to_frame(), r_values)


def test_lifelines_agrees_with_r(completed, r_values):
    lifelines = pytest.importorskip("lifelines")
    names = ["time", "event", "age", "sexfemale", "ph.karno", "wt.loss"]
    frames = completed("lung_m10")

    def fit(frame, columns):
        return lifelines.CoxPHFitter().fit(
            frame[columns], "time", "event", fit_options={"precision": 1e-13}
        )

    def analyses(columns):
        return Analyses(
            [fit(frame, columns) for frame in frames],
            frames=lambda i: frames[i - 1],
            model=lambda frame: fit(frame, columns),
        )

    full, null = analyses(names), analyses(names[:4])
    _assert_same_cox(full.pool().to_frame(), r_values)
    for method, quantity in (("D1", "D1"), ("D2", "D2_wald"), ("D4", "D4_default")):
        ours, theirs = full.compare(null, method), r_values("lung_m10", "cox_efron", quantity)
        assert_allclose(ours.statistic, theirs["statistic"], rtol=1e-7)
        assert_allclose(ours.p_value, theirs["p_value"], rtol=1e-7)


def test_lifelines_aft_models_pool_with_pairs_as_terms():
    lifelines = pytest.importorskip("lifelines")
    fits = [
        lifelines.WeibullAFTFitter().fit(_frame(seed)[["time", "event", "x"]], "time", "event")
        for seed in (1, 2)
    ]
    assert to_pool_item(fits[0]).df == _frame(1)["event"].sum() - 3
    pooled = pool(fits, dfcom=100)
    assert ("lambda_", "x") in pooled.params.index
    assert_allclose(pooled.t_test("lambda_x").effect, pooled.params["lambda_", "x"])


def test_lifelines_robust_standard_errors_have_no_covariance():
    lifelines = pytest.importorskip("lifelines")
    columns = _frame(1)[["time", "event", "x", "z"]]
    with pytest.raises(PoolingError, match=r"keeps no robust covariance matrix: .*pool_table"):
        to_pool_item(lifelines.CoxPHFitter().fit(columns, "time", "event", robust=True))


def test_an_unfitted_lifelines_model_is_refused():
    lifelines = pytest.importorskip("lifelines")
    with pytest.raises(PoolingError, match="CoxPHFitter has no estimates"):
        to_pool_item(lifelines.CoxPHFitter())


def test_linearmodels_results_are_read():
    pytest.importorskip("linearmodels")
    from linearmodels.iv import IV2SLS
    from linearmodels.panel import PanelOLS

    iv = IV2SLS.from_formula("y ~ 1 + [x ~ z]", _frame(1)).fit()
    panel = PanelOLS.from_formula(
        "y ~ 1 + x + EntityEffects", _frame(1).set_index(["unit", "period"])
    )
    for fit in (iv, panel.fit(cov_type="clustered", cluster_entity=True)):
        item = to_pool_item(fit)
        assert_allclose(np.sqrt(np.diag(item.covariance)), fit.std_errors)
        assert item.df == fit.df_resid
        assert item.nobs == N
        assert pool([fit, fit]).params.equals(fit.params.rename(None))


def test_pyfixest_models_are_read():
    pyfixest = pytest.importorskip("pyfixest")
    plain = pyfixest.feols("y ~ x + z", _frame(1), vcov="iid")
    clustered = pyfixest.feols("y ~ x | unit", _frame(1), vcov={"CRV1": "unit"})
    assert to_pool_item(plain).df == N - 3
    assert to_pool_item(clustered).df == 19
    assert type(to_pool_item(plain).params.index[0]) is str
    for fit in (plain, clustered):
        item = to_pool_item(fit)
        assert_allclose(np.sqrt(np.diag(item.covariance)), fit.tidy()["Std. Error"])
    ours = pool([pyfixest.feols("y ~ x + z", _frame(s), vcov="iid") for s in (1, 2)])
    theirs = pool([smf.ols("y ~ x + z", _frame(s)).fit() for s in (1, 2)])
    assert_allclose(ours.bse, theirs.bse)


def test_estimators_of_scikit_learn_need_a_covariance():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = _frame(1)[["x", "z"]], _frame(1)["y"]
    item = to_pool_item(linear_model.BayesianRidge().fit(x, y))
    assert list(item.params.index) == ["x", "z"]
    assert item.df is None
    with pytest.raises(PoolingError, match="LinearRegression gives 2 coefficients and no covar"):
        to_pool_item(linear_model.LinearRegression().fit(x, y))


class MyFit:
    """The six-line adapter of the documentation."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def __psm_pool_item__(self) -> PoolItem:
        return PoolItem(pd.Series({"slope": self.slope}), np.array([[0.04]]), df=18, nobs=20)


def test_any_class_can_bring_its_own_adapter():
    pooled = pool([MyFit(1.0), MyFit(1.2)])
    assert pooled.params["slope"] == 1.1
    assert (pooled.dfcom, pooled.nobs) == (18, 20)


def test_a_class_can_be_registered_from_outside():
    class Foreign:
        pass

    to_pool_item.register(Foreign, lambda _fit: PoolItem(pd.Series({"a": 1.0}), np.eye(1)))
    with pytest.warns(PoolingWarning, match="do not tell"):
        assert pool([Foreign(), Foreign()]).dfcom == np.inf


class _Wrong:
    def __psm_pool_item__(self):
        return {"slope": 1}


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (object(), r"cannot read the estimates of a builtins.object: .*psm.PoolItem.*__psm"),
        (_Wrong(), "returned a dict: give its class a method"),
    ],
    ids=["unknown", "wrong"],
)
def test_what_cannot_be_read_is_told_how_it_could_be(fit, message):
    with pytest.raises(PoolingError, match=message):
        to_pool_item(fit)


def test_reading_a_fit_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool([smf.ols("y ~ x", _frame(seed)).fit() for seed in (1, 2)])


def test_marginal_effects_are_read_with_their_covariance():
    fits = [smf.logit("hit ~ x + z", _frame(seed)).fit(disp=0) for seed in range(3)]
    margins = [fit.get_margeff() for fit in fits]
    pooled = pool(margins)
    assert pooled.params.index.tolist() == ["x", "z"]
    assert_allclose(pooled.params, np.mean([m.margeff for m in margins], axis=0))
    assert_allclose(pooled.ubar, np.mean([m.margeff_se**2 for m in margins], axis=0))
    several = smf.mnlogit("level ~ x", _frame(0)).fit(disp=0).get_margeff()
    with pytest.raises(PoolingError, match="on several outcomes"):
        to_pool_item(several)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: smf.ols("y ~ x", d).fit().t_test("x = 0"), "pool the fitted models"),
        (lambda d: smf.ols("y ~ x", d).fit().get_prediction(), "get_prediction() of the pooled"),
        (lambda d: sm.stats.DescrStatsW(d["y"]), "pool_mean pools means"),
        (lambda d: sm.stats.CompareMeans.from_data(d["x"], d["y"]), "PoolItem"),
        (lambda d: smf.ols("y ~ x", d), "has not been fitted"),
    ],
)
def test_what_statsmodels_makes_of_fits_is_told_from_models_not_fitted(make, message):
    with pytest.raises(PoolingError, match=re.escape(message)):
        to_pool_item(make(_frame(0)))


def test_an_item_takes_a_mapping_and_a_variance():
    pooled = pool([PoolItem({"gini": 0.4 + k / 100}, 0.0005, df=99) for k in range(3)])
    assert_allclose(pooled.params, [0.41])
    with pytest.raises(PoolingError, match="bare numbers and their variances are pooled by"):
        PoolItem(0.4, 0.0005)


def test_tables_that_need_the_data_say_so():
    pooled = pool([smf.ols("y ~ x", _frame(seed)).fit() for seed in range(2)])
    with pytest.raises(AttributeError, match="wald_test_terms"):
        sm.stats.anova_lm(pooled, typ=2)


def test_quantile_regressions_have_no_interval_for_observations():
    fits = [smf.quantreg("y ~ x", _frame(seed)).fit() for seed in range(2)]
    table = pool(fits).get_prediction(pd.DataFrame({"x": [0.0, 1.0]})).summary_frame()
    assert table.columns.tolist() == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]


def test_a_summary_shows_ratios():
    pooled = pool([smf.logit("hit ~ x", _frame(seed)).fit(disp=0) for seed in range(2)])
    shown = pooled.summary(exponentiate=True).tables[1].as_text()
    assert "exp(coef)" in shown
    assert f"{np.exp(pooled.params['x']):.4f}" in shown
    assert f"{pooled.bse['x']:.4f}" in shown
