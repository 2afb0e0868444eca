"""Which device is taken, and that an accelerator gives what the CPU gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

from psmimpute.exceptions import ConfigError
from psmimpute.imputer import PSMImputer, impute
from psmimpute.inference.config import FitConfig
from psmimpute.inference.device import choose_device, room
from psmimpute.model.config import ModelConfig

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_the_name_of_a_device_is_taken_as_it_is():
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_prefers_cuda_then_mps_then_the_cpu(cuda, mps, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["abacus", "cpu:x", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(ConfigError, match=rf"device '{name}' cannot be used here.*'auto' or 'cpu'"):
        choose_device(name)


def test_an_accelerator_takes_more_rows_at_once():
    assert room(torch.device("cpu")) == 1
    for name in ("cuda", "mps"):
        assert room(torch.device(name)).bit_count() == 1  # blocks of rows are powers of two
        assert room(torch.device(name)) > 1


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("missingness", ["shared", "selection"])
def test_an_accelerator_gives_what_the_cpu_gives(missingness):
    """Draws share their random numbers; the noise of training is the device's own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 1)) + 0.5 * rng.normal(size=(80, 3))
    df = pd.DataFrame(np.where(rng.random(x.shape) < 0.2, np.nan, x), columns=list("abc"))
    fast = {"fit": FitConfig(max_steps=10), "model": ModelConfig(hidden_dim=0), "n_sets": 1}
    fast["missingness"] = missingness
    found = [impute(df, m=2, seed=1, device=device, **fast) for device in ("cpu", "cuda")]
    assert found[1].info.device.startswith("cuda")
    for on_cpu, on_gpu in zip(*found, strict=True):
        assert np.corrcoef(on_cpu.to_numpy().ravel(), on_gpu.to_numpy().ravel())[0, 1] > 0.95
        assert_allclose(on_gpu.mean(), on_cpu.mean(), atol=0.1)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.filterwarnings("ignore::psmimpute.exceptions.PSMWarning")
@pytest.mark.parametrize("hidden_dim", [0, 8])
@pytest.mark.parametrize("n_sets", [1, 3])
@pytest.mark.parametrize("missingness", ["ignorable", "shared", "selection"])
def test_one_model_says_the_same_on_an_accelerator(missingness, n_sets, hidden_dim, every_family):
    """Single imputation, draws, sets and quality of weights, of columns of every family."""
    df = every_family
    options = {"fit": FitConfig(max_steps=20), "n_sets": n_sets, "missingness": missingness}
    options["model"] = ModelConfig(hidden_dim=hidden_dim, covariate_dim=hidden_dim)
    on_cpu = PSMImputer(3, seed=1, device="cpu", **options).fit(df)
    on_gpu = PSMImputer.from_bytes(on_cpu.to_bytes(), device="cuda")
    lacking = df.head(40).assign(whole=np.nan)
    for rows in (df, lacking):
        here, there = (x.transform(rows, n_samples=200) for x in (on_cpu, on_gpu))
        for name in ("number", "positive", "count"):
            spread = here[name].std()
            assert_allclose(there[name], here[name], atol=2e-2 * spread, err_msg=name)
        for name in ("yes", "three", "ordered"):
            assert (there[name] == here[name]).mean() > 0.98, name
        here, there = (x.impute(rows) for x in (on_cpu, on_gpu))
        assert_allclose(there.info.ess, here.info.ess, rtol=0.05)
        assert_allclose(there.pattern_set_probabilities, here.pattern_set_probabilities, atol=0.02)
        for k in (1, 2, 3):
            a, b = here.complete(k), there.complete(k)
            for name in df.columns:
                if a[name].dtype.kind == "f":
                    close = np.isclose(a[name], b[name], rtol=1e-3, atol=1e-3)
                else:
                    close = (a[name] == b[name]).to_numpy()
                assert close.mean() > 0.98, name
