"""The paper's tables with its numbers beside ours: docs/benchmarks.md from the result files.

    python -m benchmarks tables

The published numbers are in ``paper.csv`` and those of peers that were measured apart in
``peers_measured_apart.csv``, with their sources in ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import accuracy, floor, pattern_sets, speed, steps

_HERE = Path(__file__).parent
PAPER = _HERE / "paper.csv"
FEWER = _HERE / "results" / "accuracy.csv"  # the default with three members and K = 40
APART = _HERE / "peers_measured_apart.csv"
PAGE = _HERE.parent / "docs" / "benchmarks.md"
NAMES = {
    "ours": "**psmimpute, default**",
    "ours-selection": "**psmimpute, selection**",
    "ours-3": "**psmimpute, 3 members**",
    "psmvae-a": "PSMVAE(a)",
    "psmvae-b": "PSMVAE(b)",
    "psmvae-b-10000": "PSMVAE(b), K = 10,000",
    "psmvae-without-m": "PSMVAE(b) without M",
    "dlgm": "DLGM",
    "hivae": "HIVAE, simplified",
    "vae": "VAE",
    "miwae": "MIWAE, one sample",
    "miwae-10000": "MIWAE, K = 10,000",
    "not-miwae": "not-MIWAE",
    "gain": "GAIN",
    "mice": "MICE",
    "mice-draw": "MICE, a draw",
    "missforest": "MissForest",
    "mean": "mean",
    "miceforest": "miceforest",
    "midas": "MIDAS 2",
}
_SETS_NAMES = {
    "ours": "**psmimpute, two sets**",
    "ours-selection": "**psmimpute, two sets, selection**",
    "psmvae-a": "PSMVAE(a)",
    "psmvae-b": "PSMVAE(b)",
    "hivae-with-m": "HIVAE with M",
}
_DATA = ("adult", "breast", "credit", "letter", "spam", "wine")
_CELL = ["data", "mechanism"]
_TABLES = {0.2: 2, 0.8: 4}  # the paper's, by the rate of missing cells
# The paper's deep models and MICE.
_RIVALS = tuple(name for name in NAMES if name.startswith(("psmvae", "dlgm", "hivae", "vae")))
_RIVALS += ("miwae", "miwae-10000", "not-miwae", "gain", "mice")
_NOT_RUN = "-"
_SCORES = {
    "draw_rmse": ("RMSE of single draws", ".4f"),
    "crps": ("CRPS of the draws", ".4f"),
    "cover90": ("coverage of 90 % intervals, continuous columns", ".0%"),
    "pit90": ("the same, ties broken at random", ".0%"),
    "energy": ("energy distance", ".3f"),
    "cpu_s": ("CPU seconds, fit and single imputation", ".0f"),
}


def table(rows: list[list[str]]) -> str:
    """Markdown of a table whose first row is its head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def compare(
    found: pd.DataFrame, paper: pd.DataFrame, value: str, names: dict[str, str], order: list[str]
) -> str:
    """Means over seeds with the paper's mean in brackets, methods down and cells across.

    Parameters
    ----------
    found : DataFrame
        Results: ``method``, ``data``, ``mechanism``, ``seed`` and `value`.
    paper : DataFrame
        Published means: ``method``, ``data``, ``mechanism``, ``mean``.
    value : str
        Column of `found`.
    names : dict
        Methods in the order of the table, with what they are called there.
    order : list of str
        Mechanisms in order.

    Returns
    -------
    str
        Markdown; seeds fewer than those of the fullest cell are told as ``(n=...)``.
    """
    means = found.groupby(["method", *_CELL])[value].agg(["mean", "count"])
    published = paper.set_index(["method", *_CELL])["mean"]
    cells = [
        (data, mechanism)
        for data in _DATA
        for mechanism in order
        if (means.index.droplevel(0) == (data, mechanism)).any()
        or (published.index.droplevel(0) == (data, mechanism)).any()
    ]
    rows = [["", *(f"{data} {mechanism.upper()}" for data, mechanism in cells)]]
    for method, shown in names.items():
        texts = [_compared(means, published, (method, *cell)) for cell in cells]
        if any(text != _NOT_RUN for text in texts):
            rows.append([shown, *texts])
    return table(rows)


