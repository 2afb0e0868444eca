"""Protocol P3: bias, coverage and width of pooled 95 % intervals on simulated designs.

    python -m benchmarks coverage --design A2 --method shared --replications 200 --m 20

Every replication is appended to the result file as soon as it ends; ``--summary`` prints the
table of what is there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import psmimpute as psm
from benchmarks.designs import DESIGNS, Design

RESULTS = Path(__file__).parent / "results" / "coverage.csv"
_KEY = ["design", "method", "n", "m", "seed"]
_METHODS = ("full", "complete-cases", "ignorable", "shared", "selection")


def _pooled(design: Design, tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Estimate and 95 % interval of every term."""
    rows = {}
    for term in design.truth:
        q = np.array([table.loc[term, "estimate"] for table in tables])
        u = np.array([table.loc[term, "std_error"] ** 2 for table in tables])
        pooled = psm.pool_scalar(q, u, dfcom=tables[0].loc[term, "df"])
        half = stats.t.ppf(0.975, pooled.df) * np.sqrt(pooled.t)
        low, high = pooled.qbar - half, pooled.qbar + half
        rows[term] = {"estimate": pooled.qbar, "low": low, "high": high, "fmi": pooled.fmi}
    return pd.DataFrame(rows).T


def _alone(design: Design, frame: pd.DataFrame) -> pd.DataFrame:
    table = design.analyse(frame).loc[list(design.truth)]
    half = stats.t.ppf(0.975, table["df"]) * table["std_error"]
    estimate = table["estimate"]
    low, high = estimate - half, estimate + half
    return pd.DataFrame({"estimate": estimate, "low": low, "high": high, "fmi": 0.0})


def replicate(
    design: Design, method: str, *, n: int, m: int, seed: int, n_sets: int | str
) -> pd.DataFrame:
    """One replication: a row for each term."""
    frame, where = design.draw(np.random.default_rng(seed), n)
    gappy = frame.mask(where)
    began = time.perf_counter()
    structure = ""
    if method == "full":
        found = _alone(design, frame)
    elif method == "complete-cases":
        found = _alone(design, gappy.dropna())
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
            imp = psm.impute(gappy, m, seed=seed, missingness=method, n_sets=n_sets)
        structure = imp.info.n_sets_reason.split("(")[0].strip(" ,")
        found = _pooled(design, [design.analyse(completed) for completed in imp])
    found.insert(0, "term", found.index)
    found["truth"] = pd.Series(design.truth)
    return found.assign(seconds=round(time.perf_counter() - began, 2), structure=structure)


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Bias, coverage and width by design, method and term, with Monte Carlo errors."""
    results = results.assign(
        covered=(results.low <= results.truth) & (results.truth <= results.high),
        width=results.high - results.low,
        error=results.estimate - results.truth,
    )
    groups = results.groupby(["design", "method", "n", "m", "term"], sort=False)
    table = groups.agg(
        replications=("seed", "nunique"),
        bias=("error", "mean"),
        empirical_sd=("error", "std"),
        coverage=("covered", "mean"),
        width=("width", "mean"),
    )
    p, r = table["coverage"], table["replications"]
    table["coverage_mc_error"] = np.sqrt(p * (1 - p) / r)
    table["bias_mc_error"] = table["empirical_sd"] / np.sqrt(r)
    return table.round(4)


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks coverage")
    parser.add_argument("--design", nargs="+", default=list(DESIGNS), choices=DESIGNS)
    parser.add_argument("--method", nargs="+", default=["full", "shared"], choices=_METHODS)
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--m", type=int, default=20)
    parser.add_argument("--n-sets", default="auto", type=lambda s: s if s == "auto" else int(s))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true")
    a = parser.parse_args(arguments)
    done = pd.read_csv(a.out) if a.out.exists() else pd.DataFrame(columns=_KEY)
    ready = set(done[_KEY].itertuples(index=False, name=None))
    a.out.parent.mkdir(exist_ok=True)
    for i in range(0 if a.summary else a.replications):
        for name, method in ((d, x) for d in a.design for x in a.method):
            seed = a.first_seed + i
            key = (name, method, a.n, a.m, seed)
            if key in ready:
                continue
            rows = replicate(DESIGNS[name], method, n=a.n, m=a.m, seed=seed, n_sets=a.n_sets)
            for column, value in zip(reversed(_KEY), reversed(key), strict=True):
                rows.insert(0, column, value)
            rows.to_csv(a.out, mode="a", header=not a.out.exists(), index=False)
    print(summarise(pd.read_csv(a.out)).to_string())
