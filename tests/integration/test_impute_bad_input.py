"""Bad input gets a named error that says what, where, and what to do."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import ConfigError, SchemaError, SupportError
from psmimpute.imputer import PSMImputer, impute


@pytest.fixture
def fitted(small, fast):
    return PSMImputer(**fast).fit(small)


def _duplicated(df):
    return pd.concat([df, df[["x"]]], axis=1)


def _with(name, position, value):
    def change(df):
        df = df.copy()
        df[name] = df[name].astype(object) if isinstance(value, str) else df[name]
        df.iloc[position, df.columns.get_loc(name)] = value
        return df

    return change


BAD_FRAMES = {
    "duplicated names": (_duplicated, SchemaError, r"duplicated column names: 'x'; rename"),
    "mixed types": (
        _with("x", 3, "three"),
        SchemaError,
        r"column 'x' mixes values of the types float, str: convert it.*exclude=\['x'\]",
    ),
    "infinite": (
        _with("x", 4, np.inf),
        SupportError,
        r"column 'x', row 4: inf is infinite: set it to missing",
    ),
    "never observed": (
        lambda df: df.assign(z=np.nan),
        SchemaError,
        r"column 'z' was never observed: give exclude=\['z'\]",
    ),
    "no rows": (lambda df: df.iloc[:0], SchemaError, r"the frame has no rows"),
    "no columns": (lambda df: df[[]], SchemaError, r"no column is left to model"),
    "no frame": (
        lambda df: df.to_numpy(),
        SchemaError,
        r"expected a pandas DataFrame, got ndarray",
    ),
    "a type of no use": (
        lambda df: df.assign(z=[{1}] * len(df)),
        SchemaError,
        r"column 'z' has dtype object and holds values of type set",
    ),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
@pytest.mark.parametrize("call", [impute, lambda df, **o: PSMImputer(**o).fit(df)])
def test_a_bad_frame_is_refused(small, fast, case, call):
    change, error, message = BAD_FRAMES[case]
    with pytest.raises(error, match=message):
        call(change(small), **fast)


BAD_OPTIONS = [
    ({"m": 0}, ConfigError, "m must be a whole number from 1 to 10000, got 0; 20 is usual"),
    ({"m": -3}, ConfigError, "m must be .* got -3"),
    ({"m": 2.5}, ConfigError, "m must be a whole number .* got 2.5"),
    ({"m": True}, ConfigError, "m must be a whole number .* got True"),
    ({"m": "5"}, ConfigError, "m must be a whole number .* got '5'"),
    ({"members": 0}, ConfigError, "members must be a whole number from 1 .* got 0"),
    ({"members": 1.5}, ConfigError, "members must be a whole number .* got 1.5"),
    ({"n_sets": 0}, ConfigError, "n_sets must be 'auto' or a whole number from 1 to 100, got 0"),
    ({"n_sets": 101}, ConfigError, "n_sets must be .* got 101"),
    ({"n_sets": "many"}, ConfigError, "n_sets must be 'auto' or .* got 'many'"),
    ({"seed": -1}, ConfigError, "seed must be a whole number from 0 to .* got -1"),
    ({"seed": 2**64}, ConfigError, "seed must be a whole number from 0 to .* got 1844"),
    ({"seed": "one"}, ConfigError, "seed must be a whole number .* got 'one'"),
    ({"missingness": "mar"}, ConfigError, "'shared', 'selection' or 'ignorable', got 'mar'"),
    ({"pi": 1.2}, ConfigError, r"pi of column 'x' must lie in \[0, 1\], got 1.2"),
    ({"pi": {"y": -0.1}}, ConfigError, r"pi of column 'y' must lie in \[0, 1\], got -0.1"),
    ({"pi": {"q": 0.5}}, ConfigError, r"pi names columns that are not modelled: \['q'\]"),
    ({"pi": "half"}, ConfigError, "pi must be a number, 'adaptive' or a mapping, got 'half'"),
    ({"pi": None}, ConfigError, "pi must be a number, 'adaptive' or a mapping, got None"),
    ({"device": "abacus"}, ConfigError, "device 'abacus' cannot be used here"),
    ({"kinds": {"q": "count"}}, SchemaError, "kinds names columns .* 'q'; it has 'x', 'y'"),
    ({"kinds": {"x": "volume"}}, SchemaError, "column 'x': unknown kind 'volume'; the kinds are"),
    ({"kinds": {"k": "count"}}, SchemaError, "column 'k' holds labels .* 'count' does not fit"),
    ({"exclude": ["q"]}, SchemaError, "exclude names columns .* 'q'; it has 'x', 'y'"),
    ({"exclude": 7}, SchemaError, "exclude=7 is one name: give a list"),
    ({"model": 3}, ConfigError, r"model must be a ModelConfig\(...\), got 3"),
    ({"fit": {}}, ConfigError, r"fit must be a FitConfig\(...\), got {}"),
    ({"exclude": "x"}, SchemaError, r"exclude='x' is one name: give a list, exclude=\['x'\]"),
    ({"exclude": ["x", "y", "k"]}, SchemaError, "no column is left to model"),
    ({"bounds": {"q": (0, 1)}}, SchemaError, "bounds names columns .* 'q'; it has 'x', 'y'"),
    ({"bounds": {"x": (1, 0)}}, SchemaError, r"column 'x': bounds \(1, 0\) are no pair"),
    ({"bounds": {"x": (0, 9)}}, SupportError, r"column 'x', row \d+.* is outside the bounds"),
    ({"bounds": {"k": (0, 1)}}, SchemaError, "column 'k' holds labels: bounds are for numbers"),
]


@pytest.mark.parametrize(("option", "error", "message"), BAD_OPTIONS, ids=lambda value: str(value))
def test_a_bad_option_is_refused(small, fast, option, error, message):
    with pytest.raises(error, match=message):
        impute(small, **{**fast, **option})


def test_new_rows_that_do_not_fit_are_refused(small, fitted):
    cases = [
        (small.assign(k="medium"), SupportError, "column 'k', row 0: level 'medium' was not"),
        (small[["x", "k"]], SchemaError, "the frame lacks modelled columns: 'y'"),
        (
            small.assign(x="text"),
            SchemaError,
            "column 'x' was learnt as continuous .* holds labels",
        ),
        (_duplicated(small), SchemaError, "duplicated column names: 'x'"),
    ]
    for df, error, message in cases:
        for call in (fitted.impute, fitted.transform):
            with pytest.raises(error, match=message):
                call(df)
    with pytest.raises(ConfigError, match=re.escape("m must be a whole number from 1 to 10000")):
        fitted.impute(small, 0)
    with pytest.raises(ConfigError, match="seed must be a whole number"):
        fitted.impute(small, seed=-1)
