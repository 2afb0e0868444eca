"""Statistics pooled on other scales, against closed forms, R, and brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import logit

from psmimpute.exceptions import ConfigError, ImproperPoolingWarning, PoolingError
from psmimpute.pooling.descriptives import (
    pool_chi_square,
    pool_correlation,
    pool_independence,
    pool_mean,
    pool_proportion,
    pool_quantiles,
)
from psmimpute.pooling.joint import d2
from psmimpute.pooling.performance import (
    concordance,
    delong,
    kaplan_meier,
    pool_auc,
    pool_concordance,
    pool_kaplan_meier,
    pool_r_squared,
)
from psmimpute.pooling.pool import pool
from psmimpute.pooling.rubin import pool_rubin
from psmimpute.pooling.stats import pool_stat
from psmimpute.pooling.transforms import TRANSFORMS, get_transform

NAMES = sorted(TRANSFORMS)


@pytest.mark.parametrize("name", NAMES)
@given(share=st.floats(0.01, 0.99))
def test_transforms_go_there_and_back_with_their_derivative(name, share):
    transform = TRANSFORMS[name]
    low, high = (max(transform.support[0], -5.0), min(transform.support[1], 5.0))
    x = np.array([low + share * (high - low)])
    assert_allclose(transform.inverse(transform.forward(x)), x, rtol=1e-9, atol=1e-9)
    h = 1e-6 * min(x[0] - low, high - x[0])
    slope = (transform.forward(x + h) - transform.forward(x - h)) / (2 * h)
    assert_allclose(transform.derivative(x), slope, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_variances_may_be_of_the_estimate_or_transformed(name):
    q, u = np.array([0.4, 0.5, 0.45]), np.full(3, 0.01)
    transform = TRANSFORMS[name]
    delta = pool_stat(q, u, transform=name)
    given_ = pool_stat(
        q, u * transform.derivative(q) ** 2, transform=name, variances_of="transformed"
    )
    assert_allclose(delta.conf_low, given_.conf_low)
    assert delta.conf_low < delta.estimate < delta.conf_high


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_a_share_at_an_edge_in_one_imputation_is_pooled_as_an_arcsine(edge):
    hits = np.full((3, 50), edge)
    hits[1, :2], hits[2, :1] = 1 - edge, 1 - edge
    frames = [pd.DataFrame({"hit": row}) for row in hits]
    ours = pool_proportion(frames, "hit", 1.0).to_frame()
    angles = np.arcsin(np.sqrt(hits.mean(1)))
    expected = pool_rubin(angles[:, None], np.full((3, 1), 1 / 200), dfcom=49)
    half = stats.t.ppf(0.975, expected.df) * np.sqrt(expected.t)
    ends = np.sin(np.clip([expected.qbar - half, expected.qbar + half], 0, np.pi / 2)) ** 2
    assert_allclose(ours[["conf_low", "conf_high"]].iloc[0], np.ravel(ends))
    assert_allclose(ours["estimate"], np.sin(expected.qbar) ** 2)


def test_equal_imputations_give_back_the_estimate_and_its_standard_error():
    pooled = pool_stat(np.full(4, 0.3), np.full(4, 0.02**2), transform="logit")
    assert_allclose(pooled.estimate, 0.3)
    assert_allclose(pooled.std_error, 0.02)


def test_the_identity_is_rubins_rules(rng):
    q, u = rng.normal(size=(5, 2)), rng.gamma(3, size=(5, 2))
    ours, expected = pool_stat(q, u, dfcom=30, labels=["a", "b"]), pool_rubin(q, u, dfcom=30)
    half = stats.t.ppf(0.975, expected.df) * np.sqrt(expected.t)
    table = ours.to_frame()
    assert list(table.index) == ["a", "b"]
    assert_allclose(table["conf_low"], expected.qbar - half)
    assert "pooled over 5 imputations" in repr(ours)
    assert "<table" in ours._repr_html_()


@pytest.mark.parametrize(
    ("q", "transform", "message"),
    [
        ([0.2, 1.0], "logit", "statistic 0 of imputation 2 is 1, outside the open interval"),
        ([-0.1, 0.5], "fisher_z_root", r"imputation 1 is -0.1, .* \(0, 1\)"),
        ([2.0, 0.5], "fisher_z", r"imputation 1 is 2, .* \(-1, 1\)"),
        ([np.nan, 0.5], "log", "imputation 1 is nan"),
    ],
)
def test_estimates_at_the_limit_are_refused(q, transform, message):
    with pytest.raises(PoolingError, match=message):
        pool_stat(q, [0.1, 0.1], transform=transform)


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match=r"transform must be one of .* got 'probit'"):
        get_transform("probit")
    with pytest.raises(ConfigError, match="variances_of must be"):
        pool_stat([0.1, 0.2], [0.1, 0.1], variances_of="link")
    with pytest.raises(PoolingError, match="must share a shape"):
        pool_stat([0.1, 0.2], [0.1])


class Frames(list):
    """Completed frames that know their members, as a multiply-imputed data set does."""

    member_of = np.array([0, 0, 1, 1, 1])


@pytest.fixture
def frames(completed):
    return completed("nhanes2_m5")


def test_shared_members_reach_the_ready_made_statistics(frames):
    with pytest.warns(ImproperPoolingWarning, match="5 imputations come from 2 members"):
        nested = pool_mean(Frames(frames), "bmi")
    assert nested.std_error != pool_mean(frames, "bmi").std_error


def test_means_are_intercepts(frames):
    ours = pool_mean(frames, ["bmi", "chl"]).to_frame()
    expected = pool([smf.ols("chl ~ 1", frame).fit() for frame in frames]).to_frame()
    assert_allclose(ours.loc["chl", "estimate"], expected.loc["Intercept", "estimate"])
    assert_allclose(ours.loc["chl", "conf_low"], expected.loc["Intercept", "conf_low"])


def test_proportions_are_logit_intercepts(frames):
    ours = pool_proportion(frames, "hyp", 1.0)
    fits = [smf.logit("hyp ~ 1", frame).fit(disp=0) for frame in frames]
    limits = pool(fits).conf_int().to_numpy()
    assert_allclose([ours.conf_low, ours.conf_high], stats.logistic.cdf(limits.T), rtol=1e-6)
    with pytest.raises(PoolingError, match=r"no row of any imputation has hyp = 7.0: name the"):
        pool_proportion(frames, "hyp", 7.0)
    with pytest.raises(PoolingError, match=r"all rows of all imputations have hyp = 1.0"):
        pool_proportion([frame.assign(hyp=1.0) for frame in frames], "hyp", 1.0)


def test_labels_and_things_that_are_no_frames_are_refused(frames):
    labelled = [frame.assign(hyp=np.where(frame["hyp"] == 1, "yes", "no")) for frame in frames]
    with pytest.raises(PoolingError, match=r"'hyp' holds .* no numbers: pool_proportion pools"):
        pool_mean(labelled, ["bmi", "hyp"])
    with pytest.raises(PoolingError, match=r"needs the completed frames.*got a str"):
        pool_mean(frames[0], "bmi")
    with pytest.raises(PoolingError, match=r"needs the fits.*got a PooledResults"):
        pool_r_squared(pool([smf.ols("chl ~ bmi", frame).fit() for frame in frames]))


def test_correlations_follow_fisher(frames):
    ours = pool_correlation(frames, "bmi", "chl")
    z = np.arctanh([frame["bmi"].corr(frame["chl"]) for frame in frames])
    expected = pool_rubin(z[:, None], np.full((5, 1), 1 / 22))
    assert_allclose(ours.estimate, np.tanh(expected.qbar))
    ranks = pool_correlation(frames, "bmi", "chl", method="spearman")
    assert_allclose(
        np.tanh(np.mean([np.arctanh(f["bmi"].corr(f["chl"], method="spearman")) for f in frames])),
        ranks.estimate,
    )
    with pytest.raises(ConfigError, match="got 'kendall'"):
        pool_correlation(frames, "bmi", "chl", method="kendall")


@pytest.mark.parametrize("case", ["nhanes2_m5", "nhanes2_m20"])
@pytest.mark.parametrize("adjusted", [False, True])
def test_r_squared_agrees_with_mice(completed, r_values, case, adjusted):
    fits = [smf.ols("chl ~ age + bmi", frame).fit() for frame in completed(case)]
    ours = pool_r_squared(fits, adjusted=adjusted, critical=1.96).to_frame().iloc[0]
    expected = r_values(case, "lm_full", "adj_r_squared" if adjusted else "r_squared")
    for name in ["estimate", "conf_low", "conf_high", "fmi"]:
        assert_allclose(ours[name], expected[name], rtol=1e-8, err_msg=name)


def test_r_squared_needs_linear_models(frames):
    fits = [smf.logit("hyp ~ bmi", frame).fit(disp=0) for frame in frames]
    with pytest.raises(PoolingError, match="imputation 1 has no rsquared"):
        pool_r_squared(fits)


def test_adjusted_r_squared_below_zero_says_what_to_pool(frames):
    noise = [f.assign(z=np.random.default_rng(i).normal(size=25)) for i, f in enumerate(frames)]
    fits = [smf.ols("z ~ bmi", frame).fit() for frame in noise]
    assert min(fit.rsquared_adj for fit in fits) < 0
    with pytest.raises(PoolingError, match="not positive has no Fisher's z: pool R² itself"):
        pool_r_squared(fits, adjusted=True)


def test_quantiles_have_the_standard_errors_of_maritz_and_jarrett(frames):
    ours = pool_quantiles(frames, "chl", [0.5])
    expected = pool_rubin(
        [[np.median(frame["chl"])] for frame in frames],
        [np.asarray(stats.mstats.mjci(frame["chl"], [0.5])) ** 2 for frame in frames],
        dfcom=24,
    )
    assert_allclose(ours.estimate, expected.qbar)
    assert_allclose(ours.pooled.t, expected.t)


def test_chi_square_statistics_are_d2(frames, completed):
    statistics = [4.0, 6.0, 5.0]
    assert pool_chi_square(statistics, 2) == d2(statistics, k=2)
    lung = [
        frame.assign(worse=frame["ph.karno"] < 80, heavy=frame["wt.loss"] > 10)
        for frame in completed("lung_m10")
    ]
    test = pool_independence(lung, "sex", "worse")
    each = [
        stats.chi2_contingency(pd.crosstab(f["sex"], f["worse"]), correction=False)[0] for f in lung
    ]
    assert_allclose(test.statistic, d2(each, k=1).statistic)
    with pytest.raises(PoolingError, match=r"different shapes .* \(2, 2\), \(3, 2\): merge"):
        pool_independence([frames[0], frames[1].query("age != '60-99'")], "age", "hyp")
    with pytest.raises(PoolingError, match="need 2 levels each"):
        pool_independence([f.assign(one=1) for f in frames], "one", "age")


def test_area_under_the_curve_agrees_with_counting_pairs(rng):
    cases = rng.random(60) < 0.4
    scores = np.round(rng.normal(size=60) + cases, 1)  # with ties
    area, variance = delong(scores, cases)
    a, b = scores[cases][:, None], scores[~cases][None, :]
    wins = (a > b) + 0.5 * (a == b)
    assert_allclose(area, wins.mean())
    expected = (
        wins.mean(axis=1).var(ddof=1) / cases.sum() + wins.mean(axis=0).var(ddof=1) / (~cases).sum()
    )
    assert_allclose(variance, expected)


def test_areas_pool_from_a_column_or_a_function(frames):
    by_column, by_function = (
        pool_auc(frames, "hyp", "chl"),
        pool_auc(frames, "hyp", lambda f: f["chl"]),
    )
    assert_allclose(by_column.estimate, by_function.estimate)
    assert 0.5 < by_column.estimate < 1
    with pytest.raises(PoolingError, match="imputation 1 has fewer than 2 cases or controls"):
        pool_auc([frame.assign(hyp=0) for frame in frames], "hyp", "chl")


def _survival(frame):
    return frame["time"].to_numpy(dtype=float), frame["event"].to_numpy() == 1


def test_concordance_agrees_with_survival(completed, r_values):
    frames = completed("lung_m10")
    ours = np.array([concordance(*_survival(f), f["ph.karno"].to_numpy(float)) for f in frames])
    assert_allclose(ours[:, 0], r_values("lung_m10", "concordance", "index"), rtol=1e-12)
    assert_allclose(ours[:, 1], r_values("lung_m10", "concordance", "variance"), rtol=1e-10)
    pooled = pool_concordance(frames, "time", "event", "ph.karno")
    assert pooled.conf_low < ours[:, 0].mean() < pooled.conf_high
    with pytest.raises(PoolingError, match="imputation 1 has no event in 'event'"):
        pool_concordance([f.assign(event=0) for f in frames], "time", "event", "ph.karno")


def test_kaplan_meier_agrees_with_survival(completed, r_values):
    frames = completed("lung_m10")
    ours = np.array([kaplan_meier(*_survival(f), np.array([100.0, 365.0])) for f in frames])
    assert_allclose(ours[:, 0].ravel(), r_values("lung_m10", "kaplan_meier", "survival"))
    assert_allclose(ours[:, 1].ravel(), r_values("lung_m10", "kaplan_meier", "variance"))
    pooled = pool_kaplan_meier(frames, "time", "event", [100, 365])
    assert list(pooled.labels) == ["S(100)", "S(365)"]
    assert (pooled.conf_low > 0).all()
    with pytest.raises(PoolingError, match="at=5000 lies beyond the last time of imputation 1"):
        pool_kaplan_meier(frames, "time", "event", [100, 5000])
    with pytest.raises(PoolingError, match="survival at 0 is 1 in all imputations"):
        pool_kaplan_meier(frames, "time", "event", [0])


def test_kaplan_meier_where_some_imputations_have_no_event_yet():
    times, rng = np.arange(1.0, 41.0), np.random.default_rng(4)
    events = [np.where(times < 3 + (i > 2), i > 2, rng.uniform(size=40) < 0.5) for i in range(6)]
    frames = [pd.DataFrame({"time": times, "died": seen}) for seen in events]
    pooled = pool_kaplan_meier(frames, "time", "died", [2.0, 20.0])
    assert pooled.transform == "arcsine"
    survival = np.array([kaplan_meier(times, seen, np.array([2.0]))[0] for seen in events])
    assert (survival == 1).any(axis=0).all()
    assert (survival == 1).mean() == 0.5
    expected = np.sin(np.arcsin(np.sqrt(survival)).mean()) ** 2
    assert_allclose(pooled.estimate[0], expected)
    # Without censoring before it, Greenwood's variance is that of a share: 1 / (4 n) on this scale.
    assert_allclose(pooled.pooled.ubar[0], 1 / (4 * 40))
    assert (pooled.conf_low > 0).all()
    assert (pooled.conf_high <= 1).all()


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (["dead", "alive"] * 20, "'died' must hold 0 and 1 or truth values, not 'dead', 'alive'"),
        ([1, 2] * 20, "'died' must hold 0 and 1 or truth values, not 1, 2"),
        ([1.0, np.nan] * 20, "'died' of imputation 1 still has missing values"),
    ],
)
def test_events_are_truth_values(event, message):
    frame = pd.DataFrame({"time": np.arange(1.0, 41.0), "died": event, "risk": np.arange(40.0)})
    for call in (
        lambda f: pool_kaplan_meier(f, "time", "died", [5.0]),
        lambda f: pool_concordance(f, "time", "died", "risk"),
        lambda f: pool_auc(f, "died", "risk"),
    ):
        with pytest.raises(PoolingError, match=message):
            call([frame, frame])
    for dtype in ("boolean", "Int64", "category", object):
        kept = frame.assign(died=pd.Series([1, 0] * 20).astype(dtype))
        assert 0 < pool_auc([kept, kept], "died", "risk").estimate[0] < 1


def test_shares_and_tables_want_all_values_or_say_so():
    seen = pd.Series(["a", "b", None, "a"] * 10, dtype="category")
    frames = [pd.DataFrame({"x": seen, "y": ["u", "v", "v", "v"] * 10})] * 2
    with pytest.raises(PoolingError, match="'x' of imputation 1 still has missing values"):
        pool_proportion(frames, "x", "a")
    with pytest.raises(PoolingError, match="'x' of imputation 1 still has missing values"):
        pool_independence(frames, "x", "y")
    assert_allclose(pool_proportion(frames, "x", "a", skipna=True).estimate, 2 / 3)
    with pytest.raises(PoolingError, match="an imputation has no value of 'x'"):
        pool_proportion([f.assign(x=None) for f in frames], "x", "a", skipna=True)


def test_what_is_printed_keeps_the_interval(frames):
    with pd.option_context("display.width", 60, "display.max_columns", 4):
        shown = repr(pool_mean(frames, ["bmi", "chl"]))
    assert shown.splitlines()[0].split() == list(pool_mean(frames, "bmi").to_frame())
    assert shown.splitlines()[-1] == "(pooled over 5 imputations, identity)"


def test_quantiles_among_ties_say_what_to_do():
    frames = [pd.DataFrame({"k": [0] * 900 + [1] * 300 + [2] * 300})] * 2
    with pytest.raises(PoolingError, match=r"the quantile 0\.25 of 'k' has no sampling variance"):
        pool_quantiles(frames, "k")
    assert pool_quantiles(frames, "k", [0.8]).std_error[0] > 0


def test_rows_without_a_value_can_be_skipped(frames):
    gone = [frame["bmi"] > 30 - i for i, frame in enumerate(frames)]
    holed = [f.assign(bmi=f["bmi"].mask(g)) for f, g in zip(frames, gone, strict=True)]
    found = pool_mean(holed, "bmi", skipna=True)
    kept = [f.loc[~g, "bmi"] for f, g in zip(frames, gone, strict=True)]
    assert_allclose(found.estimate, np.mean([x.mean() for x in kept]))
    same = pool_stat(
        [x.mean() for x in kept],
        [x.var() / len(x) for x in kept],
        dfcom=min(map(len, kept)) - 1,
    )
    assert_allclose(found.to_frame(), same.to_frame())
    with pytest.raises(PoolingError, match="has 0 values: a variance needs two"):
        pool_mean([f.assign(bmi=np.nan) for f in frames], "bmi", skipna=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: pool_mean(f, "weight"), "imputation 1 has no column 'weight', but age, bmi"),
        (lambda f: pool_mean([f[0], f[1].mask(f[1] == 187)], "chl"), "'chl' of imputation 2 still"),
        (lambda f: pool_correlation([x.head(3) for x in f], "bmi", "chl"), "at least 4 rows"),
        (lambda f: pool_mean(f, 1), "has no column 1"),
        (
            lambda f: pool_mean([x.assign(day=pd.Timestamp("2020-01-01")) for x in f], "day"),
            r"'day' holds datetime64\[\w+\] values, no numbers: assign their difference",
        ),
        (lambda f: pool_quantiles(f, "chl", [50]), r"probabilities=\[50\] must lie between 0"),
    ],
    ids=["column", "missing", "rows", "number", "dates", "probability"],
)
def test_frames_that_do_not_serve_are_refused(frames, call, message):
    with pytest.raises(PoolingError, match=message):
        call(frames)


def test_means_of_groups_are_those_of_their_rows(frames):
    found = pool_mean(frames, ["bmi", "chl"], by="hyp").to_frame()
    levels = sorted(frames[0]["hyp"].unique())
    assert found.index.tolist() == [f"{c}, hyp = {v}" for v in levels for c in ("bmi", "chl")]
    for level in levels:
        alone = pool_mean([f[f["hyp"] == level] for f in frames], ["bmi", "chl"]).to_frame()
        rows = [f"{column}, hyp = {level}" for column in ("bmi", "chl")]
        assert_allclose(found.loc[rows], alone)


def test_weighted_means_are_those_of_robust_weighted_least_squares(frames):
    weighted = [f.assign(w=np.arange(1.0, len(f) + 1)) for f in frames]
    found = pool_mean(weighted, "bmi", weights="w")
    fits = [smf.wls("bmi ~ 1", f, weights=f["w"]).fit(cov_type="HC1") for f in weighted]
    assert_allclose(found.estimate, np.mean([fit.params for fit in fits]))
    assert_allclose(found.pooled.ubar, np.mean([fit.bse**2 for fit in fits]))
    level = frames[0]["hyp"].iloc[0]
    share = pool_proportion(weighted, "hyp", level, weights="w")
    means = [np.average(f["hyp"] == level, weights=f["w"]) for f in weighted]
    assert_allclose(logit(share.estimate), logit(means).mean())
    equal = pool_mean([f.assign(w=3.0) for f in frames], "bmi", weights="w")
    assert_allclose(equal.to_frame(), pool_mean(frames, "bmi").to_frame())
    with pytest.raises(PoolingError, match="the weights 'w' of imputation 1 are negative"):
        pool_mean([f.assign(w=-1.0) for f in frames], "bmi", weights="w")


def test_columns_of_several_levels_are_named_in_full():
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "z")])
    frames = [pd.DataFrame(np.eye(4)[:, :2] + k, columns=columns) for k in range(3)]
    assert_allclose(pool_mean(frames, [("a", "x")]).estimate, 1.25)
    with pytest.raises(PoolingError, match="'a' names 2 columns"):
        pool_mean(frames, "a")
    with pytest.raises(PoolingError, match=r"has no column \['p', 'q'\]"):
        pool_correlation(frames, ["p", "q"], "a")
