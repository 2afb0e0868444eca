"""Single imputation: the importance estimate of E[x_mis | x_obs, observed], streaming."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from psmimpute.inference.device import room
from psmimpute.inference.importance import n_sets_at_once, net_dim, propose
from psmimpute.likelihoods.base import DiscreteLikelihood, Likelihood, NumberLikelihood
from psmimpute.model.by_set import set_weights
from psmimpute.model.cells import Cells
from psmimpute.model.missingness import SelfMasking
from psmimpute.model.particles import Particles
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import Rows, RowStore
from psmimpute.random import Purpose, row_uniforms

# On a CPU: of the largest tensor of a pass, as more no longer fit the cache; of the samples of a
# pass; and of the rows that go through the proposal at once, as it is dear of few.
_MOST_FLOATS, _MOST_SAMPLES, _LEAST_ROWS = 2_000_000, 64, 32
# Wider, and the exponential of a logarithmic column would swamp single precision.
_GRID = np.linspace(-10.0, 10.0, 801)
_N_NODES = 64
# Encoded standard deviations beyond what was observed that a linear predictor may reach: what is
# missing may lie there.
_MARGIN = 1.0

Inverse = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Expectations:
    """What is expected of every missing cell.

    Attributes
    ----------
    numbers : dict of int to ndarray, shape (n_missing,)
        By feature of the encoded table: expected raw value, of Gaussian and count features.
    probabilities : dict of int to ndarray, shape (n_missing, n_levels)
        By feature of the encoded table: probabilities of the levels, of the other features.
    """

    numbers: dict[int, npt.NDArray[np.float64]]
    probabilities: dict[int, npt.NDArray[np.float64]]


class _RawMean:
    """E[g^-1(eta + noise)] of each continuous feature as a function of eta, tabulated.

    The noise has one scale for each column and member, so one table serves every row.
    """

    def __init__(self, scale: Tensor, inverses: list[Inverse]) -> None:
        middle = (torch.arange(_N_NODES, dtype=torch.float64) + 0.5) / _N_NODES
        noise = torch.special.ndtri(middle).numpy()
        own = scale.cpu().double().numpy()
        table = np.empty((*own.shape, _GRID.size))
        for e, f in np.ndindex(*own.shape):
            table[e, f] = inverses[f](_GRID[:, None] + own[e, f] * noise).mean(1)
        exact = np.broadcast_to(np.stack([g(_GRID) for g in inverses]), table.shape)
        # Standardised for single precision; undone at the end.
        self.centre = table.mean((0, 2))
        self.spread = np.maximum(table.std((0, 2)), 1e-300)
        self.smooth, self.exact = (
            torch.from_numpy(
                ((t - self.centre[:, None]) / self.spread[:, None]).astype(np.float32)
            ).to(scale.device)
            for t in (table, exact)
        )

    def __call__(self, eta: Tensor, features: Tensor) -> Tensor:
        """Mean over the noise at linear predictors of cells.

        Parameters
        ----------
        eta : Tensor, shape (members, samples, sets, n)
        features : Tensor of int, shape (1, n)
            Feature of each cell.
        """
        return self._look_up(self.smooth, eta, features)

    def plain(self, x: Tensor, features: Tensor) -> Tensor:
        """Raw values, standardised, of latent values `x`."""
        return self._look_up(self.exact, x, features)

    @staticmethod
    def _look_up(table: Tensor, eta: Tensor, features: Tensor) -> Tensor:
        step = _GRID[1] - _GRID[0]
        place = ((eta - _GRID[0]) / step).clamp(0, _GRID.size - 1.001)
        low = place.floor()
        index = (low.long() + _GRID.size * features).flatten(1)
        flat = table.flatten(1)
        left, right = flat.gather(1, index), flat.gather(1, index + 1)
        return torch.lerp(left.view_as(eta), right.view_as(eta), place - low)


class _Means(NamedTuple):
    """What is expected of the missing cells of a block of features, row by row.

    Attributes
    ----------
    features : ndarray of int, shape (n,)
        Feature of each cell within the block.
    values : ndarray, shape (n, numbers)
    """

    features: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


class MeanEstimator:
    """Streams over samples and rows, so that memory does not grow with `n_samples`.

    Parameters
    ----------
    model : PatternSetMixtureVAE
        Fitted members; their estimates are averaged.
    store : RowStore
        Rows to impute.
    inverses : list of callable or None
        By feature of the encoded table: from latent to raw values, None for discrete ones.
    limits : ndarray, shape (n_features, 2)
        By feature of the encoded table: range that was observed of the continuous ones. Linear
        predictors are clipped a standard deviation beyond it: the exponential of one that a
        network has thrown far from the data would outweigh all others in a mean.
    row_keys : ndarray of uint64, shape (n_rows,)
    seed, n_samples : int
        Of the importance samples.
    """

    def __init__(
        self,
        model: PatternSetMixtureVAE,
        store: RowStore,
        *,
        inverses: list[Inverse | None],
        limits: npt.NDArray[np.float64],
        row_keys: npt.NDArray[np.uint64],
        seed: int,
        n_samples: int,
    ) -> None:
        self.model, self.store = model, store
        order = np.array(model.spec.layout.order, dtype=np.intp)
        wider = limits[order].T + np.array([[-_MARGIN], [_MARGIN]])
        self.limits = torch.from_numpy(wider.astype(np.float32)).to(store.packed.device)
        self.row_keys, self.seed, self.n_samples = row_keys, seed, n_samples
        layout = model.spec.layout
        self.raw: dict[int, _RawMean] = {}
        for i, (block, likelihood) in enumerate(zip(layout.blocks, model.likelihoods, strict=True)):
            if isinstance(likelihood, NumberLikelihood):
                chosen = [inverses[at] for at in layout.order[block.features]]
                self.raw[i] = _RawMean(
                    likelihood.scale,
                    [inverse for inverse in chosen if inverse is not None],
                )

    @torch.no_grad()
    def estimate(self) -> Expectations:
        """Estimate every missing cell.

        Returns
        -------
        Expectations
        """
        missing = self.store.all().cells[0].cpu().numpy() == 0
        rows = np.flatnonzero(missing.any(1))
        spec = self.model.spec
        widest = max(spec.hidden_dim, self._width(), spec.latent_dim**2 // 4, 8)
        per_sample = self.model.n_members * n_sets_at_once(self.model) * widest
        more = room(self.store.packed.device)
        most = more * _MOST_FLOATS
        samples = max(1, most // (per_sample * more * _LEAST_ROWS))
        block = min(self.n_samples, samples, more * _MOST_SAMPLES)
        size = max(1, most // (per_sample * block))
        parts = [self._rows(rows[a : a + size], block) for a in range(0, len(rows), size)]
        return self._sort(parts)

    def _width(self) -> int:
        widths = (
            block.n_features * _n_numbers(likelihood)
            for block, likelihood in zip(
                self.model.spec.layout.blocks, self.model.likelihoods, strict=True
            )
        )
        return sum(widths)

    def _rows(self, chunk: npt.NDArray[np.intp], block: int) -> list[_Means]:
        """Weighted means of the missing cells of some rows, by block of features."""
        model, device = self.model, self.store.packed.device
        dim = net_dim(model)
        keys = self.row_keys[chunk]
        uniforms = [
            row_uniforms(self.seed, imputation=e, rows=keys, n=dim, purpose=Purpose.MEAN)
            for e in range(model.n_members)
        ]
        shift = torch.from_numpy(np.stack(uniforms)).to(device)
        rows = model.inform(self.store.take(torch.from_numpy(chunk).to(device)))
        cells = [Cells.among(missing) for missing in self._missing(rows)]
        posterior = model.proposal(rows)
        top = total = rows.values.new_full((model.n_members, 1, 1, len(chunk)), -torch.inf)
        sums: list[Tensor] = []
        for skip in range(0, self.n_samples, block):
            n = min(block, self.n_samples - skip)
            found = propose(model, rows, shift, n_samples=n, skip=skip, posterior=posterior)
            new_top = torch.maximum(top, found.log_w.amax((1, 2), keepdim=True))
            weight = (found.log_w - new_top).exp()
            values = self._expect(rows, cells, found)
            parts = [
                torch.einsum("eskn,esknv->env", own.pick_rows(weight), of_own)
                for own, of_own in zip(cells, values, strict=True)
            ]
            part = weight.sum((1, 2), keepdim=True)
            if sums:
                fade = (top - new_top).exp()
                part = part + total * fade
                fades = (own.pick_rows(fade)[:, 0, 0, :, None] for own in cells)
                parts = [p + s * f for p, s, f in zip(parts, sums, fades, strict=True)]
            sums, total, top = parts, part, new_top
        return [
            _Means(
                own.features[0].cpu().numpy(),
                (s / own.pick_rows(total)[:, 0, 0, :, None]).mean(0).cpu().double().numpy(),
            )
            for own, s in zip(cells, sums, strict=True)
        ]

    def _missing(self, rows: Rows) -> Iterator[Tensor]:
        """Which features of each block are missing, shape (1, rows, features)."""
        layout = self.model.spec.layout
        for block in layout.blocks:
            columns = list(layout.columns[block.features])
            yield rows.cells[..., columns] == 0

    def _expect(self, rows: Rows, cells: list[Cells], found: Particles) -> list[Tensor]:
        """Expect the missing cells given their linear predictors.

        Returns
        -------
        list of Tensor, shape (members, samples, sets, n, numbers)
            By block: the mean, or the probabilities of the levels.
        """
        model = self.model
        tilt = model.missingness if isinstance(model.missingness, SelfMasking) else None
        shares = None
        if tilt is not None and found.sets is not None:
            shares = set_weights(found.sets, model.spec.n_sets)
        # Of columns that a row lacks, the weights know what was drawn: so must their means.
        lacks = None if found.lacking is None else model.lacking(rows)[:, None, None]
        expected = []
        for i, (block, likelihood) in enumerate(
            zip(model.spec.layout.blocks, model.likelihoods, strict=True)
        ):
            eta, own = found.eta_mis[..., block.outputs], cells[i]
            raw = None
            if isinstance(likelihood, NumberLikelihood):
                raw = partial(self.raw[i].plain, features=own.features)
                low, high = self.limits[:, block.features]
                eta = eta.clamp(low, high)
                if tilt:
                    values = tilt.tilted_mean(i, rows, own, eta, raw, shares)
                else:
                    values = self.raw[i](own.pick(eta), own.features)
                values = values[..., None]
            else:
                assert isinstance(likelihood, DiscreteLikelihood)
                if tilt:
                    log_p = tilt.tilted_levels(i, rows, eta, shares)
                else:
                    log_p = likelihood.level_log_probs(eta)
                values = log_p.flatten(-3, -2).index_select(-2, own.index[0]).exp()
            if found.lacking is not None and lacks is not None:
                drawn = own.pick(likelihood.draw(eta, found.lacking[..., block.features]))
                known = _as_numbers(drawn, raw, values.shape[-1])
                values = torch.where(own.pick(lacks[..., block.features])[..., None], known, values)
            expected.append(values)
        return expected

    def _sort(self, parts: list[list[_Means]]) -> Expectations:
        """Undo the standardisation and take each feature's missing cells, in order of the rows."""
        layout = self.model.spec.layout
        numbers: dict[int, npt.NDArray[np.float64]] = {}
        probabilities: dict[int, npt.NDArray[np.float64]] = {}
        for i, (block, likelihood) in enumerate(
            zip(layout.blocks, self.model.likelihoods, strict=True)
        ):
            none = np.empty((0, _n_numbers(likelihood)))
            features = np.concatenate([np.empty(0, int), *(part[i].features for part in parts)])
            values = np.concatenate([none, *(part[i].values for part in parts)])
            for j in range(block.n_features):
                feature = layout.order[block.features.start + j]
                own = values[features == j]
                if i in self.raw:
                    raw = self.raw[i]
                    numbers[feature] = own[:, 0] * raw.spread[j] + raw.centre[j]
                else:
                    probabilities[feature] = own[:, : block.n_levels[j]]
        return Expectations(numbers, probabilities)


def _n_numbers(likelihood: Likelihood) -> int:
    """Numbers that say what is expected of a feature: one mean, or one share a level."""
    return likelihood.max_levels if isinstance(likelihood, DiscreteLikelihood) else 1


def _as_numbers(drawn: Tensor, raw: Callable[[Tensor], Tensor] | None, n_levels: int) -> Tensor:
    """Say of drawn values what is expected of them, shape (..., numbers)."""
    if raw is not None:
        return raw(drawn)[..., None]
    return F.one_hot(drawn.long(), n_levels).to(drawn.dtype)
