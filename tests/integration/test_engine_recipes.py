"""The recipes of docs/scale.md for Spark and Dask give what the package gives by itself."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import psmimpute as psm
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
FAST = {"seed": 1, "n_sets": 1, "model": ModelConfig(hidden_dim=0), "fit": FitConfig(max_steps=5)}
pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore")]


def _recipe(name):
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A Parquet file, a saved model, and the imputations that the package makes in memory."""
    rng = np.random.default_rng(2)
    n = 240
    hidden = rng.normal(size=n)
    df = pd.DataFrame(
        {
            "x": hidden + rng.normal(size=n),
            "y": hidden + rng.normal(size=n),
            "n": rng.poisson(np.exp(0.3 * hidden)).astype(float),
            "k": np.where(hidden + rng.normal(size=n) > 0, "high", "low"),
        }
    ).mask(rng.random((n, 4)) < 0.15)
    df["n"] = df["n"].astype("Int64")
    df["id"] = np.arange(n) + 1000
    folder = tmp_path_factory.mktemp("files")
    df.to_parquet(folder / "rows.parquet", index=False, row_group_size=60)
    imputer = psm.PSMImputer(2, exclude=["id"], **FAST).fit(df)
    imputer.save(folder / "model.psm")
    return folder / "rows.parquet", str(folder / "model.psm"), imputer.impute(df, 2, row_key="id")


def _compare(found, number, imp):
    assert len(found) == 2 * imp.n_rows
    for k in (1, 2):
        mine = found[found[number] == k].set_index("id").sort_index()
        expected = imp.complete(k).set_index("id").sort_index()
        assert mine.index.tolist() == expected.index.tolist()
        for name in expected:
            assert mine[name].tolist() == expected[name].tolist(), name


def test_spark(files, monkeypatch):
    pytest.importorskip("pyspark", reason="Spark is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java")
    from pyspark.sql import SparkSession

    source, model, expected = files
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYSPARK_DRIVER_PYTHON", sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "50").getOrCreate()
    try:
        df = spark.read.parquet(str(source))
        done = _recipe("spark_batches").impute_spark(df, model, m=2, row_key="id")
        found = pd.DataFrame([row.asDict() for row in done.collect()])
    finally:
        spark.stop()
    _compare(found, "imp", expected)


def test_dask(files):
    pytest.importorskip("dask.dataframe", reason="Dask is not installed")
    import dask
    import dask.dataframe as dd

    source, model, expected = files
    ddf = dd.from_pandas(pd.read_parquet(source), npartitions=3)
    done = _recipe("dask_partitions").impute_dask(ddf, model, m=2, row_key="id")
    with dask.config.set(scheduler="synchronous"):
        found = done.compute()
    pd.testing.assert_series_equal(found.dtypes, done._meta.dtypes)
    _compare(found, ".imp", expected)
