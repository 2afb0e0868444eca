"""What can be asked of imputations while the model that made them and the data are at hand."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.assembly import Unseen
from psmimpute.exceptions import NoEffectWarning
from psmimpute.imputed.held_out import HeldOutColumn
from psmimpute.inference.covariates import blind_models
from psmimpute.inference.draws import Drawer
from psmimpute.inference.fitted import FittedModel, fingerprint
from psmimpute.inference.members import resample_rows
from psmimpute.inference.reference import ReferenceDrawer
from psmimpute.inference.refit import refit_at_pi
from psmimpute.model.rows import store_rows
from psmimpute.table.chosen_cells import Where
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.encoding import decode_column
from psmimpute.table.kinds import ColumnKind
from psmimpute.table.schema import ColumnSchema
from psmimpute.telling import warn

if TYPE_CHECKING:
    from psmimpute.imputed.multiply_imputed import MultiplyImputed
    from psmimpute.imputer import PSMImputer

_HIDDEN_SHARE = 0.2
_REFITTED_MEMBERS = 5
# Imputations number 2**24 and up are drawn for checks alone, and share no random number with
# those that are handed out.
_FIRST_CHECK = 1 << 24


@dataclass(frozen=True, eq=False)
class Source:
    """A fitted imputer, the data it imputed and how.

    Attributes
    ----------
    imputer : PSMImputer
        Fitted.
    data : DataFrame
        What was imputed.
    m : int
        Number of imputations.
    seed : int
        Of the draws.
    where : DataFrame or ndarray of bool or str, optional
        Cells that were asked for.
    row_key : hashable, optional
        Column that identifies a row.
    unseen : {"error", "missing"}
        What a level was taken for that was not learnt.
    """

    imputer: PSMImputer
    data: pd.DataFrame
    m: int
    seed: int
    where: Where | None = None
    row_key: Hashable | None = None
    unseen: Unseen = "error"

    def held_out(
        self, *, n_draws: int, most_rows: int, seed: int, refit: bool
    ) -> list[HeldOutColumn]:
        """Hide a fifth of the observed cells of some rows, and draw them anew.

        Parameters
        ----------
        n_draws : int
            Draws of each cell, at least.
        most_rows : int
            Rows in which cells are hidden, at most.
        seed : int
            Of the choice of cells.
        refit : bool
            Whether to train members anew, from which the cells are hidden too. Otherwise a
            cell's draws come from the members that were not trained on its row.

        Returns
        -------
        list of HeldOutColumn
            One for each column with hidden cells.
        """
        imputer, fitted = self.imputer, self.imputer._check_fitted()
        rng = np.random.default_rng(seed)
        table = imputer._encode(self.data, self.unseen)
        rows = np.sort(rng.permutation(len(self.data))[:most_rows])
        cells = np.zeros_like(table.observed_cells)
        cells[rows] = table.observed_cells[rows] & (
            rng.random((len(rows), cells.shape[1])) < _HIDDEN_SHARE
        )
        bags = self._bags(fitted, table)
        if refit:
            fitted = imputer._fit_table(
                table.hide(cells), min(_REFITTED_MEMBERS, fitted.model.n_members)
            )
            bags = None
        groups = [(fitted.model, rows)]
        if bags is not None:
            groups = blind_models(
                fitted.model,
                fitted.structure.start,
                rows,
                n_rows=len(self.data),
                seed=imputer.seed_,
            )
            rows = np.concatenate([own for _, own in groups])
        n_members = fitted.model.n_members
        n_draws = -(-n_draws // n_members) * n_members
        part = table.take(rows)
        store_hidden = cells[rows]
        first = -(-_FIRST_CHECK // n_members) * n_members
        drawn = [
            Drawer(
                model,
                store_rows(
                    table.take(own).hide(cells[own]), fitted.spec.layout, device=fitted.device
                ),
                row_keys=own.astype(np.uint64),
                seed=self.seed,
                n_samples=imputer._fit_config.n_draw_samples,
                hidden=cells[own],
            ).draw(range(first, first + n_draws))
            for model, own in groups
        ]
        by_feature = [
            np.concatenate(parts, 1) for parts in zip(*(d.features for d in drawn), strict=True)
        ]
        found: list[HeldOutColumn] = []
        member = np.arange(n_draws) % n_members
        missing = part.missing_cells | store_hidden
        slices = imputer.schema_.feature_slices
        for j, column in enumerate(imputer.schema_.columns):
            hidden = np.flatnonzero(store_hidden[:, j])
            if column.is_constant or not len(hidden):
                continue
            among = store_hidden[missing[:, j], j]
            features = np.stack(by_feature[slices[j]], -1)[:, among]
            usable = np.ones((n_draws, len(hidden)), dtype=bool)
            if bags is not None:
                usable = bags[:, rows[hidden]][member] == 0
            found.append(
                HeldOutColumn(
                    column.name,
                    column.kind is not ColumnKind.NOMINAL,
                    _numbers(column, part.values[hidden, slices[j]]),
                    _numbers(column, features.reshape(-1, features.shape[-1])).reshape(n_draws, -1),
                    member,
                    usable,
                )
            )
        return found

    def _bags(self, fitted: FittedModel, table: EncodedTable) -> npt.NDArray[np.uint16] | None:
        """Return how often each row was in each member's bag; None if the rows are new."""
        if fitted.fingerprint != fingerprint(table):
            return None
        return resample_rows(
            len(self.data),
            members=range(fitted.model.n_members),
            seed=self.imputer.seed_,
            resample=self.imputer._fit_config.resample,
        ).counts

    def at_pi(self, pi: float) -> MultiplyImputed:
        """Refit at another π′, starting from the members as they are, and impute again.

        Parameters
        ----------
        pi : float
            In [0, 1], for all columns.

        Returns
        -------
        MultiplyImputed
            With the same seed, so that differences are the refit's.

        Warns
        -----
        NoEffectWarning
            If the model does not depend on π′: its decoders are tied.
        """
        imputer, fitted = self.imputer, self.imputer._check_fitted()
        config = fitted.spec.config
        tied = config.decoders == "tied" or fitted.spec.missingness == "selection"
        if tied and config.evidence == "normalised":
            warn(
                "the model has one decoder for observed and missing cells, so that pi changes "
                "nothing: use ModelConfig(decoders='separate') without missingness='selection'",
                NoEffectWarning,
            )
        other = type(imputer)().set_params(**{**imputer.get_params(), "pi": pi})
        other.__dict__.update({**imputer.__dict__, "pi": pi})
        other.fitted_ = refit_at_pi(
            fitted,
            imputer._encode(self.data, self.unseen),
            (float(pi),) * len(imputer.schema_.columns),
            fit=imputer._fit_config,
            seed=imputer.seed_,
        )
        return other.impute(
            self.data,
            self.m,
            seed=self.seed,
            where=self.where,
            row_key=self.row_key,
            unseen=self.unseen,
        )

    def under_reference(
        self,
        arm: Hashable,
        reference: object,
        columns: Sequence[Hashable],
        method: Literal["copy", "jump"],
    ) -> dict[int, npt.NDArray[Any]]:
        """Impute what follows the last observed visit as if the row were in another arm.

        Parameters
        ----------
        arm : hashable
            The column of arms, observed in every row.
        reference : object
            The arm to take as reference.
        columns : sequence of hashable
            The outcome at each visit, in the order of the visits.
        method : {"copy", "jump"}
            Whether all of the row's history counts as the reference arm's, or its deviations
            from its own arm's means.

        Returns
        -------
        dict of int to ndarray, shape (m, n_imputed_cells)
            New values of the imputed cells by position of the column in the data.
        """
        imputer, fitted = self.imputer, self.imputer._check_fitted()
        first = imputer.impute(
            self.data, self.m, seed=self.seed, row_key=self.row_key, unseen=self.unseen
        )
        names = imputer.schema_.column_names
        drawer = ReferenceDrawer(
            fitted,
            schema=imputer.schema_,
            arm=names.index(arm),
            reference=reference,
            visits=[names.index(name) for name in columns],
            seed=self.seed,
            n_samples=imputer._fit_config.n_draw_samples,
        )
        observed = imputer._encode(self.data, self.unseen).observed_cells
        values = {
            first.position(n): first.values[first.position(n)].copy()
            for n in columns
            if first.position(n) in first.values
        }
        for k in range(1, self.m + 1):
            completed = imputer._encode(first.complete(k)[[*names]])
            drawn = drawer.draw(completed, observed, k - 1, method)
            for name in columns:
                position = first.position(name)
                if position not in values:
                    continue
                j = names.index(name)
                gaps = ~observed[:, j]
                changed = drawn.changed[gaps, j]
                column = imputer.schema_.columns[j]
                new = decode_column(column, drawn.features[:, imputer.schema_.feature_slices[j]])
                values[position][k - 1, changed] = new[gaps][changed]
        return values


def _numbers(
    column: ColumnSchema, features: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Return values of a column as numbers that keep their order: codes of levels."""
    if column.levels is not None:
        return np.array(np.rint(features[:, 0]), dtype=np.float64)
    values = decode_column(column, features)
    numbers: npt.NDArray[Any] = values.view(np.int64) if values.dtype.kind in "mM" else values
    return np.array(numbers, dtype=np.float64)
