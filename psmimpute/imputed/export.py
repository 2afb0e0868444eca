"""Imputations for other programs: R's mice and Stata."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import infer_dtype

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.layouts import ID, IMP, long_frame

R_WORDS = ("if", "else", "repeat", "while", "function", "for", "next", "break", "in")
R_RESERVED = frozenset((*R_WORDS, "TRUE", "FALSE", "NULL", "Inf", "NaN", "NA"))
R_NAME = re.compile(r"(?:[^\W\d_]|\.(?!\d))[\w.]*")
STATA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}|_[A-Za-z0-9_]{1,31}")
STATA_M, STATA_ID = "imp_m", "imp_id"


def write_mice(
    imp: ImputedTable, path: str | Path, *, names: Mapping[Hashable, str] | None = None
) -> Path:
    """Write what ``mice::as.mids`` reads, and an R script that has it read.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    path : str or Path
        Where to write the CSV file; the script goes beside it with the ending ``.R``. In R,
        ``source("that.R", chdir = TRUE)`` leaves a ``mids`` object named ``imp``.
    names : mapping, optional
        New names of columns whose names R cannot take.

    Returns
    -------
    Path
        The script.

    Raises
    ------
    ImputationError
        If a column's name is not a syntactic name in R, or a text is empty, which CSV cannot
        tell from a missing one.

    Notes
    -----
    Categories and text become factors with their levels in order; durations seconds; dates
    with a time zone UTC. Values imputed for observed cells are not handed on: mice keeps the
    observed ones.
    """
    csv = Path(path)
    script = csv.with_suffix(".R")
    frame = renamed(all_frames(imp), names, R_NAME, R_RESERVED, "R")
    factors = {name: _levels(frame[name]) for name in frame.columns[2:] if is_text(frame[name])}
    for name, levels in factors.items():
        if "" in levels:
            raise ImputationError(
                f"column {name!r} holds an empty text, which R would read as missing: give it "
                "another level"
            )
    portable(frame, booleans=("FALSE", "TRUE")).to_csv(csv, index=False, na_rep="")
    ordered = {name for name in factors if getattr(frame[name].dtype, "ordered", False)}
    script.write_text(_mice_script(csv.name, factors, ordered), encoding="utf-8")
    return script


def write_stata(
    imp: ImputedTable, path: str | Path, *, names: Mapping[Hashable, str] | None = None
) -> Path:
    """Write a Stata file in the style ``flong``, and a do-file that declares it.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    path : str or Path
        Where to write the ``.dta`` file; the do-file goes beside it with the ending ``.do``.
    names : mapping, optional
        New names of columns whose names Stata cannot take.

    Returns
    -------
    Path
        The do-file: it reads the data and runs ``mi import flong``.

    Raises
    ------
    ImputationError
        If a column's name is not a name in Stata: letters, digits and underscores, at most 32.

    Notes
    -----
    The variables ``imp_m`` and ``imp_id`` hold the imputation and the row. Categories become
    labelled numbers; booleans 0 and 1; durations seconds; dates with a time zone UTC.
    """
    dta = Path(path)
    script = dta.with_suffix(".do")
    frame = all_frames(imp).rename(columns={IMP: STATA_M, ID: STATA_ID})
    frame = renamed(frame, names, STATA_NAME, frozenset(), "Stata")
    given = {} if names is None else names
    imputed = [str(given.get(n, n)) for n, rows in imp.materialized().where.items() if rows.any()]
    plain = portable(frame, booleans=(0, 1))
    for name in plain.columns:
        if is_text(plain[name]) and not isinstance(plain[name].dtype, pd.CategoricalDtype):
            plain[name] = plain[name].astype(object).where(plain[name].notna(), "")
    plain.to_stata(dta, write_index=False, version=118)
    variables = f" imputed({' '.join(imputed)})" if imputed else ""
    lines = [
        f'use "{dta.name}", clear',
        f"mi import flong, m({STATA_M}) id({STATA_ID}){variables} clear",
    ]
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return script


def all_frames(imp: ImputedTable) -> pd.DataFrame:
    """Return the incomplete data and all completed frames in the long form.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.

    Returns
    -------
    DataFrame
        Columns ``.imp`` and ``.id`` first; names of several levels are tuples.
    """
    stored = imp.materialized()
    frames = {k: stored.complete_columns(k, [*stored.columns]) for k in range(stored.m + 1)}
    found = long_frame(frames)
    if found.columns.nlevels > 1:
        found.columns = pd.Index([IMP, ID, *found.columns[2:]], dtype=object, tupleize_cols=False)
    return found


def renamed(
    frame: pd.DataFrame,
    names: Mapping[Hashable, str] | None,
    allowed: re.Pattern[str],
    reserved: frozenset[str],
    program: str,
) -> pd.DataFrame:
    """Rename columns, and refuse names that a program cannot take.

    Parameters
    ----------
    frame : DataFrame
        What is to be written.
    names : mapping of hashable to str, optional
        New names.
    allowed : Pattern
        What a name must match in full.
    reserved : frozenset of str
        Names that are taken.
    program : str
        Its name, for messages.

    Returns
    -------
    DataFrame
        With the new names.

    Raises
    ------
    ImputationError
        If a name cannot be used, is unknown, or given twice.
    """
    given = {} if names is None else dict(names)
    unknown = [name for name in given if name not in frame.columns]
    if unknown:
        raise ImputationError(f"names= renames {unknown[0]!r}, which is not a column")
    result = frame.rename(columns=given)
    bad = [
        name for name in result.columns if not allowed.fullmatch(str(name)) or str(name) in reserved
    ]
    if bad:
        raise ImputationError(
            f"{program} cannot take the column names {bad}: give others with "
            f"names={{{bad[0]!r}: 'new_name'}}"
        )
    twice = result.columns[result.columns.duplicated()]
    if len(twice):
        raise ImputationError(f"names= gives the name {twice[0]!r} to two columns")
    return result


def is_text(column: pd.Series) -> bool:
    """Return whether a column holds texts or categories.

    Parameters
    ----------
    column : Series
        A column.

    Returns
    -------
    bool
        Whether other programs need its levels.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    return pd.api.types.infer_dtype(column, skipna=True) == "string"


