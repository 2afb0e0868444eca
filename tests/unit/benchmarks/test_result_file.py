"""Rows that are appended to result files."""

from __future__ import annotations

import re
import subprocess

import pandas as pd
import pytest

from benchmarks.machine import revision
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


def test_a_row_names_the_commit_it_was_measured_with(tmp_path):
    assert revision(tmp_path) == ""

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-m", "first")
    revision.cache_clear()
    clean = revision(tmp_path)
    assert re.fullmatch(r"\+[0-9a-f]{7,}", clean)
    (tmp_path / "file").write_text("b")
    revision.cache_clear()
    assert revision(tmp_path) == f"{clean}.changed"