def _compared(means: pd.DataFrame, published: pd.Series, key: tuple[str, ...]) -> str:
    own, theirs = _NOT_RUN, ""
    if key in means.index:
        mean, count = means.loc[key]
        own = f"{mean:.4f}".removeprefix("0") + (f" *n={count:.0f}*" if count > 1 else "")
    if key in published.index:
        theirs = f" ({published[key]:.4f})".replace("(0.", "(.")
    return own + theirs


def ratios(found: pd.DataFrame) -> str:
    """Error of the default over that of each other method, on the seeds that both have.

    Parameters
    ----------
    found : DataFrame
        Results: ``method``, ``data``, ``mechanism``, ``rate``, ``seed`` and ``rmse``.

    Returns
    -------
    str
        Markdown: ratios of means over seeds, methods down and cells across.
    """
    wide = found.pivot_table(index=[*_CELL, "rate", "seed"], columns="method", values="rmse")
    wide = wide[wide["ours"].notna()]
    groups = wide.groupby(level=["mechanism", "data", "rate"])
    rows = [["", *(f"{x} {m.upper()} {rate:.0%}" for m, x, rate in groups.groups)]]
    for method, shown in NAMES.items():
        if method == "ours" or method not in wide:
            continue
        texts = [_ratio(part["ours"], part[method]) for _, part in groups]
        if any(text != _NOT_RUN for text in texts):
            rows.append([shown, *texts])
    return table(rows)


def _ratio(ours: pd.Series, theirs: pd.Series) -> str:
    ratio, n = _mean_ratio(ours, theirs), int((ours.notna() & theirs.notna()).sum())
    if n == 0:
        return _NOT_RUN
    text = "∞" if ratio == np.inf else f"{ratio:.2f}".removeprefix("0")
    return (f"**{text}**" if round(ratio, 2) > 1 else text) + (f" *n={n}*" if n > 1 else "")


def glance(found: pd.DataFrame, paper: pd.DataFrame) -> str:
    """Markdown of the default beside MissForest and the best rival, a row for each of 12 columns.

    Parameters
    ----------
    found : DataFrame
        Results: ``method``, ``data``, ``mechanism``, ``rate``, ``seed`` and ``rmse``.
    paper : DataFrame
        Published means of the paper's Tables 2 and 4.

    Returns
    -------
    str
        Markdown. Ratios are of means over the seeds that both were run on.
    """
    rows = [["", "psmimpute", "/ MissForest", "/ best other", "which", "paper's best PSMVAE"]]
    for rate, number in _TABLES.items():
        published = paper[paper["table"] == number]
        for data, mechanism in sorted({*published[_CELL].itertuples(index=False, name=None)}):
            here = (found["data"] == data) & (found["mechanism"] == mechanism)
            part = found[here & (found["rate"] == rate)]
            wide = part.pivot_table(index="seed", columns="method", values="rmse")
            if "ours" not in wide or wide["ours"].isna().all():
                continue
            own = wide["ours"]
            by_rival = {name: _mean_ratio(own, wide[name]) for name in _RIVALS if name in wide}
            by_rival = {name: ratio for name, ratio in by_rival.items() if not np.isnan(ratio)}
            best = max(by_rival, key=by_rival.__getitem__, default=None)
            cell = published[(published["data"] == data) & (published["mechanism"] == mechanism)]
            psmvae = cell[cell["method"].str.startswith("psmvae-") & (cell["metric"] == "rmse")]
            shown = f"{psmvae['mean'].min():.4f}".removeprefix("0")
            texts = [f"{data} {mechanism.upper()} {rate:.0%}", _shown_mean(own)]
            texts.append(_ratio(own, wide["missforest"]) if "missforest" in wide else _NOT_RUN)
            texts.append(_NOT_RUN if best is None else _ratio(own, wide[best]))
            texts.append(_NOT_RUN if best is None else NAMES[best])
            rows.append([*texts, shown if mechanism == "mcar" else ""])
    return table(rows)


def _mean_ratio(ours: pd.Series, theirs: pd.Series) -> float:
    both = ours.notna() & theirs.notna()
    own, other = float(ours[both].mean()), float(theirs[both].mean())
    if other == 0:  # every cell of a column can be right
        return np.inf if own > 0 else 1.0
    return own / other


def _shown_mean(values: pd.Series) -> str:
    return f"{values.mean():.4f}".removeprefix("0") + f" *n={values.count()}*"


