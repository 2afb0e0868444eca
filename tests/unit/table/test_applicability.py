"""Skip patterns: when they are known not to apply, and what is emptied."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from psmimpute.exceptions import ConfigError, NotApplicableWarning
from psmimpute.table.applicability import Applicability, blank, check_conditions, leave_out
from psmimpute.table.encoding import encode
from psmimpute.table.infer import infer_schema


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "sex": ["f", "m", None, "m", "f", "m", "f"],
            "births": [2.0, np.nan, np.nan, np.nan, np.nan, 1.0, 0.0],
            "age": [30.0, 40.0, 50.0, np.nan, 20.0, 25.0, 60.0],
        }
    )


@pytest.fixture
def by_sex():
    return Applicability.of({"births": "sex == 'f'"})


def test_what_is_unknown_may_apply(frame, by_sex):
    never = by_sex.never_applies("births", frame)
    assert never.tolist() == [False, True, False, True, False, True, False]


def test_a_function_may_rest_on_any_other_column(frame):
    given = Applicability.of({"births": lambda d: d["sex"] == "f"})
    # Row 3 lacks the age, which the function might look at.
    assert np.flatnonzero(given.never_applies("births", frame)).tolist() == [1, 5]


def test_cells_are_left_out_and_contradictions_told(frame, by_sex):
    schema = infer_schema(frame, kinds={"births": "count"})
    with pytest.warns(NotApplicableWarning, match=r"'births' does not apply to row 5, .*1 such"):
        table = leave_out(encode(schema, frame), by_sex, frame, schema.column_names)
    assert np.flatnonzero(~table.applicable[:, 1]).tolist() == [1, 3]
    assert np.flatnonzero(table.missing_cells[:, 1]).tolist() == [2, 4]


def test_conditions_are_taken_in_order(frame):
    given = Applicability.of({"births": "sex == 'f'", "age": "births >= 1"})
    completed = frame.fillna({"sex": "m", "births": 1.0, "age": 33.0})
    gaps = {name: frame[name].isna().to_numpy() for name in ("births", "age")}
    emptied = blank(given, completed, gaps)
    assert np.flatnonzero(emptied["births"]).tolist() == [1, 2, 3]
    # Row 3 has no births any more, so that its age, which was missing, does not apply either.
    assert np.flatnonzero(emptied["age"]).tolist() == [3]
    assert completed["births"].isna().sum() == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("births", "x")], "must map columns to conditions"),
        ({"births": 3}, r"applicable_if\['births'\]=3: give a formula"),
        ({"nope": "sex == 'f'"}, "names 'nope', which is no column"),
        ({"births": "gender == 'f'"}, "names 'gender'"),
        ({"births": "births > 0"}, "rests on 'births' itself"),
        ({"births": "sex == 'female'"}, r"'sex' has no level 'female'; it has \['f', 'm'\]"),
        ({"births": "sex in ['f', 'x']"}, "'sex' has no level 'x'"),
        ({"births": "age + 1"}, "must give truth values, got such as .*: compare, as in"),
        ({"births": lambda _: True}, "one truth value for each"),
        ({"births": lambda d: d["no"]}, r"applicable_if\['births'\] failed: KeyError"),
    ],
)
def test_bad_conditions_are_refused(frame, given, message):
    with pytest.raises(ConfigError, match=message):
        check_conditions(Applicability.of(given), frame, infer_schema(frame))


def test_a_condition_on_gaps_that_stay_is_told(frame, by_sex):
    told = "'sex', which is not imputed: 'births' stays missing in 1 rows that lack both"
    with pytest.warns(NotApplicableWarning, match=told):
        check_conditions(by_sex, frame, infer_schema(frame, exclude=["sex"]))
    emptied = blank(by_sex, frame.fillna({"births": 1.0}), {"births": frame["births"].isna()})
    assert emptied["births"][2]
