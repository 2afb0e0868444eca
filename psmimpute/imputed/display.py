"""What a multiply-imputed data set tells of itself when printed."""

from __future__ import annotations

from collections.abc import Hashable
from html import escape
from textwrap import fill

import numpy as np

from psmimpute.imputed.imputed_table import ImputedTable

# More columns than this make a printed object unreadable.
MAX_COLUMNS = 12
_WIDTH, _INDENT = 96, 17


def facts(imp: ImputedTable) -> dict[str, str]:
    """Return what a reader wants to know first, in words.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.

    Returns
    -------
    dict
        Keys are headings, in the order in which they are shown.
    """
    n_rows, n_columns = imp.where.shape
    cells = int(imp.where.to_numpy().sum())
    result = {
        "Data": f"{n_rows} rows, {n_columns} columns",
        "Imputations": f"m = {imp.m}",
        "Imputed cells": f"{cells} ({_percent(cells, n_rows * n_columns)})",
    }
    assigned = imp.assigned
    if assigned:
        result["Assigned"] = ", ".join(map(str, assigned))
    result["Pattern sets"] = _sets(imp)
    result["Members"] = _members(imp)
    result["Mechanism"] = imp.info.missingness
    if imp.info.seed is not None:
        result["Seed"] = str(imp.info.seed)
    if imp.info.adjustments:
        result["Adjusted"] = "; ".join(imp.info.adjustments)
    result["Warnings"] = "; ".join(imp.info.warnings) or "none"
    return result


def missing_rows(imp: ImputedTable) -> tuple[list[tuple[str, str, str, str]], int]:
    """Return columns with imputed or missing cells, fullest of gaps first.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.

    Returns
    -------
    rows : list of tuple of str
        Column, kind, missing cells with their share, imputed cells; at most 12.
    n_left_out : int
        How many more columns there are.
    """
    missing = imp.n_missing.to_numpy()
    imputed = imp.where.to_numpy().sum(axis=0)
    kinds: dict[Hashable, str] = {column.name: str(column.kind) for column in imp.schema.columns}
    kinds |= dict.fromkeys(imp.assigned, "derived")
    order = [int(j) for j in np.argsort(-missing, kind="stable") if missing[j] or imputed[j]]
    names = [*imp.where.columns]
    rows = [
        (
            str(names[j]),
            kinds.get(names[j], "not modelled"),
            f"{missing[j]} ({_percent(missing[j], imp.n_rows)})",
            "computed" if names[j] in imp.assigned else str(imputed[j]),
        )
        for j in order[:MAX_COLUMNS]
    ]
    return rows, max(0, len(order) - MAX_COLUMNS)


def text(imp: ImputedTable) -> str:
    """Return the printed form.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.

    Returns
    -------
    str
        Several lines.
    """
    lines = ["Multiply-imputed data"]
    for key, value in facts(imp).items():
        head = f"  {key + ':':<{_INDENT - 2}}"
        lines.append(_wrapped(head + value))
    rows, left_out = missing_rows(imp)
    if rows:
        table = [("column", "kind", "missing", "imputed"), *rows]
        widths = [max(len(row[i]) for row in table) for i in range(4)]
        lines += ["", *("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table)]
    if left_out:
        lines.append(f"  and {left_out} more columns with gaps")
    return "\n".join(lines)


def html(imp: ImputedTable) -> str:
    """Return the form shown in notebooks.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.

    Returns
    -------
    str
        HTML.
    """
    facts_rows = "".join(
        f"<tr><th style='text-align:left'>{escape(key)}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for key, value in facts(imp).items()
    )
    rows, left_out = missing_rows(imp)
    head = "".join(f"<th>{name}</th>" for name in ("column", "kind", "missing", "imputed"))
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    more = f"<p>and {left_out} more columns with gaps</p>" if left_out else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
    return f"<div><b>Multiply-imputed data</b><table>{facts_rows}</table>{table}{more}</div>"


def _sets(imp: ImputedTable) -> str:
    if not imp.n_sets:
        return "none"
    counts = imp.pattern_set.value_counts(sort=False)
    sizes = ", ".join(map(str, counts))
    reason = f"; {imp.info.n_sets_reason}" if imp.info.n_sets_reason else ""
    return f"{imp.n_sets} (rows: {sizes}){reason}"


def _members(imp: ImputedTable) -> str:
    members = imp.info.members
    if not members:
        return "unknown"
    distinct = len(np.unique(imp.member_of))
    own = ", one for each imputation" if distinct == imp.m else ", shared between imputations"
    return f"{members}{own}"


def _wrapped(line: str) -> str:
    indent = " " * _INDENT
    return fill(
        line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
