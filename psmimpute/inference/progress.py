"""Progress bars over the stages of a fit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm.auto import tqdm


class Progress:
    """Bars for the stages of a fit.

    Parameters
    ----------
    show : bool or None
        None shows them in a notebook and where standard error is a terminal.
    """

    def __init__(self, show: bool | None = None) -> None:
        if show is None:
            show = sys.stderr.isatty() or "ipykernel" in sys.modules
        self._disable = not show

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a bar while the stage lasts.

        Parameters
        ----------
        name : str
            What is being done.
        total : int, optional
            Number of units, if known.

        Yields
        ------
        callable
            To be called with the number of units just done.
        """
        bar = tqdm(desc=name, total=total, disable=self._disable, leave=False)
        try:
            yield lambda n: _advance(bar, n)
        finally:
            bar.close()


def _advance(bar: tqdm[NoReturn], n: int) -> None:
    bar.update(n)
