"""Multiple imputations: one draw of (z, r) by its weight, then one of every missing cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from psmimpute.inference.importance import effective_sample_size, pareto_k, propose
from psmimpute.model.missingness import SelfMasking
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import RowStore
from psmimpute.random import Purpose, row_uniforms

_MOST_FLOATS = 12_000_000  # of the largest tensor of a batch; bounds memory, not the result
_N_SET_SAMPLES = 4
# Rows whose weights come down to fewer samples than this are drawn again from more.
_LEAST_ESS, _MORE_SAMPLES = 8.0, 8
_ALIGNMENT_ROWS = 4096


@dataclass(frozen=True)
class ImputationDraws:
    """What was drawn.

    Attributes
    ----------
    features : tuple of ndarray, each of shape (m, n_missing of the feature's column)
        Encoded values of the missing cells, one array for each feature of the encoded table,
        rows in order.
    sets : ndarray of int8, shape (m, n_rows)
        Set drawn for each row, labels aligned over members.
    set_probabilities : ndarray, shape (n_rows, n_sets)
        Posterior probabilities of the sets, mean over imputations.
    ess : ndarray, shape (n_rows,)
        Effective sample size of the weights, mean over imputations; NaN for complete rows.
    pareto_k : ndarray, shape (n_rows,)
        Tail shape of the weights of the first imputation; NaN for complete rows.
    """

    features: tuple[npt.NDArray[np.float32], ...]
    sets: npt.NDArray[np.int8]
    set_probabilities: npt.NDArray[np.float64]
    ess: npt.NDArray[np.float64]
    pareto_k: npt.NDArray[np.float64]


class Drawer:
    """Draws imputations of a table under a fitted model.

    Parameters
    ----------
    model : PatternSetMixtureVAE
        Fitted members.
    store : RowStore
        Rows to impute.
    row_keys : ndarray of uint64, shape (n_rows,)
        A row's draws depend on (seed, imputation, its key) alone.
    seed : int
        Of the draws.
    n_samples : int
        Importance samples.
    hidden : ndarray of bool, shape (n_rows, n_columns), optional
        Observed cells whose values the store does not hold: they are drawn too, as values that
        were observed.
    on_rows : callable, optional
        Called with the number of (row, imputation) pairs done.
    """

    def __init__(
        self,
        model: PatternSetMixtureVAE,
        store: RowStore,
        *,
        row_keys: npt.NDArray[np.uint64],
        seed: int,
        n_samples: int,
        hidden: npt.NDArray[np.bool_] | None = None,
        on_rows: Callable[[int], None] | None = None,
    ) -> None:
        self.model, self.store = model, store
        self.row_keys, self.seed, self.n_samples = row_keys, seed, n_samples
        self.on_rows = on_rows
        self.layout = model.spec.layout
        # Half: the column does not apply, and there is nothing to draw.
        cells = store.all().cells[0].cpu().numpy() > 0
        self.hidden = None if hidden is None or not hidden.any() else hidden
        self.missing = ~cells if self.hidden is None else ~cells | self.hidden
        self.gappy_rows = np.flatnonzero(self.missing.any(1))
        self._alignment: npt.NDArray[np.intp] | None = None

    def _batch_rows(self, n_imputations: int) -> int:
        spec = self.model.spec
        widest = max(spec.hidden_dim, spec.layout.n_outputs, spec.latent_dim**2 // 4, 8)
        return max(1, _MOST_FLOATS // (n_imputations * self.n_samples * spec.n_sets * widest))

    @torch.no_grad()
    def draw(self, imputations: range) -> ImputationDraws:
        """Draw the given imputations, numbered from 0.

        Imputation i comes from member ``i % n_members``.
        """
        m, n_sets = len(imputations), self.model.spec.n_sets
        n_rows = self.store.n_rows
        order, columns = self.layout.order, self.layout.columns
        values: list[npt.NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(order)
        starts: dict[int, npt.NDArray[np.intp]] = {}
        for at, column in zip(order, columns, strict=True):
            values[at] = np.empty((m, int(self.missing[:, column].sum())), np.float32)
            starts[column] = np.concatenate([[0], np.cumsum(self.missing[:, column])])
        sets = np.zeros((m, n_rows), dtype=np.int8)
        probabilities = np.ones((n_rows, 1)) if n_sets == 1 else np.zeros((n_rows, n_sets))
        ess, tail = np.full(n_rows, np.nan), np.full(n_rows, np.nan)
        for group in self._groups(imputations):
            part = slice(group.start - imputations.start, group.stop - imputations.start)
            model, alignment = self._members(group)
            for chunk in _chunks(self.gappy_rows, self._batch_rows(len(group))):
                found = self._draw_rows(model, chunk, group)
                self._record_cells(values, starts, chunk, part, found.values)
                ess[chunk] = np.nansum([ess[chunk], found.ess.sum(0) / m], axis=0)
                if group.start == imputations.start:
                    tail[chunk] = found.tail
                if n_sets > 1:
                    _record_sets(sets[part], probabilities, chunk, found, alignment, m)
            if n_sets > 1:
                self._draw_sets_of_complete_rows(
                    model, group, part, alignment, sets, probabilities, m
                )
        return ImputationDraws(tuple(values), sets, probabilities, ess, tail)

    def _record_cells(
        self,
        values: list[npt.NDArray[np.float32]],
        starts: dict[int, npt.NDArray[np.intp]],
        chunk: npt.NDArray[np.intp],
        part: slice,
        drawn: npt.NDArray[np.float32],
    ) -> None:
        """Keep the drawn features of the missing cells of some rows."""
        for i, (at, column) in enumerate(zip(self.layout.order, self.layout.columns, strict=True)):
            hit = self.missing[chunk, column]
            if hit.any():
                place = starts[column][chunk[hit]]
                values[at][part, place[0] : place[-1] + 1] = drawn[:, hit, i]

    def _groups(self, imputations: range) -> list[range]:
        """Split into runs of imputations that come from different members."""
        size = self.model.n_members
        return [
            range(a, min(a + size - a % size, imputations.stop))
            for a in range(imputations.start, imputations.stop)
            if a == imputations.start or a % size == 0
        ]

    def _members(self, group: range) -> tuple[PatternSetMixtureVAE, npt.NDArray[np.intp]]:
        members = [i % self.model.n_members for i in group]
        return self.model.subset(members), self._aligned()[members]

    def _uniforms(self, chunk: npt.NDArray[np.intp], group: range, n: int) -> Tensor:
        rows = self.row_keys[chunk]
        stacked = np.stack(
            [
                row_uniforms(self.seed, imputation=i, rows=rows, n=n, purpose=Purpose.DRAW)
                for i in group
            ]
        )
        return torch.from_numpy(stacked).to(self.store.packed.device)

    def _draw_rows(
        self, model: PatternSetMixtureVAE, chunk: npt.NDArray[np.intp], group: range
    ) -> _RowDraws:
        """Draw rows, and again with more samples where a member's weights are poor."""
        found = self._sample(model, chunk, group, self.n_samples)
        size = max(1, self._batch_rows(1) // _MORE_SAMPLES)
        for e, imputation in enumerate(group):
            poor = np.flatnonzero(found.ess[e] < _LEAST_ESS)
            one = range(imputation, imputation + 1)
            for part in _chunks(poor, size):
                finer = self._sample(
                    model.subset([e]), chunk[part], one, _MORE_SAMPLES * self.n_samples
                )
                for old, new in zip(found.by_member(), finer.by_member(), strict=True):
                    old[e, part] = new[0]
                if e == 0:
                    found.tail[part] = finer.tail
        if self.on_rows is not None:
            self.on_rows(len(chunk) * len(group))
        return found

    def _sample(
        self,
        model: PatternSetMixtureVAE,
        chunk: npt.NDArray[np.intp],
        group: range,
        n_samples: int,
    ) -> _RowDraws:
        """Take (z, r) by sampling importance resampling, then one draw of every cell."""
        dim, n_features = model.spec.latent_dim, self.layout.n_features
        uniform = self._uniforms(chunk, group, dim + 1 + n_features)
        rows = self.store.take(torch.from_numpy(chunk).to(self.store.packed.device))
        found = propose(model, rows, uniform[..., :dim], n_samples=n_samples)
        weights = found.normalised()
        n_sets = model.spec.n_sets
        pick = (weights.cumsum(-1) < uniform[..., dim, None]).sum(-1)
        pick = pick.clamp_max(weights.shape[-1] - 1)
        flat = found.z.permute(0, 3, 1, 2, 4).flatten(2, 3)
        z = flat.gather(2, pick[..., None, None].expand(-1, -1, 1, dim))[:, :, 0]
        sets = pick % n_sets
        drawn = draw_cells(model, z, sets, uniform[..., dim + 1 :])
        if self.hidden is not None:
            again = draw_cells(model, z, sets, uniform[..., dim + 1 :], observed=True)
            seen = torch.from_numpy(self.hidden[chunk][:, list(self.layout.columns)])
            drawn = torch.where(seen.to(drawn.device), again, drawn)
        shares = weights.reshape(*weights.shape[:2], -1, n_sets).sum(2)
        return _RowDraws(
            drawn.cpu().numpy(),
            sets.cpu().numpy(),
            shares.cpu().double().numpy(),
            effective_sample_size(weights).cpu().double().numpy(),
            pareto_k(weights[0].cpu().double().numpy()),
        )

    def _draw_sets_of_complete_rows(
        self,
        model: PatternSetMixtureVAE,
        group: range,
        part: slice,
        alignment: npt.NDArray[np.intp],
        sets: npt.NDArray[np.int8],
        probabilities: npt.NDArray[np.float64],
        m: int,
    ) -> None:
        complete = np.flatnonzero(~self.missing.any(1))
        for chunk in _chunks(complete, self._batch_rows(len(group))):
            shares, uniform = self._set_shares(model, chunk, group)
            pick = (shares.cumsum(-1) < uniform[..., None]).sum(-1)
            pick = pick.clamp_max(model.spec.n_sets - 1)
            found = _RowDraws(
                np.empty(0, np.float32),
                pick.cpu().numpy(),
                shares.cpu().double().numpy(),
                np.empty(0),
                np.empty(0),
            )
            _record_sets(sets[part], probabilities, chunk, found, alignment, m)

    def _set_shares(
        self, model: PatternSetMixtureVAE, chunk: npt.NDArray[np.intp], group: range
    ) -> tuple[Tensor, Tensor]:
        """Posterior probabilities of the sets (members, rows, sets), and a uniform a row."""
        dim = model.spec.latent_dim
        uniform = self._uniforms(chunk, group, dim + 1)
        rows = self.store.take(torch.from_numpy(chunk).to(self.store.packed.device))
        found = propose(model, rows, uniform[..., :dim], n_samples=_N_SET_SAMPLES)
        weights = found.normalised()
        shares = weights.reshape(*weights.shape[:2], -1, model.spec.n_sets).sum(2)
        return shares, uniform[..., dim]

    def _aligned(self) -> npt.NDArray[np.intp]:
        """For each member, the common label of each of its sets, shape (members, sets)."""
        if self._alignment is None:
            model = self.model
            n_sets, every = model.spec.n_sets, range(model.n_members)
            labels = np.tile(np.arange(n_sets), (model.n_members, 1))
            if n_sets > 1:
                stride = max(1, self.store.n_rows // _ALIGNMENT_ROWS)
                chosen = np.arange(0, self.store.n_rows, stride)
                parts = [
                    self._set_shares(model, chunk, every)[0].cpu().double().numpy()
                    for chunk in _chunks(chosen, self._batch_rows(model.n_members))
                ]
                shares = np.concatenate(parts, 1)
                for e in range(1, model.n_members):
                    mine, common = linear_sum_assignment(-(shares[e].T @ shares[0]))
                    labels[e, mine] = common
            self._alignment = labels
        return self._alignment


class _RowDraws(NamedTuple):
    values: npt.NDArray[np.float32]  # (members, rows, features)
    sets: npt.NDArray[np.int64]  # (members, rows)
    shares: npt.NDArray[np.float64]  # (members, rows, sets)
    ess: npt.NDArray[np.float64]  # (members, rows)
    tail: npt.NDArray[np.float64]  # (rows,)

    def by_member(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the arrays that have the axes (members, rows, ...)."""
        return self.values, self.sets, self.shares, self.ess


def _record_sets(
    sets: npt.NDArray[np.int8],
    probabilities: npt.NDArray[np.float64],
    chunk: npt.NDArray[np.intp],
    found: _RowDraws,
    alignment: npt.NDArray[np.intp],
    m: int,
) -> None:
    for e, labels in enumerate(alignment):
        sets[e, chunk] = labels[found.sets[e]]
        probabilities[chunk[:, None], labels[None]] += found.shares[e] / m


def _chunks(rows: npt.NDArray[np.intp], size: int) -> list[npt.NDArray[np.intp]]:
    return [rows[a : a + size] for a in range(0, len(rows), size)]


def draw_cells(
    model: PatternSetMixtureVAE, z: Tensor, sets: Tensor, uniform: Tensor, *, observed: bool = False
) -> Tensor:
    """Draw every feature given latents.

    Parameters
    ----------
    model : PatternSetMixtureVAE
    z : Tensor, shape (members, rows, latent)
    sets : Tensor of int, shape (members, rows)
    uniform : Tensor, shape (members, rows, features)
    observed : bool, default False
        Whether to draw x_obs: what stands in observed cells.

    Returns
    -------
    Tensor, shape (members, rows, features)
        Encoded values in the model's order, as if every cell were missing (or observed).
    """
    wide = z[:, None, None].expand(-1, 1, model.spec.n_sets, -1, -1)
    eta = model.decoder(wide)
    eta = (eta if observed else model.decoder.missing(wide, eta))[:, 0]
    at = sets[:, None, :, None].expand(-1, 1, -1, eta.shape[-1])
    own = eta.gather(1, at)[:, 0]
    parts = []
    for i, (block, likelihood) in enumerate(
        zip(model.spec.layout.blocks, model.likelihoods, strict=True)
    ):
        part, u = own[..., block.outputs], uniform[..., block.features]
        if isinstance(model.missingness, SelfMasking):
            parts.append(model.missingness.tilt(i, part, sets, u, observed=observed))
        else:
            parts.append(likelihood.draw(part, u))
    return torch.cat(parts, -1) if parts else own
