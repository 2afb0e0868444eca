"""Measurements behind choices of the method, on designs and seeds apart from those reported.

    python -m benchmarks choices interaction --n 5000 --replications 3 --samples 8
    python -m benchmarks choices heavy-tails --replications 24

A relation (``interaction``, ``square``; ``wide-interaction`` and ``neighbours`` in a wide table):
the model is fitted to n rows, then imputes one large table, so that bias shows with little noise;
the error is against the analysis of that table without gaps.
A wrong likelihood (``heavy-tails``, ``rounding``): intervals of pooled draws, and of donors
that are matched on the model's conditional means.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy import stats
from scipy.special import expit

import psmimpute as psm
from benchmarks.designs import make_gaps
from benchmarks.result_file import record
from benchmarks.speed import gaussian_values
from psmimpute.model import encoders

RESULTS = Path(__file__).parent / "results" / "choices.csv"
FIRST_SEED = 100
_LARGE, _LARGE_SEED = 20_000, 999
_N_DONORS = 5
_SMOOTHING: dict[str, bool | Literal["auto"]] = {"auto": "auto", "yes": True, "no": False}
_COLUMNS = [
    *("question", "setting", "n", "m", "replications", "first_seed", "term"),
    *("bias", "bias_error", "coverage", "width"),
]

Draw = Callable[[np.random.Generator, int], tuple[pd.DataFrame, pd.DataFrame]]


@dataclass(frozen=True)
class Relation:
    """A relation that imputations may flatten, and the formula of its analysis."""

    draw: Draw
    formula: str


@dataclass(frozen=True)
class Outcome:
    """An outcome with gaps whose likelihood is wrong, and the bound of its share."""

    draw: Draw
    bound: float


def _interaction(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    x1 = rng.normal(size=n)
    x2 = 0.3 * x1 + np.sqrt(0.91) * rng.normal(size=n)
    y = 0.5 * x1 - x2 + 0.8 * x1 * x2 + rng.normal(size=n)
    frame = pd.DataFrame({"x1": x1, "x2": x2, "y": y})
    return frame, make_gaps(frame, rng, x2=expit(-0.4 - 0.5 * y + 0.4 * x1))


def _wide_interaction(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the interaction with seven more columns that hang on the same two, and two more."""
    frame, where = _interaction(rng, n)
    hidden = np.column_stack([frame[["x1", "x2"]], rng.normal(size=(n, 2))])
    slopes = np.random.default_rng(0).normal(scale=0.5, size=(4, 7))
    more = pd.DataFrame(hidden @ slopes + 0.8 * rng.normal(size=(n, 7))).add_prefix("w")
    some = make_gaps(more, rng, **dict.fromkeys(more, 0.1))
    return frame.join(more), where.join(some)


