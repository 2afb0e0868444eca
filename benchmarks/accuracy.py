"""Protocol P1: single and multiple imputation of the paper's data under the paper's masks.

    python -m benchmarks accuracy --method ours mice --data letter --seeds 0 1 2

Masks, row samples, rounding and score are those of the paper's Tables 2 and 4: mean imputation
on the MCAR masks reproduces the paper's rows. Each run is appended to the result file as soon
as it ends; runs already there are passed over. ``--processes 14`` runs as many at once, all of them
on one graphics card where there is one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Hashable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

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


@dataclass(frozen=True)
class Task:
    """A table and the methods that impute it after one fit.

    Attributes
    ----------
    data, mechanism, rate, seed
        Which cells are taken away of which data.
    names : tuple of str
        Methods that learn the same.
    folder : Path
        Of the data.
    members, n_draws : int
        Of ``ours``, and draws to score.
    """

    data: str
    mechanism: str
    rate: float
    seed: int
    names: tuple[str, ...]
    folder: Path
    members: int
    n_draws: int

    def run(self) -> Iterator[dict[str, Any]]:
        """Yield a row of results for each method."""
        known = methods(members=self.members)
        cell = {"mechanism": self.mechanism, "rate": self.rate, "seed": self.seed}
        deletion = delete(load(self.data, self.folder), **cell)
        contest = Contest(deletion, seed=self.seed, n_draws=self.n_draws)
        for name in self.names:
            yield {"method": name, "data": self.data, **cell} | contest.run(name, known[name])


def _run_alone(task: Task) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    return list(task.run())


def run_tasks(tasks: list[Task], *, processes: int) -> Iterator[dict[str, Any]]:
    """Run tasks one after the other, or some at once in processes of one thread each.

    Parameters
    ----------
    tasks : list of Task
    processes : int

    Yields
    ------
    dict
        Rows of results, as soon as a task has ended. What fails is told of when all others have.
    """
    if processes == 1:
        for task in tasks:
            yield from task.run()
        return
    failed: list[BaseException] = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_run_alone, task) for task in tasks]):
            error = done.exception()
            if error is None:
                yield from done.result()
            else:
                failed.append(error)
    if failed:
        raise BaseExceptionGroup("tasks failed", failed)


def _tasks(a: argparse.Namespace, chosen: dict[str, Method]) -> Iterator[Task]:
    """List what is not in the result file yet, methods that share a fit together."""
    ready = already(a.out, KEY)
    for data, mechanism, rate, seed in product(a.data, a.mechanism, a.rate, a.seeds):
        groups: dict[str, list[str]] = {}
        for name, method in chosen.items():
            if (name, data, mechanism, rate, seed) not in ready:
                groups.setdefault(method.shares or name, []).append(name)
        for names in groups.values():
            cell = data, mechanism, rate, seed
            yield Task(*cell, tuple(names), a.data_dir, a.members, a.draws)


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
    parser.add_argument("--processes", type=int, default=1, help="tasks at once, a thread each")
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args(arguments)
    known = methods(members=a.members)
    everyone = [name for name in known if name not in OPTIONAL]
    chosen = _installed(everyone if "all" in a.method else a.method, known)
    tasks = list(_tasks(a, {name: known[name] for name in chosen}))
    for row in run_tasks(tasks, processes=a.processes):
        record(row, a.out, _COLUMNS)
