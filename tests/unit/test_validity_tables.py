"""The tables of the page on validity say what the stored results say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

SOURCE = Path(__file__).parents[2] / "docs" / "validity_tables.py"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("validity_tables", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _results(estimates, half, truth):
    rows = pd.DataFrame({"estimate": estimates, "seed": range(len(estimates)), "truth": truth})
    rows["low"], rows["high"] = rows["estimate"] - half, rows["estimate"] + half
    return rows.assign(design="A", method="shared", n=50, m=5, term="x")


def test_bias_coverage_and_width_are_those_of_the_replications(tables):
    row = tables.summarise(_results([0.9, 1.0, 1.3, 1.4], 0.35, 1.0)).iloc[0]
    assert row["R"] == 4
    assert row["bias"] == pytest.approx(0.15)
    assert row["bias_error"] == pytest.approx(np.std([0.9, 1.0, 1.3, 1.4], ddof=1) / 2)
    assert row["coverage"] == pytest.approx(0.75)
    assert row["width"] == pytest.approx(0.7)


@pytest.mark.parametrize("hits", [0, 7, 10])
def test_the_interval_of_a_coverage_is_clopper_and_pearsons(tables, hits):
    row = tables.summarise(_results([1.0] * hits + [9.0] * (10 - hits), 0.1, 1.0)).iloc[0]
    exact = binomtest(hits, 10).proportion_ci(0.95, "exact")
    assert (row["low"], row["high"]) == pytest.approx((exact.low, exact.high))


def test_few_replications_are_said_to_be_few(tables, tmp_path, monkeypatch):
    stored = tmp_path / "coverage.csv"
    monkeypatch.setattr(tables, "RESULTS", stored)
    for n, warned in ((20, True), (120, False)):
        _results([1.0] * n, 0.1, 1.0).to_csv(stored, index=False)
        tables.write(tmp_path / "pages")
        text = (tmp_path / "pages" / "validity.inc").read_text()
        assert ("fewer than 100 replications" in text) is warned
        assert f"     - {n}\n" in text
        for figure in ("coverage.png", "intervals.png"):
            assert (tmp_path / "pages" / figure).stat().st_size > 1000


def test_the_figure_of_the_intervals_shows_one_method_and_one_n_of_each_design(tables):
    common = _results([1.0] * 5, 0.1, 1.0)
    parts = [common, common.assign(method="selection"), common.assign(method="mice")]
    rare = common.iloc[:2].assign(method="selection", n=2000)
    shown = tables._own(pd.concat([*parts, rare]))
    assert set(shown["method"]) == {"selection"}
    assert set(shown["n"]) == {50}
    assert len(shown) == 5
