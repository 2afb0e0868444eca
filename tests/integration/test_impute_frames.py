"""Awkward frames: tiny, constant, collinear, oddly named, with rows of which nothing is known."""

from __future__ import annotations

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psmimpute.exceptions import ConstantColumnWarning, PSMWarning, SchemaError, SparseColumnWarning
from psmimpute.imputer import PSMImputer, impute
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig
from psmimpute.table.reading import missing_cells

pytestmark = pytest.mark.filterwarnings("ignore::psmimpute.exceptions.LowESSWarning")
MISSINGNESS = ["shared", "selection", "ignorable"]


def _check(df, imp, *, untouched=()):
    """No gap but in `untouched` columns; observed cells, index, columns and dtypes as before."""
    missing = missing_cells(df)
    for frame in imp:
        left = missing_cells(frame)
        for j, name in enumerate(df.columns):
            np.testing.assert_array_equal(left[:, j], missing[:, j] & (name in untouched))
            seen = np.flatnonzero(~missing[:, j])
            pd.testing.assert_series_equal(frame.iloc[seen, j], df.iloc[seen, j], check_exact=True)
        pd.testing.assert_index_equal(frame.index, df.index)
        pd.testing.assert_index_equal(frame.columns, df.columns, exact=True)


@pytest.mark.parametrize(
    ("missingness", "n_sets"), [("shared", 3), ("selection", 3), ("ignorable", 1)]
)
def test_five_rows(small, fast, missingness, n_sets):
    df = small.iloc[:5].copy()
    df.loc[df.index[0], "x"] = None
    options = {**fast, "n_sets": n_sets}
    _check(df, impute(df, missingness=missingness, **options))


def test_two_rows(fast):
    df = pd.DataFrame({"a": [1.0, 2.0], "b": [np.nan, 3.0]})
    with pytest.warns(ConstantColumnWarning, match="'b' has one observed value, 3.0"):
        imp = impute(df, **fast)
    assert [frame["b"].tolist() for frame in imp] == [[3.0, 3.0]] * 2


def test_one_row(fast):
    with pytest.warns(PSMWarning):
        imp = impute(pd.DataFrame({"a": [1.0], "b": ["u"]}), **fast)
    assert imp.complete(1).to_dict("list") == {"a": [1.0], "b": ["u"]}
    with (
        pytest.warns(ConstantColumnWarning),
        pytest.raises(SchemaError, match="column 'b' was never observed"),
    ):
        impute(pd.DataFrame({"a": [1.0], "b": [np.nan]}), **fast)


@pytest.mark.parametrize("missingness", ["shared", "selection"])
def test_rows_of_which_nothing_is_known(small, fast, missingness):
    df = small.copy()
    df.iloc[[3, 7]] = None
    df = df.astype(small.dtypes.to_dict())
    _check(df, impute(df, missingness=missingness, **fast))


def test_a_constant_column_is_filled_with_its_constant(small, fast):
    df = small.assign(same=7, label="only")
    df["same"] = df["same"].astype("Int64")
    df.loc[[2, 5], ["same", "label"]] = None
    with pytest.warns(ConstantColumnWarning) as told:
        imp = impute(df, **fast)
    messages = [str(w.message) for w in told if w.category is ConstantColumnWarning]
    assert len(messages) == 2
    assert "'same' has one observed value, 7" in messages[0]
    assert "its gaps are filled with it" in messages[0]
    _check(df, imp)
    for frame in imp:
        assert set(frame["same"]) == {7}
        assert set(frame["label"]) == {"only"}


@pytest.mark.parametrize("missingness", MISSINGNESS)
def test_a_frame_of_constant_columns_alone(fast, missingness):
    df = pd.DataFrame({"a": [1.0, np.nan, 1.0], "b": ["u", "u", None]})
    with pytest.warns(ConstantColumnWarning):
        imp = impute(df, missingness=missingness, **fast)
    _check(df, imp)
    assert imp.complete(2).to_dict("list") == {"a": [1.0] * 3, "b": ["u"] * 3}
    with pytest.warns(ConstantColumnWarning):
        filled = PSMImputer(**fast).fit_transform(df)
    assert filled.to_dict("list") == {"a": [1.0] * 3, "b": ["u"] * 3}


