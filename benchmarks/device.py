"""Protocol P4, in part: one table on each device of a machine, in one process.

    python -m benchmarks device --on cpu cuda --n 1000 10000 100000 --data letter

Seconds of wall time of the fit of 20 members and of 20 imputations by them. A small fit before the
first one keeps the start of the device out of them. The Gaussian tables are those of the speed
protocol; the paper's data lose a fifth of their cells completely at random.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import psmimpute as psm
from benchmarks.masks import DATA, delete, load
from benchmarks.result_file import record
from benchmarks.speed import gaussian_table

RESULTS = Path(__file__).parent / "results" / "device.csv"
_M, _D, _RATE, _SEED = 20, 10, 0.2, 101


def measure(frame: pd.DataFrame, device: str) -> dict[str, float]:
    """Fit a table and impute it on a device.

    Parameters
    ----------
    frame : DataFrame
        Table with gaps.
    device : str
        Name of a torch device.

    Returns
    -------
    dict
        Wall seconds of both.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
        began = time.perf_counter()
        imputer = psm.PSMImputer(_M, seed=1, device=device, progress=False).fit(frame)
        fitted = time.perf_counter()
        imputer.impute(frame)
        drawn = time.perf_counter()
    return {"fit_s": round(fitted - began, 2), "draw_s": round(drawn - fitted, 2)}


def _tables(a: argparse.Namespace) -> Iterator[tuple[str, pd.DataFrame]]:
    for n in a.n:
        yield "gaussian", gaussian_table(n, _D, seed=0)
    for name in a.data:
        deletion = delete(load(name, a.data_dir), mechanism="mcar", rate=_RATE, seed=_SEED)
        yield name, pd.DataFrame(deletion.seen).add_prefix("x")


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks device")
    parser.add_argument("--on", nargs="+", default=["cpu", "cuda"], help="names of torch devices")
    parser.add_argument("--n", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--data", nargs="*", default=[])
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args(arguments)
    for device in a.on:
        measure(gaussian_table(200, 4, seed=0), device)
        for name, frame in _tables(a):
            row = {"table": name, "n": len(frame), "d": frame.shape[1], "m": _M, "on": device}
            record(row | measure(frame, device) | {"settings": ""}, a.out)
