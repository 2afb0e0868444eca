"""Columns that are linear functions of others are found, and others are not."""

from __future__ import annotations

import pandas as pd
import pytest

from psmimpute.exceptions import ExactRelationWarning
from psmimpute.table.exact_relations import find_exact_relations, warn_of_exact_relations
from psmimpute.table.infer import infer_schema


@pytest.fixture
def table(rng):
    a, b = rng.normal(50, 10, size=300), rng.gamma(3.0, 7.0, size=300)
    frame = pd.DataFrame({"a": a, "b": b, "noise": rng.normal(size=300)})
    frame["body mass"] = a - 2.54 * b + 3
    frame["town"] = rng.choice(list("xyz"), 300)
    return frame


def _found(frame):
    return find_exact_relations(frame, infer_schema(frame))


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64"])
def test_a_sum_with_gaps_is_found_with_its_formula(table, rng, dtype):
    table["body mass"] = table["body mass"].astype(dtype)
    table.loc[rng.random(300) < 0.2, "body mass"] = None
    table.loc[rng.random(300) < 0.2, "a"] = None
    (relation,) = _found(table)
    assert relation.name == "body mass"
    assert [name for name, _ in relation.weights] == ["b", "a"]
    assert relation.formula == "-2.54 * b + a + 3"


def test_what_is_complete_or_only_nearly_so_is_no_relation(table, rng):
    assert _found(table) == []
    table.loc[:20, "noise"] = None  # which is in none
    assert _found(table) == []
    table.loc[:20, "body mass"] = None
    assert len(_found(table)) == 1
    table["body mass"] = table["body mass"].round(1)
    assert _found(table) == []


def test_few_complete_rows_tell_nothing(table):
    table.loc[13:, "body mass"] = None
    assert _found(table) == []


def test_a_relation_is_warned_of_with_what_to_declare(table):
    table.loc[:60, "body mass"] = None
    with pytest.warns(ExactRelationWarning, match=r"declare derived=\{'body mass': 'a - 2.54 \* b"):
        warn_of_exact_relations(table, infer_schema(table))
