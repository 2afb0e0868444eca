"""Torch on one thread at a time, while other threads of the program take other work."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread alone.

    Examples
    --------
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def single_threads(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads, on each of which torch computes alone.

    Parameters
    ----------
    n_threads : int

    Yields
    ------
    ThreadPoolExecutor

    Examples
    --------
    >>> with single_threads(2) as pool:
    ...     list(pool.map(lambda _: torch.get_num_threads(), range(3)))
    [1, 1, 1]
    """
    # A new thread has torch's default number of threads.
    pool = ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,))
    with one_thread(), pool:
        yield pool