def others(found: pd.DataFrame, rate: float) -> str:
    """Markdown of the other scores, a row for each method and MCAR data set."""
    part = found[(found["rate"] == rate) & (found["mechanism"] == "mcar")]
    # Seconds beside an accelerator are of another machine.
    part = part.assign(cpu_s=part["cpu_s"].where(part["device"] == "cpu"))
    drawn = part["draw_rmse"].notna()
    some = drawn.groupby([part["method"], part["data"]]).transform("any")
    # Of draws where there are any: their distance and that of means are not averaged.
    part = part.assign(energy=part["energy"].where(drawn | ~some))
    rows = [["method", "data", *(title for title, _ in _SCORES.values())]]
    grouped = part.groupby(["method", "data"])[list(_SCORES)].mean()
    for data in _DATA:
        for method, shown in NAMES.items():
            if (method, data) in grouped.index:
                values = grouped.loc[(method, data)]
                texts = [
                    _NOT_RUN if np.isnan(values[name]) else format(values[name], style)
                    for name, (_, style) in _SCORES.items()
                ]
                rows.append([shown, data, *texts])
    return table(rows)


def apart(rows: pd.DataFrame) -> str:
    """Markdown of peers that need other versions, measured apart."""
    head = ["peer", "data", "mechanism", "rate", "seed", "RMSE", "of single draws"]
    body = [
        [
            row.peer,
            row.data,
            row.mechanism.upper(),
            f"{row.rate:g}",
            f"{row.seed:.0f}",
            f"{row.rmse:.4f}",
            _NOT_RUN if np.isnan(row.draw_rmse) else f"{row.draw_rmse:.4f}",
        ]
        for row in rows.itertuples()
    ]
    return table([head, *body])


_INTRODUCTION = """# Benchmarks

The tables of {cite:t}`ghalebikesabi2021` measured again, its numbers in brackets. This page is
written by `python -m benchmarks tables` from the files in `benchmarks/results`; every row of
those names versions, machine and times, and `python -m benchmarks accuracy` repeats it:

```text
python -m benchmarks accuracy --method psmvae-b mice ours --data breast \\
    --mechanism mcar mnar mnar+mcar --rate .2 .8 --seeds 0 1
python -m benchmarks pattern-sets
python -m benchmarks steps
```

A number is the mean over seeds (*n* of them, where more than one); a dash, that it was not run.
Masks, rows, rounding and score are the paper's: on the MCAR masks mean imputation reproduces its
rows. The MNAR columns depend on which column each seed masks, which the paper does not tell:
there the brackets are no yardstick, and only comparisons down a column count.

What is behind the names:

- **psmimpute, default** is `PSMImputer(m=20)`: kinds of columns inferred, a recognition model
  that starts from the exact posterior, 20 members averaged. Its rows are by several versions of
  November 2026. Breast and wine, seeds 0 to 2 of adult MNAR and seed 0 of adult MCAR and of credit
  MCAR are by versions of 30 November, the commits that the column `psmimpute` of the results names,
  which impute these tables as this one does, but for credit: there this one takes six columns with
  a fifth of zeros for amounts (seed 100 of MCAR, 3 members: .1541 before, .1545 now). The rest of
  adult and credit, which have one column of levels each, is from before models of truth values
  started from other loadings and read them by expected scores; on
  seed 0 that made .2163 .2165 (adult MCAR), .2778 .2605 (adult MNAR) and .1561 .1570 (credit MCAR).
  Where it names a commit of before, rows are by that one, which imputes as this version does but
  for that: credit MCAR without seed 1, seed 4 of letter MCAR, all but seed 1 of adult MCAR, seeds 3
  and 4 of spam MNAR. So are seed 0 of letter MCAR and the rest of spam, which have no counts. In
  other rows counts have logistic noise, not normal, and codes no scores of their own. Since 29
  November pattern sets have to beat gaps that are missing at random: no difference where cells were
  taken away independently or of one column; of adult, whose own gaps come together, there may be
  one. With **3 members** and 40 samples it was measured apart, on all six data sets, before that
  (`benchmarks/results/accuracy.csv`).
- **psmimpute, selection** is the same of a user who says that columns mask themselves,
  `missingness="selection"`: what the default cannot know, and the MNAR columns are made by. It can
  go wrong: on seed 1 of adult MNAR, whose masked column has gaps of its own beside those of another
  column, it takes small values for the missing ones (.66; seeds 0 and 2: .18 and 0).
- The rows with the paper's names are configurations of the same model, set up as published: every
  column Gaussian, an encoder that is a network alone and reads zeros where cells are missing
  (`ModelConfig(encoder="network")`), the one-sample bound, one fit. MIWAE and not-MIWAE train with
  50 samples. Rows without *K* impute from one sample; PSMVAE(a) and not-MIWAE from 10,000. Most
  seeds from 1 on of those with 10,000 were sampled on a graphics card, trained there or beside it
  (column `device`); their seconds are left out below.
- They differ from the paper's in what it leaves open or does in another way: three sets, networks
  of 32 to 128 units, early stopping on a tenth or a fifth of the rows, residual variances that are
  learned; under selection x_mis and x_obs share one decoder, and a missing value is integrated out
  instead of sampled. DLGM has one Gaussian latent of twice the dimension, not a second layer of
  latents, which the model does not have.
- GAIN has its authors' settings; MICE is scikit-learn's `IterativeImputer` with Bayesian ridge
  regressions, MissForest the same with ten extremely randomised trees: the paper's.
"""

