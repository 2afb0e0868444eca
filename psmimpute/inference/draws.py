"""Multiple imputations: one draw of (z, r) by its weight, then one of every missing cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psmimpute.imputed.pattern_set import align_sets
from psmimpute.inference.blocks import BLOCK_ROWS, Block, block_rows, run_blocks
from psmimpute.inference.device import room
from psmimpute.inference.importance import (
    effective_sample_size,
    n_sets_at_once,
    net_dim,
    pareto_k,
    propose,
)
from psmimpute.model.missingness import SelfMasking
from psmimpute.model.particles import Particles
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import Rows, RowStore
from psmimpute.random import Purpose, row_uniforms

_MOST_FLOATS = 4_000_000  # of the largest tensor of a pass on a CPU: more do not fit the cache
# Rows whose draws are held in memory at once before they are recorded.
_HELD_ROWS = 2**14
_N_SET_SAMPLES = 4
# Rows whose weights come down to fewer samples than this are drawn again: from a better proposal
# where there is one, then from more samples.
_LEAST_ESS, _MORE_SAMPLES = 8.0, 8
# Rows in a block of those, on a CPU: few are poor, and slots that stay empty cost as much.
_REDRAWN_ROWS = 8
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
    alignment : ndarray of int, shape (members, sets), optional
        Common label of each set of each member, from :meth:`align`; found on the rows
        at hand by default.
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
        alignment: npt.NDArray[np.intp] | None = None,
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
        self._alignment = alignment
        self._room = room(store.packed.device)
        self._n_slots = self._room * BLOCK_ROWS

    def _most_members(self, n_samples: int) -> int:
        """Members of one pass: as many as memory allows, 2 at least."""
        spec = self.model.spec
        widest = max(spec.hidden_dim, spec.layout.n_outputs, spec.latent_dim**2 // 4, 8)
        each = BLOCK_ROWS * n_samples * n_sets_at_once(self.model) * widest
        return max(2, _MOST_FLOATS // each)  # a block has more rows where there is more room

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
            for chunk in _chunks(self.gappy_rows, _HELD_ROWS):
                found = self._draw_rows(model, group, chunk)
                self._record_cells(values, starts, chunk, part, found.values)
                ess[chunk] = np.nansum([ess[chunk], found.ess.sum(0) / m], axis=0)
                if group.start == imputations.start:
                    tail[chunk] = found.tail[0]
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
        size, most = self.model.n_members, self._most_members(self.n_samples)
        groups, start = [], imputations.start
        while start < imputations.stop:
            stop = min(start + size - start % size, start + most, imputations.stop)
            groups.append(range(start, stop))
            start = stop
        return groups

    def _members(self, group: range) -> tuple[PatternSetMixtureVAE, npt.NDArray[np.intp]]:
        members = [i % self.model.n_members for i in group]
        # One member alone would go through other, differently rounding, matrix products.
        several = members if len(members) > 1 else members * 2
        return self.model.subset(several), self._aligned()[members]

    def _uniforms(self, chunk: npt.NDArray[np.intp], group: Sequence[int], n: int) -> Tensor:
        rows = self.row_keys[chunk]
        stacked = np.stack(
            [
                row_uniforms(self.seed, imputation=i, rows=rows, n=n, purpose=Purpose.DRAW)
                for i in group
            ]
        )
        return torch.from_numpy(stacked).to(self.store.packed.device)

    def _run(
        self,
        function: Callable[[Block], tuple[npt.NDArray[Any], ...]],
        chunk: npt.NDArray[np.intp],
        n_slots: int | None = None,
    ) -> tuple[npt.NDArray[Any], ...]:
        """Apply a function to the rows in blocks; results have the axes (members, rows, ...)."""
        n_slots = n_slots or self._n_slots
        blocks = block_rows(self.row_keys[chunk], n_slots)
        whole: tuple[npt.NDArray[Any], ...] = ()
        rows = [Block(chunk[block.rows], block.slots, n_slots) for block in blocks]
        found = run_blocks(function, rows, device=self.store.packed.device)
        for block, parts in zip(blocks, found, strict=True):
            if not whole:
                shapes = [(len(a), len(chunk), *a.shape[2:]) for a in parts]
                whole = tuple(np.empty(s, a.dtype) for s, a in zip(shapes, parts, strict=True))
            for target, part in zip(whole, parts, strict=True):
                target[:, block.rows] = part
        return whole

    def _pass(
        self, model: PatternSetMixtureVAE, block: Block, group: range, n: int
    ) -> tuple[Rows, Tensor]:
        """Rows of a pass, each in its slot, and `n` uniforms for each."""
        padded = block.padded()
        numbers = group if len(group) == model.n_members else [*group, *group]
        uniform = self._uniforms(padded, numbers, n)
        rows = self.store.take(torch.from_numpy(padded).to(self.store.packed.device))
        return model.inform(rows), uniform

    def _draw_rows(
        self, model: PatternSetMixtureVAE, group: range, chunk: npt.NDArray[np.intp]
    ) -> _RowDraws:
        """Draw rows, and again with more effort where a member's weights are poor."""
        first, *further = self._efforts(model)

        def draw(block: Block) -> tuple[npt.NDArray[Any], ...]:
            found = self._sample(model, block, group, first)
            if self.on_rows is not None:
                self.on_rows(len(block.rows) * len(group))
            return found

        found = _RowDraws(*self._run(draw, chunk))
        for e in np.flatnonzero((found.ess < _LEAST_ESS).any(1)).tolist():
            alone, number = model.subset([e]), range(group[e], group[e] + 1)
            for effort in further:
                poor = np.flatnonzero(found.ess[e] < _LEAST_ESS)
                if not poor.size:
                    break
                more = partial(self._sample, alone, group=number, effort=effort)
                finer = _RowDraws(*self._run(more, chunk[poor], n_slots=effort.n_slots))
                for old, new in zip(found, finer, strict=True):
                    if e < len(old):
                        old[e, poor] = new[0]
        return found

    def _efforts(self, model: PatternSetMixtureVAE) -> list[_Effort]:
        """List what is tried, one after the other, while weights are poor."""
        n = self.n_samples
        refined = [_Effort(n, self._n_slots, refined=True)] if model.refines else []
        last = _Effort(_MORE_SAMPLES * n, self._room * _REDRAWN_ROWS, refined=True)
        return [_Effort(n, self._n_slots, refined=False), *refined, last]

    def _sample(
        self,
        model: PatternSetMixtureVAE,
        block: Block,
        group: range,
        effort: _Effort,
    ) -> _RowDraws:
        """Take (z, r) by sampling importance resampling, then one draw of every cell."""
        dim, n_features = net_dim(model), self.layout.n_features
        rows, uniform = self._pass(model, block, group, dim + 1 + n_features)
        posterior = model.proposal(rows, refined=effort.refined)
        known = model.knows_posterior_of(rows) if model.knows_posterior else None
        alone = known is not None and bool(known.all())
        shift, n_samples = uniform[..., :dim], 1 if alone else effort.n_samples
        found = propose(model, rows, shift, n_samples=n_samples, posterior=posterior)
        if known is not None:  # any one sample is a draw, and the weights of more would be alike
            found = found.first_of(known)
        drawn = self._resample(model, rows, block, group, found, uniform[..., dim:])
        if known is not None:
            own = known.expand(len(group), -1)[block.own(len(group))].cpu().numpy()
            drawn.ess[own] = effort.n_samples
            drawn.tail[own[:1]] = -np.inf
        return drawn

    def _resample(
        self,
        model: PatternSetMixtureVAE,
        rows: Rows,
        block: Block,
        group: range,
        found: Particles,
        uniform: Tensor,
    ) -> _RowDraws:
        """Choose one particle of each row by its weight, and draw every cell given it."""
        n_sets = model.spec.n_sets
        weights = found.normalised()
        pick = (weights.cumsum(-1) < uniform[..., :1]).sum(-1)
        pick = pick.clamp_max(weights.shape[-1] - 1)
        particles = found.z.permute(0, 3, 1, 2, 4).flatten(2, 3)
        at = pick[..., None, None].expand(-1, -1, 1, particles.shape[-1])
        z = particles.gather(2, at)[:, :, 0]
        sets = found.picked_sets(pick, n_sets)
        lacking = found.picked_lacking(pick, n_sets)
        drawn = draw_cells(model, rows, z, sets, uniform[..., 1:], lacking=lacking)
        if self.hidden is not None:
            again = draw_cells(
                model, rows, z, sets, uniform[..., 1:], observed=True, lacking=lacking
            )
            seen = torch.from_numpy(self.hidden[block.padded()][:, list(self.layout.columns)])
            drawn = torch.where(seen.to(drawn.device), again, drawn)
        shares = found.set_shares(weights, n_sets)
        own = block.own(len(group))
        weights = weights[own].cpu()
        return _RowDraws(
            drawn[own].cpu().numpy(),
            sets[own].cpu().numpy(),
            shares[own].cpu().double().numpy(),
            effective_sample_size(weights).double().numpy(),
            pareto_k(weights[0].double().numpy())[None],
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
        for chunk in _chunks(complete, _HELD_ROWS):
            shares, uniform = self._run(partial(self._set_shares, model, group), chunk)
            pick = (shares.cumsum(-1) < uniform[..., None]).sum(-1)
            pick = pick.clip(max=model.spec.n_sets - 1)
            nothing = np.empty(0)
            found = _RowDraws(nothing, pick, shares, nothing, nothing)
            _record_sets(sets[part], probabilities, chunk, found, alignment, m)

    def _set_shares(
        self, model: PatternSetMixtureVAE, group: range, block: Block
    ) -> tuple[npt.NDArray[Any], ...]:
        """Posterior probabilities of the sets (members, rows, sets), and a uniform a row."""
        dim = net_dim(model)
        rows, uniform = self._pass(model, block, group, dim + 1)
        found = propose(
            model,
            rows,
            uniform[..., :dim],
            n_samples=_N_SET_SAMPLES * model.spec.n_sets // n_sets_at_once(model),
            posterior=model.posterior(rows),
        )
        shares = found.set_shares(found.normalised(), model.spec.n_sets)
        own = block.own(len(group))
        return shares[own].cpu().double().numpy(), uniform[..., dim][own].cpu().numpy()

    def _aligned(self) -> npt.NDArray[np.intp]:
        if self._alignment is None:
            self._alignment = self.align()
        return self._alignment

    def align(self) -> npt.NDArray[np.intp]:
        """Match the labels of the sets over members, by where the rows of the store belong.

        Returns
        -------
        ndarray of int, shape (members, sets)
            The common label of each set of each member: that of the first member. A member's
            labels do not depend on the members after it.
        """
        model = self.model
        n_sets, n_members = model.spec.n_sets, model.n_members
        labels = np.tile(np.arange(n_sets), (n_members, 1))
        if n_sets == 1 or n_members == 1:
            return labels
        chosen = np.arange(0, self.store.n_rows, max(1, self.store.n_rows // _ALIGNMENT_ROWS))
        most = self._most_members(_N_SET_SAMPLES)
        groups = [range(a, min(a + most, n_members)) for a in range(0, n_members, most)]
        shares = np.concatenate([self._shares_of(chosen, group) for group in groups])
        for e in range(1, n_members):
            labels[e] = align_sets(shares[0], shares[e])
        return labels

    def _shares_of(self, rows: npt.NDArray[np.intp], group: range) -> npt.NDArray[np.float64]:
        members = [*group] if len(group) > 1 else [*group] * 2
        model = self.model.subset(members)
        return self._run(partial(self._set_shares, model, group), rows)[0]


class _Effort(NamedTuple):
    n_samples: int
    n_slots: int  # of a block
    refined: bool  # whether the proposal is


class _RowDraws(NamedTuple):
    values: npt.NDArray[Any]  # (members, rows, features)
    sets: npt.NDArray[Any]  # (members, rows)
    shares: npt.NDArray[Any]  # (members, rows, sets)
    ess: npt.NDArray[Any]  # (members, rows)
    tail: npt.NDArray[Any]  # (1, rows)


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
    model: PatternSetMixtureVAE,
    rows: Rows,
    z: Tensor,
    sets: Tensor,
    uniform: Tensor,
    *,
    observed: bool = False,
    lacking: Tensor | None = None,
) -> Tensor:
    """Draw every feature given latents.

    Parameters
    ----------
    model : PatternSetMixtureVAE
    rows : Rows
        As the model sees them.
    z : Tensor, shape (members, rows, latent)
    sets : Tensor of int, shape (members, rows)
    uniform : Tensor, shape (members, rows, features)
    observed : bool, default False
        Whether to draw x_obs: what stands in observed cells.
    lacking : Tensor, shape (members, rows, features), optional
        What draws columns without gaps that a row lacks.

    Returns
    -------
    Tensor, shape (members, rows, features)
        Encoded values in the model's order, as if every cell were missing (or observed).
    """
    wide = z[:, None, None].expand(-1, 1, model.spec.n_sets, -1, -1)
    wide_lacking = None if lacking is None else lacking[:, None, None]
    eta = model.decode(rows, wide, lacking=wide_lacking)[0 if observed else 1][:, 0]
    at = sets[:, None, :, None].expand(-1, 1, -1, eta.shape[-1])
    own = eta.gather(1, at)[:, 0]
    if lacking is not None:  # what was drawn of these columns already is what is imputed
        uniform = torch.where(model.lacking(rows), lacking, uniform)
    parts = []
    for i, (block, likelihood) in enumerate(
        zip(model.spec.layout.blocks, model.likelihoods, strict=True)
    ):
        part, u = own[..., block.outputs], uniform[..., block.features]
        if isinstance(model.missingness, SelfMasking):
            parts.append(model.missingness.tilt(i, rows, part, sets, u, observed=observed))
        else:
            parts.append(likelihood.draw(part, u))
    return torch.cat(parts, -1) if parts else own
