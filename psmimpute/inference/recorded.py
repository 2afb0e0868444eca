"""Computations that an accelerator records once and then replays.

A training step is some thousand small operations. A CUDA device does each of them faster than a
program can ask for it, so that asking is what takes the time: a recorded step is asked for once
(a CUDA graph).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Calls before recording: the libraries make their plans at the first ones.
_N_WARM_UP = 2


class Recorded:
    """A function of tensors that is recorded at its first call, where the device can.

    Parameters
    ----------
    function : callable
        Of tensors, whose shapes are the same at every call; returns a tensor. It must not wait for
        the device, nor ask what it holds. What it reads and writes besides stays where it is.
    records : bool
        Whether to record: on CUDA alone. Else the function is called as it is.
    forget : callable
        Undoes what calls have left behind: before it is recorded the function is tried.

    Examples
    --------
    >>> twice = Recorded(lambda x: 2 * x, records=False, forget=lambda: None)
    >>> twice(torch.tensor([1.0, 2.0])).tolist()
    [2.0, 4.0]
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        *,
        records: bool,
        forget: Callable[[], object],
    ) -> None:
        self._function, self._records, self._forget = function, records, forget
        self._graph: torch.cuda.CUDAGraph | None = None
        self._own: list[Tensor] = []
        self._last: list[Tensor] = []
        self._result: Tensor | None = None

    def __call__(self, *given: Tensor) -> Tensor:
        """Apply the function; the result is overwritten by the next call."""
        if not self._records:
            return self._function(*given)
        with torch.cuda.device(given[0].device):
            if self._graph is None:
                self._record(given)
            for own, last, new in zip(self._own, self._last, given, strict=True):
                if new is not last:
                    own.copy_(new)
            self._last = list(given)
            assert self._graph is not None
            assert self._result is not None
            self._graph.replay()
        return self._result

    def _record(self, given: tuple[Tensor, ...]) -> None:
        self._own = [tensor.clone() for tensor in given]
        self._last = list(given)
        here = torch.cuda.current_stream()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(_N_WARM_UP):
                self._function(*self._own)
            self._forget()
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on using the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._result = self._function(*self._own)
        self._graph = graph
