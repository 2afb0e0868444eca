"""Warnings: where they point, how often they come, and who remembers them."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

import psmimpute as psm
from psmimpute.exceptions import ConstantColumnWarning, SparseColumnWarning
from psmimpute.telling import remembered, warn


@pytest.fixture
def table():
    return pd.DataFrame({"x": [1.0, None, 3.0, 4.0, 2.5], "same": [7.0, 7.0, None, 7.0, 7.0]})


def test_a_warning_points_at_the_line_that_called_the_package(table):
    with pytest.warns(ConstantColumnWarning, match="'same' has one observed value") as caught:
        table.psm.schema()
    assert caught[0].filename == __file__


def test_a_message_is_told_once_within_a_call_and_again_in_the_next():
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with remembered() as told, remembered() as inner:
                warn("first", SparseColumnWarning)
                warn("second", SparseColumnWarning)
                warn("first", SparseColumnWarning)
            assert told is inner
        assert told == ["first", "second"]
        assert [str(w.message) for w in caught] == told
    with pytest.warns(SparseColumnWarning, match="first"):
        warn("first", SparseColumnWarning)


def test_a_warning_made_an_error_leaves_nothing_behind():
    with pytest.raises(SparseColumnWarning), remembered():
        warn("first", SparseColumnWarning)
    with remembered() as told:
        assert told == []


@pytest.mark.filterwarnings("ignore::psmimpute.exceptions.PSMWarning")
def test_imputations_remember_what_was_warned_of_on_the_way(table):
    imp = psm.impute(table, 2, seed=1, fit=psm.FitConfig(max_steps=2), progress=False)
    assert any("'same' has one observed value" in message for message in imp.info.warnings)
    assert "'same' has one observed value" in repr(imp)
    assert len(set(imp.info.warnings)) == len(imp.info.warnings)
    imputer = psm.PSMImputer(m=2, seed=1, fit=psm.FitConfig(max_steps=2)).fit(table)
    assert imputer.impute(table).info.warnings == imp.info.warnings
