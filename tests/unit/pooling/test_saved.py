"""Pooled results as a file: what comes back, and what is refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal

import psmimpute as psm
from psmimpute import PooledResults
from psmimpute.exceptions import CorruptFileError, NewerFormatError, PoolingError, StorageError

M = 4


@pytest.fixture
def frames():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(M):
        frame = pd.DataFrame(rng.normal(size=(60, 2)), columns=["x", "y"])
        frame["g"] = pd.Categorical(np.arange(60) % 3, [0, 1, 2]).rename_categories([*"abc"])
        frame["y"] += frame["x"]
        found.append(frame)
    return found


@pytest.fixture
def pooled(frames):
    return psm.pool([smf.ols("y ~ x + g", frame).fit() for frame in frames])


@pytest.fixture
def file(pooled, tmp_path):
    pooled.save(tmp_path / "pooled.json")
    return tmp_path / "pooled.json"


def test_all_but_the_analyses_comes_back(pooled, file, frames):
    found = PooledResults.load(file)
    assert found.summary().as_text() == pooled.summary().as_text()
    assert_frame_equal(found.cov_params(), pooled.cov_params(), check_exact=True)
    assert_frame_equal(found.to_frame(), pooled.to_frame(), check_exact=True)
    assert_frame_equal(found.glance(), pooled.glance(), check_exact=True)
    terms = found.wald_test_terms().table
    assert_frame_equal(terms, pooled.wald_test_terms().table, check_exact=True)
    assert found.llf_mean == pooled.llf_mean
    assert found.scale == pooled.scale
    assert found.t_test("x = 1").pvalue == pooled.t_test("x = 1").pvalue
    with pytest.raises(PoolingError, match="read from a file"):
        found.predict(frames[0])


def test_what_was_read_is_written_alike(file, tmp_path):
    PooledResults.load(file).save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


def test_nested_rules_and_infinite_degrees_of_freedom_come_back(frames, tmp_path):
    fits = [smf.ols("y ~ x", frame).fit() for frame in frames]
    pooled = psm.pool(fits, dfcom=np.inf, rule="nested", member_of=[0, 0, 1, 1])
    pooled.save(tmp_path / "nested.json")
    found = PooledResults.load(tmp_path / "nested.json")
    assert found.dfcom == np.inf
    assert found.rule == "nested"
    assert_array_equal(found.df, pooled.df)


def test_terms_of_several_equations_come_back(frames, tmp_path):
    fits = [
        smf.mnlogit("code ~ x", frame.assign(code=frame["g"].cat.codes)).fit(disp=0)
        for frame in frames
    ]
    pooled = psm.pool(fits)
    pooled.save(tmp_path / "logit.json")
    found = PooledResults.load(tmp_path / "logit.json")
    assert found.params.index.equals(pooled.params.index)
    assert found.params.index.names == pooled.params.index.names
    assert_array_equal(found.params, pooled.params)


def _with(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return file


@pytest.mark.parametrize(
    "changes",
    [
        {"qhat": [[1.0]]},
        {"qhat": "no"},
        {"u": [[[1.0]]]},
        {"terms": ["a", "a", "b", "c"]},
        {"terms": None},
        {"dfcom": -1},
        {"dfcom": "many"},
        {"nobs": 2.5},
        {"llf": [1.0]},
        {"rule": "mine"},
        {"df": None},
        {"member_of": [0, "1", 2, 3]},
        {"model": {"name": "OLS"}},
        {"model": {"name": 1, "endog_names": "y", "exog_names": ["a", "b", "c", "d"]}},
        {"model": {"name": "m", "endog_names": "y", "exog_names": [*"abcd"], "df_model": "3"}},
        {"model": {"name": "m", "endog_names": "y", "exog_names": [*"abcd"], "more": 3}},
        {"scale": None},
    ],
)
def test_a_damaged_file_is_refused(file, changes):
    with pytest.raises(CorruptFileError, match=r"pooled\.json is damaged"):
        PooledResults.load(_with(file, **changes))


def test_a_variance_that_is_not_positive_is_refused(file):
    u = json.loads(file.read_text())["u"]
    u[1][2][2] = 0.0
    with pytest.raises(CorruptFileError, match="imputation 2 has estimate"):
        PooledResults.load(_with(file, u=u))


def test_a_pickle_runs_nothing(tmp_path, pooled):
    (tmp_path / "other").write_bytes(pickle.dumps(pooled))
    with pytest.raises(CorruptFileError, match="no JSON"):
        PooledResults.load(tmp_path / "other")


def test_other_and_newer_files_are_refused(file, tmp_path):
    with pytest.raises(NewerFormatError, match="update psmimpute"):
        PooledResults.load(_with(file, format=99))
    with pytest.raises(CorruptFileError, match="holds no pooled results"):
        PooledResults.load(_with(file, kind="manifest"))
    with pytest.raises(StorageError, match="cannot read"):
        PooledResults.load(tmp_path / "nothing")
    with pytest.raises(StorageError, match="cannot write"):
        PooledResults.load(_restored(file)).save(tmp_path / "nowhere" / "file")


def _restored(file):
    return _with(file, kind="psmimpute pooled results", format=1)
