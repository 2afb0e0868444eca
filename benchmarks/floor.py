"""Protocol P4, in part: where the time goes, and how near a training step is to the floor.

    python -m benchmarks floor --n 10000 --d 10

The floor of a step is the longer of two times: that of its floating-point operations in matrix
products, at the rate of a large product on one thread, and that of the bytes that its calls read
and write, at the rate of a copy. Both rates are measured in the same run. A call that fuses others
reads and writes less, so the floor of the bytes is that of these calls, not of any program.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import psmimpute as psm
from benchmarks.designs import DESIGNS
from benchmarks.result_file import record
from benchmarks.speed import gaussian_table
from psmimpute.inference.groups import resamples_of
from psmimpute.inference.members import resample_rows
from psmimpute.inference.structure import member_groups, member_trainer
from psmimpute.inference.trainer import Trainer
from psmimpute.model.rows import store_rows
from psmimpute.table.encoding import encode

RESULTS = Path(__file__).parent / "results" / "floor.csv"
# Functions whose cumulative time is that of a stage.
_STAGES = {
    "encode_s": "encode",
    "structure_s": "choose",
    "members_s": "train_members",
    "draw_s": "draw",
}
_PRODUCTS = ("aten.mm", "aten.bmm", "aten.addmm", "aten.baddbmm")
_N_STEPS = 8
_FLOAT = 4  # bytes


class CallCounter(TorchDispatchMode):
    """Counts calls that compute, operations in their matrix products, and bytes they touch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.operations, self.bytes = 0, 0, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a call, and count it unless its results are views of what it was given."""
        found = func(*args, **(kwargs or {}))
        given, made = list(_tensors(args)), list(_tensors(found))
        there = {t.untyped_storage().data_ptr() for t in given}
        in_place = func.__name__.split(".")[0].endswith("_")
        if not in_place and all(t.untyped_storage().data_ptr() in there for t in made):
            return found
        self.calls += 1
        # What is expanded is read once.
        read = {t.untyped_storage().data_ptr(): _size(t) for t in given}
        self.bytes += sum(read.values()) + sum(_size(t) for t in made)
        if str(func).rpartition(".")[0] in _PRODUCTS:
            self.operations += 2 * made[0].numel() * given[-2].shape[-1]
        return found


def _tensors(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from _tensors(part)


def _size(t: Tensor) -> int:
    return min(t.numel() * t.element_size(), t.untyped_storage().nbytes())


def rates() -> tuple[float, float]:
    """Operations a second of a large product, and bytes a second of a copy, on one thread."""
    a, n = torch.randn(1024, 1024), 2 * 1024**3
    source = torch.randn(2**25)
    target = torch.empty_like(source)
    return n / _best(lambda: a @ a), 2 * _FLOAT * source.numel() / _best(
        lambda: target.copy_(source)
    )


def _best(function: Callable[[], Any], n: int = 5) -> float:
    """Return the shortest of some times."""
    times = []
    for _ in range(n + 1):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def step_cost(trainer: Trainer) -> dict[str, float]:
    """Cost of a training step: measured, and the floor."""
    step = partial(trainer._step, trainer._recorded(), trainer._optimiser(), 0.1)
    step()
    # As many as a proposal lasts, so that its cost is shared out.
    with CallCounter() as counted:
        for _ in range(_N_STEPS):
            step()
    measured = _best(lambda: [step() for _ in range(_N_STEPS)], 3) / _N_STEPS
    per_second, bandwidth = rates()
    arithmetic = counted.operations / _N_STEPS / per_second
    traffic = counted.bytes / _N_STEPS / bandwidth
    floor = max(arithmetic, traffic)
    return {
        "calls": round(counted.calls / _N_STEPS),
        "mflop": round(counted.operations / _N_STEPS / 1e6, 2),
        "mbyte": round(counted.bytes / _N_STEPS / 1e6, 2),
        "gflop_per_s": round(per_second / 1e9, 1),
        "gbyte_per_s": round(bandwidth / 1e9, 1),
        "step_ms": round(measured * 1e3, 2),
        "arithmetic_ms": round(arithmetic * 1e3, 2),
        "traffic_ms": round(traffic * 1e3, 2),
        "measured_over_floor": round(measured / floor, 1),
    }


def stages(frame: pd.DataFrame, m: int) -> tuple[psm.PSMImputer, dict[str, float]]:
    """Fit and impute; returns the imputer and the seconds of each stage."""
    imputer = psm.PSMImputer(m=m, seed=1, progress=False)
    profile = cProfile.Profile()
    began = time.perf_counter()
    profile.enable()
    imputer.fit(frame).impute(frame)
    profile.disable()
    whole = time.perf_counter() - began
    inside = dict.fromkeys(_STAGES, 0.0)
    for (file, _, function), (*_, cumulative, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        for name, wanted in _STAGES.items():
            if function == wanted and "psmimpute" in file:
                inside[name] = max(inside[name], cumulative)
    inside["other_s"] = whole - sum(inside.values())
    return imputer, {"whole_s": round(whole, 2)} | {k: round(v, 2) for k, v in inside.items()}


def first_group(imputer: psm.PSMImputer, frame: pd.DataFrame, m: int) -> Trainer:
    """Return the trainer of the first group of members, as a fit would make it."""
    fitted, fit = imputer.fitted_, imputer.get_params()["fit"]
    table = encode(imputer.schema_, frame)
    store = store_rows(table, fitted.spec.layout, device=fitted.device)
    group = member_groups(fitted.structure, store, m, fit=fit)[0]
    resamples = resample_rows(store.n_rows, members=range(m), seed=1, resample=True)
    own = resamples_of(resamples, group)
    return member_trainer(fitted.structure, store, own, fit=fit, seed=1, first=0)


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks floor")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--d", type=int, default=10)
    parser.add_argument("--design", choices=DESIGNS, help="in place of the table of numbers")
    parser.add_argument("--m", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args(arguments)
    warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
    if a.design:
        complete, where = DESIGNS[a.design].draw(np.random.default_rng(0), a.n)
        frame = complete.mask(where)
    else:
        frame = gaussian_table(a.n, a.d, seed=0)
    imputer, seconds = stages(frame, a.m)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer = first_group(imputer, frame, a.m)
        cost = step_cost(trainer)
    finally:
        torch.set_num_threads(threads)
    row = {
        "table": a.design or "gaussian",
        "n": a.n,
        "d": frame.shape[1],
        "m": a.m,
        "hidden": imputer.fitted_.spec.hidden_dim,
        "sets": imputer.n_sets_,
        "members_of_group": trainer.n_members,
    }
    record(row | seconds | cost, a.out)
