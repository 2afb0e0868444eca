"""Protocol P4: wall time, CPU time and peak memory of m imputations, each in a process of its own.

    python -m benchmarks speed --n 1000 10000 --d 10 --contestant ours mice sklearn --rounds 2

The table is Gaussian, AR(1) with correlation .5, 20 % of each column missing completely at
random. The contestants of a table take turns, A B A B, so that what else the machine does falls
on all of them. ``--summary`` prints the ratios to ours of what is there.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.result_file import record

RESULTS = Path(__file__).parent / "results" / "speed.csv"
_CORRELATION, _RATE = 0.5, 0.2
_LOOK_EVERY = 0.02  # seconds

_NOTHING = "import sys, pandas as pd; pd.read_csv(sys.argv[1])"
_OURS = """
import sys, warnings
import pandas as pd
import psmimpute as psm
warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
imp = psm.impute(pd.read_csv(sys.argv[1]), int(sys.argv[2]), seed=1, progress=False)
imp.complete(imp.m)
"""
_SKLEARN = """
import sys, warnings
import pandas as pd
from sklearn.experimental import enable_iterative_imputer
from sklearn.impute import IterativeImputer
warnings.simplefilter("ignore")
df = pd.read_csv(sys.argv[1])
for k in range(int(sys.argv[2])):
    IterativeImputer(sample_posterior=True, max_iter=5, random_state=k).fit_transform(df)
"""
_MICEFOREST = """
import sys
import miceforest, pandas as pd
kernel = miceforest.ImputationKernel(
    pd.read_csv(sys.argv[1]), num_datasets=int(sys.argv[2]), random_state=1
)
kernel.mice(5)
kernel.complete_data(0)
"""
_MICE = """
suppressPackageStartupMessages(library(mice))
a <- commandArgs(trailingOnly = TRUE)
imp <- mice(read.csv(a[1]), m = as.integer(a[2]), maxit = 5, seed = 1, printFlag = FALSE)
invisible(complete(imp, 1))
"""
_PYTHON = {"nothing": _NOTHING, "ours": _OURS, "sklearn": _SKLEARN, "miceforest": _MICEFOREST}
_NEEDS = {"ours": "psmimpute", "sklearn": "sklearn", "miceforest": "miceforest"}
CONTESTANTS = (*_PYTHON, "mice")


def gaussian_table(n: int, d: int, *, seed: int) -> pd.DataFrame:
    """Return the table of the protocol.

    Parameters
    ----------
    n, d : int
        Rows and columns.
    seed : int
        Of the values and of the gaps.

    Returns
    -------
    DataFrame, shape (n, d)
        No row is without any value.
    """
    rng = np.random.default_rng(seed)
    frame = gaussian_values(n, d, rng)
    gaps = rng.random((n, d)) < _RATE
    gaps[gaps.all(1), 0] = False
    return frame.mask(gaps)


def gaussian_values(n: int, d: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return n rows of d columns x0, x1, ..., normal, each correlated with its neighbours."""
    x = rng.normal(size=(n, d))
    for j in range(1, d):
        x[:, j] = _CORRELATION * x[:, j - 1] + np.sqrt(1 - _CORRELATION**2) * x[:, j]
    return pd.DataFrame(x, columns=[f"x{j}" for j in range(d)])


def is_here(contestant: str) -> bool:
    """Tell whether a contestant can run on this machine."""
    if contestant == "mice":
        script = 'quit(status = !requireNamespace("mice", quietly = TRUE))'
        rscript = shutil.which("Rscript")
        return rscript is not None and not subprocess.run([rscript, "-e", script]).returncode
    needs = _NEEDS.get(contestant)
    return needs is None or importlib.util.find_spec(needs) is not None


def compile_package() -> None:
    """Compile the package to bytecode, as its installation does and a working tree may lack."""
    found = importlib.util.find_spec("psmimpute")
    for folder in found.submodule_search_locations or [] if found else []:
        compileall.compile_dir(folder, quiet=2)


def measure(command: list[str]) -> dict[str, float]:
    """Run a process; wall and CPU seconds of it and its children, and its peak in MB.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    began, peak, ended = time.perf_counter(), 0.0, 0
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not ended:
        peak = max(peak, _peak_mb(child.pid))
        time.sleep(_LOOK_EVERY)
        ended, status, usage = os.wait4(child.pid, os.WNOHANG)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command[:3]} ended with status {child.returncode}")
    return {
        "wall_s": round(time.perf_counter() - began, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(peak),
    }


def _peak_mb(process: int) -> float:
    """Peak so far; what wait4 tells includes the memory of the process that forked it."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return 0.0
    lines = (line.split() for line in status.splitlines())
    return next((int(words[1]) / 1024 for words in lines if words[0] == "VmHWM:"), 0.0)


def _command(contestant: str, file: str, m: int) -> list[str]:
    if contestant == "mice":
        return [shutil.which("Rscript") or "Rscript", "-e", _MICE, file, str(m)]
    return [sys.executable, "-c", _PYTHON[contestant], file, str(m)]


def summary(path: Path) -> pd.DataFrame:
    """Median CPU seconds of each contestant, and ours as a share of theirs."""
    runs = pd.read_csv(path)
    table = runs.pivot_table(
        index=["n", "d", "m"], columns="contestant", values="cpu_s", aggfunc="median"
    )
    for name in table.columns.drop(["ours", "nothing"], errors="ignore"):
        table[f"ours / {name}"] = (table["ours"] / table[name]).round(2)
    return table


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks speed")
    parser.add_argument("--n", type=int, nargs="+", default=[1000])
    parser.add_argument("--d", type=int, nargs="+", default=[10])
    parser.add_argument("--m", type=int, default=20)
    parser.add_argument("--contestant", nargs="+", default=["ours", "mice"], choices=CONTESTANTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true")
    a = parser.parse_args(arguments)
    if not a.summary:
        for name in [name for name in a.contestant if not is_here(name)]:
            print(f"{name}: not installed, left out", flush=True)
            a.contestant.remove(name)
        compile_package()
        with tempfile.TemporaryDirectory() as folder:
            for n, d in [(n, d) for n in a.n for d in a.d]:
                file = Path(folder) / "table.csv"
                gaussian_table(n, d, seed=a.seed).to_csv(file, index=False)
                for turn in range(a.rounds):
                    for name in a.contestant:
                        cost = measure(_command(name, str(file), a.m))
                        row = {"n": n, "d": d, "m": a.m, "contestant": name, "round": turn}
                        record(row | cost, a.out)
    if a.out.exists():
        print(summary(a.out).to_string())
