"""The paper's data sets, and which of their cells it takes away (protocols P1 and P2)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

DATA = Path(__file__).parents[1].parent / "shared" / "data"
MECHANISMS = ("mcar", "mnar", "mnar+mcar")


class Deletion(NamedTuple):
    """A sample of a table's rows, and the cells taken away.

    Attributes
    ----------
    full : ndarray, shape (n, d)
        True values; NaN where the data set has a gap of its own.
    masked : ndarray of bool, shape (n, d)
        Cells taken away.
    high : ndarray of bool, shape (n,)
        Where the self-masked column is above its median; False throughout where none is.
    """

    full: npt.NDArray[np.float64]
    masked: npt.NDArray[np.bool_]
    high: npt.NDArray[np.bool_]

    @property
    def seen(self) -> npt.NDArray[np.float64]:
        """The table with its gaps, shape (n, d)."""
        return np.where(self.masked, np.nan, self.full)


def load(name: str, data: Path) -> npt.NDArray[np.float64]:
    """Read one of the paper's data sets, shape (n, d); adult has true gaps."""
    return pd.read_csv(data / f"{name}.csv.gz", header=None).to_numpy(float)


def delete(full: npt.NDArray[np.float64], *, mechanism: str, rate: float, seed: int) -> Deletion:
    """Choose rows and cells as the paper does.

    Parameters
    ----------
    full : ndarray, shape (n, d)
    mechanism : {"mcar", "mnar", "mnar+mcar"}
        Under ``"mnar"`` one column loses values above its median at `rate`; under
        ``"mnar+mcar"`` at 0.5, the other columns at `rate` whatever their values.
    rate : float
    seed : int

    Returns
    -------
    Deletion
        Of 80 % of the rows.
    """
    n, d = full.shape
    state = np.random.RandomState(seed)
    masked, high = np.zeros((n, d), dtype=bool), np.zeros(n, dtype=bool)
    if mechanism != "mnar":
        masked = state.binomial(size=(n, d), n=1, p=rate) == 1
    if mechanism != "mcar":
        while True:
            v = state.choice(d)
            high = full[:, v] > np.nanmedian(full[:, v])
            if 0.1 * n < high.sum() < 0.9 * n:
                break
        masked[:, v] = False
        own_rate = rate if mechanism == "mnar" else 0.5
        masked[high, v] = state.binomial(1, own_rate, size=high.sum()) == 1
    kept = np.random.RandomState(seed=seed).permutation(n)[: int(0.8 * n)]
    full, masked = full[kept], masked[kept]
    return Deletion(full, masked & ~np.isnan(full), high[kept])
