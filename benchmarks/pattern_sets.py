"""Protocol P2: whether two pattern sets find the two mechanisms (the paper's Table 3).

    python -m benchmarks pattern-sets --data breast --seeds 0 1

One column is missing where it is above its median, half of the time or at the rate; the truth is
whether it is above. The score is the share of rows in the right set under the better of the two
ways to label the sets. Rows are appended as they are ready; those there are passed over.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import psmimpute as psm
from benchmarks.accuracy import Clock
from benchmarks.masks import DATA, Deletion, delete, load
from benchmarks.methods import Configuration, published
from benchmarks.result_file import already, record

RESULTS = Path(__file__).parent / "results" / "pattern_sets.csv"
KEY = ["method", "data", "mechanism", "rate", "seed"]
_N_SETS = 2
_N_MEMBERS = 5


@dataclass(frozen=True)
class Finder:
    """A model of two sets, and the columns that it is given.

    Attributes
    ----------
    configuration : Configuration
    columns : callable
        From the table with its gaps, shape (n, d), to the columns of the model.
    """

    configuration: Configuration
    columns: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def finders() -> dict[str, Finder]:
    """Return the paper's three models, and the package's own two."""
    paper = published()
    found = {name: Finder(_two_sets(paper[name]), np.asarray) for name in ("psmvae-a", "psmvae-b")}
    found["hivae-with-m"] = Finder(_two_sets(paper["hivae"]), _with_indicators)
    for name, missingness in (("ours", "shared"), ("ours-selection", "selection")):
        options = {"m": _N_MEMBERS, "n_sets": _N_SETS, "missingness": missingness}
        found[name] = Finder(Configuration(options, numbers=False), np.asarray)
    return found


def _two_sets(configuration: Configuration) -> Configuration:
    return replace(configuration, options={**configuration.options, "n_sets": _N_SETS})


def _with_indicators(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Append which cells are missing, of columns with gaps, as further columns."""
    gaps = np.isnan(table)
    return np.hstack([table, gaps[:, gaps.any(0)].astype(float)])


def label_accuracy(high: npt.NDArray[np.bool_], sets: npt.NDArray[np.intp]) -> float:
    """Share of rows labelled right, under the better naming of the two sets.

    Parameters
    ----------
    high : ndarray of bool, shape (n,)
    sets : ndarray of int, shape (n,)
        0 or 1.

    Examples
    --------
    >>> label_accuracy(np.array([True, True, False, False]), np.array([0, 0, 1, 0]))
    0.75
    """
    share = float((sets == high).mean())
    return max(share, 1 - share)


def find(finder: Finder, deletion: Deletion, seed: int) -> npt.NDArray[np.intp]:
    """Modal set of each row, shape (n,)."""
    fitted = finder.configuration.fit(finder.columns(deletion.seen), seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
        imp = fitted.imputer.impute(fitted.frame)
    return np.asarray(imp.pattern_set_probabilities.to_numpy().argmax(1))


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    known = finders()
    parser = argparse.ArgumentParser(prog="python -m benchmarks pattern-sets")
    parser.add_argument("--data", nargs="+", default=["breast", "wine", "spam"])
    parser.add_argument("--method", nargs="+", default=list(known), choices=known)
    parser.add_argument("--mechanism", nargs="+", default=["mnar", "mnar+mcar"])
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args(arguments)
    ready = already(a.out, KEY)
    for data in a.data:
        source = load(data, a.data_dir)
        for seed, mechanism, name in (
            (s, x, n) for s in a.seeds for x in a.mechanism for n in a.method
        ):
            key = (name, data, mechanism, a.rate, seed)
            if key in ready:
                continue
            deletion = delete(source, mechanism=mechanism, rate=a.rate, seed=seed)
            clock = Clock()
            sets = find(known[name], deletion, seed)
            largest = max(deletion.high.mean(), 1 - deletion.high.mean())
            wall, cpu = clock.read().tolist()
            row = {
                "accuracy": round(label_accuracy(deletion.high, sets), 4),
                "one_set": round(float(largest), 4),
                "wall_s": round(wall, 1),
                "cpu_s": round(cpu, 1),
            }
            columns = [*KEY, *row]
            record(dict(zip(KEY, key, strict=True)) | row, a.out, columns)
