"""The command line: what it prints, how it ends, and that errors are one line."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

import psmimpute as psm
from psmimpute.cli import app


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "nhanes.parquet"
    psm.load_nhanes2().to_parquet(path)
    return path


@pytest.fixture
def run():
    def call(*arguments, fails=False):
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        assert done.exit_code == (1 if fails else 0), done.output
        if fails:
            assert len(done.stderr.strip().splitlines()) == 1
            assert "Traceback" not in done.stderr
        return done.stderr if fails else done.stdout

    return call


def test_fit_impute_and_pool(run, source, tmp_path):
    model, out = tmp_path / "model.psm", tmp_path / "out"
    fast = ("--m", 2, "--seed", 1, "--max-steps", 20)
    facts = json.loads(run("fit", source, model, *fast, "--json"))
    assert facts["members"] == 2
    assert facts["seed"] == 1
    assert json.loads(run("impute", source, out, "--m", 2, "--model", model, "--json"))["m"] == 2
    assert "2 imputations" in run("impute", source, out, "--m", 2, "--model", model)
    pooled = json.loads(run("pool", out, "bmi ~ chl", "--json"))
    assert pooled["m"] == 2
    assert len(pooled["terms"]) == 2
    assert "chl" in run("pool", out, "bmi ~ chl")
    run("impute", source, tmp_path / "one.csv", "--m", 2, "--model", model)
    frame = pd.read_csv(tmp_path / "one.csv")
    expected = psm.PSMImputer.load(model).impute(psm.load_nhanes2(), 2).complete(2)
    assert frame[frame[".imp"] == 2]["chl"].tolist() == expected["chl"].tolist()


def test_patterns(run, source):
    assert "TableSchema" in run("patterns", source)
    facts = json.loads(run("patterns", source, "--json"))
    assert len(facts["schema"]["columns"]) == 4
    assert facts["patterns"]


def test_patterns_are_shown_though_a_column_cannot_be_modelled(run, tmp_path):
    table = psm.load_nhanes2().assign(who=None)
    table.to_csv(tmp_path / "odd.csv", index=False)
    done = CliRunner().invoke(app, ["patterns", str(tmp_path / "odd.csv")])
    assert done.exit_code == 1
    assert "n_missing" in done.stdout
    assert "'who'" in done.stderr
    assert "TableSchema" in run("patterns", tmp_path / "odd.csv", "--exclude", "who")


def test_codes_and_dates_of_a_csv_file_stay_what_they_are(run, tmp_path):
    table = psm.load_nhanes2()
    codes = [f"{7 * i:05d}" for i in range(len(table))]
    days = pd.date_range("2020-02-27", periods=len(table)).strftime("%Y-%m-%d").tolist()
    table.assign(code=codes, day=[None, *days[1:]]).to_csv(tmp_path / "in.csv", index=False)
    out = tmp_path / "out.csv"
    run("impute", tmp_path / "in.csv", out, "--m", 2, "--max-steps", 5, "--exclude", "code")
    found = pd.read_csv(out, dtype=str)
    assert found["code"].tolist() == codes * 3
    assert found["day"][found[".imp"] == "0"].iloc[1:].tolist() == days[1:]
    assert found["day"][found[".imp"] != "0"].str.fullmatch(r"\d{4}-\d{2}-\d{2}").all()


def test_csv_rows_that_come_later_are_read_as_the_model_learned_them(run, tmp_path):
    """What a batch looks like does not decide: none of its codes starts with a zero."""
    table = psm.load_nhanes2().assign(day=pd.date_range("2020-01-01", periods=25), dose="05.2")
    table["zip"] = ["00019", "10001", "20002", "30003", "40004"] * 5
    table.loc[3, "dose"] = "12.3"
    table.to_csv(tmp_path / "table.csv", index=False)
    model = tmp_path / "table.psm"
    run("fit", tmp_path / "table.csv", model, "--m", 2, "--max-steps", 3)
    with_hours = table.assign(day=table["day"].astype(str) + " 12:00")
    later = with_hours[with_hours["zip"] != "00019"].copy()
    later.loc[later.index[0], "zip"] = None
    later.to_csv(tmp_path / "later.csv", index=False)
    run("impute", tmp_path / "later.csv", tmp_path / "out.csv", "--m", 2, "--model", model)
    found = pd.read_csv(tmp_path / "out.csv", dtype={"zip": str})
    assert set(found["zip"].dropna()) <= set(table["zip"])
    assert found.loc[found[".imp"] > 0, "zip"].notna().all()
    assert found["dose"].isin([5.2, 12.3]).all()


def test_columns_are_declared_as_in_python(run, tmp_path):
    table = psm.load_nhanes2()
    days = pd.date_range("2020-01-01", periods=len(table)).to_series(index=table.index)
    table = table.assign(
        age=table["age"].cat.codes,
        bmi=table["bmi"].clip(20, 30.5),
        day=days.where(table["hyp"].notna()),
    )
    table.to_csv(tmp_path / "in.csv", index=False)
    declared = (
        *("--kind", "chl=positive", "--kind", "age = ordinal"),
        *("--bounds", "bmi=20..30.5", "--bounds", "day=2020-01-01..", "--bounds", "chl=..284"),
    )
    facts = json.loads(run("patterns", tmp_path / "in.csv", *declared, "--json"))
    columns = {column["name"]: column for column in facts["schema"]["columns"]}
    assert [columns[name]["kind"] for name in ("chl", "age")] == ["positive", "ordinal"]
    assert columns["bmi"]["bounds"] == [20, 30.5]
    assert columns["day"]["bounds"] == [-86400, None]  # the first was seen a day later
    assert columns["chl"]["bounds"] == [None, 284]
    computed = ("--derived", "ratio=chl / bmi", "--applicable-if", "chl=age >= 1")
    fast = ("--m", 2, "--seed", 1, "--max-steps", 5)
    run("impute", tmp_path / "in.csv", tmp_path / "out.csv", *fast, *declared, *computed)
    found = pd.read_csv(tmp_path / "out.csv")
    found = found[found[".imp"] > 0]
    assert found["bmi"].between(20, 30.5).all()
    assert (found["day"] >= "2020-01-01").all()
    unasked = table["chl"].isna() & (table["age"] < 1)
    assert unasked.any()
    assert found["chl"].isna().tolist() == [*unasked] * 2
    pd.testing.assert_series_equal(
        found["ratio"], found["chl"] / found["bmi"], check_names=False, rtol=1e-6
    )
    model = tmp_path / "model.psm"
    run("fit", tmp_path / "in.csv", model, *fast, *declared, *computed)
    run("impute", tmp_path / "in.csv", tmp_path / "new.csv", "--m", 2, "--model", model)
    again = pd.read_csv(tmp_path / "new.csv")
    pd.testing.assert_frame_equal(found, again[again[".imp"] > 0])


def test_what_a_model_has_learned_is_not_declared_again(run, source, tmp_path):
    model = tmp_path / "model.psm"
    run("fit", source, model, "--m", 2, "--seed", 1, "--max-steps", 3)
    for target in ("out", "out.csv"):
        said = run(
            *("impute", source, tmp_path / target, "--model", model),
            *("--kind", "age=ordinal", "--exclude", "hyp"),
            fails=True,
        )
        assert "give --exclude, --kind to `psmimpute fit`" in said


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--kind", "age", "give a column, =, and its value"),
        ("--kind", "age=tall", "unknown kind 'tall'"),
        ("--kind", "size=count", "kinds names columns"),
        ("--bounds", "bmi=20", "LOW..HIGH"),
        ("--bounds", "bmi=low..high", "could not convert"),
        ("--derived", "ratio=", "give a column"),
        ("--applicable-if", "chl=nobody > 3", "nobody"),
    ],
)
def test_a_wrong_declaration_is_named(run, source, tmp_path, option, text, message):
    assert message in run("impute", source, tmp_path / "out.csv", option, text, fails=True)


def test_errors_are_one_line(run, source, tmp_path):
    (tmp_path / "bad.psm").write_text("no model")
    assert "cannot read" in run("fit", tmp_path / "no.parquet", tmp_path / "m", fails=True)
    assert "no safetensors file" in run(
        "impute", source, tmp_path / "out", "--model", tmp_path / "bad.psm", fails=True
    )
    assert "psmimpute fit" in run("impute", source, tmp_path / "out", "--max-steps", 3, fails=True)
    assert "not there" in run("pool", tmp_path, "a ~ b", fails=True)
    assert "No such file" in run("pool", tmp_path / "nowhere", "a ~ b", fails=True)
    table = tmp_path / "nhanes.csv"
    psm.load_nhanes2().to_csv(table, index=False)
    assert "ends in .csv or .parquet" in run("impute", table, tmp_path / "out", fails=True)
    key = ("--row-key", "nope")
    assert "no such column" in run("impute", table, tmp_path / "a.csv", *key, fails=True)
    assert "there is no folder" in run("fit", source, tmp_path / "no" / "m", fails=True)
