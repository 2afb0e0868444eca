"""Rows of a table as tensors on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psmimpute.likelihoods.base import Observation
from psmimpute.model.inputs import network_inputs
from psmimpute.model.layout import Block, FeatureLayout
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.kinds import Family

_BLOCK_ROWS = 2**16


class Rows(NamedTuple):
    """A batch of rows; the leading axis is 1 where all members see the same rows.

    Attributes
    ----------
    values : Tensor, shape (members or 1, rows, features)
        Encoded values in the model's order, zero where not observed.
    lower, upper : Tensor, shape (members or 1, rows, counts)
        Intervals of the counts.
    observed : Tensor, shape (members or 1, rows, features)
        1.0 where the feature's value is known.
    inputs : Tensor, shape (members or 1, rows, outputs)
        Network inputs, zero where not observed.
    cells : Tensor, shape (members or 1, rows, columns)
        1.0 where the cell of the table was observed, 0.0 where it is missing, 0.5 where the
        column does not apply: neither counts for or against a cell being observed.
    offset : Tensor, shape (members, rows, outputs), optional
        What the columns without gaps add to the linear predictors, where a model has said it.
        `inputs` are then what these leave to be explained.
    """

    values: Tensor
    lower: Tensor
    upper: Tensor
    observed: Tensor
    inputs: Tensor
    cells: Tensor
    offset: Tensor | None = None

    def observation(self, block: Block) -> Observation:
        """Values of one block, axes (members or 1, rows, features)."""
        return Observation(self.values[..., block.features], self.lower, self.upper)


@dataclass(frozen=True)
class RowStore:
    """All rows of a table, packed so that one gather takes a batch.

    Attributes
    ----------
    packed : Tensor, shape (n_rows, width)
        The fields of :class:`Rows` side by side.
    widths : tuple of int
        Their widths; that of the offset is left out where there is none.
    """

    packed: Tensor
    widths: tuple[int, ...]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.packed.shape[0]

    @property
    def is_informed(self) -> bool:
        """Whether each row has an offset."""
        return len(self.widths) == len(Rows._fields)

    def take(self, index: Tensor) -> Rows:
        """Rows at `index`, which has the axes (rows,) or (members, rows)."""
        rows = self.packed[index]
        return self.unpack(rows if index.dim() > 1 else rows[None])

    def all(self) -> Rows:
        """Every row, leading axis 1."""
        return self.unpack(self.packed[None])

    def unpack(self, packed: Tensor) -> Rows:
        """Rows of packed ones, shape (members or 1, rows, width)."""
        return Rows(*packed.split_with_sizes(self.widths, dim=-1))

    def informed(self, inputs: Tensor, offset: Tensor) -> RowStore:
        """Return the rows with other network inputs and an offset, shape (n_rows, outputs) each."""
        fields = list(self.packed.split_with_sizes(self.widths, dim=-1))
        place = Rows._fields.index("inputs")
        fields[place] = inputs
        return RowStore(torch.cat([*fields, offset], -1), (*self.widths, offset.shape[-1]))


def store_rows(table: EncodedTable, layout: FeatureLayout, *, device: torch.device) -> RowStore:
    """Move an encoded table to the device.

    Parameters
    ----------
    table : EncodedTable
        Encoded values of `n_rows` rows.
    layout : FeatureLayout
        Order of the features in the model.
    device : torch.device
        Where the model lives.

    Returns
    -------
    RowStore
    """
    order = np.array(layout.order, dtype=np.intp)
    counts = layout.block(Family.COUNT)
    where = order[counts.features] if counts else order[:0]
    n_rows, n_features = len(table.values), len(order)
    widths = (n_features, len(where), len(where), n_features, layout.n_outputs, layout.n_columns)
    packed = torch.empty(n_rows, sum(widths))
    for start in range(0, n_rows, _BLOCK_ROWS):  # no second copy of a large table
        part = slice(start, start + _BLOCK_ROWS)
        seen = table.observed[part]
        known = seen[:, where]
        fields = packed[part].split_with_sizes(widths, dim=-1)
        values, lower, upper, observed, inputs, cells = fields
        observed.copy_(torch.from_numpy(seen[:, order]))
        values.copy_(torch.from_numpy(np.where(seen, table.values[part], 0.0)[:, order]))
        lower.copy_(torch.from_numpy(np.where(known, table.lower[part][:, where], -0.5)))
        upper.copy_(torch.from_numpy(np.where(known, table.upper[part][:, where], 0.5)))
        inputs.copy_(network_inputs(values, observed, layout))
        cells.copy_(torch.from_numpy(_cells(table, part)))
    return RowStore(packed.to(device), widths)


def _cells(table: EncodedTable, part: slice) -> npt.NDArray[np.float32]:
    cells = table.observed_cells[part].astype(np.float32)
    if table.applicable is not None:
        cells[~table.applicable[part]] = 0.5
    return cells
