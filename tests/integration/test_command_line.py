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


def test_errors_are_one_line(run, source, tmp_path):
    (tmp_path / "bad.psm").write_text("no model")
    assert "cannot read" in run("fit", tmp_path / "no.parquet", tmp_path / "m", fails=True)
    assert "no safetensors file" in run(
        "impute", source, tmp_path / "out", "--model", tmp_path / "bad.psm", fails=True
    )
    assert "psmimpute fit" in run("impute", source, tmp_path / "out", "--max-steps", 3, fails=True)
    assert "not there" in run("pool", tmp_path, "a ~ b", fails=True)
    assert "there is no folder" in run("fit", source, tmp_path / "no" / "m", fails=True)
