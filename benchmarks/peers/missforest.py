"""MissForest as the paper ran it: ten extremely randomised trees in chained equations."""

from __future__ import annotations

import numpy as np

from benchmarks.method import Array, Method
from benchmarks.peers import chained

_N_TREES = 10


def predict(table: Array, seed: int) -> Array:
    """Chained predictions."""
    from sklearn.ensemble import ExtraTreesRegressor  # noqa: PLC0415  an extra of the benchmarks

    trees = ExtraTreesRegressor(n_estimators=_N_TREES, random_state=seed)
    return chained.fill(table, trees, seed=seed)


MISSFOREST = Method(fit=predict, point=np.asarray, needs="sklearn", settings=f"{_N_TREES} trees")
