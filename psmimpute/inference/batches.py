"""Rows of one training step after the other, for each member from its own resample."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from psmimpute.inference.config import FitConfig
from psmimpute.inference.members import Resamples
from psmimpute.model.rows import RowStore


class Batches:
    """Batches of each member's resample, shuffled; the whole table where that is not much more.

    Parameters
    ----------
    store : RowStore
        Rows of the table.
    resamples : Resamples
        Rows of each member.
    fit : FitConfig
        Says how many rows a step sees.
    seeds : list of int
        One for each member: of the order of its rows.

    Attributes
    ----------
    whole : bool
        Whether each step sees the whole table, weighted by the members' counts.
    batch_rows : int
        Rows of a step, where it sees a part.
    weights : Tensor, shape (members or 1, rows of a step or 1)
        What the rows of a step count.
    total : Tensor, shape (members,)
        Sum of the weights of all rows.
    total_of_step : Tensor, shape (members or 1,)
        Sum of the weights of the rows of a step.
    """

    def __init__(
        self, store: RowStore, resamples: Resamples, *, fit: FitConfig, seeds: list[int]
    ) -> None:
        self.store, self.counts = store, resamples.counts
        self.n_members, self.n_rows = resamples.counts.shape
        self.device = store.packed.device
        self.batch_rows = fit.rows_of_step(self.n_rows)
        self.whole = fit.rows_at_once(self.n_rows) == self.n_rows
        total = self.counts.sum(1, dtype=np.int64)
        self.total = torch.from_numpy(total).float().to(self.device)
        self._all = store.packed[None]
        self.weights, self.total_of_step = torch.ones(1, 1, device=self.device), self.total
        if self.whole:
            self.weights = torch.from_numpy(self.counts.astype(np.float32)).to(self.device)
        else:
            self.total_of_step = self.weights[0] * self.batch_rows
        self._order = [np.random.Generator(np.random.Philox(s)) for s in seeds]
        self._queue = [np.empty(0, np.int32)] * self.n_members

    def next(self) -> Tensor:
        """Return the rows of the next step, packed, shape (members or 1, rows, width)."""
        if self.whole:
            return self._all
        size = self.batch_rows
        index = np.empty((self.n_members, size), dtype=np.int64)
        for i, counts in enumerate(self.counts):
            if self._queue[i].size < size:
                bag = np.repeat(np.arange(self.n_rows, dtype=np.int32), counts)
                self._order[i].shuffle(bag)
                self._queue[i] = np.concatenate([self._queue[i], bag])
            index[i], self._queue[i] = self._queue[i][:size], self._queue[i][size:]
        return self.store.packed[torch.from_numpy(index).to(self.device)]
