"""What the model sees of a table: encoded values, and which of them were observed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from psmimpute.table.kinds import Family

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Feature:
    """One modelled number of a column.

    Attributes
    ----------
    name : str
        For messages: the column's name, with ``":nonzero"`` or ``":amount"`` appended for
        the two features of a semicontinuous column.
    column : int
        Position of the column among the modelled columns of the schema.
    family : Family
        Its likelihood.
    n_levels : int
        Number of levels of a categorical or ordinal feature, 2 for Bernoulli, else 0.
    """

    name: str
    column: int
    family: Family
    n_levels: int = 0


@dataclass(frozen=True, slots=True)
class EncodedTable:
    """A table as the model sees it.

    Attributes
    ----------
    features : tuple of Feature
        One for each axis-1 position of `values`, in the order of the columns.
    values : ndarray, shape (n_rows, n_features)
        Gaussian: the transformed, standardised value. Count: the transformed, standardised
        value. Bernoulli: 0 or 1. Ordinal, categorical: the level's code, 0 to
        ``n_levels - 1``. Zero where not observed.
    lower, upper : ndarray, shape (n_rows, n_features)
        For count features, the ends of the interval, on the scale of `values`, of latent
        values that round to the observed count (``-inf`` below a zero count); NaN for
        features of the other families and where not observed.
    observed : ndarray of bool, shape (n_rows, n_features)
        Whether the feature's value is known. The amount of a semicontinuous column is known
        only where the column is observed and not zero.
    observed_cells : ndarray of bool, shape (n_rows, n_columns)
        Whether the cell of the table was observed.
    applicable : ndarray of bool, shape (n_rows, n_columns), optional
        False for cells to which their column does not apply: whether they were observed says
        nothing. By default all apply.
    """

    features: tuple[Feature, ...]
    values: FloatArray
    lower: FloatArray
    upper: FloatArray
    observed: BoolArray
    observed_cells: BoolArray
    applicable: BoolArray | None = None

    @property
    def missing_cells(self) -> BoolArray:
        """Cells to impute, shape (n_rows, n_columns): not observed, though they apply."""
        missing = ~self.observed_cells
        return missing if self.applicable is None else missing & self.applicable

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.values)

    def take(self, rows: npt.NDArray[np.intp]) -> EncodedTable:
        """Return some of the rows.

        Parameters
        ----------
        rows : ndarray of int
            Their positions.

        Returns
        -------
        EncodedTable
        """
        return replace(
            self,
            values=self.values[rows],
            lower=self.lower[rows],
            upper=self.upper[rows],
            observed=self.observed[rows],
            observed_cells=self.observed_cells[rows],
            applicable=None if self.applicable is None else self.applicable[rows],
        )

    def hide(self, cells: BoolArray) -> EncodedTable:
        """Return the table with some values hidden.

        The cells still count as observed: what is hidden is the value, not the fact that there
        is one.

        Parameters
        ----------
        cells : ndarray of bool, shape (n_rows, n_columns)
            The cells whose values to hide.

        Returns
        -------
        EncodedTable
            With zeros that are not observed in these cells.
        """
        columns = np.array([feature.column for feature in self.features], dtype=np.intp)
        hidden = cells[:, columns]
        return replace(
            self,
            values=np.where(hidden, 0.0, self.values),
            lower=np.where(hidden, np.nan, self.lower),
            upper=np.where(hidden, np.nan, self.upper),
            observed=self.observed & ~hidden,
        )
