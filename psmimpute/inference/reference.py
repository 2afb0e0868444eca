"""Draws of what would have followed had a row been in another arm of a trial from some visit on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from psmimpute.exceptions import ImputationError
from psmimpute.inference.draws import Drawer
from psmimpute.inference.fitted import FittedModel
from psmimpute.inference.means import MeanEstimator
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import store_rows
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.schema import TableSchema

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

_N_MEAN_SAMPLES = 200


@dataclass(frozen=True)
class ReferenceDraw:
    """Values under a reference arm.

    Attributes
    ----------
    features : ndarray, shape (n_rows, n_features)
        Encoded values.
    changed : ndarray of bool, shape (n_rows, n_columns)
        The cells that they are for.
    """

    features: FloatArray
    changed: BoolArray


class ReferenceDrawer:
    """Draws the visits after a row's last observed one as those of a reference arm.

    Parameters
    ----------
    fitted : FittedModel
        Members of a joint model of arm, covariates and visits.
    schema : TableSchema
        What the columns are.
    arm : int
        Position of the column of arms among the modelled columns.
    reference : object
        A level of it.
    visits : list of int
        Positions of the outcome's columns, in the order of the visits.
    seed : int
        Of the draws.
    n_samples : int
        Importance samples.

    Raises
    ------
    ImputationError
        If the arm has no such level.

    References
    ----------
    .. [1] Carpenter, J. R., Roger, J. H. and Kenward, M. G. (2013). Analysis of longitudinal
       trials with protocol deviation: a framework for relevant, accessible assumptions, and
       inference via multiple imputation. Journal of Biopharmaceutical Statistics 23(6),
       1352-1371.
    """

    def __init__(
        self,
        fitted: FittedModel,
        *,
        schema: TableSchema,
        arm: int,
        reference: object,
        visits: list[int],
        seed: int,
        n_samples: int,
    ) -> None:
        levels = schema.columns[arm].levels or ()
        if reference not in levels:
            raise ImputationError(
                f"column {schema.columns[arm].name!r} has no level {reference!r}: the arms are "
                f"{[*levels]}"
            )
        self.fitted, self.schema, self.visits = fitted, schema, visits
        self.arm = schema.feature_slices[arm].start
        self.code = levels.index(reference)
        self.seed, self.n_samples = seed, n_samples

    def draw(
        self,
        completed: EncodedTable,
        observed: BoolArray,
        imputation: int,
        method: Literal["copy", "jump"],
    ) -> ReferenceDraw:
        """Draw one imputation.

        Parameters
        ----------
        completed : EncodedTable
            The table as that imputation completes it.
        observed : ndarray of bool, shape (n_rows, n_columns)
            Cells that were observed.
        imputation : int
            Its number, from 0.
        method : {"copy", "jump"}
            Whether the observed visits count as the reference arm's, or are moved to it by the
            difference between the arms' means first.

        Returns
        -------
        ReferenceDraw
            For rows of other arms whose last visits are missing.
        """
        changed = self._after_last_observed(completed, observed)
        rows = np.flatnonzero(changed.any(axis=1))
        features = np.zeros(completed.values.shape)
        if rows.size:
            model = self.fitted.model.subset([imputation % self.fitted.model.n_members])
            part = replace(completed.take(rows), observed_cells=observed[rows])
            other = self._in_reference(part)
            if method == "jump":
                other = self._moved(model, part, other, rows)
            hidden = other.hide(changed[rows])
            features[rows] = self._drawn(model, hidden, rows, imputation)
        return ReferenceDraw(features, changed)

    def _after_last_observed(self, completed: EncodedTable, observed: BoolArray) -> BoolArray:
        seen = observed[:, self.visits]
        later = ~np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
        changed = np.zeros_like(observed)
        changed[:, self.visits] = later
        changed[completed.values[:, self.arm] == self.code] = False
        return changed

    def _in_reference(self, table: EncodedTable) -> EncodedTable:
        values = table.values.copy()
        values[:, self.arm] = self.code
        return replace(table, values=values)

    def _moved(
        self,
        model: PatternSetMixtureVAE,
        own: EncodedTable,
        other: EncodedTable,
        rows: npt.NDArray[np.intp],
    ) -> EncodedTable:
        """Move the visits by the difference of their means between the arms, given covariates."""
        places = [self.schema.feature_slices[j] for j in self.visits]
        features = self.schema.features
        for j, place in zip(self.visits, places, strict=True):
            own_features = features[place]  # none of a constant visit
            if not own_features or not all(f.family.is_number for f in own_features):
                raise ImputationError(
                    f"jump to reference moves means, which needs visits of numbers; column "
                    f"{self.schema.columns[j].name!r} is {self.schema.columns[j].kind}: use "
                    "method='copy'"
                )
        values, lower, upper = other.values.copy(), other.lower.copy(), other.upper.copy()
        gap = self._means(model, other, rows) - self._means(model, own, rows)
        for i, place in enumerate(places):
            for numbers in (values, lower, upper):
                numbers[:, place.start] += gap[:, i]
        return replace(other, values=values, lower=lower, upper=upper)

    def _means(
        self, model: PatternSetMixtureVAE, table: EncodedTable, rows: npt.NDArray[np.intp]
    ) -> FloatArray:
        """Mean of every visit given all other columns, shape (n_rows, n_visits)."""
        visits = np.zeros_like(table.observed_cells)
        visits[:, self.visits] = True
        hidden = replace(table.hide(visits), observed_cells=~visits)
        found = MeanEstimator(
            model,
            store_rows(hidden, self.fitted.spec.layout, device=self.fitted.device),
            inverses=[_same if f.family.is_number else None for f in self.schema.features],
            limits=self.fitted.latent_range,
            row_keys=rows.astype(np.uint64),
            seed=self.seed,
            n_samples=_N_MEAN_SAMPLES,
        ).estimate()
        starts = [self.schema.feature_slices[j].start for j in self.visits]
        return np.column_stack([found.numbers[start] for start in starts])

    def _drawn(
        self,
        model: PatternSetMixtureVAE,
        table: EncodedTable,
        rows: npt.NDArray[np.intp],
        imputation: int,
    ) -> FloatArray:
        """Draw every cell that was missing, shape (n_rows, n_features)."""
        found = Drawer(
            model,
            store_rows(table, self.fitted.spec.layout, device=self.fitted.device),
            row_keys=rows.astype(np.uint64),
            seed=self.seed,
            n_samples=self.n_samples,
        ).draw(range(imputation, imputation + 1))
        features = np.zeros(table.values.shape)
        for i, feature in enumerate(self.schema.features):
            missing = table.missing_cells[:, feature.column]
            features[missing, i] = found.features[i][0]
        return features


def _same(x: FloatArray) -> FloatArray:
    return x
