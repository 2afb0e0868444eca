"""The imputer: its manners, single imputation, and what it warns of."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import psmimpute as psm
from psmimpute.exceptions import (
    ConfigError,
    ExactRelationWarning,
    ImputationError,
    LowESSWarning,
    NegativeImputationWarning,
    NoMissingDataWarning,
    NotFittedError,
    PileUpWarning,
    TrainingInterruptedError,
)
from psmimpute.imputer import PSMImputer, impute
from psmimpute.inference import means
from psmimpute.inference.config import FitConfig
from psmimpute.inference.trainer import Trainer
from psmimpute.model.config import ModelConfig

pytestmark = pytest.mark.filterwarnings("ignore::psmimpute.exceptions.LowESSWarning")
FAST = {
    "seed": 1,
    "n_sets": 1,
    "fit": FitConfig(max_steps=20),
    "model": ModelConfig(hidden_dim=0),
}


@pytest.fixture(scope="module")
def table():
    """Numbers and levels that depend on one hidden variable, 60 rows, with gaps."""
    rng = np.random.default_rng(12)
    hidden = rng.normal(size=60)
    noise = 0.4 * rng.normal(size=(4, 60))
    df = pd.DataFrame(
        {
            "x": hidden + noise[0],
            "y": hidden + noise[1],
            "k": np.where(hidden + 0.3 * noise[2] > 0, "high", "low").astype(object),
            "size": pd.Categorical(
                np.digitize(hidden + noise[3], [-0.7, 0.7]), categories=[0, 1, 2], ordered=True
            ),
        }
    )
    return df.mask(rng.random(df.shape) < 0.2)


@pytest.fixture(scope="module")
def fitted(table):
    return PSMImputer(2, **FAST).fit(table)


# scikit-learn's manners


def test_parameters_are_what_the_constructor_was_given():
    given = {"m": 3, "seed": 5, "pi": {"x": 0.2}, "exclude": ["y"], "fit": FitConfig(max_steps=3)}
    imputer = PSMImputer(**given)
    params = imputer.get_params()
    assert {name: params[name] for name in given} == given
    for name in given:
        assert params[name] is given[name]
    assert PSMImputer(**params).get_params() == params
    changed = PSMImputer().set_params(**params)
    assert changed.get_params(deep=False) == params
    assert repr(imputer).startswith("PSMImputer(m=3, seed=5, pi={'x': 0.2}, exclude=['y']")


def test_an_unknown_parameter_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"no option 'imputations'; it has m, seed, .*fit"):
        PSMImputer().set_params(imputations=3)


def test_a_pipeline_of_scikit_learn_knows_its_columns(table):
    imputer = PSMImputer(2, derived={"both": "x + y"}, **FAST)
    assert imputer.set_output(transform="pandas") is imputer
    with pytest.raises(NotFittedError):
        imputer.get_feature_names_out()
    filled = imputer.fit_transform(table)
    assert imputer.get_feature_names_out().tolist() == [*filled.columns] == [*table, "both"]
    with pytest.raises(ConfigError, match="transform='polars': rows come back as pandas"):
        imputer.set_output(transform="polars")


def test_scikit_learn_can_clone_it():
    base = pytest.importorskip("sklearn.base")
    imputer = PSMImputer(3, seed=5, kinds={"x": "count"})
    twin = base.clone(imputer)
    assert twin is not imputer
    assert twin.get_params() == imputer.get_params()
    assert not hasattr(twin, "fitted_")


def test_fitting_returns_the_imputer_and_sets_what_was_learnt(table, fitted):
    assert fitted.n_sets_ == 1
    assert fitted.seed_ == 1
    assert fitted.n_features_in_ == 4
    assert fitted.feature_names_in_.tolist() == ["x", "y", "k", "size"]
    assert fitted.schema_.column_names == ("x", "y", "k", "size")


def test_what_is_not_fitted_says_so(table):
    for call in (PSMImputer().impute, PSMImputer().transform):
        with pytest.raises(NotFittedError, match=r"not fitted yet: call fit\(df\) first"):
            call(table)


def test_fit_then_impute_is_impute(table, fitted):
    imp, again = impute(table, m=2, **FAST), fitted.impute(table)
    other = fitted.impute(table, seed=8)
    for a, b, c in zip(imp, again, other, strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
        assert not a.equals(c)


def test_the_accessor_and_the_package_hand_on_every_option(table):
    imp = impute(table, m=2, **FAST)
    by_accessor = table.psm.impute(m=2, **FAST)
    pd.testing.assert_frame_equal(imp.complete(2), by_accessor.complete(2), check_exact=True)
    assert psm.impute is impute
    assert psm.PSMImputer is PSMImputer


def test_the_object_survives_pickling_but_cannot_be_extended_then(table, fitted):
    imp = pickle.loads(pickle.dumps(fitted.impute(table)))
    assert imp.m == 2
    with pytest.raises(ImputationError, match="no model to draw more from"):
        imp.extend(4)


def test_extending_reuses_members_where_their_number_was_given(table):
    imputer = PSMImputer(2, members=2, **FAST).fit(table)
    more = imputer.impute(table).extend(4)
    assert more.info.members == 2
    assert more.member_of.tolist() == [0, 1, 0, 1]


# Single imputation


def test_transform_fills_every_gap_and_nothing_else(table, fitted):
    before = table.copy(deep=True)
    filled = fitted.transform(table)
    pd.testing.assert_frame_equal(table, before, check_exact=True)
    assert not filled.isna().any(axis=None)
    assert filled.dtypes.tolist() == table.dtypes.tolist()
    for name in table:
        seen = table[name].notna()
        pd.testing.assert_series_equal(filled[name][seen], table[name][seen], check_exact=True)


def test_transform_is_the_mean_of_many_imputations_and_their_most_frequent_level(table, fitted):
    m = 600
    imp, filled = fitted.impute(table, m=m), fitted.transform(table, n_samples=1000)
    frames = list(imp)
    for name in ("x", "y"):
        gaps = table[name].isna()
        drawn = np.array([frame[name][gaps] for frame in frames])
        error = drawn.std(0) / np.sqrt(m)
        # A normal quantile at a false-alarm rate of 1e-4 over some twenty-five cells.
        assert (np.abs(drawn.mean(0) - filled[name][gaps]) < 4.7 * error).all()
    gaps = table["k"].isna()
    high = np.array([frame["k"][gaps] == "high" for frame in frames]).mean(0)
    clear = np.abs(high - 0.5) > 0.1
    assert clear.any()
    np.testing.assert_array_equal((filled["k"][gaps] == "high")[clear], (high > 0.5)[clear])


def test_the_mode_of_a_level_is_mostly_right(table, fitted):
    """`k` is nearly a function of the other columns."""
    hidden = table[["x", "y"]].mean(axis=1)
    gaps = table["k"].isna() & (hidden.abs() > 0.7)
    expected = np.where(hidden > 0, "high", "low")[gaps]
    assert gaps.sum() >= 4
    assert (fitted.transform(table)["k"][gaps] == expected).all()


def test_transform_streams_over_samples(table, fitted, monkeypatch):
    whole = fitted.transform(table, n_samples=700)
    monkeypatch.setattr(means, "_MOST_FLOATS", 20_000)
    pieces = fitted.transform(table, n_samples=700)
    for name in ("x", "y"):
        assert_allclose(pieces[name], whole[name], atol=1e-4)
    assert (pieces["k"] == whole["k"]).all()


def test_transform_shares_a_thousand_samples_among_the_members(table, fitted):
    shared = fitted.transform(table, n_samples=1000 // fitted.fitted_.model.n_members)
    pd.testing.assert_frame_equal(fitted.transform(table), shared, check_exact=True)


def test_exact_relations_are_warned_of_and_recorded():
    x = np.random.default_rng(1).normal(size=60)
    df = pd.DataFrame({"cm": x, "inch": np.where(x > 1, np.nan, x / 2.54)})
    with pytest.warns(ExactRelationWarning, match="column 'inch' is 0.393701"):
        imp = impute(df, 2, **FAST)
    assert any("'inch'" in said for said in imp.info.warnings)


@pytest.mark.filterwarnings("ignore::psmimpute.exceptions.ExactRelationWarning")
def test_transform_keeps_dtypes_that_hold_no_fractions():
    rng = np.random.default_rng(2)
    n = 160
    hidden = rng.normal(size=n)
    spent = np.where(hidden + 0.5 * rng.normal(size=n) > 0, rng.integers(50, 900, n), 0)
    df = pd.DataFrame(
        {
            "x": hidden,
            "visits": pd.array(rng.poisson(np.exp(0.5 * hidden)), "Int64"),
            "year": pd.array(2000 + np.rint(5 * hidden).astype(int), "Int32"),
            "spent": pd.array(spent, "Int64"),
            "half": np.rint(5 * hidden),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, n), unit="D"),
        }
    )
    gaps = rng.random(df.shape) < 0.2
    gaps[:, 0] = False
    gappy = df.mask(gaps).astype(df.dtypes.to_dict())
    imputer = PSMImputer(2, **FAST).fit(gappy)
    assert str(imputer.schema_["spent"].kind) == "semicontinuous"
    filled = imputer.transform(gappy)
    assert filled.dtypes.tolist() == gappy.dtypes.tolist()
    assert not filled.isna().any(axis=None)
    assert (filled["spent"] >= 0).all()
    # A float column takes the mean as it is, also of whole numbers.
    assert (filled["half"][gaps[:, 4]] % 1 != 0).any()
    for frame in imputer.impute(gappy):
        assert (frame["half"] % 1 == 0).all()
        assert frame.dtypes.tolist() == gappy.dtypes.tolist()


def test_fit_transform_is_fit_and_transform(table, fitted):
    filled = PSMImputer(2, **FAST).fit_transform(table)
    pd.testing.assert_frame_equal(filled, fitted.transform(table), check_exact=True)


@pytest.mark.parametrize("n_samples", [0, -1])
def test_no_samples_are_refused(table, fitted, n_samples):
    with pytest.raises(ConfigError, match=f"n_samples must be at least 1, got {n_samples}"):
        fitted.transform(table, n_samples=n_samples)


# While it runs


def test_an_interrupt_stops_training_with_an_error_that_says_so(table, monkeypatch):
    def interrupt(self, *given):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_step", interrupt)
    with pytest.raises(TrainingInterruptedError, match="interrupted from the keyboard; nothing"):
        impute(table, m=2, **FAST)


def test_progress_is_shown_where_asked_for(table, capsys):
    impute(table, m=2, progress=True, **FAST)
    printed = capsys.readouterr()
    assert printed.out == ""
    for stage in ("choosing the structure", "training 2 members", "drawing imputations"):
        assert stage in printed.err
    impute(table, m=2, **FAST)
    assert capsys.readouterr().err == ""


# Warnings


def test_no_gap_gives_copies_and_a_warning(table):
    whole = table.dropna()
    with pytest.warns(NoMissingDataWarning, match="no cell is missing in a modelled column"):
        imp = impute(whole, m=3, **FAST)
    assert imp.m == 3
    assert not imp.where.any(axis=None)
    assert len(imp.info.warnings) == 1
    for frame in imp:
        pd.testing.assert_frame_equal(frame, whole, check_exact=True)


def test_no_gap_in_new_rows_gives_copies_and_a_warning(table, fitted):
    whole = table.dropna()
    with pytest.warns(NoMissingDataWarning, match="every imputation is a copy"):
        imp = fitted.impute(whole)
    for frame in imp:
        pd.testing.assert_frame_equal(frame, whole, check_exact=True)


def test_gaps_in_excluded_columns_alone_are_no_gaps(table):
    df = table.dropna().assign(note=None)
    with pytest.warns(NoMissingDataWarning):
        imp = impute(df, m=2, exclude=["note"], **FAST)
    assert imp.complete(1)["note"].isna().all()


@pytest.mark.filterwarnings("always::psmimpute.exceptions.LowESSWarning")
def test_uneven_weights_are_told_of(table, fitted, monkeypatch):
    def poor(weights):
        return weights[..., 0] * 0 + 1.0

    monkeypatch.setattr("psmimpute.inference.draws.effective_sample_size", poor)
    with pytest.warns(LowESSWarning, match=r"100% of the incomplete rows.*n_draw_samples"):
        imp = fitted.impute(table)
    assert "effective" in imp.info.warnings[-1]


@pytest.fixture(scope="module")
def wealth():
    """Amounts whose distribution begins at zero with full height: a normal line falls below."""
    x = np.random.default_rng(3).uniform(0, 10, size=200)
    df = pd.DataFrame({"amount": x, "other": np.random.default_rng(4).normal(size=200)})
    df.loc[::3, "amount"] = np.nan
    return df


def test_impossible_numbers_are_told_of(wealth):
    with pytest.warns(NegativeImputationWarning, match=r"'amount' \(.*bounds={'amount': \(0, None"):
        imp = impute(wealth, m=3, **FAST)
    assert "below zero" in imp.info.warnings[-1]
    assert (imp.complete("long")["amount"] < 0).any()


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (np.rint, r"say kinds={'amount': 'count'} or bounds"),
        (lambda x: x + 0.001, r"say kinds={'amount': 'positive'} or bounds"),
        (lambda x: x - x.min(), "say bounds"),
    ],
)
def test_the_remedy_suits_what_was_observed(wealth, change, remedy):
    with pytest.warns(NegativeImputationWarning, match=remedy):
        impute(wealth.assign(amount=change(wealth["amount"])), m=3, **FAST)


@pytest.mark.filterwarnings("error::psmimpute.exceptions.NegativeImputationWarning")
@pytest.mark.parametrize(
    "stated", [{"kinds": {"amount": "continuous"}}, {"bounds": {"amount": (None, 20)}}]
)
def test_stated_kinds_and_bounds_are_not_doubted(wealth, stated):
    assert (impute(wealth, m=3, **stated, **FAST).complete("long")["amount"] < 0).any()


@pytest.fixture(scope="module")
def score():
    """A score from 0 to 100 that a tenth of the people exhaust."""
    rng = np.random.default_rng(5)
    score = np.clip(80 + 15 * rng.normal(size=300), 0, 100).round()
    score[rng.random(300) < 0.2] = np.nan
    return pd.DataFrame({"score": score, "other": rng.normal(size=300)})


@pytest.mark.parametrize(
    ("change", "end"),
    [
        (lambda x: x, "largest, 100"),
        (lambda x: 100 - x, "smallest, 0"),
        (lambda x: x + 0.5, "largest, 100.5"),
    ],
)
def test_a_pile_of_values_at_an_end_is_told_of(score, change, end):
    frame = score.assign(score=change(score["score"]))
    with pytest.warns(PileUpWarning, match=f"% of the observed values of column 'score'.*{end}"):
        impute(frame, m=2, kinds={"score": "continuous"}, **FAST)


@pytest.mark.filterwarnings("error::psmimpute.exceptions.PileUpWarning")
@pytest.mark.parametrize("kind", ["continuous", "positive", "count"])
def test_smooth_and_rounded_ends_are_no_piles(score, kind):
    rng = np.random.default_rng(6)
    draws = {
        "continuous": rng.normal(size=300),
        "positive": rng.lognormal(size=300).round(1) + 0.1,
        "count": rng.poisson(0.4, size=300),
    }
    frame = score.assign(score=np.where(score["score"].isna(), np.nan, draws[kind]))
    impute(frame, m=2, kinds={"score": kind}, **FAST)


@pytest.mark.filterwarnings("error::psmimpute.exceptions.LowESSWarning")
def test_flat_weights_are_not_called_uneven():
    """A Gaussian table under a linear model, whose weights differ by rounding alone."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 1)) + 0.6 * rng.normal(size=(100, 3))
    df = pd.DataFrame(np.where(rng.random(x.shape) < 0.2, np.nan, x), columns=list("abc"))
    model = ModelConfig(hidden_dim=0, decoders="tied")
    imp = impute(df, m=2, missingness="ignorable", **{**FAST, "model": model})
    ess = imp.info.ess[df.isna().any(axis=1)]
    assert_allclose(ess, FitConfig().n_draw_samples, rtol=1e-3)


def test_numpy_integers_are_whole_numbers(table, fitted):
    imp = fitted.impute(table, np.int64(2), seed=np.int32(3))
    expected = fitted.impute(table, 2, seed=3)
    pd.testing.assert_frame_equal(imp.complete(2), expected.complete(2), check_exact=True)
