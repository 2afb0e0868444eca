"""Derived columns and skip patterns on imputations made by hand; stacks; files for SPSS."""

from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from psmimpute.exceptions import ConfigError, DerivedMismatchWarning, ImputationError
from psmimpute.imputed.derived import read_derived
from psmimpute.imputed.finishing import finish
from psmimpute.table.applicability import Applicability


@pytest.fixture
def with_ratio(frame, fill_gaps):
    """The column ``ratio`` of the data is missing where its inputs are, and in row 0."""
    frame = frame.assign(ratio=frame["weight"] / frame["height"])
    frame.iloc[0, -1] = np.nan
    imp = fill_gaps(frame)
    imp._where[:, -1] = False
    imp._values.pop(frame.shape[1] - 1)
    recipes = read_derived({"ratio": "weight / height", "heavy": "ratio > 0.5"}, frame)
    return finish(imp, derived=recipes, applicability=Applicability())


def test_gaps_of_a_derived_column_are_computed_in_every_frame(with_ratio):
    for completed in with_ratio:
        assert_allclose(completed["ratio"], completed["weight"] / completed["height"])
        assert (completed["heavy"] == (completed["ratio"] > 0.5)).all()
    assert np.isnan(with_ratio.complete(0)["ratio"].iloc[0])


def test_observed_cells_of_a_derived_column_stay(frame, fill_gaps):
    frame = frame.assign(ratio=frame["weight"] / frame["height"])
    frame.iloc[3, -1] = 7.0
    imp = fill_gaps(frame.drop(columns="ratio"))
    recipes = read_derived({"ratio": "weight / height"}, frame)
    wide = type(imp)(
        data=frame,
        schema=imp.schema,
        where=np.column_stack([imp.where, np.zeros(40, bool)]),
        values=imp.values,
        member_of=imp.member_of,
    )
    done = finish(wide, derived=recipes, applicability=Applicability())
    assert (done.complete(2)["ratio"].iloc[3], done.complete(2)["ratio"].isna().sum()) == (7.0, 0)


def test_a_formula_that_misses_what_was_observed_is_told(frame):
    frame = frame.assign(ratio=frame["weight"] / frame["height"])
    with pytest.warns(DerivedMismatchWarning, match=r"'ratio' is derived, but in \d+ of \d+ rows"):
        read_derived({"ratio": "weight / 200"}, frame)
    frame["rounded"] = (2 * frame["weight"]).round()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_derived({"rounded": "2 * weight"}, frame.where(frame["height"].notna()))


def test_derived_cells_are_shown_pickled_and_compared(with_ratio, frame):
    cells = with_ratio.imputed_values("ratio")
    gaps = frame["weight"].isna() | frame["height"].isna()
    gaps.iloc[0] = True
    assert cells.index.equals(frame.index[gaps])
    assert_allclose(cells[2], with_ratio.complete(2).loc[cells.index, "ratio"])
    again = pickle.loads(pickle.dumps(with_ratio))
    assert_allclose(again.complete(3)["ratio"], with_ratio.complete(3)["ratio"])
    assert with_ratio == copy.copy(with_ratio)
    assert "ratio, heavy" in repr(with_ratio)


def test_a_function_will_do_and_errors_name_column_and_imputation(imp):
    recipes = read_derived({"tall": lambda d: d["height"] > 170}, imp.data)
    done = finish(imp, derived=recipes, applicability=Applicability())
    assert (done.complete(1)["tall"] == (done.complete(1)["height"] > 170)).all()
    wrong = read_derived({"tall": lambda d: d["length"] > 170}, imp.data)
    with pytest.raises(ImputationError, match="'tall' could not be computed on imputation 1"):
        finish(imp, derived=wrong, applicability=Applicability())


def test_observed_though_its_inputs_are_not_is_told(frame):
    gappy = frame.assign(ratio=frame["weight"] / frame["height"]).fillna({"ratio": 1.0})
    with pytest.warns(DerivedMismatchWarning, match=r"'ratio' is derived but was observed in \d+"):
        read_derived({"ratio": "weight / height"}, gappy)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["ratio"], "derived must map columns"),
        ({"ratio": 3}, r"derived\['ratio'\]=3"),
        ({"ratio": "weight / length"}, "names 'length', which is no column"),
        ({"ratio": "ratio + 1"}, "which is no column"),
        ({"height": "height + 1"}, "names itself"),
        ({"b": "a + 1", "a": "height"}, "names 'a'"),
        ({"a": "open('x')"}, "no function open"),
    ],
)
def test_bad_recipes_are_refused(frame, given, message):
    with pytest.raises(ConfigError, match=message):
        read_derived(given, frame)


