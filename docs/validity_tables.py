"""Tables and the figure of the page on validity, made from the results when the pages are built."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.coverage import zip_plot

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "coverage.csv"
METHODS = {
    "full": "nothing hidden",
    "complete-cases": "complete rows",
    "mice": "mice",
    "ignorable": "psmimpute, ignorable",
    "shared": "psmimpute, shared",
    "selection": "psmimpute, selection",
    "selection-2-sets": "psmimpute, selection, 2 sets",
}
FEW = 100


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Bias, coverage and width, with their Monte Carlo errors.

    Parameters
    ----------
    results : DataFrame
        One row for each design, method, replication and term.

    Returns
    -------
    DataFrame
        Indexed by design, n, m, method and term.
    """
    covered = results["low"].le(results["truth"]) & results["high"].ge(results["truth"])
    added = results.assign(
        error=results["estimate"] - results["truth"],
        covered=covered,
        width=results["high"] - results["low"],
    )
    groups = added.groupby(["design", "n", "m", "method", "term"], sort=False)
    replications = groups.size()
    hits = groups["covered"].sum()
    return pd.DataFrame(
        {
            "truth": groups["truth"].first(),
            "R": replications,
            "bias": groups["error"].mean(),
            "bias_error": groups["error"].std() / np.sqrt(replications),
            "hits": hits,
            "coverage": hits / replications,
            "low": stats.beta.ppf(0.025, hits, replications - hits + 1).clip(0),
            "high": stats.beta.ppf(0.975, hits + 1, replications - hits),
            "width": groups["width"].mean(),
        }
    ).fillna({"low": 0.0, "high": 1.0})


def _table(part: pd.DataFrame) -> list[str]:
    """Lay one design out as a list table."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - estimand (truth)",
        "     - method",
        "     - R",
        "     - bias ± MC error",
        "     - coverage [95 % interval]",
        "     - width",
    ]
    part = part.reset_index()
    part["order"] = part["method"].map({name: i for i, name in enumerate(METHODS)})
    terms = {term: i for i, term in enumerate(dict.fromkeys(part["term"]))}
    part = part.sort_values(["term", "order"], key=lambda x: x.map(terms).fillna(x))
    for row in part.itertuples():
        known = not np.isnan(row.bias_error)
        lines += [
            f"   * - ``{row.term}`` ({row.truth:.4g})",
            f"     - {METHODS.get(row.method, row.method)}",
            f"     - {row.R}",
            f"     - {row.bias:+.3f}" + (f" ± {row.bias_error:.3f}" if known else ""),
            f"     - {row.coverage:.3f} [{row.low:.2f}, {row.high:.2f}]",
            f"     - {row.width:.3f}",
        ]
    return [*lines, ""]


def _own(results: pd.DataFrame) -> pd.DataFrame:
    """Replications of each design by the last of our methods, of the n that has most."""
    parts = []
    for _, part in results.groupby("design"):
        there = [name for name in METHODS if name in set(part["method"])]
        part = part[part["method"] == there[-1]]
        parts.append(part[part["n"] == part["n"].mode()[0]])
    return pd.concat(parts)


def _draw(summary: pd.DataFrame, path: Path) -> None:
    """Coverage of every estimand, by design and method, with its interval."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    designs = sorted(set(summary.index.get_level_values("design")))
    fig, axes = plt.subplots(
        len(designs), 1, figsize=(5.6, 0.8 + 1.6 * len(designs)), sharex=True, layout="constrained"
    )
    for ax, design in zip(np.atleast_1d(axes), designs, strict=True):
        part = summary.xs(design, level="design")
        methods = [name for name in METHODS if name in part.index.get_level_values("method")]
        for y, name in enumerate(methods):
            rows = part.xs(name, level="method")
            offsets = y + np.linspace(-0.3, 0.3, len(rows))
            ax.hlines(offsets, rows["low"], rows["high"], color="#006cc2", alpha=0.4)
            ax.plot(rows["coverage"], offsets, "o", markersize=3, color="#006cc2")
        ax.axvline(0.95, linestyle="--", color="0.4", linewidth=1)
        ax.set_yticks(range(len(methods)), [METHODS[name] for name in methods], fontsize=9)
        ax.invert_yaxis()
        ax.set_title(f"design {design}", loc="left", fontsize=10)
        ax.set_xlim(0, 1.01)
    np.atleast_1d(axes)[-1].set_xlabel("coverage of 95 % intervals, a point for each estimand")
    fig.savefig(path, dpi=150)
    plt.close(fig)


def write(folder: Path) -> None:
    """Write what the page includes.

    Parameters
    ----------
    folder : Path
        Where to; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = pd.read_csv(RESULTS)
    summary = summarise(results)
    _draw(summary, folder / "coverage.png")
    zip_plot(_own(results), folder / "intervals.png")
    least, most = summary["R"].min(), summary["R"].max()
    lines = [f"Replications of each row below: {least} to {most}.", ""]
    if least < FEW:
        lines += [
            ".. warning::",
            "",
            f"   Some rows rest on fewer than {FEW} replications. Their intervals are wide enough",
            "   to hold 0.95 and much else, and no claim is made from them.",
            "",
        ]
    lines += [
        ".. figure:: generated/coverage.png",
        "   :alt: Coverage of 95 % intervals by design and method",
        "   :width: 100%",
        "",
        "   Lines are 95 % intervals of the coverage, by Clopper and Pearson.",
        "",
        ".. figure:: generated/intervals.png",
        "   :alt: Every interval of every design about the truth",
        "   :width: 100%",
        "",
        "   Every interval of psmimpute less the truth, sorted by how far it misses: red ones do.",
        "   Where 95 % cover, the red begins at the dotted line, on both sides alike.",
        "",
    ]
    for (design, n, m), part in summary.groupby(level=["design", "n", "m"], sort=True):
        title = f"Design {design}: n = {n}, m = {m}"
        lines += [title, "~" * len(title), "", *_table(part.droplevel(["design", "n", "m"]))]
    (folder / "validity.inc").write_text("\n".join(lines))
