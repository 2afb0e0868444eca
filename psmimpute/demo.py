"""The demonstration: a real table with gaps, from looking at it to a pooled regression."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from psmimpute.datasets import load_boys
from psmimpute.inference.config import FitConfig
from psmimpute.table.patterns import missing_pattern

if TYPE_CHECKING:
    import pandas as pd

    from psmimpute.imputed.multiply_imputed import MultiplyImputed

FORMULA = "bmi ~ age + tv + reg"

Say = Callable[[str], None]


def run_demo(
    *,
    m: int,
    seed: int,
    figure: Path,
    say: Say,
    progress: bool | None = None,
    fit: FitConfig = FitConfig(),  # noqa: B008  frozen
) -> MultiplyImputed:
    """Impute the shipped data on the growth of boys, analyse them, and draw a figure.

    Body mass index is regressed on age, testicular volume and region. The volume was measured
    in 226 of the 748 boys.

    Parameters
    ----------
    m : int
        Number of imputations.
    seed : int
        Of everything random.
    figure : Path
        PNG file to write; nothing is drawn where matplotlib is not installed.
    say : callable
        Receives each piece of text.
    progress : bool, optional
        Whether to show progress bars; by default where the output is a terminal.
    fit : FitConfig
        Training options.

    Returns
    -------
    MultiplyImputed
        The imputed data.

    Raises
    ------
    OSError
        If the figure cannot be written.
    """
    boys = load_boys()
    _show_data(boys, say)
    imp = _impute(boys, m=m, seed=seed, say=say, progress=progress, fit=fit)
    _show_regression(imp, say)
    _show_pattern_sets(imp, say)
    if find_spec("matplotlib") is None:
        say("\nNo figure: matplotlib is not installed (pip install 'psmimpute[plot]').")
    else:
        draw_figure(imp, figure)
        say(f"\nFigure: {figure}")
    return imp


def _show_data(boys: pd.DataFrame, say: Say) -> None:
    n_missing, n_rows = int(boys.isna().sum().sum()), len(boys)
    say(f"Growth of Dutch boys: {n_rows} rows, {boys.shape[1]} columns, {n_missing} gaps.")
    say("\nMissing-data patterns (1 observed, 0 missing; rows with the pattern on the left):\n")
    say(missing_pattern(boys).to_string())


def _impute(
    boys: pd.DataFrame,
    *,
    m: int,
    seed: int,
    say: Say,
    progress: bool | None,
    fit: FitConfig,
) -> MultiplyImputed:
    # Here and not at the top: it loads torch, and there is something to read by now.
    from psmimpute.imputer import impute

    started = time.monotonic()
    # The measure runs from 1 to 25 ml, also at ages at which no boy was measured.
    imp = impute(
        boys,
        m,
        seed=seed,
        kinds={"tv": "positive"},
        bounds={"tv": (1, 25)},
        progress=progress,
        fit=fit,
    )
    say(f"\nImputed {m} times in {time.monotonic() - started:.0f} s. What each column is:\n")
    say(imp.schema.to_frame()[["kind", "n_missing", "reason"]].to_string())
    return imp


def _show_regression(imp: MultiplyImputed, say: Say) -> None:
    from statsmodels.formula.api import ols

    table = imp.pool(FORMULA, model=ols).to_frame()
    shown = table[["estimate", "std_error", "conf_low", "conf_high", "df", "p_value", "fmi"]]
    say(f"\nLinear regression {FORMULA}, pooled over {imp.m} imputations by Rubin's rules:\n")
    say(shown.round(4).to_string(float_format=lambda value: f"{value:.4g}"))


def _show_pattern_sets(imp: MultiplyImputed, say: Say) -> None:
    from psmimpute.imputed.plots.pattern_sets import missing_rates

    rates = missing_rates(imp).round(2).rename_axis("set")
    rates.insert(0, "rows", imp.pattern_set.value_counts().reindex(rates.index).to_numpy())
    say(f"\nPattern sets: {imp.info.n_sets_reason}.")
    say("Rows that most probably belong to each, and the share of missing cells in it:\n")
    say(rates.to_string())


def draw_figure(imp: MultiplyImputed, path: Path) -> None:
    """Save four plots of imputed data as one figure.

    Parameters
    ----------
    imp : MultiplyImputed
        The imputed data on the growth of boys.
    path : Path
        PNG file to write.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    # Not through pyplot: the choice of a window system is left alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8.5), layout="constrained")
    (patterns, density), (sets, trace) = figure.subplots(2, 2)
    imp.plot.pattern(ax=patterns)
    imp.plot.density("tv", ax=density)
    imp.plot.pattern_sets(ax=sets)
    imp.plot.trace(ax=trace)
    patterns.set_title("Missing-data patterns", pad=34)
    density.set_title("Testicular volume (ml)")
    trace.set_title("Training of the members")
    figure.savefig(path, dpi=120, format="png")
