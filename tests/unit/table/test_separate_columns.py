"""Columns that no row shows together are told of, and those that exclude each other are not."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import NeverTogetherWarning
from psmimpute.table.applicability import Applicability, leave_out
from psmimpute.table.encoding import encode
from psmimpute.table.infer import infer_schema
from psmimpute.table.separate_columns import warn_of_separate_columns


def _warn(df, conditions=None):
    schema = infer_schema(df)
    applicability = Applicability.of(conditions)
    table = leave_out(encode(schema, df), applicability, df, schema.column_names)
    warn_of_separate_columns(table, schema)


@pytest.fixture
def surveys(rng):
    df = pd.DataFrame(rng.normal(size=(60, 4)), columns=[*"wxyz"])
    df.loc[:29, ["x", "z"]] = np.nan
    df.loc[30:, "y"] = np.nan
    return df


def test_columns_of_two_surveys_are_told_of(surveys):
    with pytest.warns(NeverTogetherWarning) as told:
        _warn(surveys)
    assert [str(w.message).split(" were never")[0] for w in told] == [
        "columns 'x' and 'y'",
        "columns 'y' and 'z'",
    ]


def test_many_pairs_are_counted(rng):
    df = pd.DataFrame(rng.normal(size=(60, 5)), columns=[*"abcde"])
    df.loc[:29, ["a", "b"]] = np.nan
    df.loc[30:, ["c", "d"]] = np.nan
    with pytest.warns(NeverTogetherWarning, match=r"\(and 1 more pairs\) were never") as told:
        _warn(df)
    assert len(told) == 3


def test_columns_seen_together_once_or_never_asked_together_are_not(surveys):
    surveys.loc[0, ["x", "z"]] = 1.0, 2.0
    excluding = surveys.assign(first=surveys.index < 30)
    excluding["x"] = surveys["w"].where(excluding["first"])
    excluding["y"] = surveys["w"].where(~excluding["first"])
    excluding.loc[[3, 40], ["x", "y"]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error", NeverTogetherWarning)
        _warn(surveys)
        _warn(excluding.drop(columns="z"), {"x": "first", "y": "not first"})
