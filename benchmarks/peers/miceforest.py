"""miceforest: chained equations with boosted trees and predictive mean matching."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.method import Array, Method

_N_ROUNDS = 5  # its default is to be told; five is what its manual uses
_LEAST_DISTINCT = 2


class Forest(NamedTuple):
    """A table, and the first data set; further ones are kernels of their own."""

    table: Array
    seed: int
    first: Array


def _complete(table: Array, seed: int) -> Array:
    from miceforest import ImputationKernel  # noqa: PLC0415  an extra of the benchmarks

    # It refuses columns without variation; they are no use to it either.
    varies = np.array([len(np.unique(x[~np.isnan(x)])) >= _LEAST_DISTINCT for x in table.T])
    found = np.where(np.isnan(table), np.nanmean(table, 0), table)
    frame = pd.DataFrame(table[:, varies]).add_prefix("x")
    kernel = ImputationKernel(frame, num_datasets=1, random_state=seed)
    kernel.mice(_N_ROUNDS, num_threads=1)
    found[:, varies] = kernel.complete_data(0).to_numpy(float)
    return found


def start(table: Array, seed: int) -> Forest:
    """Make the first data set."""
    return Forest(table, seed, _complete(table, 1000 * seed))


def draw(forest: Forest, m: int) -> Array:
    """Make m data sets, the first among them, shape (m, n, d)."""
    more = [_complete(forest.table, 1000 * forest.seed + i) for i in range(1, m)]
    return np.stack([forest.first, *more])


def _first(forest: Forest) -> Array:
    return forest.first


MICEFOREST = Method(
    fit=start, point=_first, draws=draw, needs="miceforest", settings=f"{_N_ROUNDS} rounds"
)
