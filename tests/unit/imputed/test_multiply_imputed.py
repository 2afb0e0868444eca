"""What a multiply-imputed data set gives back, cell by cell, and what it refuses."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal, assert_series_equal

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.derived import read_derived
from psmimpute.imputed.finishing import finish
from psmimpute.imputed.from_long import from_long
from psmimpute.imputed.layouts import long_frame
from psmimpute.imputed.multiply_imputed import ImputationInfo, MultiplyImputed
from psmimpute.table.applicability import Applicability
from psmimpute.table.infer import infer_schema

GAPS = ["height", "weight", "visits", "grade", "town", "seen"]


def test_observed_cells_dtypes_index_and_order_are_kept(imp, frame):
    for completed in imp:
        assert_series_equal(completed.dtypes, frame.dtypes)
        assert_frame_equal(completed.where(frame.notna()), frame.where(frame.notna()))
        assert completed.notna().all(axis=None)
        assert completed.index.equals(frame.index)


def test_imputed_cells_are_the_values_given(imp, frame):
    for k in range(1, imp.m + 1):
        completed = imp.complete(k)
        for j, cells in imp.values.items():
            given = completed.iloc[:, j][imp.where.iloc[:, j].to_numpy()]
            assert [*given] == [*cells[k - 1]]


def test_zero_is_the_incomplete_data(imp, frame):
    assert_frame_equal(imp.complete(0), frame)
    assert_frame_equal(imp.data, frame)


def test_what_comes_out_is_a_fresh_copy(imp, frame):
    for out in (imp.data, imp.complete(0), imp.complete(1)):
        out.loc["r0", "done"] = -99.0
        out["height"] = 0.0
    where = imp.where
    where.iloc[:, :] = False
    assert_frame_equal(imp.data, frame)
    assert imp.where.to_numpy().sum() == frame.isna().to_numpy().sum()


def test_counts(imp, frame):
    assert len(imp) == imp.m == 4
    assert_series_equal(imp.n_missing, frame.isna().sum(), check_names=False)
    assert_frame_equal(imp.where, frame.isna())


def test_long_as_in_mice(imp, frame):
    long = imp.complete("long")
    assert [*long.columns] == [".imp", ".id", *frame.columns]
    assert long[".imp"].tolist() == np.repeat([1, 2, 3, 4], len(frame)).tolist()
    assert long[".id"].tolist() == [*frame.index] * 4
    with_data = imp.complete("long", include=True)
    assert with_data[".imp"].unique().tolist() == [0, 1, 2, 3, 4]
    block = with_data[with_data[".imp"] == 0].drop(columns=[".imp", ".id"]).set_axis(frame.index)
    assert_frame_equal(block, frame)


def test_long_below_columns_of_several_levels(imp):
    frame = imp.complete(1)
    names = pd.MultiIndex.from_product([["a"], frame.columns])
    long = long_frame({k: imp.complete(k).set_axis(names, axis=1) for k in (1, 2)})
    assert [*long.columns[:2]] == [(".imp", ""), (".id", "")]
    assert long[".imp"].tolist() == np.repeat([1, 2], len(frame)).tolist()


def test_stacked_wide_and_all_hold_the_same_frames(imp, frame):
    stacked, wide, frames = imp.complete("stacked"), imp.complete("wide"), imp.complete("all")
    assert_frame_equal(stacked, pd.concat(frames))
    assert [*wide.columns][: len(frame.columns)] == [f"{name}.1" for name in frame.columns]
    assert_series_equal(wide["height.3"], frames[2]["height"], check_names=False)
    assert len(imp.complete("all", include=True)) == 5
    assert "height.0" in imp.complete("wide", include=True)


@pytest.mark.parametrize("k", [-1, 5, 1.0, True, None, "longish", "broad"])
def test_refuses_imputations_that_are_not_there(imp, k):
    with pytest.raises(ImputationError, match=r"no imputation .* from 1 to 4"):
        imp.complete(k)


def test_long_needs_its_names(frame):
    taken = frame[["done", "height"]].rename(columns={"done": ".id"})
    where = taken.isna().to_numpy()
    small = MultiplyImputed(
        data=taken,
        schema=infer_schema(taken),
        where=where,
        values={1: np.ones((1, where.sum()))},
        member_of=[0],
    )
    with pytest.raises(ImputationError, match=r"'\.id', which the long form needs"):
        small.complete("long")


def test_pattern_set_is_modal_and_categorical(imp, frame):
    sets, probabilities = imp.pattern_set, imp.pattern_set_probabilities
    assert sets.name == "pattern_set"
    assert sets.index.equals(frame.index)
    assert [*sets.cat.categories] == [1, 2]
    assert_allclose(probabilities.sum(axis=1), 1)
    assert (sets.astype(int) == probabilities.idxmax(axis=1)).all()


def test_complete_appends_the_set_drawn(imp):
    for k in (1, 4):
        completed = imp.complete(k, pattern_set=True)
        assert [*completed.columns][-1] == "pattern_set"
        assert (completed["pattern_set"].astype(int) - 1 == imp.pattern_set_draws[k - 1]).all()
    assert imp.complete(0, pattern_set=True)["pattern_set"].isna().all()
    assert "pattern_set" in imp.complete("long", pattern_set=True)


def test_no_sets_is_said(frame):
    where = frame[["height"]].isna().to_numpy()
    bare = MultiplyImputed(
        data=frame[["height"]],
        schema=infer_schema(frame[["height"]]),
        where=where,
        values={0: np.ones((2, where.sum()))},
        member_of=[0, 1],
    )
    with pytest.raises(ImputationError, match="carry no pattern sets"):
        _ = bare.pattern_set
    with pytest.raises(ImputationError, match="carry no pattern sets"):
        bare.complete(1, pattern_set=True)
    assert "none" in repr(bare)


def test_probabilities_default_to_the_draws(imp, frame):
    drawn = MultiplyImputed(
        data=frame,
        schema=imp.schema,
        where=imp.where,
        values=imp.values,
        member_of=imp.member_of,
        pattern_set_draws=imp.pattern_set_draws,
    )
    expected = (imp.pattern_set_draws == 1).mean(axis=0)
    assert_allclose(drawn.pattern_set_probabilities[2], expected)


def test_imputed_values_side_by_side(imp, frame):
    cells = imp.imputed_values("height")
    assert cells.index.equals(frame.index[frame["height"].isna()])
    assert_allclose(cells[3], imp.complete(3).loc[cells.index, "height"])
    assert imp.imputed_values("done").shape == (0, 4)
    assert imp.imputed_values("grade").dtypes[1] == frame["grade"].dtype
    with pytest.raises(ImputationError, match="unknown column 'bmi'"):
        imp.imputed_values("bmi")


def test_equality(imp, frame):
    same = pickle.loads(pickle.dumps(imp))
    assert imp == same
    assert imp != imp.complete(1)
    changed = MultiplyImputed(
        data=frame,
        schema=imp.schema,
        where=imp.where,
        values={**imp.values, 1: imp.values[1] + 1},
        member_of=imp.member_of,
        pattern_set_draws=imp.pattern_set_draws,
        pattern_set_probabilities=imp.pattern_set_probabilities.to_numpy(),
    )
    assert imp != changed
    assert imp != imp.filter(np.arange(40) > 2)


def test_pickle_drops_only_the_way_to_extend(imp):
    info = ImputationInfo(seed=3, extend=lambda m: m)
    imp.info = info
    again = pickle.loads(pickle.dumps(imp))
    assert again.info.extend is None
    assert again.info.seed == 3
    assert imp.info.extend is info.extend


def test_only_imputed_cells_are_stored_m_times(imp, frame):
    stored = sum(cells.size for cells in imp.values.values())
    assert stored == imp.m * frame.isna().to_numpy().sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"where": np.zeros((3, 3), bool)}, r"where has shape \(3, 3\)"),
        ({"member_of": []}, "at least one"),
        ({"values": {}}, r"column 'height' have shape \(0,\), expected \(4, "),
        ({"member_of": [0, 1]}, r"column 'height' have shape \(4, .* expected \(2, "),
        ({"pattern_set_draws": np.zeros((4, 3), int)}, r"pattern_set_draws has shape \(4, 3\)"),
        ({"pattern_set_probabilities": np.ones((3, 2))}, r"pattern_set_probabilities has shape"),
    ],
)
def test_refuses_parts_that_do_not_fit(imp, frame, change, message):
    parts = {
        "data": frame,
        "schema": imp.schema,
        "where": imp.where,
        "values": imp.values,
        "member_of": imp.member_of,
        "pattern_set_draws": imp.pattern_set_draws,
        "pattern_set_probabilities": imp.pattern_set_probabilities.to_numpy(),
    }
    with pytest.raises(ImputationError, match=message):
        MultiplyImputed(**{**parts, **change})


def test_repr_tells_what_a_reader_wants(imp):
    for printed in (repr(imp), imp._repr_html_()):
        for fact in ("40 rows, 7 columns", "m = 4", "height", "2 (rows: ", "asked for"):
            assert fact in printed
        assert "column &#x27;visits&#x27; was" in printed or "column 'visits' was" in printed
        assert "shared" in printed


def test_repr_of_many_columns_is_cut(rng):
    wide = pd.DataFrame(rng.normal(size=(30, 60))).rename(columns="x{}".format)
    wide = wide.mask(rng.random((30, 60)) < 0.2)
    where = wide.isna().to_numpy()
    big = MultiplyImputed(
        data=wide,
        schema=infer_schema(wide),
        where=where,
        values={j: np.zeros((2, where[:, j].sum())) for j in range(60)},
        member_of=[0, 0],
    )
    assert len(repr(big).splitlines()) < 30
    assert "more columns with gaps" in repr(big)


def test_fit_by_formula_is_fit_by_hand(imp):
    fitted = imp.fit("weight ~ height + C(pattern_set)", model=smf.ols)
    for k, fit in enumerate(fitted.fits, start=1):
        by_hand = smf.ols(
            "weight ~ height + C(pattern_set)", imp.complete(k, pattern_set=True)
        ).fit()
        assert_allclose(fit.params, by_hand.params)


def test_fit_by_function_threads_and_pool(imp):
    def analysis(frame):
        return smf.ols("weight ~ height", frame).fit()

    one, two = imp.fit(analysis), imp.fit(analysis, n_jobs=2)
    for a, b in zip(one.fits, two.fits, strict=True):
        assert_allclose(a.params, b.params)
    pooled = imp.pool("weight ~ height", model=smf.ols)
    assert_allclose(pooled.params, np.mean([fit.params for fit in one.fits], axis=0))


def test_keywords_go_to_the_model(imp):
    tall = imp.assign(tall=lambda d: (d["height"] > 170).astype(int))
    family = sm.families.Binomial()
    written = tall.pool("tall ~ done", model=smf.glm, family=family)
    called = tall.pool(lambda d: smf.glm("tall ~ done", d, family=family).fit())
    assert_allclose(written.params, called.params)
    assert_allclose(written.bse, called.bse)
    null = tall.fit("tall ~ 1", model=smf.glm, family=family)
    d4 = tall.fit("tall ~ done", model=smf.glm, family=family).compare(null, method="D4")
    by_function = tall.fit(lambda d: smf.glm("tall ~ done", d, family=family).fit()).compare(
        tall.fit(lambda d: smf.glm("tall ~ 1", d, family=family).fit()), method="D4"
    )
    assert_allclose(d4.p_value, by_function.p_value)
    gee = imp.pool("weight ~ height", model=smf.gee, groups="town")
    called = imp.pool(lambda d: smf.gee("weight ~ height", "town", d).fit())
    assert_allclose(gee.bse, called.bse)
    mixed = imp.pool("weight ~ height", model=smf.mixedlm, groups="town")
    called = imp.pool(
        lambda d: smf.mixedlm("weight ~ height", d, groups="town").fit(method="powell")
    )
    assert_allclose(mixed.params, called.params, rtol=1e-4)
    with pytest.raises(ImputationError, match=r"missing 1 required.*; give it as a keyword"):
        imp.pool("weight ~ height", model=smf.gee)
    with pytest.raises(ImputationError, match="family: keywords are a model's"):
        imp.fit(len, family=family)


def test_keywords_of_a_fit_go_to_the_fit(imp):
    robust = imp.pool("weight ~ height", model=smf.ols, cov_type="HC3")
    called = imp.pool(lambda d: smf.ols("weight ~ height", d).fit(cov_type="HC3"))
    assert_allclose(robust.bse, called.bse)
    assert (robust.bse != imp.pool("weight ~ height", model=smf.ols).bse).all()
    towns = {"groups": "town"}
    by_town = imp.pool("weight ~ height", model=smf.ols, cov_type="cluster", cov_kwds=towns)
    called = imp.pool(
        lambda d: smf.ols("weight ~ height", d).fit(
            cov_type="cluster", cov_kwds={"groups": pd.factorize(d["town"])[0]}
        )
    )
    assert_allclose(by_town.bse, called.bse)
    assert_allclose(by_town.df, called.df)
    # Of a model that has an argument of that name, it stays the model's.
    family = sm.families.Gaussian()
    glm = imp.pool("weight ~ height", model=smf.glm, family=family, scale=4.0)
    called = imp.pool(lambda d: smf.glm("weight ~ height", d, family=family).fit(scale=4.0))
    assert_allclose(glm.bse, called.bse)


def test_columns_of_weights_can_be_named(imp):
    named = imp.pool("weight ~ done", model=smf.wls, weights="height")
    called = imp.pool(lambda d: smf.wls("weight ~ done", d, weights=d["height"]).fit())
    assert_allclose(named.bse, called.bse)
    with pytest.raises(ImputationError, match=r"KeyError.*; the columns are 'done', 'height'"):
        imp.pool("weight ~ height", model=smf.mixedlm, groups="city")


def test_iterative_models_stay_silent(imp, capsys):
    tall = imp.assign(tall=lambda d: (d["height"] > 170).astype(int))
    tall.fit("tall ~ done", model=smf.logit)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_formula_sees_the_names_where_it_was_written(imp, n_jobs):
    unit = 100.0
    written = imp.fit("np.log(weight) ~ I(height / unit)", model=smf.ols, n_jobs=n_jobs)
    called = imp.fit(
        lambda d: smf.ols("z ~ h", d.assign(z=np.log(d.weight), h=d.height / unit)).fit()
    )
    for one, other in zip(written.fits, called.fits, strict=True):
        np.testing.assert_allclose(one.params.to_numpy(), other.params.to_numpy())


def test_progress_bar_counts_the_analyses(imp, capsys):
    imp.fit(len, progress=True)
    assert "4/4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("weight ~ height",), {}, r"'weight ~ height' needs a model"),
        ((3,), {}, "analysis=3: give a formula"),
        ((len,), {"model": smf.ols}, "model= goes with a formula"),
        ((len,), {"n_jobs": 0}, "n_jobs=0"),
        ((lambda frame: frame["nope"],), {}, "failed on imputation 1: KeyError"),
        (("weight ~ nope",), {"model": smf.ols}, "'nope' is not defined.* columns are .*'height'"),
    ],
)
def test_refuses_analyses_it_cannot_run(imp, arguments, options, message):
    with pytest.raises(ImputationError, match=message):
        imp.fit(*arguments, **options)


def test_extend(imp, frame):
    assert imp.extend(4) is imp
    for m in (3, 4.5, "many", True):
        with pytest.raises(ImputationError, match=r"extend\(m="):
            imp.extend(m)
    with pytest.raises(ImputationError, match="no model to draw more from"):
        imp.extend(6)
    asked = []
    imp.info = ImputationInfo(extend=lambda m: asked.append(m) or imp)
    grown = imp.assign(double=lambda d: 2 * d.height).extend(6)
    assert asked == [6]
    assert "double" in grown.complete(1)


def _known(imp, name):
    return imp.complete(0)[name].notna()


def test_truths_and_counts_of_gaps_are_missing_in_the_incomplete_data(imp, frame):
    more = imp.assign(
        tall=lambda d: d["height"] > 170,
        code=lambda d: np.where(d["height"] > 170, 2, 1),
        whole=lambda d: d["height"].astype(int),
        same=lambda d: d["done"] > 0,
    )
    data, gaps = more.complete(0), frame["height"].isna()
    assert data["tall"].dtype == "boolean"
    assert data["code"].dtype == data["whole"].dtype == "Int64"
    assert data["same"].dtype == bool
    completed = [more.complete(k) for k in range(1, imp.m + 1)]
    for name in ("tall", "code", "whole"):
        differ = np.logical_or.reduce([c[name] != completed[0][name] for c in completed])
        assert differ.any()
        assert (_known(more, name) == ~differ).all()
        assert (_known(more, name) | gaps).all()
        assert more.imputed_values(name).shape == (differ.sum(), imp.m)
        assert completed[0][name].dtype in (bool, np.int64)


def test_dtypes_that_differ_between_imputations_do_no_harm_to_the_data(imp, frame):
    more = imp.assign(town_=lambda d: d["town"].where(d["height"] > 180).astype("category"))
    assert more.complete(0)["town_"].dtype == object
    assert more.imputed_values("town_").shape[1] == imp.m
    with pytest.raises(ImputationError, match="give it one dtype"):
        more.materialized()


def test_a_formula_is_not_given_where_what_it_names_is_missing(imp, frame):
    recipes = {"town_is": "town == 'Bonn'", "both": "where(town_is, height, 0.0)"}
    derived = finish(imp, derived=read_derived(recipes, frame), applicability=Applicability(()))
    assert (_known(derived, "town_is") == frame["town"].notna()).all()
    assert (_known(derived, "both") == frame[["town", "height"]].notna().all(axis=1)).all()


def test_computed_columns_go_through_the_long_form_and_back(imp):
    more = imp.assign(tall=lambda d: d["height"] > 170, code=lambda d: (d["height"] > 175) + 0)
    again = from_long(more.complete("long", include=True).drop(columns="visits"))
    for k in range(imp.m + 1):
        for name in ("tall", "code"):
            assert (
                again.complete(k)[name]
                .astype("Int64")
                .equals(more.complete(k)[name].astype("Int64").set_axis(again.complete(k).index))
            )


def test_rows_are_taken_by_position(imp):
    taken = imp.take([-1, 0, 3, 3])
    assert_frame_equal(taken.complete(2), imp.complete(2).iloc[[-1, 0, 3, 3]])
    assert imp.take([]).n_rows == 0
    for rows in ([0.5], [imp.n_rows], [-imp.n_rows - 1], ["a"], [[0]], [True, False], 3):
        with pytest.raises(ImputationError, match=r"take: give a list of positions"):
            imp.take(rows)
