"""Imputations for SPSS: one stacked file with the variable that its procedures pool over."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path

import pandas as pd

from psmimpute.exceptions import ImputationError
from psmimpute.imputed.export import all_frames, is_text, portable, renamed
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.layouts import ID, IMP

IMPUTATION, ROW = "Imputation_", "Row_"
SPSS_WORDS = "ALL|AND|BY|EQ|GE|GT|LE|LT|NE|NOT|OR|TO|WITH"
SPSS_NAME = re.compile(
    rf"(?!(?i:{SPSS_WORDS})$)[A-Za-z@](?:[A-Za-z0-9_.$#@]{{0,62}}[A-Za-z0-9_$#@])?"
)


def write_spss(
    imp: ImputedTable, path: str | Path, *, names: Mapping[Hashable, str] | None = None
) -> Path:
    """Write the stacked file that SPSS pools over, and a syntax file that reads it.

    Parameters
    ----------
    imp : ImputedTable
        The multiply-imputed data.
    path : str or Path
        Where to write the CSV file; the syntax goes beside it with the ending ``.sps``. It is to
        be run in the folder of the file.
    names : mapping, optional
        New names of columns whose names SPSS cannot take.

    Returns
    -------
    Path
        The syntax: it reads the data, labels levels and splits the file by ``Imputation_``.

    Raises
    ------
    ImputationError
        If a column's name is not a name in SPSS: a letter, then letters, digits, and ``_ . $ #
        @``, at most 64, and no word of its own; or two names differ by case alone.

    Notes
    -----
    ``Imputation_`` is 0 for the incomplete data, as SPSS's own imputation has it, and ``Row_`` the
    row. Levels become numbers from 1 with value labels; truth values 0 and 1; durations seconds;
    dates with a time zone UTC.
    """
    csv = Path(path)
    script = csv.with_suffix(".sps")
    frame = all_frames(imp).rename(columns={IMP: IMPUTATION, ID: ROW})
    frame = renamed(frame, names, SPSS_NAME, frozenset(), "SPSS")
    lower = frame.columns.str.lower()
    if lower.duplicated().any():
        twice = frame.columns[lower.duplicated()][0]
        raise ImputationError(
            f"SPSS does not tell {twice!r} from a name that differs by case alone: give another "
            f"with names={{{twice!r}: 'new_name'}}"
        )
    levels = {
        str(name): _levels(frame[name])
        for name in frame.columns
        if name != ROW and is_text(frame[name])
    }
    plain = portable(frame, booleans=(0, 1))
    for name, labels in levels.items():
        codes = {label: code for code, label in enumerate(labels, start=1)}
        plain[name] = plain[name].astype(object).map(codes).astype("Int64")
    formats = [(str(name), _format(plain[name])) for name in plain.columns]
    written = {name: _written(plain[name]) for name in plain.columns}
    pd.DataFrame(written).to_csv(csv, index=False, na_rep="", lineterminator="\n")
    script.write_text(_syntax(csv.name, formats, levels), encoding="utf-8")
    return script


def _levels(column: pd.Series) -> list[str]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [str(level) for level in column.cat.categories]
    return sorted(str(value) for value in column.dropna().unique())


def _format(column: pd.Series) -> str:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "YMDHMS19"
    if is_text(column):
        longest = max((len(str(text).encode()) for text in column.dropna()), default=1)
        return f"A{max(1, longest)}"
    return "F8.0" if pd.api.types.is_integer_dtype(column.dtype) else "F17.8"


def _written(column: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return pd.Series(column.dt.strftime("%Y-%m-%d %H:%M:%S"))
    return column


def _syntax(csv: str, formats: list[tuple[str, str]], levels: Mapping[str, list[str]]) -> str:
    lines = [
        "* Encoding: UTF-8.",
        "* Reads imputations; the procedures that pool do so over Imputation_.",
        f"GET DATA /TYPE=TXT /FILE={_quoted(csv)} /ENCODING='UTF8' /DELIMITERS=\",\"",
        "  /QUALIFIER='\"' /ARRANGEMENT=DELIMITED /FIRSTCASE=2",
        "  /VARIABLES=",
        *(f"    {name} {shape}" for name, shape in formats),
        "  .",
    ]
    for name, labels in levels.items():
        shown = " ".join(f"{code} {_quoted(label)}" for code, label in enumerate(labels, start=1))
        lines.append(f"VALUE LABELS {name} {shown}.")
    lines += [
        f"VARIABLE LEVEL {IMPUTATION} (NOMINAL).",
        f"SORT CASES BY {IMPUTATION} {ROW}.",
        f"SPLIT FILE LAYERED BY {IMPUTATION}.",
        "EXECUTE.",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
