"""Protocol P1: error of single imputations on the paper's data and masks.

    python -m benchmarks accuracy --data letter --rate 0.2 --mechanism mcar --seeds 0 1 2

Masks, row samples, rounding and score are those of the paper's Tables 2 and 4: mean imputation
on the MCAR masks reproduces the paper's rows. Each run is appended to the result file as soon
as it ends; runs already there are passed over.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import psmimpute as psm
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "accuracy.csv"
DATA = Path(__file__).parents[1].parent / "shared" / "data"
_KEY = ["method", "data", "mechanism", "rate", "seed"]
METHODS = {
    "psmvae-b": {"missingness": "shared"},
    "psmvae-a": {"missingness": "selection"},
    "psmvae-without-mask": {"missingness": "ignorable"},
    "mean": None,
}


def load(name: str, data: Path) -> np.ndarray:
    """Read one of the paper's data sets, shape (n, d); adult has true gaps."""
    return pd.read_csv(data / f"{name}.csv.gz", header=None).to_numpy(float)


def delete(
    full: np.ndarray, *, mechanism: str, rate: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose rows and cells as the paper does.

    Parameters
    ----------
    full : ndarray, shape (n, d)
    mechanism : {"mcar", "mnar", "mnar+mcar"}
    rate : float
    seed : int

    Returns
    -------
    full, masked : ndarray, shape (0.8 n, d)
        The rows kept, and which of their cells are taken away.
    """
    n, d = full.shape
    state = np.random.RandomState(seed)
    masked = np.zeros((n, d), dtype=bool)
    if mechanism != "mnar":
        masked = state.binomial(size=(n, d), n=1, p=rate) == 1
    if mechanism != "mcar":
        while True:
            v = state.choice(d)
            high = full[:, v] > np.nanmedian(full[:, v])
            if 0.1 * n < high.sum() < 0.9 * n:
                break
        masked[:, v] = False
        own_rate = rate if mechanism == "mnar" else 0.5
        masked[high, v] = state.binomial(1, own_rate, size=high.sum()) == 1
    kept = np.random.RandomState(seed=seed).permutation(n)[: int(0.8 * n)]
    full, masked = full[kept], masked[kept]
    return full, masked & ~np.isnan(full)


def score(full: np.ndarray, masked: np.ndarray, imputed: np.ndarray) -> float:
    """Root mean squared error over masked cells, each scaled by its column's range."""
    imputed = imputed.copy()
    for j in range(full.shape[1]):
        seen = full[~masked[:, j], j]
        if len(np.unique(seen[~np.isnan(seen)])) < 20:
            imputed[:, j] = np.round(imputed[:, j])
    spread = np.nanmax(full, 0) - np.nanmin(full, 0) + 1e-6
    return float(np.sqrt((((imputed - full) / spread)[masked] ** 2).mean()))


def run(method: str, frame: pd.DataFrame, *, members: int, samples: int, seed: int) -> pd.DataFrame:
    """Single imputation of a frame."""
    options = METHODS[method]
    if options is None:
        return frame.fillna(frame.mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
        imputer = psm.PSMImputer(members, seed=seed, **options).fit(frame)
        filled = imputer.transform(frame, n_samples=samples)
    print("   ", imputer.fitted_.reason, flush=True)
    return filled


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--method", nargs="+", default=["psmvae-b"], choices=METHODS)
    parser.add_argument("--mechanism", nargs="+", default=["mcar"])
    parser.add_argument("--rate", type=float, nargs="+", default=[0.2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--source", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args(arguments)
    done = pd.read_csv(a.out)[_KEY] if a.out.exists() else pd.DataFrame(columns=_KEY)
    ready = set(done.itertuples(index=False, name=None))
    for data in a.data:
        source = load(data, a.source)
        for mechanism, rate, seed, method in (
            (x, r, s, y) for x in a.mechanism for r in a.rate for s in a.seeds for y in a.method
        ):
            key = (method, data, mechanism, rate, seed)
            if key in ready:
                continue
            full, masked = delete(source, mechanism=mechanism, rate=rate, seed=seed)
            frame = pd.DataFrame(np.where(masked, np.nan, full)).add_prefix("x")
            began, cpu = time.perf_counter(), time.process_time()
            filled = run(method, frame, members=a.members, samples=a.samples, seed=seed)
            row = dict(zip(_KEY, key, strict=True)) | {
                "rmse": round(score(full, masked, filled.to_numpy(float)), 5),
                "wall_s": round(time.perf_counter() - began, 1),
                "cpu_s": round(time.process_time() - cpu, 1),
                "members": a.members,
                "samples": a.samples,
            }
            print(row, flush=True)
            a.out.parent.mkdir(exist_ok=True)
            pd.DataFrame([row | machine()]).to_csv(
                a.out, mode="a", header=not a.out.exists(), index=False
            )
