"""MICE with Bayesian ridge regressions, the paper's: its predictions, or draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.method import Array, Method
from benchmarks.peers import chained


def predict(table: Array, seed: int) -> Array:
    """Chained predictions."""
    from sklearn.linear_model import BayesianRidge  # noqa: PLC0415  an extra of the benchmarks

    return chained.fill(table, BayesianRidge(), seed=seed)


class Chains(NamedTuple):
    """A table of which every draw is a run of its own; the first is at hand."""

    table: Array
    seed: int
    first: Array


def _draw(table: Array, seed: int) -> Array:
    from sklearn.linear_model import BayesianRidge  # noqa: PLC0415

    return chained.fill(table, BayesianRidge(), seed=seed, draw=True)


def start(table: Array, seed: int) -> Chains:
    """Make the first draw."""
    return Chains(table, seed, _draw(table, 1000 * seed))


def draw(chains: Chains, m: int) -> Array:
    """Make m draws, the first among them, shape (m, n, d)."""
    more = [_draw(chains.table, 1000 * chains.seed + i) for i in range(1, m)]
    return np.stack([chains.first, *more])


def _first(chains: Chains) -> Array:
    return chains.first


MICE = Method(fit=predict, point=np.asarray, needs="sklearn")
MICE_DRAW = Method(fit=start, point=_first, draws=draw, needs="sklearn")
