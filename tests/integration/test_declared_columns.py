"""Derived columns, skip patterns and chosen cells through a whole imputation."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

import psmimpute as psm
from psmimpute import PSMImputer, impute
from psmimpute.exceptions import ConfigError, DerivedMismatchWarning, NotApplicableWarning

DECLARED = {
    "derived": {"bmi": "wgt / hgt**2", "heavy": "bmi > 25"},
    "applicable_if": {"births": "sex == 'f'"},
}

NOT_ASKED_OF_MEN = pytest.mark.filterwarnings("ignore:'births' was not observed in any of the")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = 120
    h = rng.normal(size=n)
    sex = np.where(rng.random(n) < 0.5, "f", "m").astype(object)
    df = pd.DataFrame(
        {
            "wgt": 70 + 10 * h + 5 * rng.normal(size=n),
            "hgt": 1.7 + 0.1 * h + 0.05 * rng.normal(size=n),
            "sex": sex,
            "births": pd.array(rng.poisson(1.5, n), "Int64"),
        },
        index=[f"p{i}" for i in range(n)],
    )
    df["bmi"] = df["wgt"] / df["hgt"] ** 2
    df = df.mask(rng.random(df.shape) < 0.2)
    df.loc[df["wgt"].isna() | df["hgt"].isna(), "bmi"] = np.nan
    df.loc[sex == "m", "births"] = pd.NA
    # Births are known of women alone, whether or not the sex was written down.
    return df.astype({"births": "Int64"})


@pytest.fixture(scope="module")
def imp(table, fast):
    return impute(table, **DECLARED, **fast)


def test_derived_columns_are_computed_and_never_modelled(imp, table):
    for completed in imp:
        assert_allclose(completed["bmi"], completed["wgt"] / completed["hgt"] ** 2)
        assert (completed["heavy"] == (completed["bmi"] > 25)).all()
        shown = table["bmi"].notna()
        assert completed.loc[shown, "bmi"].equals(table.loc[shown, "bmi"])
    assert "bmi" not in imp.schema.column_names
    assert imp.report().to_dict()["Imputation"]["Columns left out"] == {
        "bmi": "derived from other columns"
    }
    assert_frame_equal(imp.complete(0).drop(columns="heavy"), table)


def test_the_report_tells_what_was_declared(imp):
    told = imp.report().to_dict()["Imputation"]
    assert told["Applicable if"] == "births: sex == 'f'"
    assert told["Derived"] == "bmi: wgt / hgt**2; heavy: bmi > 25"
    assert "Selection effects given" not in told
    quality = imp.report(diagnostics=imp.diagnostics()).to_dict()["Quality"]
    assert any(line.startswith("coverage of 90 % intervals: ") for line in quality["Checks"])
    assert imp.report().to_dict()["Quality"]["Checks"] == "not given to this report"


def test_an_observed_bmi_of_those_with_no_weight_does_not_leak(table, fast):
    """A derived column is no predictor: other values of it give the same imputations."""
    other = table.assign(bmi=table["bmi"] * 2)
    with pytest.warns(DerivedMismatchWarning, match="'bmi' is derived, but in"):
        found = impute(other, **DECLARED, **fast)
    for a, b in zip(found, impute(table, **DECLARED, **fast), strict=True):
        assert a[["wgt", "hgt", "births"]].equals(b[["wgt", "hgt", "births"]])


def test_births_of_men_stay_missing(imp, table):
    for completed in imp:
        known = table["births"].notna()
        women = completed["sex"] == "f"
        assert (completed["births"].notna() == (women | known)).all()
        assert completed["births"].dtype == "Int64"
    certain = (table["sex"] == "m").to_numpy()
    assert not imp.where.loc[certain, "births"].any()


def test_extending_keeps_what_was_declared(imp):
    grown = imp.extend(4)
    for k in (1, 2):
        assert_frame_equal(grown.complete(k), imp.complete(k))
    assert grown.complete(4)["bmi"].notna().all()


def test_new_rows_and_single_imputation(table, fast):
    imputer = PSMImputer(**DECLARED, **fast).fit(table)
    part = table.iloc[:30]
    done = imputer.impute(part)
    assert (done.complete(1)["heavy"] == (done.complete(1)["bmi"] > 25)).all()
    single = imputer.transform(part)
    assert_allclose(single["bmi"], single["wgt"] / single["hgt"] ** 2)
    men = part["sex"] == "m"
    assert single.loc[men & part["births"].isna(), "births"].isna().all()


def test_what_is_declared_matters_to_the_accessor_too(table, fast, imp):
    found = table.psm.impute(**DECLARED, **fast)
    assert_frame_equal(found.complete(1), imp.complete(1))


def test_without_gaps_derived_columns_come_all_the_same(table, fast):
    whole = table[["wgt", "hgt"]].dropna()
    with pytest.warns(psm.exceptions.NoMissingDataWarning):
        done = impute(whole, derived={"bmi": "wgt / hgt**2"}, **fast)
    assert_allclose(done.complete(1)["bmi"], whole["wgt"] / whole["hgt"] ** 2)


@NOT_ASKED_OF_MEN
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"derived": {"bmi": "wgt / length"}}, "names 'length'"),
        ({"applicable_if": {"age": "sex == 'f'"}}, "names 'age'"),
        ({"applicable_if": {"births": "sex == 'f'"}, "exclude": ["births"]}, "not modelled"),
        ({"where": "some"}, "where='some'"),
        ({"selection_effect": {"wgt": 1.0}}, "missingness='selection'"),
    ],
)
def test_bad_declarations_are_refused_at_the_door(table, fast, options, message, monkeypatch):
    if "where" not in options:
        monkeypatch.setattr("psmimpute.imputer.fit_model", _never)
    with pytest.raises(ConfigError, match=message):
        impute(table.drop(columns="bmi"), **options, **fast)


def _never(*_, **__):
    raise AssertionError("trained before the options were checked")


# Chosen observed cells


@pytest.fixture(scope="module")
def chosen(table):
    where = table.notna() & (np.random.default_rng(1).random(table.shape) < 0.15)
    return where.drop(columns="bmi")


@NOT_ASKED_OF_MEN
def test_chosen_cells_are_imputed_and_the_others_kept(table, chosen, fast):
    df = table.drop(columns="bmi")
    over = impute(df, where=chosen, **fast)
    assert_frame_equal(over.where, df.isna() | chosen)
    for completed in over:
        kept = df.notna() & ~chosen
        for name in df:
            assert (completed.loc[kept[name], name] == df.loc[kept[name], name]).all()
        assert completed.dtypes.equals(df.dtypes)
    moved = over.complete(1)["wgt"][chosen["wgt"]] != df["wgt"][chosen["wgt"]]
    assert moved.all()
    assert_frame_equal(over.complete(0), df)
    assert_frame_equal(over.extend(3).complete(2), over.complete(2))


@NOT_ASKED_OF_MEN
def test_the_hidden_value_has_no_say(table, chosen, fast):
    """A fitted model draws the same for a chosen cell whatever stands in it."""
    df = table.drop(columns="bmi")
    imputer = PSMImputer(**fast).fit(df)
    first = imputer.impute(df, where=chosen)
    other = df.copy()
    other.loc[chosen["wgt"], "wgt"] += 25.0
    second = imputer.impute(other, where=chosen)
    for a, b in zip(first, second, strict=True):
        assert_allclose(a["wgt"][chosen["wgt"]], b["wgt"][chosen["wgt"]])
        assert_allclose(a["hgt"], b["hgt"])


def test_everything_can_be_synthesised(table, fast):
    df = table[["wgt", "hgt"]].dropna()
    synthetic = impute(df, where="all", **fast)
    assert synthetic.where.all(axis=None)
    drawn = np.concatenate([frame["wgt"] for frame in synthetic])
    # Two members' means of 80 rows: five standard errors, of the sample's and of theirs.
    assert abs(drawn.mean() - df["wgt"].mean()) < 5 * df["wgt"].std() * np.sqrt(2 / len(df))


@NOT_ASKED_OF_MEN
def test_overimputation_plot_tells_how_many_ranges_hold(table, chosen, fast):
    over = impute(table.drop(columns="bmi"), where=chosen, **fast)
    assert over.plot.overimpute("wgt").get_title().endswith("33 % expected")


def test_an_observed_cell_decides_whether_its_condition_holds(table, imp):
    known = table["births"].notna() & table["sex"].isna()
    assert known.sum() > 5
    for completed in imp:
        assert (completed.loc[known, "sex"] == "f").all()
        assert (completed.loc[table["sex"].isna() & ~known, "sex"] == "m").any()


def test_a_row_drawn_again_depends_on_its_key_alone(table, fast):
    imputer = PSMImputer(**DECLARED, **fast).fit(table)
    data = table.assign(key=np.arange(len(table)))
    whole = imputer.impute(data, row_key="key")
    some = data.index[table["births"].notna() & table["sex"].isna()][::2]
    alone = imputer.impute(data.loc[some], row_key="key")
    more = imputer.impute(data, whole.m + 2, row_key="key")
    for k in range(1, whole.m + 1):
        assert_frame_equal(alone.complete(k), whole.complete(k).loc[some])
        assert_frame_equal(more.complete(k), whole.complete(k))


def test_rows_are_drawn_from_the_model_given_that_the_condition_holds(fast):
    """Accepted draws, and no others: those of rows that disagreed come from later rounds."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=300)
    df = pd.DataFrame({"x": x, "y": 0.5 * x + rng.normal(size=300), "z": 1.0 * (x > 0)})
    df.loc[df["x"] <= 0, "z"] = np.nan
    df.loc[rng.random(300) < 0.4, "x"] = np.nan
    df["z"] = df["z"] + rng.normal(size=300)
    known = df["x"].isna() & df["z"].notna()
    free = impute(df, **fast)
    held = impute(df, applicable_if={"z": lambda d: d["x"] > 0}, **fast)
    below = above = 0
    for k in range(1, held.m + 1):
        drawn = held.complete(k).loc[known, "x"]
        assert (drawn > 0).all()
        assert held.complete(k)["z"].isna().any()
        below += (free.complete(k).loc[known, "x"] <= 0).sum()
        above += drawn.nunique()
    assert below > 0
    assert above == held.m * known.sum()


