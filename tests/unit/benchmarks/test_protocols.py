"""The command lines: results are appended once, and the page says what the files hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks import accuracy, steps, tables
from benchmarks.masks import delete
from benchmarks.methods import PEERS
from benchmarks.pattern_sets import find, finders, label_accuracy


@pytest.fixture
def folder(tmp_path):
    """A data set of 60 rows and three columns, as the paper's are stored."""
    rng = np.random.default_rng(2)
    hidden = rng.normal(size=(60, 1))
    table = hidden + 0.3 * rng.normal(size=(60, 3))
    pd.DataFrame(table).to_csv(tmp_path / "tiny.csv.gz", header=False, index=False)
    return tmp_path


def _run(folder, *more):
    out = folder / "results.csv"
    places = ["--data", "tiny", "--data-dir", str(folder), "--out", str(out)]
    accuracy.main([*places, "--seeds", "0", "--rate", "0.2", *more])
    return pd.read_csv(out)


def test_rows_that_are_there_are_passed_over(folder):
    first = _run(folder, "--method", "mean")
    second = _run(folder, "--method", "mean", "--mechanism", "mcar", "mnar")
    pd.testing.assert_frame_equal(second[:1], first)
    assert second[["mechanism", "seed"]].to_numpy().tolist() == [["mcar", 0], ["mnar", 0]]
    assert second["rmse"].gt(0).all()
    assert second["crps"].isna().all()  # means are no draws
    assert {"torch", "numpy", "python", "cores"} <= {*second.columns}


def test_processes_give_the_rows_of_one_and_tell_what_failed(folder):
    names = ["--method", "mean", "mice", "--mechanism", "mcar", "mnar"]
    pytest.importorskip("sklearn")
    rows = _run(folder, *names, "--processes", "2").sort_values(accuracy.KEY)
    (folder / "results.csv").unlink()
    alone = _run(folder, *names).sort_values(accuracy.KEY)
    kept = [*accuracy.KEY, "rmse", "energy"]
    np.testing.assert_array_equal(rows[kept].to_numpy(), alone[kept].to_numpy())
    known = ("mcar", 0.2, 0, ("mean",), folder, 1, 0)
    tasks = [accuracy.Task("absent", *known), accuracy.Task("tiny", *known)]
    found = accuracy.run_tasks(tasks, processes=2)
    assert next(found)["data"] == "tiny"
    with pytest.raises(ExceptionGroup, match="tasks failed"):
        next(found)


def test_peers_that_are_not_installed_are_named(folder, capsys, monkeypatch):
    absent = replace(PEERS["miceforest"], needs="no_such_package")
    monkeypatch.setitem(PEERS, "miceforest", absent)
    found = _run(folder, "--method", "miceforest", "mean")
    assert found["method"].tolist() == ["mean"]
    assert "miceforest: not installed (package no_such_package)" in capsys.readouterr().out


def test_draws_are_scored(folder):
    pytest.importorskip("sklearn")
    row = _run(folder, "--method", "mice-draw").iloc[0]
    assert row["draws"] == 20
    assert 0 < row["crps"] < row["draw_rmse"] < 1
    assert 0.5 < row["cover90"] <= 1
    assert np.isnan(row["cover90_discrete"])  # no column is discrete


@pytest.mark.parametrize(
    ("sets", "expected"), [([0, 0, 1, 1], 1.0), ([1, 1, 0, 0], 1.0), ([0, 0, 1, 0], 0.75)]
)
def test_sets_are_named_the_better_way(sets, expected):
    high = np.array([True, True, False, False])
    assert label_accuracy(high, np.array(sets)) == expected


def test_hivae_with_m_sees_the_gaps_as_columns(folder):
    table = pd.read_csv(folder / "tiny.csv.gz", header=None).to_numpy()
    deletion = delete(table, mechanism="mnar", rate=0.8, seed=0)
    finder = finders()["hivae-with-m"]
    columns = finder.columns(deletion.seen)
    assert columns.shape == (48, 4)
    np.testing.assert_array_equal(columns[:, 3], deletion.masked.any(1))
    options = {**finder.configuration.fit_options, "max_steps": 3}
    quick = replace(finder.configuration, fit_options=options)
    sets = find(replace(finder, configuration=quick), deletion, 0)
    assert sets.shape == (48,)
    assert {*sets.tolist()} <= {0, 1}


