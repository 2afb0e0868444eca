"""The Ray engine, on a local cluster of two workers."""

from __future__ import annotations

import os
import signal
import threading
import time

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


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Source folder of eight files, and an imputer."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(1600, 1))
    df = pd.DataFrame(hidden + rng.normal(size=(1600, 4)), columns=list("abcd"))
    df = df.mask(rng.random(df.shape) < 0.2)
    source = tmp_path_factory.mktemp("source")
    for i in range(8):
        df.iloc[200 * i : 200 * (i + 1)].to_parquet(source / f"{i}.parquet", index=False)
    fit = FitConfig(max_steps=5)
    imputer = psm.PSMImputer(2, seed=1, n_sets=1, model=ModelConfig(hidden_dim=0), fit=fit)
    return source, imputer.fit(df)


def _contents(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_ray_writes_the_bytes_of_the_local_engine(cluster, job, tmp_path):
    source, imputer = job
    psm.impute_parquet(source, tmp_path / "local", m=2, model=imputer)
    psm.impute_parquet(source, tmp_path / "ray", m=2, model=imputer, engine="ray", workers=2)
    assert _contents(tmp_path / "ray") == _contents(tmp_path / "local")


def test_a_killed_worker_is_replaced(cluster, job, tmp_path):
    source, imputer = job
    psm.impute_parquet(source, tmp_path / "local", m=2, model=imputer)
    killed = []

    def kill_one():
        from ray.util.state import list_actors

        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not killed:
            if list((tmp_path / "ray").glob("_job/part-*.json")):
                alive = [a for a in list_actors(filters=[("state", "=", "ALIVE")]) if a.pid]
                workers = [a.pid for a in alive if "MapWorker" in a.class_name]
                if workers:
                    os.kill(workers[0], signal.SIGKILL)
                    killed.append(workers[0])
            time.sleep(0.01)

    thread = threading.Thread(target=kill_one)
    thread.start()
    psm.impute_parquet(source, tmp_path / "ray", m=2, model=imputer, engine="ray", workers=2)
    thread.join()
    assert killed
    assert _contents(tmp_path / "ray") == _contents(tmp_path / "local")


def test_bad_data_are_an_error_on_ray_too(cluster, job, tmp_path):
    source, imputer = job
    df = pd.read_parquet(source)
    df["a"] = "text"
    df.to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(PSMError, match="SchemaError: column 'a' was learnt as"):
        psm.impute_parquet(
            tmp_path / "bad.parquet", tmp_path / "out", m=2, model=imputer, engine="ray"
        )
