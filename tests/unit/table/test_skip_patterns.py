"""Levels under which a column has no value, or zeros alone, are told of."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import SkipPatternWarning
from psmimpute.table.applicability import Applicability, leave_out
from psmimpute.table.encoding import encode
from psmimpute.table.infer import infer_schema
from psmimpute.table.skip_patterns import find_skip_patterns, warn_of_skip_patterns


def _encoded(df, conditions=None):
    schema = infer_schema(df)
    applicability = Applicability.of(conditions)
    return leave_out(encode(schema, df), applicability, df, schema.column_names), schema


@pytest.fixture
def survey(rng):
    works = rng.random(400) < 0.6
    return pd.DataFrame(
        {
            "age": rng.normal(45, 12, 400),
            "job": np.where(works, "yes", "no"),
            "hours": np.where(works, rng.normal(38, 5, 400), np.nan),
            "wage": np.where(works, rng.lognormal(3, 0.4, 400), 0.0),
        }
    )


def test_what_is_never_asked_of_a_level_is_told_with_its_declaration(survey):
    table, schema = _encoded(survey)
    with pytest.warns(SkipPatternWarning, match="was not observed in any of the") as told:
        warn_of_skip_patterns(table, schema)
    assert len(told) == 1
    assert "applicable_if={'hours': \"job != 'no'\"}" in str(told[0].message)
    assert not find_skip_patterns(*_encoded(survey, {"hours": "job == 'yes'"}))


def test_amounts_that_are_zero_under_a_level_are_told_where_they_have_gaps(survey, rng):
    survey["wage"] = survey["wage"].mask(rng.random(400) < 0.2)
    found = find_skip_patterns(*_encoded(survey.drop(columns="hours")))
    assert [(p.level, [c.name for c in p.columns], p.zero) for p in found] == [
        ("no", ["wage"], True)
    ]
    table, schema = _encoded(survey.drop(columns="hours"))
    with pytest.warns(SkipPatternWarning, match="'wage' is not above zero in any"):
        warn_of_skip_patterns(table, schema)


def test_gaps_by_chance_and_a_few_rows_are_no_pattern(survey, rng):
    survey["hours"] = rng.normal(size=400)
    survey.loc[rng.random(400) < 0.9, "hours"] = np.nan
    survey["town"] = np.where(np.arange(400) < 10, "a", "b")
    survey.loc[:9, "age"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error", SkipPatternWarning)
        warn_of_skip_patterns(*_encoded(survey))
