"""Dtypes of completed tables come back from disk as they went there."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import psmimpute as psm
from psmimpute.exceptions import CorruptFileError

N_ROWS = 90
SUMMER_AND_WINTER = pd.to_datetime(["2020-07-01", "2020-12-01"]).tz_localize("Europe/Berlin")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    x = rng.normal(size=N_ROWS)
    days = pd.to_datetime(["2020-01-01", "2021-01-01"])
    df = pd.DataFrame(
        {
            "x": x,
            "rank": pd.Categorical(rng.integers(1, 4, N_ROWS), categories=[3, 1, 2], ordered=True),
            "truth": pd.Categorical(rng.random(N_ROWS) < 0.5),
            "day": pd.Categorical(days[rng.integers(0, 2, N_ROWS)]),
            "dose": pd.Categorical(rng.choice([0.5, 1.5], N_ROWS)),
            "third": pd.cut(pd.Series(x), 3),
            "age": pd.cut(pd.Series(rng.integers(0, 100, N_ROWS)), [-1, 18, 65, 100]),
            "small": pd.Categorical.from_codes(
                rng.integers(0, 2, N_ROWS), pd.Index([1, 5], dtype="int8")
            ),
            "count": pd.Series(rng.integers(1, 3, N_ROWS)).astype("Int64").astype("category"),
            "wait": pd.Categorical(pd.to_timedelta(["1D", "36h"])[rng.integers(0, 2, N_ROWS)]),
            "call": pd.Categorical(SUMMER_AND_WINTER[rng.integers(0, 2, N_ROWS)]),
            "period": pd.cut(
                pd.Series(SUMMER_AND_WINTER[rng.integers(0, 2, N_ROWS)]),
                pd.to_datetime(["2020-05-01", "2020-10-01", "2021-03-01"]).tz_localize(
                    "Europe/Berlin"
                ),
            ),
            "text": pd.Series(rng.choice(["a", "b"], N_ROWS), dtype=object),
            "label": pd.Categorical(rng.choice(["u", "v"], N_ROWS)),
        },
        index=pd.Index(np.arange(N_ROWS) * 2, name="person"),
    )
    df.loc[df["truth"].astype(bool).to_numpy() ^ True, "rank"] = None
    return df.mask(rng.random(df.shape) < 0.2)


@pytest.fixture(scope="module")
def imp(table, fast):
    return psm.impute(table, applicable_if={"rank": "truth == True"}, **fast)


@pytest.mark.parametrize("layout", ["long", "cells"])
def test_every_dtype_comes_back(imp, tmp_path, layout):
    imp.to_parquet(tmp_path / "stored", layout=layout)
    for all_at_once in (False, True):
        stored = psm.read_imputed(tmp_path / "stored")
        if all_at_once:
            assert len(stored.values) > 4
        for k in range(imp.m + 1):
            assert_frame_equal(stored.complete(k), imp.complete(k))


@pytest.mark.parametrize(
    "dtypes",
    [
        {"99": {"object": True}},
        {"one": {"object": True}},
        {"1": {"levels": [1, 2]}},
        {"1": {"levels": 5, "ordered": True}},
        {"1": {"levels": [{"type": "code", "value": "x"}], "ordered": True}},
        {"1": 3},
    ],
)
def test_a_forged_dtype_is_refused(imp, tmp_path, dtypes):
    imp.to_parquet(tmp_path / "stored")
    manifest = tmp_path / "stored" / "_psmimpute.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"dtypes": dtypes}))
    with pytest.raises(CorruptFileError, match="dtypes do not fit"):
        psm.read_imputed(tmp_path / "stored").complete(1)
