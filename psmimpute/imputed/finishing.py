"""What the user declared of the columns, brought into imputations that were just drawn."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.imputed.derived import DerivedColumns
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.table.applicability import Applicability, blank

AnyImputed = TypeVar("AnyImputed", bound=ImputedTable)
BoolArray = npt.NDArray[np.bool_]


def finish(
    imp: AnyImputed,
    *,
    derived: tuple[tuple[Hashable, Callable[[pd.DataFrame], Any]], ...],
    applicability: Applicability,
) -> AnyImputed:
    """Add derived columns, and empty the cells to which their column does not apply.

    Parameters
    ----------
    imp : ImputedTable
        Imputations of every missing cell that may apply.
    derived : tuple of (hashable, callable)
        Recipes, as :func:`psmimpute.imputed.derived.read_derived` gives them.
    applicability : Applicability
        Conditions of columns.

    Returns
    -------
    ImputedTable
        A new object of the type of `imp`.

    Raises
    ------
    ImputationError
        If a derived column cannot be computed.
    ConfigError
        If a condition cannot be told.
    """
    result = copy.copy(imp)
    result._derived = DerivedColumns(derived, n_declared=len(derived))
    result._values = dict(imp._values)
    positions: dict[Hashable, int] = {name: j for j, name in enumerate(imp._data.columns)}
    concerned = [name for name, _ in applicability.conditions if positions[name] in imp._values]
    missing = {
        name: imp._where[:, positions[name]] & imp._data[name].isna().to_numpy(dtype=bool)
        for name in concerned
    }
    for k in range(1, imp.m + 1) if concerned else ():
        for name, cells in blank(applicability, result._frame(k), missing).items():
            _empty(result, positions[name], k, cells)
    if derived:
        result._frame(1)
    return result


def _empty(imp: ImputedTable, position: int, k: int, cells: BoolArray) -> None:
    """Set the cells of one imputation of a column to missing."""
    gone = cells[imp._where[:, position]]
    if not gone.any():
        return
    values = imp._values[position]
    if values.dtype.kind in "iu":
        values = values.astype(np.float64)
    elif values.dtype.kind in ("b", "U"):
        values = values.astype(object)
    else:
        values = values.copy()
    empty: Any = np.array("NaT", values.dtype) if values.dtype.kind in "mM" else None
    values[k - 1, gone] = np.nan if values.dtype.kind == "f" else empty
    imp._values[position] = values
