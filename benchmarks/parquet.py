"""Protocol P4, Parquet: rows per second and peak memory of imputing a made-up lake.

python -m benchmarks parquet --rows 1e6 --m 5

Three processes, one after the other, each on one thread: one imputes, one passes rows in memory
through the network alone, and one reads the source and writes it m + 1 times. Processor time is
reported beside wall time, because the machine may have other work.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

import psmimpute as psm
from benchmarks.lake import make_rows, write_lake
from benchmarks.result_file import record
from psmimpute.inference.config import FitConfig
from psmimpute.inference.draws import Drawer
from psmimpute.model.config import ModelConfig
from psmimpute.model.rows import store_rows

RESULTS = Path(__file__).parent / "results" / "parquet.csv"
_FORWARD_ROWS = 2**16  # as many as impute_parquet draws at once


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks parquet")
    parser.add_argument("--rows", type=float, required=True)
    parser.add_argument("--m", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample-rows", type=int, default=20_000)
    parser.add_argument("--layout", choices=["long", "cells"], default="long")
    parser.add_argument("--structure", choices=["auto", "linear"], default="auto")
    parser.add_argument("--draw-samples", type=int, default=FitConfig().n_draw_samples)
    parser.add_argument("--forward-rows", type=int, default=_FORWARD_ROWS)
    parser.add_argument("--model", type=Path, help="fitted before; by default it is fitted here")
    parser.add_argument("--scratch", type=Path, help="kept; by default a temporary folder")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", choices=[*_CHILDREN], help=argparse.SUPPRESS)
    a = parser.parse_args(arguments)
    if a.child:
        torch.set_num_threads(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
            print(json.dumps(_CHILDREN[a.child](a)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        a.scratch = a.scratch or Path(temporary)
        _measure(a, arguments)


def _measure(a: argparse.Namespace, arguments: list[str]) -> None:
    n_rows, lake = int(a.rows), a.scratch / f"lake-{int(a.rows)}"
    write_lake(lake, n_rows)
    if a.model is None:
        a.model = a.scratch / f"{a.structure}-{a.draw_samples}.psm"
    if not a.model.exists():
        _fit(a, lake)
    imputer = psm.PSMImputer.load(a.model, device="cpu")
    options = [*arguments, "--scratch", str(a.scratch), "--model", str(a.model)]
    found = {}
    for child in _CHILDREN:
        command = [sys.executable, "-m", "benchmarks", "parquet", *options, "--child", child]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[child] = json.loads(done.stdout.splitlines()[-1])
        print(child, found[child], flush=True)
    each = {name: part["n_rows"] / part["cpu_s"] for name, part in found.items()}
    row = {
        "n_rows": n_rows,
        "n_columns": 12,
        "m": a.m,
        "layout": a.layout,
        "seed": a.seed,
        "n_sets": imputer.n_sets_,
        "hidden_dim": imputer.fitted_.spec.hidden_dim,
        "draw_samples": imputer.get_params()["fit"].n_draw_samples,
        "wall_s": round(found["impute"]["wall_s"], 1),
        "cpu_s": round(found["impute"]["cpu_s"], 1),
        "peak_mb": round(found["impute"]["peak_mb"]),
        "rows_per_cpu_s": round(each["impute"], 1),
        "forward_rows_per_cpu_s": round(each["forward"], 1),
        "share_of_forward": round(each["impute"] / each["forward"], 3),
        "disk_rows_per_cpu_s": round(each["disk"], 1),
        "source_mb": round(found["disk"]["source_mb"], 1),
        "target_mb": round(found["impute"]["target_mb"], 1),
    }
    record(row, a.out)


def _fit(a: argparse.Namespace, lake: Path) -> None:
    linear = {"n_sets": 1, "model": ModelConfig(hidden_dim=0)} if a.structure == "linear" else {}
    fit = FitConfig(n_draw_samples=a.draw_samples)
    imputer = psm.PSMImputer(a.m, seed=a.seed, progress=False, fit=fit, **linear)
    imputer.fit(lake, sample_rows=a.sample_rows)
    imputer.save(a.model)


def _impute(a: argparse.Namespace) -> dict[str, float]:
    lake, out = a.scratch / f"lake-{int(a.rows)}", a.scratch / "imputed"
    shutil.rmtree(out, ignore_errors=True)
    wall, cpu = time.perf_counter(), time.process_time()
    psm.impute_parquet(lake, out, a.m, model=a.model, seed=a.seed, layout=a.layout, progress=False)
    facts = {
        "n_rows": int(a.rows),
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "target_mb": _megabytes(out),
    }
    shutil.rmtree(out)
    return facts


def _forward(a: argparse.Namespace) -> dict[str, float]:
    """Draw m imputations of encoded rows in memory: the network and its random numbers alone."""
    imputer = psm.PSMImputer.load(a.model, device="cpu")
    rows = imputer.row_imputer(seed=a.seed)
    n_rows = min(int(a.rows), a.forward_rows)
    table = rows.encode(make_rows(n_rows, seed=0, piece=0))
    drawer = Drawer(
        imputer.fitted_.model,
        store_rows(table, imputer.fitted_.spec.layout, device=imputer.fitted_.device),
        row_keys=np.arange(n_rows, dtype=np.uint64),
        seed=a.seed,
        n_samples=rows.n_samples,
        alignment=imputer.fitted_.alignment,
    )
    drawer.draw(range(1))  # imports and caches
    cpu = time.process_time()
    drawer.draw(range(a.m))
    return {"n_rows": n_rows, "cpu_s": time.process_time() - cpu}


def _disk(a: argparse.Namespace) -> dict[str, float]:
    """Read the source, and write it m + 1 times, one row group in memory."""
    lake, out = a.scratch / f"lake-{int(a.rows)}", a.scratch / "copied.parquet"
    wall, cpu, n_rows = time.perf_counter(), time.process_time(), 0
    for path in sorted(lake.glob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            n_rows += table.num_rows
            for _ in range(a.m + 1):
                pq.write_table(table, out)
    out.unlink()
    return {
        "n_rows": n_rows,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "source_mb": _megabytes(lake),
    }


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


_CHILDREN = {"impute": _impute, "forward": _forward, "disk": _disk}


if __name__ == "__main__":
    main(sys.argv[1:])
