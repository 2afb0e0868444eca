"""Diagnostics against values computed by hand; sets without support are found and warned of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from psmimpute.exceptions import ExtrapolationWarning
from psmimpute.imputed.diagnostics import extrapolated_cells
from psmimpute.imputed.from_long import from_long


@pytest.fixture
def unsupported(imp, frame):
    """The same imputations, with the rows that lack ``height`` as a set of their own."""
    gone = frame["height"].isna().to_numpy(dtype=float)
    return type(imp)(
        data=frame,
        schema=imp.schema,
        where=imp.where,
        values=imp.values,
        member_of=imp.member_of,
        pattern_set_probabilities=np.stack([1 - gone, gone], axis=1),
        info=imp.info,
    )


def test_numbers_are_compared_by_mean_and_spread(imp, frame):
    columns = imp.diagnostics().columns
    drawn = imp.values[imp.position("height")].ravel()
    row = columns.loc["height"]
    assert row["n_imputed"] == frame["height"].isna().sum()
    assert_allclose(
        row[["mean_observed", "mean_imputed"]].astype(float), [frame["height"].mean(), drawn.mean()]
    )
    spread = frame["height"].std(ddof=0)
    assert_allclose(row["difference"], (drawn.mean() - frame["height"].mean()) / spread)


def test_levels_are_compared_by_total_variation(imp, frame):
    seen = frame["town"].value_counts(normalize=True)
    drawn = pd.Series(imp.values[imp.position("town")].ravel()).value_counts(normalize=True)
    expected = sum(abs(seen.get(t, 0) - drawn.get(t, 0)) for t in ("Bonn", "Lyon", "Pisa")) / 2
    assert_allclose(imp.diagnostics().columns.loc["town", "difference"], expected)


@pytest.mark.parametrize("start", [pd.Timestamp("2024-01-01"), pd.Timedelta(0)])
def test_times_are_compared_in_standard_deviations(start):
    days = [2.0, 4.0, 6.0, 8.0]
    rows = []
    for k, filled in enumerate([None, 10.0, 20.0]):
        times = [start + pd.Timedelta(days=day) for day in days]
        times.append(pd.NaT if filled is None else start + pd.Timedelta(days=filled))
        rows.append(pd.DataFrame({".imp": k, ".id": range(5), "t": times}))
    imp = from_long(pd.concat(rows, ignore_index=True))
    found = imp.diagnostics().columns.loc["t"]
    assert_allclose(found["difference"], (15.0 - 5.0) / np.std(days))


def test_weights_and_members(imp):
    found = imp.diagnostics()
    assert_allclose(found.weights["ess_median"], np.median(imp.info.ess))
    assert_allclose(found.weights["pareto_k_above_0.7"], (imp.info.pareto_k > 0.7).mean())
    assert len(found.members) == 4
    assert_allclose(found.members["last_oob_loss"], 3.1 - 4 / 12)


def test_what_is_unknown_is_empty(imp):
    imp.info = replace(imp.info, ess=None, pareto_k=None, history=())
    found = imp.diagnostics()
    assert found.weights.empty
    assert found.members.empty
    assert "Members: none" in repr(found)


def test_supported_sets_are_not_flagged(imp):
    assert extrapolated_cells(imp).empty
    assert "Extrapolated: none" in repr(imp.diagnostics())


def test_sets_without_support_are_listed_and_warned_of(unsupported, frame):
    with pytest.warns(ExtrapolationWarning, match="first column 'height' in set 2"):
        flags = unsupported.diagnostics().extrapolated
    assert flags[["pattern_set", "column"]].to_numpy().tolist() == [[2, "height"]]
    assert flags["imputed"].tolist() == [frame["height"].isna().sum()]
    assert "column height in pattern set 2" in unsupported.report().to_text()


def test_columns_of_several_levels_are_compared(frame, fill_gaps):
    columns = pd.MultiIndex.from_tuples([("a", "done"), ("b", "height")])
    imp = fill_gaps(frame[["done", "height"]].set_axis(columns, axis=1))
    assert imp.diagnostics().columns.index.tolist() == [("b", "height")]
    assert imp.assign(tall=lambda d: d["b", "height"] > 170).columns[-1] == ("tall", "")
