"""Protocol P1: single and multiple imputation of the paper's data under the paper's masks.

    python -m benchmarks accuracy --method ours mice --data letter --seeds 0 1 2

Masks, row samples, rounding and score are those of the paper's Tables 2 and 4: mean imputation
on the MCAR masks reproduces the paper's rows. Each run is appended to the result file as soon
as it ends; runs already there are passed over.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Hashable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.masks import DATA, MECHANISMS, Deletion, delete, load
from benchmarks.method import Array, Method
from benchmarks.methods import OPTIONAL, methods
from benchmarks.result_file import already, record
from benchmarks.scores import crps, energy_distance, interval_coverage, pit_coverage, rmse

RESULTS = Path(__file__).parent / "results" / "tables.csv"
KEY = ["method", "data", "mechanism", "rate", "seed"]
_N_ENERGY_DRAWS = 5


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Array:
        """Wall and CPU seconds, shape (2,)."""
        return np.array([time.perf_counter() - self._wall, time.process_time() - self._cpu])


class Contest:
    """One table that all methods impute; methods that learn the same are fitted once.

    Parameters
    ----------
    deletion : Deletion
        The table and its masked cells.
    seed : int
        Of the methods.
    n_draws : int
        Draws to score; fewer than 2 leaves them out.
    """

    def __init__(self, deletion: Deletion, *, seed: int, n_draws: int) -> None:
        self.deletion, self.seed, self.n_draws = deletion, seed, n_draws
        self._fits: dict[Hashable, tuple[Any, Array]] = {}
        self._draw_scores: dict[Hashable, dict[str, float]] = {}

    def run(self, name: str, method: Method) -> dict[str, float | str]:
        """Impute by one method and score it.

        Times are of the fit and the single imputation, whichever method paid for the fit; those
        of the draws are apart.
        """
        shares = method.shares or name
        if shares not in self._fits:
            clock = Clock()
            fitted = method.fit(self.deletion.seen, self.seed)
            self._fits[shares] = fitted, clock.read()
        fitted, cost = self._fits[shares]
        clock = Clock()
        point = method.point(fitted)
        cost = cost + clock.read()
        row: dict[str, float | str] = {"rmse": round(rmse(self.deletion, point), 5)}
        if method.draws is None or self.n_draws < 2:
            row |= {"energy": round(energy_distance(self.deletion, point), 4)}
        else:
            if shares not in self._draw_scores:
                self._draw_scores[shares] = self._score_draws(method, fitted)
            row |= self._draw_scores[shares]
        wall, cpu = cost.tolist()
        times = {"wall_s": round(wall, 1), "cpu_s": round(cpu, 1), "settings": method.settings}
        return row | times

    def _score_draws(self, method: Method, fitted: Any) -> dict[str, float]:
        assert method.draws is not None
        clock = Clock()
        draws = method.draws(fitted, self.n_draws)
        cpu = clock.read()[1]
        d = self.deletion
        energy = np.mean([energy_distance(d, draw) for draw in draws[:_N_ENERGY_DRAWS]])
        return {
            "energy": round(float(energy), 4),
            "draw_rmse": round(float(np.mean([rmse(d, draw) for draw in draws])), 5),
            "crps": round(crps(d, draws), 5),
            "cover90": round(interval_coverage(d, draws), 4),
            "cover90_discrete": round(interval_coverage(d, draws, discrete=True), 4),
            "pit90": round(pit_coverage(d, draws), 4),
            "pit90_discrete": round(pit_coverage(d, draws, discrete=True), 4),
            "draws": self.n_draws,
            "draws_cpu_s": round(float(cpu), 1),
        }


_COLUMNS = [
    *KEY,
    "rmse",
    "draw_rmse",
    "crps",
    "cover90",
    "cover90_discrete",
    "pit90",
    "pit90_discrete",
    "energy",
    "wall_s",
    "cpu_s",
    "draws_cpu_s",
    "draws",
    "settings",
]


def _cells(a: argparse.Namespace) -> Iterator[tuple[str, float, int]]:
    return ((x, r, s) for s in a.seeds for x in a.mechanism for r in a.rate)


def _installed(chosen: list[str], known: dict[str, Method]) -> list[str]:
    """Pass over the peers that are not there, and say so."""
    kept = []
    for name in chosen:
        package = known[name].needs
        if package and find_spec(package) is None:
            print(f"{name}: not installed (package {package})", flush=True)
        else:
            kept.append(name)
    return kept


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    names = list(methods())
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument(
        "--method",
        nargs="+",
        default=["ours"],
        choices=[*names, "all"],
        metavar="NAME",
        help=f"'all' (without {', '.join(OPTIONAL)}), or any of {', '.join(names)}",
    )
    parser.add_argument("--mechanism", nargs="+", default=["mcar"], choices=MECHANISMS)
    parser.add_argument("--rate", type=float, nargs="+", default=[0.2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--members", type=int, default=20, help="of 'ours'")
    parser.add_argument("--draws", type=int, default=20, help="0 leaves the draws out")
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args(arguments)
    known = methods(members=a.members)
    everyone = [name for name in known if name not in OPTIONAL]
    chosen = _installed(everyone if "all" in a.method else a.method, known)
    ready = already(a.out, KEY)
    for data in a.data:
        source = load(data, a.data_dir)
        for mechanism, rate, seed in _cells(a):
            deletion = delete(source, mechanism=mechanism, rate=rate, seed=seed)
            contest = Contest(deletion, seed=seed, n_draws=a.draws)
            for name in chosen:
                key = (name, data, mechanism, rate, seed)
                if key not in ready:
                    scores = contest.run(name, known[name])
                    record(dict(zip(KEY, key, strict=True)) | scores, a.out, _COLUMNS)
