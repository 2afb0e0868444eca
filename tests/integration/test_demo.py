"""The command line, from a file with gaps to a pooled table."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

from psmimpute.cli import app
from psmimpute.datasets import load_boys, load_nhanes2

QUICK = ["--m", "2", "--seed", "1", "--max-steps", "3"]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Call the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(a) for a in arguments])


def _failure(result) -> str:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_demo_shows_gaps_kinds_regression_and_sets_and_draws(run, tmp_path, monkeypatch):
    some = load_boys().iloc[::6]
    monkeypatch.setattr("psmimpute.demo.load_boys", lambda: some)
    result = run("demo", *QUICK, "--figure", "figure.png")
    assert result.exit_code == 0, result.output
    for expected in (
        f"125 rows, 9 columns, {some.isna().sum().sum()} gaps",
        "n_missing",
        "categories ordered, 6 of them observed",
        "pooled over 2 imputations by Rubin's rules",
        "fmi",
        "reg[T.city]",
        "share of missing cells",
        "Figure: figure.png",
    ):
        assert expected in result.stdout
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_patterns_tells_kinds_and_counts(run, tmp_path):
    load_nhanes2().to_csv(tmp_path / "nhanes2.csv", index=False)
    result = run("patterns", "nhanes2.csv")
    assert result.exit_code == 0
    patterns, schema = result.stdout.split("\n\n", 1)
    assert patterns.endswith("27")
    assert "continuous" in schema


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_impute_then_pool(run, tmp_path, ending):
    load_nhanes2().to_csv(tmp_path / "nhanes2.csv", index=False)
    target = tmp_path / f"imputed.{ending}"
    result = run("impute", "nhanes2.csv", target, *QUICK)
    assert result.exit_code == 0, result.output
    assert "2 imputations of 27 cells" in result.stdout
    long = pd.read_csv(target) if ending == "csv" else pd.read_parquet(target)
    assert long[".imp"].value_counts().to_dict() == {0: 25, 1: 25, 2: 25}
    assert not long[long[".imp"] > 0].isna().any(axis=None)

    pooled = run("pool", target, "chl ~ bmi")
    assert pooled.exit_code == 0, pooled.output
    assert "Pooled OLS Results" in pooled.stdout
    assert "FMI" in pooled.stdout


def test_a_file_that_is_not_there_fails_in_one_line(run):
    assert _failure(run("patterns", "none.csv")) == (
        "psmimpute: error: cannot read none.csv: No such file or directory\n"
    )


def test_another_format_fails_in_one_line(run):
    message = _failure(run("patterns", "table.xlsx"))
    assert "table.xlsx: the name must end in .csv or .parquet" in message


def test_a_broken_file_fails_in_one_line(run, tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"not parquet")
    assert "cannot read broken.parquet" in _failure(run("patterns", "broken.parquet"))


def test_a_target_that_cannot_be_written_is_found_before_imputing(run, tmp_path):
    load_nhanes2().to_csv(tmp_path / "nhanes2.csv", index=False)
    assert "must end in" in _failure(run("impute", "nhanes2.csv", "imputed.sav"))
    message = _failure(run("impute", "nhanes2.csv", "nowhere/imputed.csv"))
    assert "cannot write nowhere/imputed.csv: there is no folder nowhere" in message


def test_a_table_that_was_not_imputed_cannot_be_pooled(run, tmp_path):
    load_nhanes2().to_csv(tmp_path / "nhanes2.csv", index=False)
    assert ".imp" in _failure(run("pool", "nhanes2.csv", "chl ~ bmi"))


def test_warnings_come_in_one_line_each(run, tmp_path):
    pd.DataFrame({"x": [1.0, None, 1.0], "y": [1.5, 2.5, 3.5]}).to_csv(
        tmp_path / "constant.csv", index=False
    )
    result = run("patterns", "constant.csv")
    assert result.exit_code == 0
    assert result.stderr.startswith("psmimpute: warning: ")
    assert result.stderr.count("\n") == 1


def test_misuse_is_told_with_the_usage(run):
    assert run("demo", "--m", "0").exit_code == 2
    assert run("pool", "x.csv").exit_code == 2
    assert run("pool", "x.csv", "y ~ x", "--model", "forest").exit_code == 2
