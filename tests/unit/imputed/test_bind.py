"""Binding rows, imputations and columns, against the frames bound by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.bind import SETS_DROPPED, cbind, ibind, rbind


@pytest.fixture
def other(frame, fill_gaps):
    """The same data imputed again, by another model."""
    again = fill_gaps(frame, m=3, seed=5)
    history = [{**record, "loss": record["loss"] + 1} for record in again.info.history]
    again.info = replace(again.info, history=history)
    return again


def test_rbind_puts_split_data_together_again(imp):
    halves = imp.filter(np.arange(40) < 13), imp.filter(np.arange(40) >= 13)
    whole = rbind(*halves)
    assert whole == imp
    assert_allclose(whole.info.ess, imp.info.ess)
    assert whole.info.seed == imp.info.seed


def test_rbind_of_different_models(imp, frame, fill_gaps):
    more = fill_gaps(frame.iloc[:9].rename(index="s{}".format), seed=8)
    more.info = replace(more.info, history=())
    both = rbind(imp.assign(n=lambda d: d["height"] + 1), more.assign(n=0.5))
    for k in range(1, 5):
        assert_frame_equal(
            both.complete(k)[[*frame.columns]], pd.concat([imp.complete(k), more.complete(k)])
        )
    assert both.n_sets == 0
    assert SETS_DROPPED in both.info.warnings
    assert both.info.members == 4  # one of each model makes an imputation
    assert both.info.seed is None


def test_rbind_numbers_combinations_of_members(imp):
    one = imp.filter(np.arange(40) < 9)
    two = imp.filter(np.arange(40) >= 9)
    one.member_of, two.member_of = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    assert rbind(one, two).member_of.tolist() == [0, 0, 1, 2]


def test_rbind_refuses_what_does_not_match(imp, other, frame, fill_gaps):
    with pytest.raises(ImputationError, match="number of imputations of argument 2"):
        rbind(imp, other)
    with pytest.raises(ImputationError, match="columns of argument 2"):
        rbind(imp, imp.assign(extra=1))
    floats = fill_gaps(frame.astype({"visits": "float64"}))
    with pytest.raises(ImputationError, match="dtype of column 'visits' of argument 2"):
        rbind(imp, floats)
    with pytest.raises(ImputationError, match="takes MultiplyImputed objects"):
        rbind()
    with pytest.raises(ImputationError, match="DataFrame"):
        rbind(imp, frame)


def test_ibind_adds_imputations(imp, other):
    both = ibind(imp, other)
    assert both.m == 7
    for k in range(1, 8):
        source = imp.complete(k) if k <= 4 else other.complete(k - 4)
        assert_frame_equal(both.complete(k), source)
    assert len(np.unique(both.member_of)) == 7
    assert both.info.members == 7


def test_ibind_matches_set_labels(imp):
    # The second labelling swaps the sets of the first.
    swapped = imp.take(np.arange(40))
    swapped._sets = type(imp._sets)(imp._sets.probabilities[:, ::-1], 1 - imp._sets.draws)
    both = ibind(imp, swapped)
    assert_allclose(both.pattern_set_probabilities, imp.pattern_set_probabilities)
    assert_array_equal(both.pattern_set_draws[4:], imp.pattern_set_draws)


def test_ibind_drops_sets_that_cannot_be_matched(imp, frame, fill_gaps):
    both = ibind(imp, fill_gaps(frame, seed=9, n_sets=3))
    assert both.n_sets == 0
    assert SETS_DROPPED in both.info.warnings


def test_ibind_of_one_model_keeps_its_members(imp, frame, fill_gaps):
    more = fill_gaps(frame, seed=9)
    assert ibind(imp, more).member_of.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_ibind_refuses_other_data_and_repetition(imp, other):
    with pytest.raises(ImputationError, match="argument 2 repeats"):
        ibind(imp, imp)
    with pytest.raises(ImputationError, match="argument 2 imputes other data"):
        ibind(imp, other.filter(np.arange(40) < 9))


def test_cbind_of_frames_and_imputations(imp, frame):
    extra = pd.DataFrame({"a": np.arange(40.0), "b": None}, index=frame.index)
    renamed = imp.complete("long", include=True)
    assert len(renamed) == 200
    wide = cbind(imp, extra, pd.Series(1, index=frame.index, name="c"))
    for k in range(1, 5):
        assert_frame_equal(wide.complete(k)[[*frame.columns]], imp.complete(k))
        assert wide.complete(k)["a"].tolist() == extra["a"].tolist()
        assert wide.complete(k)["b"].isna().all()
    assert wide.pattern_set.equals(imp.pattern_set)
    assert "not modelled" in repr(wide)


def test_cbind_of_two_imputed_tables(imp, frame, fill_gaps):
    second = fill_gaps(frame[["height", "town"]].rename(columns="{}2".format), seed=11)
    both = cbind(imp, second)
    assert_frame_equal(both.complete(3), pd.concat([imp.complete(3), second.complete(3)], axis=1))
    assert both.schema.column_names == (*imp.schema.column_names, "height2", "town2")


def test_cbind_refuses_what_does_not_fit(imp, other, frame):
    column = frame["done"]
    for wrong, message in (
        (other, "number of imputations of argument 2"),
        (column, "'done' occurs twice"),
        (column.rename(None), "without a name"),
        (column.rename("d").reset_index(drop=True), "another index"),
        ([1, 2], "argument 2 is list"),
    ):
        with pytest.raises(ImputationError, match=message):
            cbind(imp, wrong)
