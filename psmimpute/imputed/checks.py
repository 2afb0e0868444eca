"""Diagnostics turned into a verdict: pass or warn, and why, in words."""

from __future__ import annotations

import pandas as pd

from psmimpute.imputed.held_out import FALSE_ALARM, LEVELS, TOLERANCE, critical_z

_LEAST_ESS = 10.0
# A member whose loss lies so many median absolute deviations above the others', and so many nats
# for each row, went astray. Each is judged on rows of its own, so that some spread is to be
# expected. A loss that rises while a member is trained is none: the common fit that it starts
# from has seen the rows that judge it.
_FAR, _FAR_NATS = 8.0, 1.0
_MOST_NAMED = 5


def make_checks(
    held_out: pd.DataFrame, weights: pd.Series, members: pd.DataFrame, flags: pd.DataFrame
) -> pd.DataFrame:
    """Say of each part of the diagnostics whether it is in order.

    Parameters
    ----------
    held_out : DataFrame
        From :func:`psmimpute.imputed.held_out.summarize_held_out`; empty if it was not done.
    weights : Series
        Effective sample sizes and tails of the importance weights; empty if unknown.
    members : DataFrame
        Training of the members; empty if unknown.
    flags : DataFrame
        Combinations of set and column without observed cells.

    Returns
    -------
    DataFrame
        Columns ``check``, ``result`` and ``detail``.
    """
    rows = [
        *_held_out(held_out),
        _weights(weights),
        _members(members),
        _support(flags),
    ]
    return pd.DataFrame(rows, columns=["check", "result", "detail"])


def _held_out(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    if table.empty:
        return [("held-out cells", "not done", "the model is not at hand, or it was not asked for")]
    z = critical_z(len(table))
    found = []
    for level in LEVELS:
        name = f"coverage_{100 * level:.0f}"
        margin = z * (level * (1 - level) / table["n_cells"].astype(float)) ** 0.5
        off = table[name] - level
        bad = table[off.abs() > margin.clip(lower=TOLERANCE)]
        title = f"coverage of {100 * level:.0f} % intervals"
        every = float((table[name] * table["n_cells"]).sum() / table["n_cells"].sum())
        error = (level * (1 - level) / float(table["n_cells"].sum())) ** 0.5
        overall = f"{100 * every:.0f} % of all {int(table['n_cells'].sum())} cells"
        if bad.empty and abs(every - level) > max(TOLERANCE, z * error):
            verdict = "too narrow" if every < level else "too wide"
            found.append((title, "warn", f"predictions are {verdict}: {overall}"))
            continue
        if bad.empty:
            low, high = table[name].min(), table[name].max()
            detail = f"{100 * low:.0f} to {100 * high:.0f} % over {len(table)} columns"
            found.append((title, "pass", f"{overall}, {detail}"))
            continue
        shown = [
            f"{column!r} {100 * row[name]:.0f} % of {int(row['n_cells'])} cells"
            for column, row in bad.head(_MOST_NAMED).iterrows()
        ]
        words = "; ".join(shown) + _more(len(bad))
        too = "too narrow" if (off[bad.index] < 0).all() else "too wide"
        mixed = (off[bad.index] < 0).any() and (off[bad.index] > 0).any()
        verdict = "off in both directions" if mixed else too
        found.append((title, "warn", f"predictions are {verdict}: {words}"))
    limit = FALSE_ALARM / len(table)
    bad = table[table["calibration_p"] < limit]
    names = ", ".join(repr(name) for name in bad.index[:_MOST_NAMED]) + _more(len(bad))
    found.append(
        (
            "calibration",
            "warn" if len(bad) else "pass",
            f"ranks of hidden values are not uniform: {names}"
            if len(bad)
            else f"ranks of hidden values are uniform (smallest p-value "
            f"{table['calibration_p'].min():.2g} of {len(table)})",
        )
    )
    return found


def _weights(weights: pd.Series) -> tuple[str, str, str]:
    if "ess_5_percent" not in weights:
        return "importance weights", "not done", "their quality is not known"
    ess, tail = weights["ess_5_percent"], weights.get("pareto_k_above_0.7", 0.0)
    poor = ess < _LEAST_ESS
    detail = f"95 % of the rows have an effective sample size of {ess:.0f} or more; "
    detail += f"Pareto k is above 0.7 in {100 * tail:.0f} % of the rows"
    if poor:
        detail += "; draw with more samples, FitConfig(n_draw_samples=...)"
    return "importance weights", "warn" if poor else "pass", detail


def _members(members: pd.DataFrame) -> tuple[str, str, str]:
    if members.empty or "last_oob_loss" not in members:
        return "training", "not done", "its history is not known"
    last = members["last_oob_loss"].astype(float)
    spread = f"out-of-bag loss {last.min():.2f} to {last.max():.2f} nats for each row"
    usual = last.median()
    reach = max(_FAR_NATS, _FAR * float((last - usual).abs().median()))
    astray = [*last.index[~(last <= usual + reach)]]
    if astray:
        shown = ", ".join(map(str, astray[:_MOST_NAMED])) + _more(len(astray))
        words = f"members {shown} are far above the others: their training went astray"
        return "training", "warn", f"{spread}; {words}"
    return "training", "pass", f"{len(members)} members, {spread}"


def _support(flags: pd.DataFrame) -> tuple[str, str, str]:
    if flags.empty:
        return "support", "pass", "every column was observed in every set in which it is imputed"
    shown = [f"{row.column!r} in set {row.pattern_set}" for row in flags.head(5).itertuples()]
    words = "; ".join(shown) + _more(len(flags))
    return "support", "warn", f"imputed where nothing was observed: {words}"


def _more(n: int) -> str:
    return f" and {n - _MOST_NAMED} more" if n > _MOST_NAMED else ""
