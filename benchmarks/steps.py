"""The paper's Figure 2: error of single imputation against training steps, for several π′.

    python -m benchmarks steps --data breast --seeds 0 1

One model of each line is trained without early stopping, and imputes at chosen steps. Rows are
appended as they are ready; those there are passed over. ``--plot`` draws what the file holds.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import psmimpute as psm
from benchmarks.masks import DATA, Deletion, delete, load
from benchmarks.methods import Configuration, published
from benchmarks.result_file import already, record
from benchmarks.scores import rmse
from psmimpute.assembly import encode_rows
from psmimpute.inference.members import fold_rows
from psmimpute.inference.start import Start
from psmimpute.inference.trainer import Plan, Trainer
from psmimpute.model.psm_vae import PatternSetMixtureVAE
from psmimpute.model.rows import store_rows
from psmimpute.table.applicability import Applicability

RESULTS = Path(__file__).parent / "results" / "steps.csv"
PLOT = Path(__file__).parents[1] / "docs" / "benchmarks-steps.png"
KEY = ["line", "data", "mechanism", "rate", "seed", "step"]
AT = (50, 100, 200, 300, 500, 700, 1000, 1400, 2000)


def lines() -> dict[str, Configuration]:
    """Return the configurations of the lines by their labels."""
    paper = published()
    b = paper["psmvae-b"]
    found = {
        f"PSMVAE(b), pi {pi}": replace(b, options={**b.options, "pi": pi})
        for pi in (0.1, 0.5, 0.9, "adaptive")
    }
    return {**found, "PSMVAE(a), pi 0.5": paper["psmvae-a"], "not-MIWAE": paper["not-miwae"]}


@dataclass(frozen=True)
class Run:
    """What one line is measured on.

    Attributes
    ----------
    deletion : Deletion
    seed : int
    n_samples : int
        Importance samples of the imputations.
    """

    deletion: Deletion
    seed: int
    n_samples: int

    def errors(self, line: Configuration, at: tuple[int, ...]) -> dict[int, float]:
        """Error by step."""
        frame = pd.DataFrame(self.deletion.seen).add_prefix("x")
        short = {**line.fit_options, "max_steps": 1}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
            # One step resolves schema, sizes and start; training then starts over.
            imputer = replace(line, fit_options=short).imputer(frame, self.seed).fit(frame)
        return _train(imputer, frame, self, line.fit_options, at)


def _train(
    imputer: psm.PSMImputer,
    frame: pd.DataFrame,
    run: Run,
    options: Mapping[str, Any],
    at: tuple[int, ...],
) -> dict[int, float]:
    fitted = imputer.fitted_
    model = PatternSetMixtureVAE(fitted.spec, 1)
    everywhere = Applicability.of(None)
    table = encode_rows(imputer.schema_, frame, unseen="error", applicability=everywhere)
    store = store_rows(table, fitted.spec.layout, device=torch.device("cpu"))
    Start(store, fitted.spec.layout).write(model, [torch.Generator().manual_seed(run.seed)])
    plan = Plan(max(at), int(options["n_samples"]), every=max(at), stop_early=False)
    trainer = Trainer(
        model,
        store,
        fold_rows(store.n_rows, n_folds=1, seed=run.seed),
        fit=psm.FitConfig(**options),
        plan=plan,
        seed=run.seed,
    )
    found: dict[int, float] = {}

    def look(step: int) -> None:
        if step in at:
            frozen = PatternSetMixtureVAE(fitted.spec, 1)
            frozen.load_state_dict(model.state_dict())
            imputer.fitted_ = replace(fitted, model=frozen.eval().requires_grad_(False))
            filled = imputer.transform(frame, n_samples=run.n_samples).to_numpy(float)
            found[step] = round(rmse(run.deletion, filled), 5)

    trainer.run(look)
    return found


def plot(results: pd.DataFrame, file: Path) -> None:
    """Draw the mean error over seeds against the step, one line each."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for label, part in results.groupby("line", sort=False):
        mean = part.groupby("step")["rmse"].mean()
        axes.plot(mean.index, mean, marker="o", markersize=3, label=str(label))
    n_seeds = results["seed"].nunique()
    first = results.iloc[0]
    axes.set_xscale("log")
    axes.set_xlabel("training steps")
    axes.set_ylabel("RMSE of single imputations")
    axes.set_title(
        f"{first['data']}, {first['rate']:.0%} {first['mechanism'].upper()}, "
        f"mean of {n_seeds} seed{'s' if n_seeds > 1 else ''}",
        fontsize=10,
    )
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(arguments: list[str]) -> None:
    """Run the protocol; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks steps")
    parser.add_argument("--data", default="breast")
    parser.add_argument("--mechanism", default="mnar")
    parser.add_argument("--rate", type=float, default=0.8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--samples", type=int, default=1000, help="K; the paper's is 10,000")
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--plot", type=Path, default=PLOT)
    a = parser.parse_args(arguments)
    source = load(a.data, a.data_dir)
    ready = already(a.out, KEY)
    for seed in a.seeds:
        deletion = delete(source, mechanism=a.mechanism, rate=a.rate, seed=seed)
        for label, line in lines().items():
            cell = {
                "line": label,
                "data": a.data,
                "mechanism": a.mechanism,
                "rate": a.rate,
                "seed": seed,
            }
            if (*cell.values(), max(AT)) in ready:
                continue
            errors = Run(deletion, seed, a.samples).errors(line, AT)
            for step, error in errors.items():
                row = cell | {"step": step, "rmse": error, "samples": a.samples}
                record(row, a.out, [*KEY, "rmse", "samples"])
    if a.out.exists():
        plot(pd.read_csv(a.out), a.plot)