_GLANCE = """## At a glance

The columns of the paper's Tables 2 and 4: the default's RMSE, its ratio to that of MissForest, and
to that of the best of the other deep models and MICE, on the seeds that both were run on (*n* of
them). Below 1 psmimpute is ahead; above it is **bold**. The paper's best PSMVAE, of its MCAR
columns, is the smallest of its published means.
"""

_RATIOS = """## Error of psmimpute over that of the others

Ratios of mean RMSE, on the seeds that both were run on, so that they compare where the tables above
have more seeds in one row than in another. Below 1 psmimpute is ahead; above it is **bold**.
"""

_DRAWS = """## Draws

Means over seeds, MCAR, in ranges of the columns as RMSE is. CRPS is unbiased in the number of
draws (20), and the 90 % interval lies between order statistics that 90 % of further draws would
fall between. Columns with fewer than 20 distinct values are left out of the coverage. Where values
repeat, more than that lie within: of values drawn from those observed, the right law under MCAR,
95 % for spam and 92 % for adult and credit. The second figure breaks ties between a value and its
draws at random; by it they cover 90 % everywhere. The energy distance compares completed rows with
the true ones, both standardised: of draws where a method has them, else of its single imputation;
0 is ideal.
"""

_APART = """## Peers that need other versions

MIDASpy, HyperImpute (`hi_`) and gcimpute need a Python or a numpy that excludes psmimpute's. These
are single runs on the same masks in environments of their own, made before this page, and are not
repeated by the commands above.
"""


_SPEED = """## Time

Whole processes, from starting the interpreter to the completed tables: m = 20 of a Gaussian table
with a fifth of the cells missing, on a CPU. CPU seconds, in brackets those of psmimpute as a share
of the contestant's in the same cell. `python -m benchmarks speed` repeats it, and prints it with
`--summary`.
"""

_FLOOR = """### Where the time goes, and the floor

Seconds of wall time by stage, and one training step of the members: calls that compute, and its
time over the floor. The floor is what its matrix products take at the rate of a large product, or
the bytes of its calls at the rate of a copy, whichever is longer; on these tables it is the bytes.
One thread. `python -m benchmarks floor` repeats it.
"""


def times(runs: pd.DataFrame) -> str:
    """CPU seconds of whole processes by size of the table, with ours as a share of theirs.

    Parameters
    ----------
    runs : DataFrame
        Rows of ``speed.csv``.

    Returns
    -------
    str
        Markdown.
    """
    groups = runs.groupby(["n", "d", "contestant"])
    seconds, peak = groups["cpu_s"].median(), groups["peak_mb"].max()
    names = [
        name for name in speed.CONTESTANTS if name in set(runs["contestant"]) - {"nothing", "ours"}
    ]
    rows = [["rows", "columns", "psmimpute", "peak, MB", *names]]
    for n, d in sorted(set(runs[runs["contestant"] == "ours"][["n", "d"]].itertuples(index=False))):
        own = seconds[n, d, "ours"]
        row = [f"{n:,}", f"{d:,}", f"{own:.1f}", f"{peak[n, d, 'ours']:,.0f}"]
        for name in names:
            theirs = seconds.get((n, d, name))
            row.append(_NOT_RUN if theirs is None else f"{theirs:.1f} ({own / theirs:.2f})")
        rows.append(row)
    return table(rows)