@pytest.mark.parametrize("left_out_together", [0.0, 0.5, 1.0])
def test_an_empty_cell_tells_of_its_condition_what_answers_of_others_teach(left_out_together):
    """Of unknown smoking and no number of cigarettes: few smoke, if smokers gave theirs."""
    rng = np.random.default_rng(4)
    n = 600
    smokes = rng.random(n) < 0.3
    df = pd.DataFrame({"age": rng.normal(50, 10, n), "smoker": np.where(smokes, "yes", "no")})
    df["cigs"] = np.where(smokes, rng.poisson(12, n) + 1.0, np.nan)
    unknown = rng.random(n) < 0.3
    df.loc[unknown, "smoker"] = None
    df.loc[unknown & (rng.random(n) < left_out_together), "cigs"] = np.nan
    options = {"applicable_if": {"cigs": "smoker == 'yes'"}, "kinds": {"cigs": "count"}}
    imputer = PSMImputer(10, seed=1, n_sets=1, fit=psm.FitConfig(max_steps=60), **options).fit(df)
    imp = imputer.impute(df)
    share = np.mean([(frame["smoker"] == "yes")[unknown].mean() for frame in imp])
    # Each drawn as the known rows say: within two standard errors of these rows.
    assert share == pytest.approx(smokes[~unknown].mean(), abs=2 * (0.3 * 0.7 / n * 2) ** 0.5)
    loaded = PSMImputer.from_bytes(imputer.to_bytes())
    assert_frame_equal(loaded.impute(df).complete(3), imp.complete(3))
    some = df.assign(key=np.arange(n)).iloc[100:160]
    whole = imputer.impute(df.assign(key=np.arange(n)), row_key="key")
    part = imputer.impute(some, row_key="key")
    assert_frame_equal(part.complete(2), whole.complete(2).iloc[100:160])