def _levels(column: pd.Series) -> list[str]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [str(level) for level in column.cat.categories]
    return sorted(str(value) for value in column.dropna().unique())


def portable(frame: pd.DataFrame, *, booleans: tuple[Any, Any]) -> pd.DataFrame:
    """Return a frame in types that every program has.

    Parameters
    ----------
    frame : DataFrame
        Of any dtypes.
    booleans : tuple
        What stands for false and for true.

    Returns
    -------
    DataFrame
        Numbers, texts, categories of texts, and dates without a time zone.
    """
    columns = {name: _portable_column(frame[name], booleans) for name in frame.columns}
    return pd.DataFrame(columns)


def _portable_column(column: pd.Series, booleans: tuple[Any, Any]) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        # Stata's labels and R's levels are texts.
        return column.cat.rename_categories(str)
    if isinstance(column.dtype, (pd.PeriodDtype, pd.IntervalDtype)):  # of labels of rows
        return column.astype(str)
    if pd.api.types.is_bool_dtype(column.dtype) or infer_dtype(column) == "boolean":
        return column.astype(object).map({False: booleans[0], True: booleans[1]}).infer_objects()
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return pd.to_timedelta(column).dt.total_seconds()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        dates = pd.Series(pd.DatetimeIndex(column.astype(object)), index=column.index)
        return dates if dates.dt.tz is None else dates.dt.tz_convert("UTC").dt.tz_localize(None)
    if isinstance(column.dtype, pd.ArrowDtype) and pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("Float64")
    return column


def _mice_script(csv: str, factors: Mapping[str, list[str]], ordered: set[str]) -> str:
    classes = ", ".join(f'"{name}" = "character"' for name in factors)
    options = 'check.names = FALSE, na.strings = "", encoding = "UTF-8"'
    if classes:
        options += f", colClasses = c({classes})"
    lines = [
        "# Reads imputations into mice; run with source(..., chdir = TRUE).",
        f"long <- read.csv({_quoted(csv)}, {options})",
    ]
    for name, levels in factors.items():
        listed = ", ".join(map(_quoted, levels))
        order = ", ordered = TRUE" if name in ordered else ""
        column = f"long[[{_quoted(str(name))}]]"
        lines.append(f"{column} <- factor({column}, levels = c({listed}){order})")
    lines.append("imp <- mice::as.mids(long)")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