def floors(runs: pd.DataFrame) -> str:
    """Stages of a run and cost of a step, a row for each measurement of ``floor.csv``."""
    shown = {
        "n": "n",
        "d": "d",
        "hidden": "units",
        "structure_s": "structure",
        "members_s": "members",
        "draw_s": "draws",
        "calls": "calls",
        "step_ms": "step, ms",
        "measured_over_floor": "over the floor",
    }
    body = [["table", *shown.values()]]
    for _, row in runs.iterrows():
        body.append([str(row["table"]), *(f"{row[name]:,g}" for name in shown)])
    return table(body)


def page(
    found: pd.DataFrame,
    sets: pd.DataFrame,
    paper: pd.DataFrame,
    others_apart: pd.DataFrame,
    speeds: pd.DataFrame,
    steps_floor: pd.DataFrame,
    *,
    figure: str | None,
) -> str:
    """Write the page.

    Parameters
    ----------
    found, sets : DataFrame
        Rows of ``tables.csv`` and ``pattern_sets.csv``.
    paper, others_apart : DataFrame
        Rows of ``paper.csv`` and ``peers_measured_apart.csv``.
    speeds, steps_floor : DataFrame
        Rows of ``speed.csv`` and ``floor.csv``.
    figure : str or None
        File of Figure 2, beside the page.

    Returns
    -------
    str
        Markdown.
    """
    parts = [_INTRODUCTION]
    if "ours" in set(found["method"]):
        parts += [_GLANCE, glance(found, paper) + "\n"]
    for rate, number in _TABLES.items():
        parts.append(f"## RMSE at {rate:.0%} missing (Table {number})\n")
        own = found[found["rate"] == rate]
        theirs = paper[(paper["table"] == number)]
        parts.append(compare(own, theirs, "rmse", NAMES, ["mcar", "mnar", "mnar+mcar"]) + "\n")
    if "ours" in set(found["method"]):
        parts += [_RATIOS, ratios(found) + "\n"]
    parts.append(_DRAWS)
    parts += [f"### {rate:.0%} missing\n\n{others(found, rate)}\n" for rate in _TABLES]
    parts.append("## Accuracy of two pattern sets (Table 3)\n")
    theirs = paper[paper["table"] == 3]
    parts.append(compare(sets, theirs, "accuracy", _SETS_NAMES, ["mnar", "mnar+mcar"]) + "\n")
    if figure:
        parts.append("## Error against training steps (Figure 2)\n")
        parts.append(f"![RMSE against training steps]({figure})\n")
    if len(speeds):
        parts += [_SPEED, times(speeds) + "\n"]
    if len(steps_floor):
        parts += [_FLOOR, floors(steps_floor) + "\n"]
    parts.append(_APART)
    parts.append(apart(others_apart) + "\n")
    return "\n".join(parts)


def _fewer_members(file: Path, columns: list[str]) -> pd.DataFrame:
    """Rows of the default with three members, under their name in the tables."""
    found = _read(file, columns).assign(method="ours-3")
    return found.reindex(columns=columns)


def _read(file: Path, columns: list[str]) -> pd.DataFrame:
    return pd.read_csv(file) if file.exists() else pd.DataFrame(columns=columns)


def main(arguments: list[str]) -> None:
    """Write the page; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks tables")
    parser.add_argument("--results", type=Path, default=accuracy.RESULTS)
    parser.add_argument("--sets", type=Path, default=pattern_sets.RESULTS)
    parser.add_argument("--out", type=Path, default=PAGE)
    a = parser.parse_args(arguments)
    figure = steps.PLOT.name if (a.out.parent / steps.PLOT.name).exists() else None
    needed = [*accuracy.KEY, "rmse", *_SCORES, "device"]
    results, fewer = _read(a.results, needed)[needed], _fewer_members(FEWER, needed)
    text = page(
        pd.concat([results, fewer]) if len(results) else fewer,
        _read(a.sets, [*pattern_sets.KEY, "accuracy"]),
        pd.read_csv(PAPER),
        pd.read_csv(APART),
        _read(speed.RESULTS, []),
        _read(floor.RESULTS, []),
        figure=figure,
    )
    a.out.write_text(text)
    print(a.out)
