"""How the features of a table are ordered into blocks of one family."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from psmimpute.table.encoded import Feature
from psmimpute.table.kinds import Family


@dataclass(frozen=True, slots=True)
class Block:
    """All features of one family.

    Attributes
    ----------
    family : Family
        Their family.
    features : slice
        Their positions among the reordered features.
    outputs : slice
        Positions of their linear predictors among the decoder's outputs.
    inputs : slice
        Positions of their network inputs.
    n_levels : tuple of int
        Number of levels of each feature, 0 where it has none.
    """

    family: Family
    features: slice
    outputs: slice
    inputs: slice
    n_levels: tuple[int, ...]

    @property
    def n_features(self) -> int:
        """Number of features of the block."""
        return len(self.n_levels)


@dataclass(frozen=True, slots=True)
class FeatureLayout:
    """Order of the features inside the model.

    Attributes
    ----------
    order : tuple of int
        Position in the encoded table of each feature of the model.
    columns : tuple of int
        Column of the table to which each feature of the model belongs.
    blocks : tuple of Block
        The families that occur, in the order of the features.
    n_columns : int
        Number of modelled columns of the table.
    n_outputs : int
        Number of linear predictors, which is also that of the network inputs.
    """

    order: tuple[int, ...]
    columns: tuple[int, ...]
    blocks: tuple[Block, ...]
    n_columns: int
    n_outputs: int

    @property
    def is_gaussian(self) -> bool:
        """Whether every feature is Gaussian."""
        return all(block.family == Family.GAUSSIAN for block in self.blocks)

    @property
    def has_levels(self) -> bool:
        """Whether any feature is a truth value or a level."""
        return not all(block.family.is_number for block in self.blocks)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.order)

    def is_number(self) -> Tensor:
        """Which outputs are about numbers, a tensor of bool of shape (n_outputs,)."""
        found = torch.ones(self.n_outputs, dtype=torch.bool)
        for block in self.blocks:
            found[block.outputs] = block.family.is_number
        return found

    def columns_of_inputs(self) -> list[int]:
        """Column of each network input."""
        owners: list[int] = []
        for block in self.blocks:
            categorical = block.family == Family.CATEGORICAL
            widths = block.n_levels if categorical else (1,) * block.n_features
            for column, width in zip(self.columns[block.features], widths, strict=True):
                owners += [column] * width
        return owners

    def block(self, family: Family) -> Block | None:
        """Block of a family, or None where the table has no such feature."""
        return next((block for block in self.blocks if block.family == family), None)


def lay_out(features: tuple[Feature, ...], *, n_columns: int) -> FeatureLayout:
    """Order features by family.

    Parameters
    ----------
    features : tuple of Feature
        In the order of the encoded table.
    n_columns : int
        Number of modelled columns of the table.

    Returns
    -------
    FeatureLayout
    """
    order: list[int] = []
    blocks: list[Block] = []
    n_outputs = 0
    for family in Family:
        members = [i for i, feature in enumerate(features) if feature.family == family]
        if not members:
            continue
        levels = tuple(features[i].n_levels for i in members)
        width = sum(levels) if family == Family.CATEGORICAL else len(members)
        outputs = slice(n_outputs, n_outputs + width)
        positions = slice(len(order), len(order) + len(members))
        blocks.append(Block(family, positions, outputs, outputs, levels))
        order += members
        n_outputs += width
    columns = tuple(features[i].column for i in order)
    return FeatureLayout(tuple(order), columns, tuple(blocks), n_columns, n_outputs)
