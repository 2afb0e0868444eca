"""The Ray engine, on a local cluster of two workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import psmimpute as psm
from psmimpute.exceptions import PSMError
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'psmimpute[ray]'")
pytest.importorskip("ray.data", reason="Ray Data is not installed")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore"),
]
N_PIECES, PIECE_ROWS = 16, 500
FAST = {"seed": 1, "n_sets": 1, "model": ModelConfig(hidden_dim=0), "fit": FitConfig(max_steps=5)}


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = N_PIECES * PIECE_ROWS
    hidden = rng.normal(size=(n, 1))
    df = pd.DataFrame(hidden + rng.normal(size=(n, 4)), columns=list("abcd"))
    return df.mask(rng.random(df.shape) < 0.2)


@pytest.fixture(scope="module")
def job(table, tmp_path_factory):
    """Source folder of many files, an imputer, and what the local engine makes of them."""
    source = tmp_path_factory.mktemp("source")
    for i in range(N_PIECES):
        part = table.iloc[PIECE_ROWS * i : PIECE_ROWS * (i + 1)]
        part.to_parquet(source / f"{i:02d}.parquet", index=False)
    imputer = psm.PSMImputer(2, **FAST).fit(table.iloc[:1000])
    local = tmp_path_factory.mktemp("local") / "imputed"
    psm.impute_parquet(source, local, m=2, model=imputer)
    return source, imputer, _contents(local)


def _contents(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_ray_writes_the_bytes_of_the_local_engine(cluster, job, tmp_path):
    source, imputer, expected = job
    psm.impute_parquet(source, tmp_path / "ray", m=2, model=imputer, engine="ray", workers=2)
    assert _contents(tmp_path / "ray") == expected


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_a_killed_worker_is_replaced(cluster, job, tmp_path):
    source, imputer, expected = job
    killed, done = [], threading.Event()

    def kill_one():
        records = tmp_path / "ray" / "_job"
        while not done.is_set() and not killed:
            # Midway: some pieces are there, others are not.
            if 1 <= len(list(records.glob("part-*.json"))) < N_PIECES - 4:
                for pid in _map_workers()[:1]:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            time.sleep(0.005)

    thread = threading.Thread(target=kill_one)
    thread.start()
    try:
        psm.impute_parquet(source, tmp_path / "ray", m=2, model=imputer, engine="ray", workers=2)
    finally:
        done.set()
        thread.join()
    assert killed
    assert _contents(tmp_path / "ray") == expected


def _map_workers():
    """Processes of Ray that are at work on a batch: each says so in place of its command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes()
        except OSError:  # gone in the meantime
            continue
        if title.startswith(b"ray::MapWorker"):
            found.append(int(path.parent.name))
    return sorted(found)


def test_bad_data_are_an_error_on_ray_too(cluster, job, tmp_path):
    source, imputer, _ = job
    df = pd.read_parquet(source)
    df["a"] = "text"
    df.to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(PSMError, match="SchemaError: column 'a' was learnt as"):
        psm.impute_parquet(
            tmp_path / "bad.parquet", tmp_path / "out", m=2, model=imputer, engine="ray"
        )


@pytest.mark.parametrize("n_sets", [1, 2])
def test_members_trained_by_tasks_are_those_trained_here(cluster, table, n_sets):
    df = table.iloc[:300]
    options = FAST | {"n_sets": n_sets, "model": ModelConfig(hidden_dim=4)}
    local = psm.PSMImputer(5, **options).fit(df)
    spread = psm.PSMImputer(5, **options).fit(df, engine="ray", workers=2)
    ours, theirs = (dict(each.fitted_.model.named_parameters()) for each in (local, spread))
    for name, parameter in ours.items():
        np.testing.assert_allclose(theirs[name], parameter, rtol=1e-4, atol=1e-5, err_msg=name)
    assert len(spread.fitted_.history) == len(local.fitted_.history)
    np.testing.assert_array_equal(spread.fitted_.alignment, local.fitted_.alignment)
    here, there = (each.impute(df, 5).complete(5) for each in (local, spread))
    np.testing.assert_allclose(there, here, rtol=1e-2, atol=1e-2)


def test_a_model_is_fitted_on_ray_where_none_is_given(cluster, table, tmp_path):
    table.iloc[:60].to_parquet(tmp_path / "few.parquet")
    imp = psm.impute_parquet(
        tmp_path / "few.parquet", tmp_path / "out", m=4, seed=3, engine="ray", workers=2
    )
    assert imp.info.members == 4
    assert not imp.complete(4).isna().any(axis=None)