def _square(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    x = rng.normal(size=n)
    w = 0.4 * x + rng.normal(size=n)
    y = x + 0.7 * (x**2 - 1) - 0.5 * w + rng.normal(size=n)
    frame = pd.DataFrame({"x": x, "w": w, "y": y})
    return frame, make_gaps(frame, rng, x=expit(-0.7 + 0.5 * y), w=np.full(n, 0.15))


def _neighbours(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = gaussian_values(n, 60, rng)
    return frame, make_gaps(frame, rng, **{name: np.full(n, 0.2) for name in frame})


def _heavy_tails(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    x = rng.normal(size=n)
    w = 0.5 * x + rng.normal(size=n)
    y = 0.5 * x + 0.3 * w + 0.6 * rng.standard_t(3, size=n)
    frame = pd.DataFrame({"x": x, "w": w, "y": y})
    return frame, make_gaps(frame, rng, y=expit(-0.7 + x))


def _rounding(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    x = rng.normal(size=n)
    w = 0.5 * x + rng.normal(size=n)
    y = np.round(np.exp(3 + 0.4 * x + 0.2 * w + 0.5 * rng.normal(size=n)), -1)
    frame = pd.DataFrame({"x": x, "w": w, "y": y})
    return frame, make_gaps(frame, rng, y=expit(-0.7 + x))


RELATIONS = {
    "interaction": Relation(_interaction, "y ~ x1 * x2"),
    "wide-interaction": Relation(_wide_interaction, "y ~ x1 * x2"),
    "square": Relation(_square, "y ~ x + I(x**2) + w"),
    "neighbours": Relation(_neighbours, "x30 ~ x29 + x31"),
}
OUTCOMES = {
    "heavy-tails": Outcome(_heavy_tails, 1.5),
    "rounding": Outcome(_rounding, 15.0),
}


def relation(
    design: Relation,
    *,
    n: int,
    m: int,
    seeds: range,
    fit: psm.FitConfig,
    model: psm.ModelConfig,
) -> pd.DataFrame:
    """Error of each coefficient on the large table, a row for each seed."""
    large, where = design.draw(np.random.default_rng(_LARGE_SEED), _LARGE)
    truth = smf.ols(design.formula, large).fit().params
    found = {}
    for seed in seeds:
        frame, gaps = design.draw(np.random.default_rng(seed), n)
        imputer = psm.PSMImputer(m=m, seed=seed, fit=fit, model=model).fit(frame.mask(gaps))
        imp = imputer.impute(large.mask(where), m=m, seed=1)
        fits = [smf.ols(design.formula, completed).fit().params for completed in imp]
        found[seed] = pd.concat(fits, axis=1).mean(axis=1) - truth
    return pd.DataFrame(found).T


def donors(imputer: psm.PSMImputer, gappy: pd.DataFrame, m: int, seed: int) -> list[pd.DataFrame]:
    """Complete the last column with observed values of rows alike in the conditional mean."""
    rng, fitted = np.random.default_rng(seed), imputer.fitted_
    y = gappy.columns[-1]
    missing = gappy[y].isna().to_numpy()
    seen = np.flatnonzero(~missing)
    completed = []
    for member in range(m):
        pair = [member, member]
        imputer.fitted_ = replace(
            fitted, model=fitted.model.subset(pair), alignment=fitted.alignment[pair]
        )
        mean = imputer.transform(gappy.assign(**{y: np.nan}))[y].to_numpy(float)
        distance = np.abs(mean[missing][:, None] - mean[seen])
        near = np.argpartition(distance, _N_DONORS, axis=1)[:, :_N_DONORS]
        chosen = near[np.arange(len(near)), rng.integers(0, _N_DONORS, len(near))]
        values = gappy[y].to_numpy(copy=True)
        values[missing] = values[seen[chosen]]
        completed.append(gappy.assign(**{y: values}))
    imputer.fitted_ = fitted
    return completed


def outcome(design: Outcome, *, n: int, m: int, seeds: range) -> pd.DataFrame:
    """Estimate and interval of each term by draws, by donors and without gaps."""
    many = pd.concat([design.draw(np.random.default_rng(9000 + i), n)[0] for i in range(40)])
    truth = {term: q for term, (q, _) in _estimates(many, design.bound).items()}
    rows = []
    for seed in seeds:
        frame, gaps = design.draw(np.random.default_rng(seed), n)
        gappy = frame.mask(gaps)
        imputer = psm.PSMImputer(m=m, seed=seed).fit(gappy)
        sets = {
            "draws": list(imputer.impute(gappy, m=m, seed=seed)),
            "donors": donors(imputer, gappy, m, seed),
            "nothing hidden": [frame],
        }
        for setting, tables in sets.items():
            estimates = [_estimates(table, design.bound) for table in tables]
            for term, true in truth.items():
                low, high, q = _interval([e[term] for e in estimates], n - 3)
                rows.append((setting, term, q - true, low <= true <= high, high - low))
    return pd.DataFrame(rows, columns=["setting", "term", "error", "covered", "width"])


def _estimates(frame: pd.DataFrame, bound: float) -> dict[str, tuple[float, float]]:
    fit = smf.ols("y ~ x + w", frame).fit(cov_type="HC1")
    share, n = float((frame["y"] > bound).mean()), len(frame)
    return {
        "slope of x": (fit.params["x"], fit.bse["x"] ** 2),
        "mean": (frame["y"].mean(), frame["y"].var() / n),
        "share beyond the bound": (share, share * (1 - share) / n),
    }


def _interval(estimates: list[tuple[float, float]], df: float) -> tuple[float, float, float]:
    q, u = (np.array(column) for column in zip(*estimates, strict=True))
    if len(q) == 1:
        half = stats.t.ppf(0.975, df) * u[0] ** 0.5
        return q[0] - half, q[0] + half, q[0]
    pooled = psm.pool_scalar(q, u, dfcom=df)
    half = stats.t.ppf(0.975, pooled.df) * pooled.t**0.5
    return pooled.qbar - half, pooled.qbar + half, pooled.qbar


def main(arguments: list[str]) -> None:
    """Measure; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks choices")
    parser.add_argument("question", choices=[*RELATIONS, *OUTCOMES])
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--m", type=int, default=None, help="4 for a relation, else 20")
    parser.add_argument("--replications", type=int, default=8)
    parser.add_argument("--samples", type=int, help="importance samples of the bound")
    parser.add_argument("--draw-samples", type=int, default=64)
    parser.add_argument("--latents", type=int, help="dimensions of z")
    parser.add_argument("--smoothings", type=int, default=encoders._N_SMOOTHINGS)
    parser.add_argument("--smoothing", choices=list(_SMOOTHING), default="auto")
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args(arguments)
    warnings.simplefilter("ignore", psm.exceptions.PSMWarning)
    seeds = range(FIRST_SEED, FIRST_SEED + a.replications)
    common = {"question": a.question, "n": a.n, "replications": a.replications}
    common["first_seed"] = FIRST_SEED
    if a.question in RELATIONS:
        encoders._N_SMOOTHINGS = a.smoothings
        m = a.m or 4
        fit = psm.FitConfig(n_samples=a.samples or "auto", n_draw_samples=a.draw_samples)
        model = psm.ModelConfig(latent_dim=a.latents or "auto", smoothing=_SMOOTHING[a.smoothing])
        design = RELATIONS[a.question]
        errors = relation(design, n=a.n, m=m, seeds=seeds, fit=fit, model=model)
        setting = (
            f"{a.smoothings} smoothings, {a.samples or 'default'} samples, {a.draw_samples} to draw"
            + (f", {a.latents} latents" if a.latents else "")
            + (f", smoothing {a.smoothing}" if a.smoothing != "auto" else "")
        )
        for term in errors:
            own = {"term": term, "bias": errors[term].mean().round(4), "m": m, "setting": setting}
            own["bias_error"] = round(errors[term].std() / len(errors) ** 0.5, 4)
            record(common | own, a.out, _COLUMNS)
        return
    m = a.m or 20
    found = outcome(OUTCOMES[a.question], n=a.n, m=m, seeds=seeds)
    for (setting, term), part in found.groupby(["setting", "term"]):
        own = {"term": term, "m": m, "setting": setting, "bias": part["error"].mean().round(4)}
        own["bias_error"] = round(part["error"].std() / len(part) ** 0.5, 4)
        own |= {"coverage": part["covered"].mean().round(3), "width": part["width"].mean().round(3)}
        record(common | own, a.out, _COLUMNS)
