"""Rows chosen by a condition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.table.expressions import Expression

Condition = npt.ArrayLike | str | Callable[[pd.DataFrame], object]
"""A mask of the rows, or a formula or a function of a completed frame that gives one."""


def row_masks(imp: ImputedTable, condition: Condition) -> npt.NDArray[np.bool_]:
    """Tell which rows a condition holds for in each imputation.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    condition : array_like of bool, shape (n_rows,), str or callable
        The rows, or a formula or a function of a completed frame that tells them.

    Returns
    -------
    ndarray of bool, shape (m, n_rows)

    Raises
    ------
    ImputationError
        If the condition is not one boolean for each row.
    """
    if isinstance(condition, str):
        condition = Expression(condition)
    if callable(condition):
        return np.stack([_row_mask(condition(frame), imp.n_rows) for frame in imp])
    return np.broadcast_to(_row_mask(condition, imp.n_rows), (imp.m, imp.n_rows))


def chosen_rows(imp: ImputedTable, condition: Condition) -> npt.NDArray[np.intp]:
    """Return the positions of the rows that a condition keeps.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    condition : array_like of bool, shape (n_rows,), str or callable
        The rows to keep, or a formula or a function of a completed frame that says so.

    Returns
    -------
    ndarray of int, shape (n_selected,)
        Positions in order.

    Raises
    ------
    ImputationError
        If the condition is not one boolean for each row, or differs between imputations.
    """
    chosen = row_masks(imp, condition)
    for k, rows in enumerate(chosen, start=1):
        differing = int((rows != chosen[0]).sum())
        if differing:
            raise ImputationError(
                f"the condition keeps other rows in imputation {k} than in imputation 1 "
                f"({differing} differ), so it depends on imputed values: select the rows in "
                "the function given to fit() instead"
            )
    return np.flatnonzero(chosen[0])


def _row_mask(condition: object, n_rows: int) -> npt.NDArray[np.bool_]:
    mask = np.asarray(condition)
    if mask.dtype == object and not pd.isna(mask).any():
        mask = mask.astype(bool)
    if mask.dtype != np.bool_ or mask.shape != (n_rows,):
        raise ImputationError(
            f"a condition needs one boolean for each of the {n_rows} rows, got an array of "
            f"{mask.dtype} with shape {mask.shape}"
        )
    return mask