def test_questions_of_one_condition_are_one_answer():
    """Women of unknown sex answer all of four questions, or none: a half of them none."""
    rng = np.random.default_rng(2)
    n, names = 600, ["q0", "q1", "q2", "q3"]
    woman = rng.random(n) < 0.5
    df = pd.DataFrame({"x": rng.normal(size=n), "sex": np.where(woman, "f", "m")})
    unknown = rng.random(n) < 0.4
    silent = ~woman | (unknown & (rng.random(n) < 0.5))
    for name in names:
        df[name] = np.where(silent, np.nan, rng.normal(size=n))
    one = unknown & ~silent & (rng.random(n) < 0.5)
    df.loc[one, names[1:]] = np.nan  # who answered one of them is a woman, and in no doubt
    df.loc[unknown, "sex"] = None
    options = {"n_sets": 1, "fit": psm.FitConfig(max_steps=40)}
    imp = impute(df, m=10, seed=1, applicable_if=dict.fromkeys(names, "sex == 'f'"), **options)
    none = unknown & silent
    share = np.mean([(frame["sex"] == "f")[none].mean() for frame in imp])
    assert share == pytest.approx(woman[none].mean(), abs=0.1)
    assert all((frame.loc[one, "sex"] == "f").all() for frame in imp)


def test_a_hidden_answer_and_a_column_that_is_not_delivered_are_no_refusals(fast):
    rng = np.random.default_rng(2)
    woman = rng.random(300) < 0.5
    df = pd.DataFrame({"x": rng.normal(size=300), "sex": np.where(woman, "f", "m")})
    df["q"] = np.where(woman, rng.normal(size=300), np.nan)
    unknown = rng.random(300) < 0.3
    df.loc[unknown, "sex"] = None
    imputer = PSMImputer(applicable_if={"q": "sex == 'f'"}, **fast).fit(df)
    mute = df.assign(q=np.nan)
    few = np.mean([(f["sex"] == "f")[unknown].mean() for f in imputer.impute(mute)])
    assert few < 0.25
    without = imputer.impute(df.drop(columns="q"), absent="missing")
    assert np.mean([(f["sex"] == "f")[unknown].mean() for f in without]) > 0.3
    chosen = pd.DataFrame(False, index=df.index, columns=df.columns)
    chosen["sex"] = ~unknown
    hidden = imputer.impute(mute, where=chosen)
    assert np.mean([(f["sex"] == "f")[~unknown].mean() for f in hidden]) > 0.3


