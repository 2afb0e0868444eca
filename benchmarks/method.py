"""What a contestant of the tables promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class NotInstalledError(Exception):
    """The package of a peer is not there."""


@dataclass(frozen=True)
class Method:
    """A way to impute, in the steps that are timed.

    Attributes
    ----------
    fit : callable
        From a table, shape (n, d), NaN in its gaps, and a seed, to whatever was learned.
    point : callable
        From what was learned to a completed table: the single imputation.
    draws : callable, optional
        From what was learned and m to m completed tables, shape (m, n, d), drawn at random.
    shares : str, optional
        Methods of the same name here learn the same: one fit serves them.
    needs : str, optional
        Package of a peer.
    settings : str
        For the column of that name in the results.
    """

    fit: Callable[[Array, int], Any]
    point: Callable[[Any], Array]
    draws: Callable[[Any, int], Array] | None = None
    shares: str = ""
    needs: str = ""
    settings: str = ""
