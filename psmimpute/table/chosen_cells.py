"""Observed cells that the user wants imputed all the same."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ConfigError

BoolArray = npt.NDArray[np.bool_]
Where = Literal["missing", "observed", "all"] | pd.DataFrame | npt.NDArray[np.bool_]


def chosen_cells(
    where: Where | None, df: pd.DataFrame, names: tuple[Hashable, ...], observed: BoolArray
) -> BoolArray:
    """Return the observed cells of the modelled columns that are to be imputed.

    Parameters
    ----------
    where : DataFrame or ndarray of bool, or {"missing", "observed", "all"}, optional
        True for cells to impute, as in mice. Missing cells are imputed in any case.
    df : DataFrame
        The data.
    names : tuple of hashable
        The modelled columns.
    observed : ndarray of bool, shape (n_rows, n_modelled)
        Their observed cells.

    Returns
    -------
    ndarray of bool, shape (n_rows, n_modelled)
        Among the observed cells.

    Raises
    ------
    ConfigError
        If `where` is none of these, its shape, index or columns differ from the data's, or it
        chooses observed cells of a column that is not modelled.
    """
    if where is None or (isinstance(where, str) and where == "missing"):
        return np.zeros_like(observed)
    if isinstance(where, str):
        if where not in ("observed", "all"):
            raise ConfigError(f"where={where!r}: give 'missing', 'observed', 'all' or a frame")
        return observed.copy()
    if isinstance(where, pd.DataFrame) and not (
        where.columns.equals(df.columns) and where.index.equals(df.index)
    ):
        raise ConfigError("where must have the rows and columns of the data: where = df.isna()")
    cells = np.asarray(where)
    if cells.shape != df.shape or cells.dtype != np.bool_:
        raise ConfigError(
            f"where must hold booleans in the shape {df.shape} of the data, got {cells.dtype} in "
            f"{cells.shape}"
        )
    present = df.notna().to_numpy(dtype=bool)
    for j, name in enumerate(df.columns):
        if name not in names and (cells[:, j] & present[:, j]).any():
            raise ConfigError(f"where chooses observed cells of {name!r}, which is not modelled")
    order = [[*df.columns].index(name) for name in names]
    return np.asarray(cells[:, order] & observed)
