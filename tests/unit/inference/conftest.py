"""Tables shared by the tests of fitting and drawing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def every_family() -> pd.DataFrame:
    """Columns of every family, with gaps that hang on their values, and two without any."""
    rng = np.random.default_rng(3)
    n = 300
    z = rng.normal(size=n)
    df = pd.DataFrame(
        {
            "number": z + rng.normal(size=n),
            "positive": np.exp(z + 0.5 * rng.normal(size=n)),
            "count": rng.poisson(np.exp(0.5 * z)).astype(float),
            "spent": np.where(z > 0, np.exp(z + rng.normal(size=n)), 0.0),
            "yes": pd.Categorical(np.where(z + rng.normal(size=n) > 0.4, "u", "v")),
            "three": pd.Categorical(rng.choice(list("abc"), n)),
            "ordered": pd.Categorical((z > 0).astype(int) + (z > 1), ordered=True),
        }
    )
    gaps = rng.random(df.shape) < 1 / (1 + np.exp(1.5 - z[:, None]))
    return df.mask(gaps).assign(whole=z + rng.normal(size=n), group=pd.Categorical(z > 0.5))