@pytest.mark.filterwarnings("ignore::psmimpute.exceptions.ExactRelationWarning")
@pytest.mark.parametrize("missingness", ["shared", "selection"])
def test_collinear_columns_do_no_harm(small, fast, missingness):
    df = small.assign(twice=2 * small["x"], sum=small["x"] + small["y"], copy=small["k"])
    imp = impute(df, missingness=missingness, **fast)
    _check(df, imp)
    for frame in imp:
        for name in ("x", "twice", "sum"):
            spread = df[name].std()
            assert np.abs(frame[name] - df[name].mean()).max() < 10 * spread


@pytest.mark.filterwarnings("ignore::psmimpute.exceptions.ExactRelationWarning")
def test_extreme_values_do_no_harm(small, fast):
    df = small.assign(huge=1e12 * small["y"], tiny=1e-12 * small["x"], shifted=1e9 + small["y"])
    df.loc[0, "huge"] = 1e15
    imp = impute(df, **fast)
    _check(df, imp)
    for row in imp.info.history:
        assert np.isfinite(row["oob_loss"])


@pytest.mark.parametrize("column", ["x", "k"])
def test_a_column_alone(small, fast, column):
    df = small[[column]]
    imp = impute(df, **fast)
    _check(df, imp)
    assert set(imp.complete(1)[column]) >= set(df[column].dropna().unique()[:2])


def test_names_and_labels_of_any_sort(small, fast):
    df = small.copy()
    df.columns = pd.Index([0, ("deep", 1), pd.Timestamp("2020-01-01")], tupleize_cols=False)
    df.index = pd.Index(["same"] * len(df), name="rows")
    imp = impute(df, **fast)
    _check(df, imp)
    filled = PSMImputer(**fast).fit(df).transform(df)
    assert not filled.isna().any(axis=None)
    pd.testing.assert_index_equal(filled.columns, df.columns)
    pd.testing.assert_index_equal(filled.index, df.index)


def test_columns_of_two_levels(small, fast):
    df = small.copy()
    df.columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "k")])
    _check(df, impute(df, **fast))
    assert not PSMImputer(**fast).fit(df).transform(df).isna().any(axis=None)


def test_excluded_columns_stay_as_they_are_and_tell_nothing(small, fast):
    df = small.assign(note=[None if i % 3 else f"row {i}" for i in range(len(small))])
    imp = impute(df, exclude=["note"], **fast)
    _check(df, imp, untouched=["note"])
    pd.testing.assert_frame_equal(
        imp.complete(1)[["x", "y", "k"]], impute(small, **fast).complete(1), check_exact=True
    )


def test_an_identifier_is_left_out_with_a_warning(small, fast):
    n = 60
    df = pd.concat([small, small.iloc[:20]], ignore_index=True)
    df["id"] = [f"patient {i}" for i in range(n)]
    with pytest.warns(SparseColumnWarning, match="'id' looks like an identifier"):
        imp = impute(df, **fast)
    _check(df, imp)


def test_bounds_hold(small, fast):
    low, high = small["x"].min(), small["x"].max()
    imp = impute(small, bounds={"x": (low, high), "y": (None, 9.0)}, **{**fast, "m": 20})
    free = impute(small, **{**fast, "m": 20})
    for frame in imp:
        assert frame["x"].between(low, high).all()
    # Without bounds some of the imputations lie outside.
    assert not all(frame["x"].between(low, high).all() for frame in free)


def test_a_kind_that_was_asked_for_is_used(small, fast):
    df = small.assign(score=np.tile([1.0, 2.0, 3.0, np.nan], 10))
    imp = impute(df, kinds={"score": "ordinal"}, **fast)
    assert str(imp.schema["score"].kind) == "ordinal"
    for frame in imp:
        assert set(frame["score"]) == {1.0, 2.0, 3.0}


