"""How many threads a computation is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Numbers in the largest tensor of a step from which a second thread saves time. Below, two
# threads take as long as one and twice the processor time: they wait for each other.
_WORTH_SHARING = 2**20


@contextmanager
def threads_worth(n_floats: int) -> Iterator[None]:
    """Let torch compute on the calling thread alone where the work is too small to share.

    Parameters
    ----------
    n_floats : int
        Numbers in the largest tensor of a step.

    Examples
    --------
    >>> with threads_worth(1000):
    ...     torch.get_num_threads()
    1
    """
    n_threads = torch.get_num_threads()
    if n_floats >= _WORTH_SHARING or n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
