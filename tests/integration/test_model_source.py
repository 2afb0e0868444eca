"""What imputations can tell while their model is at hand: held-out cells, π′, given effects."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose

from psmimpute import FitConfig, ModelConfig, PSMImputer, impute, pi_sensitivity
from psmimpute.exceptions import ConfigError, ImputationError, NoEffectWarning

LINEAR = ModelConfig(hidden_dim=0)
SHORT = FitConfig(max_steps=60)


@pytest.fixture(scope="module")
def table():
    """A normal table of 400 rows, and a level that depends on it; gaps at random."""
    rng = np.random.default_rng(3)
    x = rng.multivariate_normal(np.zeros(3), 0.5 + 0.5 * np.eye(3), 400)
    df = pd.DataFrame(x, columns=["x", "y", "z"])
    df["level"] = pd.Categorical(np.where(x[:, 0] + rng.normal(size=400) > 0, "up", "down"))
    return df.mask(rng.random(df.shape) < 0.15)


@pytest.fixture(scope="module")
def imp(table):
    return impute(table, m=5, seed=2, n_sets=1, model=LINEAR, fit=SHORT)


@pytest.fixture(scope="module")
def found(imp):
    return imp.diagnostics(most_rows=400)


def test_info_prints_without_the_table_and_the_history(imp):
    shown = repr(imp.info)
    assert "missingness='shared'" in shown
    assert len(shown) < 1000


def test_a_model_that_is_right_passes_its_checks(found):
    assert [*found.held_out.index] == ["x", "y", "z", "level"]
    checks = found.checks.set_index("check")["result"]
    assert checks["coverage of 50 % intervals"] == "pass"
    assert checks["coverage of 90 % intervals"] == "pass"
    assert checks["calibration"] == "pass"
    assert "Checks\npass" in repr(found)


def test_about_a_fifth_of_the_observed_cells_is_hidden(found, table):
    # A cell is judged if at least one of five members did not see its row: 1 - .632^5 of them.
    expected = 0.2 * table.notna().sum() * (1 - (1 - np.exp(-1)) ** 5)
    assert (np.abs(found.held_out["n_cells"] - expected) < 5 * np.sqrt(expected)).all()


def test_members_that_saw_the_row_do_not_judge_it(imp):
    for column in imp.info.source.held_out(n_draws=10, most_rows=100, seed=0, refit=False):
        share = column.usable.mean()
        assert abs(share - np.exp(-1)) < 0.12
        for k in range(5):
            own = column.usable[column.member == k]
            assert (own == own[0]).all()


def test_new_rows_are_judged_by_all_members(table):
    imputer = PSMImputer(m=3, seed=2, n_sets=1, model=LINEAR, fit=SHORT).fit(table.iloc[:300])
    new = imputer.impute(table.iloc[300:])
    for column in new.info.source.held_out(n_draws=6, most_rows=100, seed=0, refit=False):
        assert column.usable.all()


def test_refitting_without_the_hidden_cells(imp):
    found = imp.diagnostics(refit=True, most_rows=400)
    checks = found.checks.set_index("check")["result"]
    assert checks["coverage of 90 % intervals"] == "pass"
    assert (found.held_out["n_cells"] > 50).all()


def test_a_wrong_model_is_found_out():
    """Two clusters, modelled by one normal law with no networks."""
    rng = np.random.default_rng(1)
    n = 600
    side = rng.choice([-4.0, 4.0], n)
    df = pd.DataFrame({"a": side + 0.3 * rng.normal(size=n), "b": rng.normal(size=n)})
    df = df.mask(rng.random(df.shape) < 0.1)
    imp = impute(df, m=5, seed=2, n_sets=1, model=LINEAR, fit=SHORT)
    found = imp.diagnostics(most_rows=600)
    checks = found.checks.set_index("check")
    assert not found.passed
    assert checks.loc["coverage of 50 % intervals", "result"] == "warn"
    assert "'a'" in checks.loc["calibration", "detail"]


def test_without_the_model_it_is_said_that_nothing_was_done(imp):
    again = pickle.loads(pickle.dumps(imp))
    checks = again.diagnostics().checks.set_index("check")["result"]
    assert checks["held-out cells"] == "not done"
    assert imp.diagnostics(held_out=False).held_out.empty


# pi


def test_pi_sensitivity_is_a_table_a_sentence_and_a_plot(imp):
    found = pi_sensitivity(imp, "y ~ x", (1.0, 0.2), model=smf.ols)
    assert found.to_frame()["pi"].tolist() == [0.2, 1.0]
    assert found.term == "x"
    row = found.frame.iloc[0]
    assert row["conf_low"] < row["estimate"] < row["conf_high"]
    assert "π' from 0.2 to 1" in found.summary()
    assert "the conclusion stands" in imp.report(sensitivity=[found]).to_text()
    ax = found.plot()
    assert_allclose(ax.lines[0].get_ydata(), found.frame["estimate"])


def test_a_refit_starts_from_the_members_and_keeps_the_seed(imp):
    source = imp.info.source
    one, two = source.at_pi(0.3), source.at_pi(0.3)
    assert one == two
    assert one.m == imp.m
    assert one != imp
    # From a converged start little moves: imputations stay close, cell by cell.
    assert np.corrcoef(one.values[0].ravel(), imp.values[0].ravel())[0, 1] > 0.95
    assert one.info.source.imputer.pi == 0.3


def test_the_refitted_model_has_the_new_pi_in_every_column(imp):
    model = imp.info.source.at_pi(0.9).info.source.imputer.fitted_.model
    assert model.spec.pi == (0.9,) * 4
    assert_allclose(model.get_buffer("pi"), 0.9)
    assert imp.info.source.imputer.fitted_.spec.pi == (0.5,) * 4


def test_tied_decoders_do_not_depend_on_pi(table):
    tied = ModelConfig(hidden_dim=0, decoders="tied")
    imp = impute(table, m=2, seed=2, n_sets=1, model=tied, fit=FitConfig(max_steps=10))
    with pytest.warns(NoEffectWarning, match="pi changes nothing"):
        pi_sensitivity(imp, "y ~ x", [0.5], model=smf.ols)


def test_bad_grids_and_lost_models_are_refused(imp):
    for grid in ([], [1.5], [-0.1, 0.5]):
        with pytest.raises(ImputationError, match=r"grid=.*values of pi in \[0, 1\]"):
            pi_sensitivity(imp, "y ~ x", grid, model=smf.ols)
    with pytest.raises(ImputationError, match="have no model to refit"):
        pi_sensitivity(imp.delta({"x": 0.1}), "y ~ x", model=smf.ols)
    with pytest.raises(ImputationError, match="no term 'w'"):
        pi_sensitivity(imp, "y ~ x", [0.5], model=smf.ols, term="w")


# Given selection effects


@pytest.fixture(scope="module")
def mean_under(table):
    def mean(effect, column="x", n_sets=1):
        imp = impute(
            table,
            m=2,
            seed=2,
            n_sets=n_sets,
            missingness="selection",
            selection_effect={column: effect},
            model=LINEAR,
            fit=FitConfig(max_steps=30),
        )
        cells = imp.imputed_values(column)
        if column == "level":
            return float((cells == "up").to_numpy().mean())
        return float(cells.to_numpy().mean())

    return mean


def test_large_values_seen_more_often_are_imputed_lower(mean_under):
    low, middle, high = (mean_under(b) for b in (2.0, 0.0, -2.0))
    assert low < middle - 0.3
    assert high > middle + 0.3


def test_levels_too(mean_under):
    # Log odds of being observed 3 higher for the second level: it is rarer among the missing.
    assert mean_under(3.0, "level") < mean_under(-3.0, "level") - 0.3


def test_effects_by_set(mean_under):
    assert np.isfinite(mean_under([1.0, -1.0], n_sets=2))


@pytest.mark.parametrize(
    ("effect", "options", "message"),
    [
        ({"nope": 1.0}, {}, "names 'nope', which is not modelled"),
        ({"x": "big"}, {}, "'big' is no finite number"),
        ({"x": np.inf}, {}, "inf is no finite number"),
        ({"x": [1.0, 2.0]}, {}, "2 effects, one for each pattern set: give n_sets=2"),
        ({"x": 1.0}, {"missingness": "shared"}, "only missingness='selection' has"),
        ([("x", 1.0)], {}, "must map columns"),
    ],
)
def test_bad_effects_are_refused(table, effect, options, message):
    options = {"missingness": "selection", **options}
    with pytest.raises(ConfigError, match=message):
        impute(table, m=2, n_sets=1, selection_effect=effect, model=LINEAR, **options)


def test_nominal_columns_take_effects_by_level(table):
    df = table.assign(place=pd.Categorical(np.random.default_rng(0).choice(["a", "b", "c"], 400)))
    df.loc[::5, "place"] = None
    shares = []
    for effect in (-3.0, 3.0):
        imp = impute(
            df,
            m=2,
            seed=2,
            n_sets=1,
            missingness="selection",
            selection_effect={"place": {"b": effect}},
            model=LINEAR,
            fit=FitConfig(max_steps=30),
        )
        shares.append(float((imp.imputed_values("place") == "b").to_numpy().mean()))
    assert shares[0] > shares[1] + 0.2
    with pytest.raises(ConfigError, match=r"'place'.*nominal, so give effects by level"):
        impute(df, m=2, n_sets=1, missingness="selection", selection_effect={"place": 1.0})
