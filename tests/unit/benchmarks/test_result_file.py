"""Rows that are appended to result files."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.result_file import already, record


def test_rows_are_appended_in_the_columns_of_the_file(tmp_path):
    out = tmp_path / "results.csv"
    record({"a": 1, "b": 2}, out, ["b", "a"])
    record({"b": 3, "a": 4}, out)
    found = pd.read_csv(out)
    assert found[["a", "b"]].to_numpy().tolist() == [[1, 2], [4, 3]]
    assert already(out, ["a", "b"]) == {(1, 2), (4, 3)}
    assert found["python"].notna().all()


def test_a_column_that_the_file_lacks_is_refused(tmp_path):
    out = tmp_path / "results.csv"
    record({"a": 1}, out)
    with pytest.raises(ValueError, match=r"has no columns \['c'\]; write to another file"):
        record({"a": 2, "c": 3}, out)
    assert len(pd.read_csv(out)) == 1
