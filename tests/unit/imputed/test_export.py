"""Files for other programs: what they hold, and that R's mice pools them to the same numbers."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.from_long import from_long

FORMULA = "weight ~ height + done + C(town)"


def has_mice() -> bool:
    if shutil.which("Rscript") is None:
        return False
    asked = ["Rscript", "-e", "quit(status = !requireNamespace('mice', quietly = TRUE))"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def test_the_csv_comes_back_as_the_same_imputations(imp, tmp_path):
    script = imp.to_mice(tmp_path / "out.csv")
    assert script == tmp_path / "out.R"
    read = pd.read_csv(tmp_path / "out.csv")
    assert [*read.columns][:2] == [".imp", ".id"]
    numbers = ["height", "weight", "done", "visits"]
    assert_allclose(read[numbers], imp.complete("long", include=True)[numbers].astype(float))
    again = from_long(read[[".imp", ".id", *numbers]])
    assert again.where.equals(imp.where[numbers])


def test_the_script_sets_factors_with_their_order(imp, tmp_path):
    text = imp.to_mice(tmp_path / "out.csv").read_text()
    assert '"grade"]] <- factor(long[["grade"]], levels = c("c", "b", "a"), ordered = TRUE)' in text
    assert 'levels = c("Bonn", "Lyon", "Pisa"))' in text


@pytest.mark.r
def test_mice_pools_to_the_same_numbers(imp, tmp_path):
    if not has_mice():
        pytest.skip("needs R with the package mice")
    imp.to_mice(tmp_path / "out.csv")
    code = """
    source("out.R", chdir = TRUE)
    pooled <- mice::pool(with(imp, lm(weight ~ height + done + town)))$pooled
    write.csv(pooled[c("term", "estimate", "ubar", "b", "t")], "pooled.csv", row.names = FALSE)
    """
    subprocess.run(["Rscript", "-e", code], cwd=tmp_path, check=True, capture_output=True)
    theirs = pd.read_csv(tmp_path / "pooled.csv")
    ours = imp.pool(FORMULA, model=smf.ols)
    order = ["Intercept", "height", "done", "C(town)[T.Lyon]", "C(town)[T.Pisa]"]
    assert_allclose(ours.params[order], theirs["estimate"], rtol=1e-10)
    assert_allclose(ours.bse[order] ** 2, theirs["t"], rtol=1e-10)


def test_stata_file_holds_all_blocks(imp, tmp_path):
    script = imp.assign(tall=lambda d: d["height"] > 170).to_stata(tmp_path / "out.dta")
    text = script.read_text()
    assert "mi import flong, m(imp_m) id(imp_id) imputed(height weight" in text
    assert "tall" in text
    read = pd.read_stata(tmp_path / "out.dta")
    long = imp.complete("long", include=True)
    assert read["imp_m"].tolist() == long[".imp"].tolist()
    assert_allclose(read["height"], long["height"])
    assert [*read["grade"].cat.categories] == ["c", "b", "a"]
    assert read["grade"].astype(object).equals(long["grade"].astype(object))
    assert (read["seen"].dropna() == long["seen"].dropna()).all()


@pytest.mark.parametrize("bad", ["x y", "1a", "if", 3, "a_b c", ".2a"])
def test_names_that_r_cannot_take(imp, frame, fill_gaps, tmp_path, bad):
    odd = fill_gaps(frame[["height", "done"]].rename(columns={"done": bad}))
    with pytest.raises(ImputationError, match=r"R cannot take the column names .* names="):
        odd.to_mice(tmp_path / "out.csv")
    odd.to_mice(tmp_path / "out.csv", names={bad: "fine.1"})
    assert "fine.1" in pd.read_csv(tmp_path / "out.csv")


@pytest.mark.parametrize("bad", ["x.y", "é", "a" * 33, "2a", "_"])
def test_names_that_stata_cannot_take(frame, fill_gaps, tmp_path, bad):
    odd = fill_gaps(frame[["height", "done"]].rename(columns={"done": bad}))
    with pytest.raises(ImputationError, match="Stata cannot take"):
        odd.to_stata(tmp_path / "out.dta")


def test_renaming_is_checked(imp, tmp_path):
    with pytest.raises(ImputationError, match="renames 'nope'"):
        imp.to_mice(tmp_path / "out.csv", names={"nope": "x"})
    with pytest.raises(ImputationError, match="the name 'height' to two columns"):
        imp.to_mice(tmp_path / "out.csv", names={"weight": "height"})


@pytest.mark.filterwarnings("ignore::psmimpute.exceptions.SuspectValueWarning")
def test_empty_texts_are_refused(frame, fill_gaps, tmp_path):
    empty = frame.assign(town=frame["town"].replace("Bonn", ""))
    with pytest.raises(ImputationError, match="'town' holds an empty text"):
        fill_gaps(empty).to_mice(tmp_path / "out.csv")


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([True, False, True, False, True, True], dtype="boolean"),
        pd.Series(pd.to_timedelta(np.arange(6), unit="h")),
        pd.Series(pd.date_range("2020", periods=6, tz="Asia/Tokyo")),
        pd.Series([1, 2, 3, 4, 5, 6], dtype="int64[pyarrow]"),
        pd.Series([1, 2, 1, 2, 1, 2], dtype="category"),
        pd.Series([True, False, True, True, False, True], dtype=object),
    ],
    ids=lambda column: str(column.dtype),
)
def test_other_dtypes_are_written(column, tmp_path):
    blocks = [column.where(np.arange(6) != 1), column, column]
    long = pd.concat(blocks, ignore_index=True).astype(column.dtype).to_frame("x")
    long.insert(0, ".imp", np.repeat([0, 1, 2], 6))
    imp = from_long(long)
    imp.to_stata(tmp_path / "out.dta")
    imp.to_mice(tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv")["x"].isna().tolist() == [False, True] + [False] * 16


def test_columns_of_several_levels_are_written_under_new_names(frame, fill_gaps, tmp_path):
    numbers = frame[["done", "height"]].set_axis(
        pd.MultiIndex.from_tuples([("a", "done"), ("b", "height")]), axis=1
    )
    imp = fill_gaps(numbers)
    names = {("a", "done"): "done", ("b", "height"): "height"}
    imp.to_stata(tmp_path / "a.dta", names=names)
    written = pd.read_stata(tmp_path / "a.dta")
    assert written.columns.tolist() == ["imp_m", "imp_id", "done", "height"]
    with pytest.raises(ImputationError, match=r"names=\{\('a', 'done'\): 'new_name'\}"):
        imp.to_mice(tmp_path / "b.csv")


def test_rows_named_by_periods_are_written_as_texts(frame, fill_gaps, tmp_path):
    frame.index = pd.period_range("2000-01", periods=len(frame), freq="M")
    fill_gaps(frame[["done", "height"]]).to_stata(tmp_path / "a.dta")
    assert pd.read_stata(tmp_path / "a.dta")["imp_id"].iloc[1] == "2000-02"
