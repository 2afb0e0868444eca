"""From rows to their imputed values: encode, draw, decode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.inference.draws import Drawer, ImputationDraws
from psmimpute.inference.fitted import FittedModel
from psmimpute.model.rows import store_rows
from psmimpute.table.applicability import Answers, Applicability, check_conditions, leave_out
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.encoding import decode_column, encode
from psmimpute.table.schema import TableSchema
from psmimpute.table.transforms import TransformKind

# Standard deviations by which draws of a column that goes by logarithms or roots may lie beyond
# the observed ones: what is little on that scale is much on the column's own.
_BEYOND = 1.5
_BENT = (TransformKind.LOG, TransformKind.LOG1P, TransformKind.CUBE_ROOT, TransformKind.SQRT)

Unseen = Literal["error", "missing"]


def encode_rows(
    schema: TableSchema, df: pd.DataFrame, *, unseen: Unseen, applicability: Applicability
) -> EncodedTable:
    """Return rows as the model sees them, cells to which a column does not apply marked.

    Parameters
    ----------
    schema : TableSchema
        What the columns are.
    df : DataFrame
        The rows.
    unseen : {"error", "missing"}
        What a level is taken for that was not learnt.
    applicability : Applicability
        Conditions under which columns apply.

    Returns
    -------
    EncodedTable

    Raises
    ------
    SchemaError, SupportError
        If the rows do not fit the schema.
    ConfigError
        If a condition cannot be told.
    """
    table = encode(schema, df, unseen=unseen)
    check_conditions(applicability, df, schema)
    return leave_out(table, applicability, df, schema.column_names)


@dataclass(frozen=True)
class RowDraws:
    """Imputations of some rows.

    Attributes
    ----------
    missing : ndarray of bool, shape (n_rows, n_modelled_columns)
        The cells that were drawn.
    values : dict of int to ndarray
        For each modelled column with missing cells an array of shape (m, n_missing), as
        :func:`psmimpute.table.encoding.decode_column` gives them.
    draws : ImputationDraws
        Pattern sets and the quality of the weights, without the encoded values.
    """

    missing: npt.NDArray[np.bool_]
    values: dict[int, npt.NDArray[Any]]
    draws: ImputationDraws


@dataclass(frozen=True)
class RowImputer:
    """Imputes rows under a fitted model, each by its key alone.

    Attributes
    ----------
    schema : TableSchema
    fitted : FittedModel
    n_samples : int
        Importance samples.
    seed : int
        Of the draws.
    unseen : {"error", "missing"}
        What a level is taken for that was not learnt.
    applicability : Applicability
        Conditions under which columns apply.
    answers : mapping of str to (float, float)
        How often the columns of a formula are observed where they apply and it is unknown; see
        :func:`psmimpute.agreement.learn_answers`.
    """

    schema: TableSchema
    fitted: FittedModel
    n_samples: int
    seed: int
    unseen: Unseen = "error"
    applicability: Applicability = field(default_factory=Applicability)
    answers: Answers = field(default_factory=dict)

    def encode(self, df: pd.DataFrame) -> EncodedTable:
        """Return the rows as the model sees them."""
        return encode_rows(self.schema, df, unseen=self.unseen, applicability=self.applicability)

    def impute(
        self,
        table: EncodedTable,
        keys: npt.NDArray[np.uint64],
        m: int,
        *,
        chosen: npt.NDArray[np.bool_] | None = None,
        on_rows: Callable[[int], None] | None = None,
    ) -> RowDraws:
        """Draw imputations of encoded rows.

        Parameters
        ----------
        table : EncodedTable
            The rows.
        keys : ndarray of uint64, shape (n_rows,)
            Their keys.
        m : int
            Number of imputations.
        chosen : ndarray of bool, shape (n_rows, n_modelled_columns), optional
            Observed cells to draw all the same, their values hidden.
        on_rows : callable, optional
            Called with the number of (row, imputation) pairs done.

        Returns
        -------
        RowDraws
        """
        fitted, missing = self.fitted, table.missing_cells
        if chosen is not None and chosen.any():
            table, missing = table.hide(chosen), missing | chosen
        draws = Drawer(
            fitted.model,
            store_rows(table, fitted.spec.layout, device=fitted.device),
            row_keys=keys,
            seed=self.seed,
            n_samples=self.n_samples,
            hidden=chosen,
            on_rows=on_rows,
            alignment=fitted.alignment,
        ).draw(range(m))
        slices, features = self.schema.feature_slices, list(draws.features)
        draws = replace(draws, features=())  # each is let go once it is decoded
        values: dict[int, npt.NDArray[Any]] = {}
        nothing = np.empty((0, 0), np.float32)
        for j, column in enumerate(self.schema.columns):
            n_missing = int(missing[:, j].sum())
            if not n_missing:
                continue
            cells = features[slices[j]]
            stacked = np.stack(cells, -1) if cells else np.empty((m, n_missing, 0))
            features[slices[j]] = [nothing] * len(cells)
            del cells
            if column.transform is not None and column.transform.kind in _BENT:
                low, high = fitted.latent_range[slices[j]][-1]
                stacked[..., -1] = np.clip(stacked[..., -1], low - _BEYOND, high + _BEYOND)
            decoded = decode_column(column, stacked.reshape(m * n_missing, -1))
            values[j] = decoded.reshape(m, n_missing)
        return RowDraws(missing, values, draws)
