"""Levels that another column gives are found, and those that only go with it are not."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import ExactRelationWarning
from psmimpute.table.determined_levels import find_determined_levels, warn_of_determined_levels
from psmimpute.table.infer import infer_schema


@pytest.fixture
def table(rng):
    n = 200
    site = rng.integers(6, size=n)
    age = rng.normal(50, 12, n).round()
    return pd.DataFrame(
        {
            "site": np.array([*"abcdef"])[site],
            "region": np.array(["north", "south", "west"])[site // 2],
            "age": age,
            "old": age >= 55,
            "group": pd.cut(age, [-1, 40, 50, 60, 200], labels=["-40", "-50", "-60", "60+"]),
            "other": np.where(rng.random(n) < 0.5, "u", "v"),
        }
    )


def _found(df):
    return find_determined_levels(df, infer_schema(df))


def test_levels_that_follow_from_levels_or_from_numbers(table):
    assert _found(table) == []  # nothing is missing
    table.loc[::4, "region"] = None
    table.loc[1::4, "age"] = np.nan
    assert _found(table) == [("region", "site"), ("old", "age"), ("group", "age")]
    with pytest.warns(ExactRelationWarning, match=r"the level of '\w+' follows from") as told:
        warn_of_determined_levels(table, infer_schema(table))
    assert "'region' follows from 'site' wherever both are observed" in str(told[0].message)
    assert "declare derived={'region': ...}" in str(told[0].message)


def test_one_row_that_does_not_fit_is_enough(table):
    table.loc[::4, ["region", "group"]] = None
    table["old"] = table["old"].where(table.index != 7, ~table["old"])
    seen = table["site"].eq("a") & table["region"].notna()
    table.loc[seen.idxmax(), "region"] = "west"
    assert _found(table) == [("group", "age")]


def test_few_rows_of_a_level_or_of_a_value_show_nothing(rng):
    number = rng.normal(size=60)
    rare = pd.DataFrame({"x": number, "rare": number > np.sort(number)[-4]})
    rare.loc[0, "x"] = np.nan
    names = pd.DataFrame({"name": [f"n{i // 3}" for i in range(60)], "x": number})
    names["g"] = np.where(np.arange(60) // 3 % 2, "u", "v")
    names.loc[0, "g"] = None
    assert _found(rare) == []
    assert _found(names) == []


def test_equal_numbers_of_two_levels_are_no_ranges(rng):
    half = np.repeat([0.0, 1.0, 2.0], 20)
    df = pd.DataFrame({"x": half, "g": np.where(np.arange(60) < 30, "u", "v"), "z": half[::-1]})
    df.loc[0, "g"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExactRelationWarning)
        warn_of_determined_levels(df, infer_schema(df))
