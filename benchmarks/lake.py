"""A large table of twelve mixed columns with gaps, made piece by piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 2**17
_MISSING = 0.1
_N_LATENT = 3
_LEVELS = {
    "region": ["north", "east", "south", "west"],
    "school": ["none", "primary", "secondary", "higher"],
    "trade": ["farm", "craft", "office", "health", "other"],
}


def make_rows(n_rows: int, *, seed: int, piece: int) -> pd.DataFrame:
    """Return rows of one piece: five floats, two counts, three categories, a flag and a date.

    All depend on three hidden variables; every cell is missing with probability .1.
    """
    rng = np.random.default_rng([seed, piece])
    loadings = np.random.default_rng(7).normal(size=(_N_LATENT, 12))
    z = rng.normal(size=(n_rows, _N_LATENT))
    y = z @ loadings / np.sqrt((loadings**2).sum(0)) + 0.6 * rng.normal(size=(n_rows, 12))
    columns: dict[str, object] = {f"x{i}": np.round(y[:, i], 4) for i in range(4)}
    columns["income"] = np.round(np.exp(7 + 0.6 * y[:, 4]), 2)
    columns["visits"] = rng.poisson(np.exp(0.5 + 0.5 * y[:, 5]))
    columns["children"] = rng.poisson(np.exp(0.3 * y[:, 6]))
    for j, (name, levels) in enumerate(_LEVELS.items()):
        cuts = np.linspace(-1, 1, len(levels) - 1)
        columns[name] = pd.Categorical.from_codes(np.digitize(y[:, 7 + j], cuts), levels)
    columns["smokes"] = y[:, 10] > 0.4
    days = np.clip(np.rint(900 + 300 * y[:, 11]), 0, 1999).astype(int)
    columns["seen"] = np.datetime64("2020-01-01", "s") + days.astype("timedelta64[D]")
    df = pd.DataFrame(columns).mask(rng.random((n_rows, 12)) < _MISSING)
    return df.astype({"visits": "Int64", "children": "Int64", "smokes": "boolean"})


def write_lake(folder: Path, n_rows: int, *, seed: int = 0, file_rows: int = 2**20) -> None:
    """Write `n_rows` rows as Parquet files of up to `file_rows`, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, start in enumerate(range(0, n_rows, file_rows)):
        path, stop = folder / f"part-{at:04d}.parquet", min(start + file_rows, n_rows)
        if path.exists():
            continue
        aside = path.with_suffix(".tmp")
        writer = None
        for first in range(start, stop, GROUP_ROWS):
            size = min(GROUP_ROWS, stop - first)
            df = make_rows(size, seed=seed, piece=first // GROUP_ROWS)
            table = pa.Table.from_pandas(df, preserve_index=False)
            writer = writer or pq.ParquetWriter(aside, table.schema)
            writer.write_table(table, row_group_size=size)
        assert writer is not None
        writer.close()
        aside.rename(path)