def test_a_condition_that_no_draw_meets_is_told(fast):
    rng = np.random.default_rng(3)
    df = pd.DataFrame({"x": rng.normal(size=60), "y": rng.normal(size=60)})
    df.loc[::3, "x"] = np.nan
    df["z"] = np.where(df["x"].isna(), 1.5, np.nan) + rng.normal(size=60)
    df.loc[1, "z"] = 0.0
    df.loc[1, "x"] = 9.5
    with pytest.warns(NotApplicableWarning, match="50 draws of each, and none agreed"):
        imp = impute(df, applicable_if={"z": "x > 9"}, **fast)
    assert imp.complete(1)["x"].notna().all()


def test_only_what_draws_decide_is_drawn_again(fast):
    """A condition that stays unknown is contradicted by nothing; new columns are not computed."""
    rng = np.random.default_rng(3)
    df = pd.DataFrame({"x": rng.normal(size=60), "sex": rng.choice(["f", "m"], 60)})
    df["births"] = np.where(df["sex"] == "f", rng.poisson(2, 60), np.nan)
    df.loc[df.index[df["births"].notna()][:3], ["sex", "x"]] = np.nan
    options = {"applicable_if": {"births": "sex == 'f'"}, **fast}
    held = impute(df, derived={"q": lambda d: pd.qcut(d["x"], 4, labels=False)}, **options)
    known = df["sex"].isna()
    assert all((frame.loc[known, "sex"] == "f").all() for frame in held)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotApplicableWarning)
        left = impute(df, exclude=["sex"], **options)
    assert left.complete(1)["sex"].isna().equals(known)


def test_a_condition_on_the_whole_frame_is_told_of_the_whole_frame(fast):
    rng = np.random.default_rng(3)
    df = pd.DataFrame({"x": rng.normal(size=200), "y": rng.normal(size=200)})
    df["z"] = np.where(df["x"] > df["x"].mean() + 0.5, rng.normal(size=200), np.nan)
    df.loc[df["z"].notna() & (rng.random(200) < 0.3), "x"] = np.nan
    known = df["x"].isna()
    imp = impute(df, applicable_if={"z": lambda d: d["x"] > d["x"].mean()}, **fast)
    for frame in imp:
        assert (frame.loc[known, "x"] > frame["x"].mean() - 0.1).all()


def test_columns_that_rest_on_excluded_gaps_are_told(table, fast):
    some = table[["wgt", "hgt"]]
    told = r"derived column 'ratio' is missing in \d+ rows"
    with pytest.warns(DerivedMismatchWarning, match=told):
        imp = impute(some, exclude=["hgt"], derived={"ratio": "wgt / hgt"}, **fast)
    n = int(some["hgt"].isna().sum())
    with pytest.warns(psm.exceptions.PoolingWarning, match=rf"names 'hgt' \({n} gaps\)"):
        fitted = imp.fit("wgt ~ hgt", model=smf.ols)
    assert fitted.fits[0].nobs == len(some) - n


def test_the_mean_of_those_to_which_a_column_applies(imp):
    found = psm.pool_mean(imp, "births", skipna=True)
    women = [frame.loc[frame["sex"] == "f", "births"].mean() for frame in imp]
    assert_allclose(found.estimate, np.mean(women))
