"""Blocks of rows through the model: every row in its own slot, every block on one thread.

A matrix product rounds by its shape, by the place of a row in it, and by how it is split over
threads. A row's draws would therefore depend, in their last bit, on the rows beside it. Here all
blocks have one shape, the key of a row decides its slot, and a block runs on one thread, while
the other threads take other blocks: the bits are the same alone or in any company.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from psmimpute.inference.threads import single_threads

BLOCK_ROWS = 64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Block:
    """Rows that pass through the model together.

    Attributes
    ----------
    rows : ndarray of int, shape (n_rows,)
        Their positions; `n_slots` of them at most.
    slots : ndarray of int, shape (n_rows,)
        The slot of each, all different.
    n_slots : int
        Number of slots.
    """

    rows: npt.NDArray[np.intp]
    slots: npt.NDArray[np.intp]
    n_slots: int = BLOCK_ROWS

    def padded(self) -> npt.NDArray[np.intp]:
        """Return the row in each slot, shape (n_slots,); empty ones repeat a row."""
        padded = np.full(self.n_slots, self.rows[0])
        padded[self.slots] = self.rows
        return padded

    def own(self, n_members: int) -> tuple[slice, npt.NDArray[np.intp]]:
        """Return the index of the true members and rows in what a pass gives."""
        return slice(n_members), self.slots


def block_rows(keys: npt.NDArray[np.uint64], n_slots: int = BLOCK_ROWS) -> list[Block]:
    """Arrange rows in blocks, each row in the slot that its key decides.

    Parameters
    ----------
    keys : ndarray of uint64, shape (n_rows,)
        Row keys.
    n_slots : int, default BLOCK_ROWS
        Slots of a block, a power of two from 2.

    Returns
    -------
    list of Block
        Of positions in `keys`. Fibonacci hashing fills the slots of consecutive keys evenly.

    Examples
    --------
    >>> [block.rows.tolist() for block in block_rows(np.array([5, 5, 7], dtype=np.uint64))]
    [[0, 2], [1]]
    """
    bits = n_slots.bit_length() - 1
    slots = ((keys * _GOLDEN) >> np.uint64(64 - bits)).astype(np.intp)
    order = np.argsort(slots, kind="stable")
    counts = np.bincount(slots, minlength=n_slots)
    rank = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
    by_rank = np.argsort(rank, kind="stable")
    ends = np.cumsum(np.bincount(rank))
    parts = np.split(order[by_rank], ends[:-1]) if len(keys) else []
    return [Block(rows, slots[rows], n_slots) for rows in parts]


def run_blocks(
    function: Callable[[Block], Result], blocks: Sequence[Block], *, device: torch.device
) -> Iterator[Result]:
    """Apply a function to each block, without gradients.

    Parameters
    ----------
    function : callable
        Of one block; runs on any thread.
    blocks : sequence of Block
    device : torch.device
        Where the function computes; only on the CPU threads are used.

    Yields
    ------
    object
        Results in the order of the blocks.
    """
    n_threads = torch.get_num_threads()

    def run(block: Block) -> Result:
        with torch.no_grad():
            return function(block)

    if device.type != "cpu" or n_threads == 1:
        yield from map(run, blocks)
        return
    with single_threads(n_threads) as pool:
        yield from pool.map(run, blocks)
