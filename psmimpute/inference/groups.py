"""Groups of members, trained apart: on threads of this machine, or as tasks elsewhere.

Many members at once spread the cost of a call over more numbers, until the numbers no longer
fit the processor's cache. A group is as large as that allows, computes on one thread, and the
threads take groups. How members are grouped does not depend on the machine, and what a member
learns depends on its number alone, but for the last bits of single precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from threading import Event
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from psmimpute.inference.members import Resamples
from psmimpute.inference.threads import one_thread, single_threads
from psmimpute.inference.trainer import Trained
from psmimpute.model.psm_vae import PatternSetMixtureVAE

OnStep = Callable[[int], None]
Result = TypeVar("Result")

# One member alone would go through other, differently rounding, matrix products.
_LEAST_MEMBERS = 2
# Numbers in the largest tensor of a group's step: two megabytes.
_GROUP_FLOATS = 2**19


class _InterruptedError(Exception):
    """Ends the training of a group whose results nobody waits for."""


def split_members(n_members: int, most: int) -> list[range]:
    """Split members into at most `most` runs of about the same length, of two at least.

    Parameters
    ----------
    n_members : int
    most : int

    Returns
    -------
    list of range

    Examples
    --------
    >>> split_members(5, 4)
    [range(0, 2), range(2, 5)]
    """
    n_groups = max(1, min(most, n_members // _LEAST_MEMBERS))
    ends = [n_members * i // n_groups for i in range(n_groups + 1)]
    return [range(a, b) for a, b in pairwise(ends)]


def local_groups(n_members: int, floats_of_member: int, device: torch.device) -> list[range]:
    """Split members for :func:`run_groups`.

    Parameters
    ----------
    n_members : int
    floats_of_member : int
        Numbers in the largest tensor of a member's step.
    device : torch.device
        On the CPU the number of groups is a power of two, so that threads share them evenly;
        elsewhere it is one.

    Returns
    -------
    list of range

    Examples
    --------
    >>> local_groups(20, 100_000, torch.device("cpu"))
    [range(0, 5), range(5, 10), range(10, 15), range(15, 20)]
    """
    if device.type != "cpu":
        return [range(n_members)]
    ratio = n_members * floats_of_member / _GROUP_FLOATS
    return split_members(n_members, 2 ** max(0, round(math.log2(ratio))) if ratio > 0 else 1)


def resamples_of(resamples: Resamples, group: range) -> Resamples:
    """Return the resamples of some members.

    Parameters
    ----------
    resamples : Resamples
    group : range
        Positions of the members.

    Returns
    -------
    Resamples
    """
    part = slice(group.start, group.stop)
    return Resamples(
        resamples.counts[part], resamples.held_out[part], resamples.held_out_weight[part]
    )


def run_groups(
    train: Callable[[range, OnStep | None], Result],
    groups: list[range],
    *,
    device: torch.device,
    on_step: OnStep | None,
) -> list[Result]:
    """Train every group; on the CPU each on one thread, as many at once as torch may use.

    Parameters
    ----------
    train : callable
        Of a group, and of what it must call after every step.
    groups : list of range
    device : torch.device
        Where the models live.
    on_step : callable, optional
        Called after every step of the first group, from its thread.

    Returns
    -------
    list
        What `train` returned for each group, in their order.
    """
    if device.type != "cpu":
        return [train(group, on_step if i == 0 else None) for i, group in enumerate(groups)]
    n_workers = min(torch.get_num_threads(), len(groups))
    stop = Event()

    def run(i: int) -> Result:
        def told(step: int) -> None:
            if stop.is_set():
                raise _InterruptedError
            if i == 0 and on_step is not None:
                on_step(step)

        return train(groups[i], told)

    if n_workers == 1:
        with one_thread():
            return [run(i) for i in range(len(groups))]
    with single_threads(n_workers) as pool:
        running = [pool.submit(run, i) for i in range(len(groups))]
        try:
            return [future.result() for future in running]
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def join_trained(parts: list[Trained], device: torch.device) -> Trained:
    """Put the members of groups beside each other.

    A group that ended sooner keeps its last losses for the steps of the others.

    Parameters
    ----------
    parts : list of Trained
    device : torch.device
        Where the joined model is to live.

    Returns
    -------
    Trained
    """
    if len(parts) == 1 and parts[0].model.device == device:
        return parts[0]
    steps = max((part.steps for part in parts), key=len)

    def beside(losses: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        missing = [len(steps) - len(own) for own in losses]
        padded = [np.pad(x, ((0, k), (0, 0)), "edge") for x, k in zip(losses, missing, strict=True)]
        return np.concatenate(padded, axis=1)

    return Trained(
        PatternSetMixtureVAE.join([part.model for part in parts]).to(device),
        steps,
        beside([part.losses for part in parts]),
        beside([part.training_losses for part in parts]),
        sum(part.bad_gradients for part in parts),
        np.concatenate([part.best_step for part in parts]),
        np.concatenate([part.settled for part in parts]),
    )
