"""MIDAS: denoising autoencoders with dropout (midasverse-midas, on torch)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.method import Array, Method

_N_DRAWS_OF_THE_MEAN = 20


class Autoencoder(NamedTuple):
    """A fitted autoencoder, and how its table was standardised; it does not do that itself."""

    model: Any
    table: Array
    mean: Array
    sd: Array


def fit(table: Array, seed: int) -> Autoencoder:
    """Train with the package's defaults."""
    from midas2 import MIDAS  # noqa: PLC0415  an extra of the benchmarks

    mean, sd = np.nanmean(table, 0), np.nanstd(table, 0)
    sd = np.where(sd > 0, sd, 1.0)
    frame = pd.DataFrame((table - mean) / sd).add_prefix("x")
    model = MIDAS()
    model.fit(frame, verbose=False, seed=seed)
    return Autoencoder(model, table, mean, sd)


def draw(found: Autoencoder, m: int) -> Array:
    """Make m passes with dropout, shape (m, n, d)."""
    drawn = [frame.to_numpy(float) for frame in found.model.transform(m=m)]
    raw = np.stack(drawn) * found.sd + found.mean
    return np.where(np.isnan(found.table), raw, found.table)


def _mean(found: Autoencoder) -> Array:
    return np.asarray(draw(found, _N_DRAWS_OF_THE_MEAN).mean(0))


MIDAS_METHOD = Method(fit=fit, point=_mean, draws=draw, needs="midas2")
