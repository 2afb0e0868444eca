"""Names that the examples of methods share with the example of their class."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from _pytest.doctest import DoctestItem


@pytest.fixture(scope="session")
def shown_objects() -> dict[str, Any]:
    """Make what the examples of `MultiplyImputed` and `PooledResults` make."""
    import numpy as np
    import pandas as pd
    import statsmodels.formula.api as smf

    import psmimpute as psm

    df = psm.load_nhanes2()
    rng = np.random.default_rng(1)
    drawn = [
        df.apply(lambda x: x.where(x.notna(), rng.choice(x.dropna(), len(x)))) for _ in range(3)
    ]
    imp = psm.from_long(pd.concat([df, *drawn], keys=range(4), names=[".imp", ".id"]).reset_index())
    pooled = imp.pool("bmi ~ age + chl", model=smf.ols)
    return {"np": np, "pd": pd, "smf": smf, "psm": psm, "df": df, "imp": imp, "pooled": pooled}


@pytest.fixture(scope="session")
def shown_imputer() -> object:
    """Make what the example of `PSMImputer` makes."""
    import psmimpute as psm

    quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
    return psm.PSMImputer(m=2, seed=1, **quick).fit(psm.load_nhanes2())


@pytest.fixture(autouse=True)
def _doctest_names(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the examples of methods go on from the example of their class."""
    if not isinstance(request.node, DoctestItem):
        yield
        return
    shown = request.getfixturevalue("shown_objects")
    names = request.getfixturevalue("doctest_namespace")
    names.update(shown)
    if "imputer" in request.node.dtest.docstring:
        names["imputer"] = request.getfixturevalue("shown_imputer")
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