@pytest.mark.parametrize(
    "options",
    [
        {"pi": 0.0},
        {"pi": 1.0, "model": ModelConfig(hidden_dim=0, mask_latent=True)},
        {"pi": "adaptive", "model": ModelConfig(hidden_dim=0, evidence="paper")},
        {"pi": {"x": 0.9}, "model": ModelConfig(hidden_dim=8, objective="elbo")},
        {"fit": FitConfig(max_steps=1), "model": ModelConfig(hidden_dim=8, latent_dim=1)},
        {"fit": FitConfig(max_steps=5, batch_rows=8, resample=False, n_draw_samples=3)},
    ],
    ids=["pi 0", "pi 1", "adaptive", "pi by column", "one step", "minibatches"],
)
def test_every_option_gives_complete_frames(small, fast, options):
    _check(small, impute(small, **{**fast, **options}))


def test_new_rows_under_the_fitted_model(small, fast):
    imputer = PSMImputer(**fast).fit(small)
    new = small.iloc[:6].copy().reset_index(drop=True)
    new.loc[0] = [np.nan, np.nan, None]
    new = new[["k", "y", "x"]].assign(extra=1)
    imp = imputer.impute(new, m=3, seed=4)
    assert imp.m == 3
    _check(new, imp)
    assert imputer.impute(new.iloc[:0]).complete(1).shape == (0, 4)


def test_a_column_complete_in_training_may_have_gaps_in_new_rows(small, fast):
    for missingness in ("shared", "selection"):
        df = small.assign(x=small["x"].fillna(0.5))
        imputer = PSMImputer(missingness=missingness, **fast).fit(df)
        new = df.iloc[:8].copy()
        new.loc[[1, 4], "x"] = np.nan
        _check(new, imputer.impute(new))


LABELS = st.sampled_from(["a", "b", "c"])
SORTS = {
    "float64": (st.floats(-1e6, 1e6, allow_subnormal=False), "float64"),
    "float32": (st.floats(-100, 100, width=32, allow_subnormal=False), "float32"),
    "Int64": (st.integers(-50, 50), "Int64"),
    "count": (st.integers(0, 6), "float64"),
    "boolean": (st.booleans(), "boolean"),
    "object": (LABELS, object),
    "string": (LABELS, "string[python]"),
    "category": (LABELS, pd.CategoricalDtype(["c", "a", "b", "never"])),
    "ordered": (LABELS, pd.CategoricalDtype(["c", "a", "b", "never"], ordered=True)),
    "times": (
        st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2030, 1, 1)).map(
            lambda t: t.replace(microsecond=0)
        ),
        "datetime64[ns]",
    ),
}


@st.composite
def frames(draw):
    """A few columns of any sort, each observed at least once, with at least one gap."""
    n_rows = draw(st.integers(2, 15))
    columns = {}
    for i, sort in enumerate(draw(st.lists(st.sampled_from([*SORTS]), min_size=1, max_size=4))):
        values, dtype = SORTS[sort]
        cells = draw(st.lists(st.none() | values, min_size=n_rows, max_size=n_rows))
        cells[draw(st.integers(1, n_rows - 1))] = draw(values)
        if i == 0:
            cells[0] = None
        columns[(i, sort)] = pd.Series(cells, dtype=dtype)
    df = pd.concat(columns.values(), axis=1)
    df.columns = pd.Index([*columns], tupleize_cols=False)
    return df


@given(df=frames(), missingness=st.sampled_from(MISSINGNESS), n_sets=st.sampled_from([1, 2]))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_frame_keeps_what_is_to_be_kept(df, missingness, n_sets):
    before = df.copy(deep=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PSMWarning)
        imp = impute(
            df,
            m=2,
            seed=0,
            n_sets=n_sets,
            missingness=missingness,
            fit=FitConfig(max_steps=3, n_draw_samples=8),
            model=ModelConfig(hidden_dim=0),
        )
    pd.testing.assert_frame_equal(df, before, check_exact=True)
    _check(df, imp)
