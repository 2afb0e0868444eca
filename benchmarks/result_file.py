"""Result files: a row for each measurement, appended as soon as it is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.machine import machine


def record(row: Mapping[str, Any], out: Path, columns: Sequence[str] | None = None) -> None:
    """Show a row, and append it to a result file with what it was measured with.

    Parameters
    ----------
    row : mapping
        What was measured. Settings are not shown.
    out : Path
        The file; made where it is not there.
    columns : sequence of str, optional
        Columns of the file, in order; those of the row by default.

    Raises
    ------
    ValueError
        If the file lacks a column of the row.
    """
    print({k: v for k, v in row.items() if k != "settings"}, flush=True)
    out.parent.mkdir(exist_ok=True, parents=True)
    made_with = machine()
    order = [*(row if columns is None else columns), *made_with]
    if out.exists():
        there = list(pd.read_csv(out, nrows=0))
        if new := [name for name in order if name not in there]:
            raise ValueError(f"{out} has no columns {new}; write to another file")
        order = there
    pd.DataFrame([dict(row) | made_with]).reindex(columns=order).to_csv(
        out, mode="a", header=not out.exists(), index=False
    )


def already(out: Path, key: list[str]) -> set[tuple[Any, ...]]:
    """Keys of the rows that a result file holds."""
    if not out.exists():
        return set()
    return set(pd.read_csv(out)[key].itertuples(index=False, name=None))
