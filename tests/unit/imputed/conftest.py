"""Small multiply-imputed data, made by hand, for all tests of this folder."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from psmimpute.imputed.multiply_imputed import ImputationInfo, MultiplyImputed
from psmimpute.table.infer import infer_schema

mpl.use("Agg")

M = 4


def make_frame(n: int = 40) -> pd.DataFrame:
    """Mixed columns with gaps on an index of strings; ``done`` is complete."""
    rng = np.random.default_rng(1)
    height = rng.normal(170, 10, n)
    frame = pd.DataFrame(
        {
            "done": rng.normal(size=n),
            "height": height,
            "weight": 0.5 * height + rng.normal(0, 5, n),
            "visits": pd.array(rng.poisson(3, n), dtype="Int64"),
            "grade": pd.Categorical(rng.choice(["a", "b", "c"], n), ["c", "b", "a"], ordered=True),
            "town": pd.Series(rng.choice(["Bonn", "Lyon", "Pisa"], n), dtype="string"),
            "seen": pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "D")),
        }
    ).set_axis([f"r{i}" for i in range(n)])
    for j, name in enumerate([*frame.columns][1:], start=1):
        frame.iloc[j::7, frame.columns.get_loc(name)] = None
    return frame


def fill(frame: pd.DataFrame, *, m: int = M, seed: int = 2, n_sets: int = 2) -> MultiplyImputed:
    """Impute each gap by a value drawn from the observed ones of its column."""
    rng = np.random.default_rng(seed)
    where = frame.isna().to_numpy()
    values = {}
    for j in np.flatnonzero(where.any(axis=0)):
        seen = frame.iloc[:, j].dropna()
        dtype = seen.dtype if isinstance(seen.dtype, np.dtype) else object
        pool = seen.to_numpy(dtype=dtype)
        values[int(j)] = rng.choice(pool, size=(m, int(where[:, j].sum())))
    probabilities = rng.dirichlet(np.ones(n_sets), len(frame))
    history = [
        {"member": a, "step": s, "loss": 3 - s / 10, "oob_loss": 3.1 - s / 12}
        for a in range(m)
        for s in range(5)
    ]
    info = ImputationInfo(
        seed=seed,
        missingness="shared",
        n_sets=n_sets,
        n_sets_reason="asked for",
        members=m,
        device="cpu",
        software="psmimpute (test)",
        history=history,
        ess=rng.uniform(5, 100, len(frame)),
        pareto_k=rng.uniform(0, 1, len(frame)),
        warnings=("column 'visits' was seen seldom",),
    )
    return MultiplyImputed(
        data=frame.copy(),
        schema=infer_schema(frame),
        where=where,
        values=values,
        member_of=np.arange(m),
        pattern_set_draws=rng.integers(0, n_sets, (m, len(frame))).astype(np.int8),
        pattern_set_probabilities=probabilities,
        info=info,
    )


@pytest.fixture
def frame() -> pd.DataFrame:
    return make_frame()


@pytest.fixture
def fill_gaps():
    """The function that makes the imputations of these tests."""
    return fill


@pytest.fixture
def imp(frame) -> MultiplyImputed:
    return fill(frame)