def test_errors_by_step_and_their_plot(folder):
    table = pd.read_csv(folder / "tiny.csv.gz", header=None).to_numpy()
    deletion = delete(table, mechanism="mcar", rate=0.2, seed=0)
    line = steps.lines()["PSMVAE(b), pi 0.5"]
    errors = steps.Run(deletion, 0, n_samples=4).errors(line, (1, 3))
    assert [*errors] == [1, 3]
    assert errors[1] != errors[3]
    cell = {"line": "a line", "data": "tiny", "mechanism": "mcar", "rate": 0.2, "seed": 0}
    rows = pd.DataFrame([{**cell, "step": step, "rmse": e} for step, e in errors.items()])
    steps.plot(rows, folder / "steps.png")
    assert (folder / "steps.png").stat().st_size > 5000


def test_the_page_sets_both_numbers_side_by_side():
    cell = {"data": "wine", "mechanism": "mcar", "rate": 0.2}
    found = pd.DataFrame([{**cell, "method": "mice", "seed": s, "rmse": 0.1 + s} for s in (0, 1)])
    paper = pd.DataFrame([{**cell, "method": m, "mean": 0.25} for m in ("mice", "gain")])
    names = {"mice": "MICE", "gain": "GAIN", "vae": "VAE"}
    text = tables.compare(found, paper, "rmse", names, ["mcar"])
    assert text.splitlines() == [
        "|  | wine MCAR |",
        "| --- | --- |",
        "| MICE | .6000 *n=2* (.2500) |",
        "| GAIN | - (.2500) |",
    ]


def test_ratios_are_of_the_seeds_that_both_have():
    cell = {"data": "wine", "mechanism": "mnar", "rate": 0.2}
    rows = [("ours", 0, 0.2), ("ours", 1, 0.4), ("mice", 0, 0.1), ("mice", 2, 9.0)]
    rows += [("mean", 0, 0.4), ("mean", 1, 0.8), ("gain", 2, 1.0), ("vae", 1, 0.0)]
    found = pd.DataFrame([cell | {"method": m, "seed": s, "rmse": e} for m, s, e in rows])
    assert tables.ratios(found).splitlines() == [
        "|  | wine MNAR 20% |",
        "| --- | --- |",
        "| VAE | **∞** |",
        "| MICE | **2.00** |",
        "| mean | .50 *n=2* |",
    ]


def test_at_a_glance_the_best_rival_is_that_of_common_seeds():
    cell = {"data": "wine", "mechanism": "mcar", "rate": 0.2}
    rows = [("ours", 0, 0.2), ("ours", 1, 0.4), ("mice", 0, 0.4), ("mice", 1, 0.2)]
    rows += [("vae", 0, 0.1), ("vae", 2, 9.0), ("gain", 2, 0.01), ("missforest", 0, 0.4)]
    found = pd.DataFrame([cell | {"method": m, "seed": s, "rmse": e} for m, s, e in rows])
    text = tables.glance(found, pd.read_csv(tables.PAPER)).splitlines()
    assert text[2:] == ["| wine MCAR 20% | .3000 *n=2* | .50 | **2.00** | VAE | .0832 |"]


def test_the_published_numbers_are_all_there():
    paper = pd.read_csv(tables.PAPER)
    assert len(paper) == 198
    assert {*paper["method"]} <= {*tables.NAMES, "hivae-with-m"}
    row = paper.query("table == 2 and data == 'letter' and mechanism == 'mcar'")
    assert row.set_index("method")["mean"]["psmvae-b-10000"] == 0.0879


def test_the_page_is_written_without_results(tmp_path):
    absent = str(tmp_path / "absent.csv")
    out = tmp_path / "page.md"
    tables.main(["--results", absent, "--sets", absent, "--out", str(out)])
    assert "| PSMVAE(b), K = 10,000 |" in out.read_text()


def test_times_are_shared_out_within_a_cell():
    runs = pd.DataFrame(
        {
            "n": [1000] * 5 + [2000],
            "d": 10,
            "contestant": ["ours", "ours", "mice", "mice", "nothing", "ours"],
            "cpu_s": [8.0, 9.0, 4.0, 6.0, 0.5, 20.0],
            "peak_mb": [450, 460, 100, 100, 50, 500],
        }
    )
    assert tables.times(runs).splitlines() == [
        "| rows | columns | psmimpute | peak, MB | mice |",
        "| --- | --- | --- | --- | --- |",
        "| 1,000 | 10 | 8.5 | 460 | 5.0 (1.70) |",
        "| 2,000 | 10 | 20.0 | 500 | - |",
    ]
