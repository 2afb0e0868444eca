"""Protocol P3: bias, coverage and width of pooled 95 % intervals on simulated designs.

    python -m benchmarks coverage --design A2 --method shared --replications 200 --m 20

Every replication is appended to the result file as soon as it ends, so that a run goes on
where it was stopped; ``--jobs`` processes share the replications. ``--summary`` prints the table
of what is there, ``--plot FILE`` draws the intervals, sorted by how far they miss.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

import psmimpute as psm
from benchmarks.designs import DESIGNS, Design

RESULTS = Path(__file__).parent / "results" / "coverage.csv"
_KEY = ["design", "method", "n", "m", "seed"]
_OURS: dict[str, dict[str, str | int]] = {
    "ignorable": {"missingness": "ignorable"},
    "shared": {"missingness": "shared"},
    "selection": {"missingness": "selection"},
    "selection-2-sets": {"missingness": "selection", "n_sets": 2},
}
_METHODS = ("full", "complete-cases", "mice", *_OURS)
_MICE = """
suppressPackageStartupMessages(library(mice))
d <- read.csv(file("stdin"), stringsAsFactors = TRUE)
if (!is.null(d$d)) d$d <- factor(d$d)
imp <- mice(d, m = {m}, seed = {seed}, printFlag = FALSE)
write.csv(complete(imp, "long"), row.names = FALSE)
"""


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


def _mice(gappy: pd.DataFrame, *, m: int, seed: int) -> list[pd.DataFrame]:
    """Completed frames of R's mice with its default methods."""
    script = _MICE.format(m=m, seed=seed)
    text = gappy.to_csv(index=False)
    done = subprocess.run(
        [shutil.which("Rscript") or "Rscript", "-e", script],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    long = pd.read_csv(io.StringIO(done.stdout))
    return [frame.reset_index(drop=True) for _, frame in long.groupby(".imp")]


def replicate(design: Design, method: str, *, n: int, m: int, seed: int) -> pd.DataFrame:
    """One replication: a row for each term."""
    frame, where = design.draw(np.random.default_rng(seed), n)
    gappy = frame.mask(where)
    began = time.perf_counter()
    structure = ""
    if method == "full":
        found = _alone(design, frame)
    elif method == "complete-cases":
        found = _alone(design, gappy.dropna())
    elif method == "mice":
        found = _pooled(design, [design.analyse(f) for f in _mice(gappy, m=m, seed=seed)])
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
            imp = psm.impute(gappy, m, seed=seed, **_OURS[method])
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
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--plot", type=Path)
    a = parser.parse_args(arguments)
    if not a.summary:
        done = pd.read_csv(a.out) if a.out.exists() else pd.DataFrame(columns=_KEY)
        ready = set(done[_KEY].itertuples(index=False, name=None))
        wanted = [
            (design, method, a.n, a.m, a.first_seed + i)
            for i in range(a.replications)
            for design in a.design
            for method in a.method
        ]
        _run([key for key in wanted if key not in ready], a.out, a.jobs)
    results = pd.read_csv(a.out)
    print(summarise(results).to_string())
    if a.plot:
        chosen = results[results.design.isin(a.design) & results.method.isin(a.method)]
        zip_plot(chosen[(chosen.n == a.n) & (chosen.m == a.m)], a.plot)


def _run(keys: list[tuple[str, str, int, int, int]], out: Path, jobs: int) -> None:
    out.parent.mkdir(exist_ok=True)
    with ProcessPoolExecutor(jobs) as pool:
        for rows in pool.map(_one, keys):
            rows.to_csv(out, mode="a", header=not out.exists(), index=False)


def _one(key: tuple[str, str, int, int, int]) -> pd.DataFrame:
    name, method, n, m, seed = key
    rows = replicate(DESIGNS[name], method, n=n, m=m, seed=seed)
    for column, value in zip(reversed(_KEY), reversed(key), strict=True):
        rows.insert(0, column, value)
    return rows


def zip_plot(results: pd.DataFrame, path: Path) -> None:
    """Draw every interval about the truth, sorted by how far it misses, a panel a term.

    References
    ----------
    .. [1] Morris, T. P., White, I. R. and Crowther, M. J. (2019). Using simulation studies to
       evaluate statistical methods. Statistics in Medicine 38(11), 2074-2102.
    """
    columns = list(results.groupby(["design", "method"], sort=False).groups)
    terms = max(results[results.design == d].term.nunique() for d, _ in columns)
    figure, axes = plt.subplots(
        len(columns),
        terms,
        figsize=(2.1 * terms, 2.0 * len(columns)),
        squeeze=False,
        layout="constrained",
    )
    for row, (design, method) in zip(axes, columns, strict=True):
        own = results[(results.design == design) & (results.method == method)]
        for ax, (term, part) in zip(row, own.groupby("term", sort=False), strict=False):
            _zip_panel(ax, part)
            ax.set_title(f"{design} {method}\n{term}", fontsize=8)
        for ax in row[own.term.nunique() :]:
            ax.set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _zip_panel(ax: plt.Axes, part: pd.DataFrame) -> None:
    half = (part.high - part.low) / 2
    miss = ((part.low + part.high) / 2 - part.truth).abs() / half
    part = part.iloc[np.argsort(miss.to_numpy())]
    rank = np.linspace(0, 100, len(part))
    missed = (part.low > part.truth) | (part.high < part.truth)
    ax.hlines(
        rank, part.low - part.truth, part.high - part.truth, lw=0.6,
        colors=np.where(missed, "#c1272d", "#0072b2"),
    )  # fmt: skip
    ax.axvline(0, color="black", lw=0.8)
    ax.axhline(95, color="black", lw=0.5, ls=":")
    ax.tick_params(labelsize=7)
    ax.set_xlabel("interval minus truth", fontsize=7)
