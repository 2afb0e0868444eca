"""Frames of every dtype, and settings that make a fit take a second."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig

N_ROWS = 60


def _arrow(values, dtype):
    return pd.arrays.ArrowExtensionArray(pa.array(list(values), dtype))


def _complete(rng, n):
    """One column of every dtype in use, all tied to one hidden variable."""
    hidden = rng.normal(size=n)

    def real(scale=1.0):
        return scale * (hidden + 0.5 * rng.normal(size=n))

    def whole(spread=10):
        return np.rint(real(spread)).astype(int)

    def levels(*names):
        cut = np.digitize(real(), np.linspace(-0.7, 0.7, len(names) - 1))
        return [names[k] for k in cut]

    times = pd.Timestamp("2021-03-01") + pd.to_timedelta(whole() + 100, unit="D")
    size = pd.CategoricalDtype(["S", "M", "L", "never"], ordered=True)
    columns = {
        "float64": real(),
        "float32": real().astype(np.float32),
        "positive": np.exp(real(1.5)),
        "semicontinuous": np.where(real() > 0, np.exp(real()), 0.0),
        "count": rng.poisson(np.exp(0.5 * hidden)).astype(float),
        "int64 complete": whole(),
        "bool complete": real() > 0,
        "Int64": pd.array(whole(), "Int64"),
        "Float64": pd.array(real(), "Float64"),
        "boolean": pd.array(real() > 0, "boolean"),
        "object": np.array(levels("u", "v", "w"), dtype=object),
        "string[python]": pd.array(levels("a", "b", "c"), "string[python]"),
        "string[pyarrow]": pd.array(levels("x", "y"), "string[pyarrow]"),
        "category": pd.Categorical(levels("red", "green", "blue")),
        "ordered": pd.Categorical(levels("S", "M", "L"), dtype=size),
        "datetime": times.to_numpy(),
        "datetime tz": times.tz_localize("Europe/Berlin"),
        "timedelta": pd.to_timedelta(np.abs(whole(5)) + 1, unit="h").to_numpy(),
        "arrow double": _arrow(real(), pa.float64()),
        "arrow int": _arrow((int(k) for k in whole()), pa.int32()),
        "arrow string": _arrow(levels("p", "q", "r"), pa.string()),
        "arrow bool": _arrow((bool(b) for b in real() > 0), pa.bool_()),
        "arrow time": _arrow((t.to_pydatetime() for t in times), pa.timestamp("ms")),
    }
    return pd.DataFrame(columns)


def _with_gaps(df, rng, share=0.2):
    gappy = df.copy()
    for name in df.columns:
        if not name.endswith("complete"):
            gappy.loc[rng.random(len(df)) < share, name] = None
    return gappy.astype(df.dtypes.to_dict())


@pytest.fixture(scope="session")
def every_dtype():
    """A frame of 60 rows with gaps in every dtype, rows labelled by two levels."""
    rng = np.random.default_rng(8)
    df = _with_gaps(_complete(rng, N_ROWS), rng)
    df.index = pd.MultiIndex.from_arrays(
        [np.repeat(["one", "two"], N_ROWS // 2), np.arange(N_ROWS)], names=["clinic", "patient"]
    )
    return df


@pytest.fixture
def small():
    """Three columns that depend on each other, 40 rows, with gaps."""
    rng = np.random.default_rng(3)
    hidden = rng.normal(size=40)
    df = pd.DataFrame(
        {
            "x": hidden + 0.5 * rng.normal(size=40),
            "y": hidden + 0.5 * rng.normal(size=40),
            "k": np.where(hidden + 0.5 * rng.normal(size=40) > 0, "high", "low").astype(object),
        }
    )
    return df.mask(rng.random(df.shape) < 0.2)


@pytest.fixture(scope="session")
def fast():
    """Options under which a fit takes a second."""
    return {
        "m": 2,
        "seed": 1,
        "n_sets": 1,
        "fit": FitConfig(max_steps=20),
        "model": ModelConfig(hidden_dim=0),
    }
