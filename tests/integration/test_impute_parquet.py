"""Parquet in, Parquet out: the same imputations however the rows are stored and batched."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import psmimpute as psm
from psmimpute.exceptions import (
    ConfigError,
    CorruptFileError,
    NewerFormatError,
    OtherJobError,
    SchemaError,
    StorageError,
    SupportError,
)
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig
from psmimpute.storage.sampling import sample_rows
from psmimpute.storage.source import ParquetSource

pytestmark = pytest.mark.filterwarnings("ignore::psmimpute.exceptions.PSMWarning")
N = 700
KILLS = int(os.environ.get("PSMIMPUTE_KILLS", "5"))  # of each layout: 10 for twenty in all
FAST = {"seed": 1, "n_sets": 2, "model": ModelConfig(hidden_dim=4)}
FAST["fit"] = FitConfig(max_steps=4, n_draw_samples=4)


def make_table(n=N):
    rng = np.random.default_rng(3)
    hidden = rng.normal(size=n)
    df = pd.DataFrame(
        {
            "x": hidden + 0.3 * rng.normal(size=n),
            "count": rng.poisson(np.exp(0.5 * hidden)),
            "k": rng.choice(["a", "b", "c"], n),
            "c": pd.Categorical(np.where(hidden > 0, "hi", "lo"), categories=["no", "lo", "hi"]),
            "yes": hidden > 0.3,
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, n), unit="D"),
            "took": pd.to_timedelta(rng.integers(1, 99, n), unit="s"),
        }
    )
    df = df.mask(rng.random(df.shape) < 0.15)
    df = df.astype({"count": "Int64", "yes": "boolean"})
    return df.assign(group=np.arange(n) % 3, id=[f"r{i}" for i in range(n)])


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def imputer(table):
    return psm.PSMImputer(3, exclude=["id"], **FAST).fit(table)


@pytest.fixture(scope="module")
def one_file(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("one") / "rows.parquet"
    table.to_parquet(path, row_group_size=150, compression="zstd")
    return path


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def same_frames(found, expected):
    assert found.m == expected.m
    for k in range(found.m + 1):
        pd.testing.assert_frame_equal(
            found.complete(k), expected.complete(k), check_exact=True, check_like=True
        )


@pytest.mark.parametrize("layout", ["long", "cells"])
def test_the_result_is_that_of_the_frame(table, imputer, one_file, tmp_path, layout):
    expected = imputer.impute(table)
    imp = psm.impute_parquet(one_file, tmp_path / "out", m=3, model=imputer, layout=layout)
    assert isinstance(imp, psm.MultiplyImputed)
    same_frames(imp, expected)
    pd.testing.assert_frame_equal(imp.where, expected.where)
    pd.testing.assert_frame_equal(imp.pattern_set_probabilities, expected.pattern_set_probabilities)
    np.testing.assert_array_equal(imp.pattern_set_draws, expected.pattern_set_draws)
    np.testing.assert_allclose(imp.info.ess, expected.info.ess, rtol=1e-6)
    assert imp.n_rows == N
    pooled, wanted = (each.pool("x ~ day.dt.day_of_year", model=_ols) for each in (imp, expected))
    pd.testing.assert_series_equal(pooled.params, wanted.params)
    assert imp.imputed_values("x").equals(expected.imputed_values("x"))
    assert imp.filter(table["x"] > 0).n_rows == (table["x"] > 0).sum()
    assert imp.assign(twice=lambda d: 2 * d.x).complete(1)["twice"].notna().all()
    assert "3 imputations" in repr(imp) or "m = 3" in repr(imp) or repr(imp)


def _ols(formula, data):
    from statsmodels.formula import api

    return api.ols(formula, data)


def test_schema_metadata_dictionaries_row_groups_and_codec_are_kept(imputer, one_file, tmp_path):
    psm.impute_parquet(one_file, tmp_path / "out", m=2, model=imputer)
    before = pq.ParquetFile(one_file)
    for k in range(3):
        (path,) = (tmp_path / "out" / f".imp={k}").glob("*.parquet")
        after = pq.ParquetFile(path)
        assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
        sizes = [
            [f.metadata.row_group(i).num_rows for i in range(f.metadata.num_row_groups)]
            for f in (before, after)
        ]
        assert sizes[0] == sizes[1]
        assert after.metadata.row_group(0).column(0).compression == "ZSTD"
        levels = pd.read_parquet(path)["c"].cat.categories.tolist()
        assert levels == ["no", "lo", "hi"]
    found = pads.dataset(tmp_path / "out", partitioning="hive", ignore_prefixes=["_"])
    assert found.count_rows(filter=pads.field(".imp") == 2) == N


@pytest.mark.parametrize("row_key", [None, "id"])
def test_files_batches_workers_and_order_do_not_matter(table, imputer, one_file, tmp_path, row_key):
    first = psm.impute_parquet(one_file, tmp_path / "one", m=3, model=imputer, row_key=row_key)
    seven = tmp_path / "seven"
    seven.mkdir()
    for i, part in enumerate(np.array_split(np.arange(N), 7)):
        table.iloc[part].to_parquet(seven / f"{i}.parquet", index=False, row_group_size=40)
    for name, options in {
        "small": {"batch_rows": 17},
        "large": {"batch_rows": 10**6, "layout": "cells"},
    }.items():
        imp = psm.impute_parquet(
            seven, tmp_path / name, m=3, model=imputer, row_key=row_key, **options
        )
        same_frames(imp, first)
    if row_key:
        shuffled = table.sample(frac=1, random_state=0)
        shuffled.to_parquet(tmp_path / "shuffled.parquet", index=False)
        imp = psm.impute_parquet(
            tmp_path / "shuffled.parquet", tmp_path / "s", m=3, model=imputer, row_key="id"
        )
        for k in (1, 3):
            a = imp.complete(k).set_index("id").loc[table["id"]]
            pd.testing.assert_frame_equal(a, first.complete(k).set_index("id"), check_exact=True)


def test_two_processes_give_the_bytes_of_one(table, imputer, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for i in range(3):
        table.iloc[i::3].to_parquet(source / f"{i}.parquet", index=False)
    for name, workers in {"one": None, "two": 2}.items():
        psm.impute_parquet(source, tmp_path / name, m=2, model=imputer, workers=workers)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_hive_folders_stay(table, imputer, tmp_path):
    source = tmp_path / "in"
    pq.write_to_dataset(pa.Table.from_pandas(table), source, partition_cols=["group"])
    imp = psm.impute_parquet(source, tmp_path / "out", m=2, model=imputer, row_key="id")
    expected = imputer.impute(table, 2, row_key="id")
    for k in (1, 2):
        a = imp.complete(k).set_index("id").loc[table["id"]]
        b = expected.complete(k).set_index("id")
        pd.testing.assert_frame_equal(a[b.columns], b, check_exact=True, check_dtype=False)
    assert (tmp_path / "out" / ".imp=1" / "group=2").is_dir()


def test_any_file_system_will_do(table, imputer, one_file, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    with memory.open("/lake/rows.parquet", "wb") as file:
        file.write(one_file.read_bytes())
    expected = psm.impute_parquet(one_file, tmp_path / "out", m=2, model=imputer)
    imp = psm.impute_parquet("/lake", "/done", m=2, model=imputer, filesystem=memory)
    same_frames(imp, expected)
    same_frames(psm.read_imputed("memory://done"), expected)
    assert not [name for name in memory.find("/done") if "_job" in name]
    mixed = (pa.fs.LocalFileSystem(), memory)
    imp = psm.impute_parquet(one_file, "/mixed", m=2, model=imputer, filesystem=mixed)
    same_frames(imp, expected)


def test_a_model_is_fitted_where_none_is_given(one_file, tmp_path):
    imp = psm.impute_parquet(one_file, tmp_path / "out", m=2, seed=5, row_key="id")
    loaded = psm.PSMImputer.load(tmp_path / "out" / "_model.psm")
    assert loaded.m == imp.m == 2
    assert loaded.exclude == ["id"]
    assert not imp.complete(2).isna().any(axis=None)


def test_unseen_levels_by_policy(table, imputer, tmp_path):
    odd = table.assign(k=table["k"].where(table.index != 5, "strange"))
    odd.to_parquet(tmp_path / "odd.parquet")
    with pytest.raises(SupportError, match="row 5: level 'strange' was not observed"):
        psm.impute_parquet(tmp_path / "odd.parquet", tmp_path / "out", m=2, model=imputer)
    expected = imputer.impute(odd, 2, unseen="missing")
    for layout in ("long", "cells"):
        imp = psm.impute_parquet(
            tmp_path / "odd.parquet",
            tmp_path / layout,
            m=2,
            model=imputer,
            layout=layout,
            unseen="missing",
        )
        same_frames(imp, expected)
        assert imp.where["k"][5]


def test_a_row_key_that_two_files_share_is_refused_before_anything_is_drawn(
    table, imputer, tmp_path
):
    (tmp_path / "in").mkdir()
    for i in range(2):
        table.iloc[:50].to_parquet(tmp_path / "in" / f"{i}.parquet", index=False)
    with pytest.raises(SchemaError, match="rows 0 and 50: 'r0' is there twice"):
        psm.impute_parquet(tmp_path / "in", tmp_path / "out", 2, model=imputer, row_key="id")
    assert not list((tmp_path / "out").glob("_job/part-*"))


def test_a_finished_job_is_not_done_again_and_another_is_refused(imputer, one_file, tmp_path):
    out = tmp_path / "out"
    psm.impute_parquet(one_file, out, m=2, model=imputer)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    psm.impute_parquet(one_file, out, m=2, model=imputer)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with pytest.raises(OtherJobError, match="job of another m, seed: choose another folder"):
        psm.impute_parquet(one_file, out, m=3, model=imputer, seed=9)
    imp = psm.impute_parquet(one_file, out, m=3, model=imputer, seed=9, resume=False)
    assert imp.m == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for resume in (True, False):
        with pytest.raises(OtherJobError, match="files that are no imputations"):
            psm.impute_parquet(one_file, tmp_path / "mine", m=2, model=imputer, resume=resume)
    assert contents(tmp_path / "mine").keys() == {"thesis.txt"}


def test_bad_calls_are_refused(imputer, one_file, tmp_path):
    def call(source=one_file, target=tmp_path / "out", m=2, model=imputer, **options):
        return psm.impute_parquet(source, target, m=m, model=model, **options)

    for name, value in {"m": 0, "batch_rows": 0, "layout": "wide", "engine": "dask"}.items():
        with pytest.raises(ConfigError, match=f"{name} must be"):
            call(**{name: value})
    with pytest.raises(StorageError, match=r"cannot read .*nothing"):
        call(source=tmp_path / "nothing")
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(StorageError, match=r"cannot read .*text.parquet"):
        call(source=tmp_path / "text.parquet")
    pq.write_table(pa.table({"x": pa.array([], pa.float64())}), tmp_path / "empty.parquet")
    with pytest.raises(StorageError, match="there is no row in it"):
        call(source=tmp_path / "empty.parquet")
    with pytest.raises(SchemaError, match="lacks columns: 'key'"):
        call(row_key="key")
    assert not (tmp_path / "out" / "_psmimpute.json").exists()


def test_damaged_manifests_are_refused(imputer, one_file, tmp_path):
    psm.impute_parquet(one_file, tmp_path, m=2, model=imputer)
    path = tmp_path / "_psmimpute.json"
    good = json.loads(path.read_bytes())
    with pytest.raises(StorageError, match="not there"):
        psm.read_imputed(tmp_path / "elsewhere")
    bad = [
        good | {"m": "2"},
        good | {"m": 3},
        good | {"layout": "wide"},
        good | {"schema": {}},
        good | {"extra": 1},
        good | {"format": None},
        good | {"parts": [{"name": "../../secret", "n_rows": 1, "files": {}}]},
        good | {"parts": [{"name": "/secret", "n_rows": 1, "files": {}}]},
        [good],
    ]
    for state in bad:
        path.write_text(json.dumps(state))
        with pytest.raises(CorruptFileError):
            psm.read_imputed(tmp_path)
    path.write_text(json.dumps(good | {"format": 9}))
    with pytest.raises(NewerFormatError):
        psm.read_imputed(tmp_path)


def test_reading_needs_no_torch(imputer, one_file, tmp_path):
    psm.impute_parquet(one_file, tmp_path / "out", m=2, model=imputer)
    code = (
        "import sys, psmimpute as psm; import statsmodels.formula.api as smf;"
        f"imp = psm.read_imputed({str(tmp_path / 'out')!r});"
        "print(imp.pool('x ~ count', model=smf.ols).m, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


@pytest.mark.parametrize("layout", ["long", "cells"])
def test_what_is_in_memory_goes_to_disk_and_back(table, imputer, tmp_path, layout):
    labelled = table.set_index("id")
    imp = imputer.impute(labelled).assign(twice=lambda d: 2 * d.x)
    assert imp.to_parquet(tmp_path / "out", layout=layout) == tmp_path / "out"
    found = psm.read_imputed(tmp_path / "out")
    assert found.complete(1).index.equals(labelled.index)
    same_frames(found, imp.materialized())
    np.testing.assert_array_equal(found.pattern_set_draws, imp.pattern_set_draws)
    assert found.info.seed == imp.info.seed
    assert not (tmp_path / "out" / "_job").exists()
    with pytest.raises(OtherJobError, match="is not empty"):
        imp.to_parquet(tmp_path / "out")


# Killed at any moment


def test_a_full_disk_leaves_what_is_complete_and_no_temporary_file(
    imputer, table, tmp_path, monkeypatch
):
    source = tmp_path / "in"
    source.mkdir()
    for i in range(4):
        table.iloc[i::4].to_parquet(source / f"{i}.parquet", index=False)
    whole = psm.impute_parquet(source, tmp_path / "whole", m=2, model=imputer)
    written, create = [], psm.streaming.Folder.create

    def full(self, name):
        written.append(name)
        if len(written) > 12:
            raise OSError(28, "No space left on device")
        return create(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(psm.streaming.Folder, "create", full)
        with pytest.raises(StorageError, match="No space left on device"):
            psm.impute_parquet(source, tmp_path / "out", m=2, model=imputer)
    assert not list((tmp_path / "out").glob("_job/tmp/*"))
    with pytest.raises(StorageError, match="not finished: run it again"):
        psm.read_imputed(tmp_path / "out")
    same_frames(psm.impute_parquet(source, tmp_path / "out", m=2, model=imputer), whole)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to start children quickly")
@pytest.mark.parametrize("layout", ["long", "cells"])
def test_a_job_killed_at_random_moments_ends_with_the_same_bytes(imputer, table, tmp_path, layout):
    """Kills -9; the driver is a process of its own, without threads."""
    source, model = tmp_path / "in", imputer.save(tmp_path / "model.psm")
    source.mkdir()
    for i in range(12):
        table.iloc[i::12].to_parquet(source / f"{i:02d}.parquet", index=False)
    driver = [sys.executable, __file__, str(source), str(tmp_path), str(model), layout]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(driver, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    killed, runs = map(int, done.stdout.split())
    assert killed == KILLS
    assert runs > killed
    expected = contents(tmp_path / "undisturbed")
    found = [contents(path) for path in sorted(tmp_path.glob("job-*"))]
    assert found
    for each in found:
        assert each == expected


def drive(source, folder, model, layout):
    """Kill children at random moments of their work, each time on what the last one left."""
    import torch

    torch.set_num_threads(1)
    folder = Path(folder)

    def run(target):
        psm.impute_parquet(source, target, m=2, model=model, layout=layout, batch_rows=50)

    start = time.monotonic()
    run(folder / "undisturbed")
    usual = time.monotonic() - start
    rng, killed, runs, job = np.random.default_rng(0), 0, 0, 0
    while killed < KILLS or not _is_done(folder / f"job-{job}"):
        job += _is_done(folder / f"job-{job}")
        runs += 1
        child = os.fork()
        if child == 0:
            try:
                run(folder / f"job-{job}")
            finally:
                os._exit(0)
        if killed < KILLS:
            time.sleep(rng.uniform(0.05, 0.7) * usual)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
    sys.stdout.write(f"{killed} {runs}")


def _is_done(folder):
    return (folder / "_psmimpute.json").exists() and not (folder / "_job").exists()


# Samples


def test_a_sample_does_not_depend_on_files_or_order(table, one_file, tmp_path):
    drawn = sample_rows(ParquetSource(one_file), 100, seed=3, row_key="id")
    table.iloc[::-1].to_parquet(tmp_path / "reversed.parquet", index=False, row_group_size=33)
    again = sample_rows(ParquetSource(tmp_path / "reversed.parquet"), 100, seed=3, row_key="id")
    shared = set(drawn["id"]) & set(again["id"])
    # Witnesses are the first rows of their sort, so a few of them differ.
    assert len(shared) >= 100
    assert 100 <= len(drawn) <= 130
    other = sample_rows(ParquetSource(one_file), 100, seed=4, row_key="id")
    assert len(set(drawn["id"]) & set(other["id"])) < 50
    whole = sample_rows(ParquetSource(one_file), 10**6, seed=3)
    pd.testing.assert_frame_equal(whole, pd.read_parquet(one_file))


def test_a_sample_has_every_level_and_the_extremes(tmp_path):
    n = 5000
    df = pd.DataFrame({"k": ["a"] * n, "x": np.arange(n) % 7.0, "b": [True] * n})
    df.loc[4321, ["k", "b"]] = ["rare", False]
    df.loc[17, "x"], df.loc[18, "x"], df.loc[19, "x"] = -99, 99, 0.5
    df.to_parquet(tmp_path / "rows.parquet", row_group_size=500)
    drawn = sample_rows(ParquetSource(tmp_path / "rows.parquet"), 50, seed=0)
    assert 50 <= len(drawn) <= 56
    assert set(drawn["k"]) == {"a", "rare"}
    assert set(drawn["b"]) == {True, False}
    assert {-99, 99, 0.5} <= set(drawn["x"])


def test_fitting_to_parquet_is_fitting_to_its_sample(one_file, tmp_path):
    imputer = psm.PSMImputer(2, exclude=["id"], **FAST).fit(one_file, sample_rows=200)
    drawn = sample_rows(ParquetSource(one_file), 200, seed=1)
    other = psm.PSMImputer(2, exclude=["id"], **FAST).fit(drawn)
    assert imputer.to_bytes() == other.to_bytes()
    with pytest.raises(ConfigError, match="sample_rows must be a whole number"):
        psm.PSMImputer(2).fit(one_file, sample_rows=0)
    with pytest.raises(SchemaError, match="row_key names a column that the data do not have"):
        psm.PSMImputer(2).fit(one_file, sample_rows=200, row_key="key")


if __name__ == "__main__":
    drive(*sys.argv[1:])