@pytest.mark.parametrize("column", ["height", "visits", "grade", "town", "seen"])
def test_cells_that_do_not_apply_come_back_as_missing(imp, frame, column):
    given = Applicability.of({column: "weight > 85"})
    done = finish(imp, derived=(), applicability=given)
    gaps = frame[column].isna()
    for before, after in zip(imp, done, strict=True):
        empty = gaps & ~(before["weight"] > 85)
        assert (after[column].isna() == empty).all()
        kept = ~empty
        assert (after.loc[kept, column] == before.loc[kept, column]).all()
        assert after[column].dtype == frame[column].dtype
    emptied = done.imputed_values(column).isna().to_numpy()
    assert emptied.any()
    assert not emptied.all()


@pytest.mark.parametrize("column", ["height", "visits", "grade", "seen"])
def test_emptied_cells_survive_what_is_done_with_imputations(imp, column, tmp_path):
    done = finish(imp, derived=(), applicability=Applicability.of({column: "weight > 85"}))
    deltas = {"height": 1.0, "visits": 2, "grade": 0.5, "seen": pd.Timedelta("1D")}
    shifted = done.delta({column: deltas[column]})
    assert (shifted.complete(2)[column].isna() == done.complete(2)[column].isna()).all()
    assert done == pickle.loads(pickle.dumps(done))
    assert done.diagnostics().columns.loc[column].notna().any()
    draw = done.plot.bars if column == "grade" else done.plot.density
    draw(column)
    done.to_mice(tmp_path / "out.csv")
    assert done.filter(np.arange(40) > 5).complete(1)[column].isna().any()


def test_stack_has_weights_that_add_up(imp, frame):
    assert imp.stack().equals(imp.complete("stacked"))
    assert_allclose(imp.stack(weights="equal")[".weight"].sum(), len(frame))
    share = frame.isna().to_numpy().mean()
    assert_allclose(imp.stack(weights="missing")[".weight"].sum(), (1 - share) * len(frame))
    with pytest.raises(ImputationError, match="weights='row'"):
        imp.stack(weights="row")
    with pytest.raises(ImputationError, match=r"have a column '.weight'"):
        imp.assign(**{".weight": 1}).stack(weights="equal")


def test_spss_file_holds_all_blocks_and_the_syntax_reads_them(imp, tmp_path):
    script = imp.to_spss(tmp_path / "out.csv")
    assert script == tmp_path / "out.sps"
    read = pd.read_csv(tmp_path / "out.csv")
    long = imp.complete("long", include=True)
    assert [*read.columns][:2] == ["Imputation_", "Row_"]
    assert read["Imputation_"].tolist() == long[".imp"].tolist()
    assert_allclose(read["height"], long["height"])
    labels = {1.0: "c", 2.0: "b", 3.0: "a"}
    assert (
        read["grade"].map(labels).fillna("").tolist()
        == long["grade"].astype(object).fillna("").tolist()
    )
    text = script.read_text()
    assert "VALUE LABELS grade 1 'c' 2 'b' 3 'a'." in text
    assert "SPLIT FILE LAYERED BY Imputation_." in text
    variables = text.split("/VARIABLES=")[1].split("\n  .")[0].split()
    assert variables[0::2] == [*read.columns]
    assert dict(zip(variables[0::2], variables[1::2], strict=True))["seen"] == "YMDHMS19"


@pytest.mark.parametrize("bad", ["x y", "1a", "and", "a.", "Height"])
def test_names_that_spss_cannot_take(frame, fill_gaps, tmp_path, bad):
    odd = fill_gaps(frame[["height", "done"]].rename(columns={"done": bad}))
    with pytest.raises(ImputationError, match="SPSS"):
        odd.to_spss(tmp_path / "out.csv")
    odd.to_spss(tmp_path / "out.csv", names={bad: "fine"})
    assert "fine" in pd.read_csv(tmp_path / "out.csv")


def test_derived_columns_follow_a_column_that_is_replaced(with_ratio, frame):
    doubled = with_ratio.assign(weight=lambda d: 2 * d["weight"])
    gaps = with_ratio.complete(0)["ratio"].isna().to_numpy()
    for before, after in zip(with_ratio, doubled, strict=True):
        assert_allclose(after["ratio"][gaps], 2 * before["ratio"][gaps])
        assert_allclose(after["ratio"][~gaps], before["ratio"][~gaps])  # as observed
        assert (after["heavy"] == (after["ratio"] > 0.5)).all()
    given = with_ratio.assign(weight=lambda d: 2 * d["weight"], ratio=1.0).complete(1)
    assert (given["ratio"] == 1).all()
    assert given["heavy"].all()


def test_columns_assigned_before_stay_where_another_is_replaced(imp):
    kept = imp.assign(before=lambda d: d["weight"]).assign(weight=0.0)
    assert (kept.complete(1)["before"] == imp.complete(1)["weight"]).all()


def test_stored_derived_columns_that_cannot_follow_are_told_of(imp):
    imp.info = replace(imp.info, declared={"Derived": "ratio: weight / height"})
    with pytest.warns(DerivedMismatchWarning, match="do not follow their replacement"):
        imp.assign(weight=1.0)
    imp.assign(town="Bonn")
