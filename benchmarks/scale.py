"""Protocol P4, in part: wall time and peak memory of m imputations of a table as it is.

python -m benchmarks scale --data adult --m 20
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from pathlib import Path

import pandas as pd

import psmimpute as psm
from benchmarks.masks import DATA, load
from benchmarks.result_file import record

RESULTS = Path(__file__).parent / "results" / "scale.csv"


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale")
    parser.add_argument("--data", required=True)
    parser.add_argument("--m", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args(arguments)
    frame = pd.DataFrame(load(a.data, a.source)).add_prefix("x")
    began, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
        imp = psm.impute(frame, a.m, seed=a.seed)
    row = {
        "data": a.data,
        "n_rows": len(frame),
        "n_columns": frame.shape[1],
        "m": imp.m,
        "seed": a.seed,
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "structure": imp.info.n_sets_reason,
    }
    record(row, a.out)
