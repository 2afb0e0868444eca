"""Which device is taken, and that an accelerator gives what the CPU gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

from psmimpute.exceptions import ConfigError
from psmimpute.imputer import impute
from psmimpute.inference.config import FitConfig
from psmimpute.inference.device import choose_device
from psmimpute.model.config import ModelConfig


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
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
