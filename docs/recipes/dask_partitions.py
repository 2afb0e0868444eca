"""Impute a Dask data frame with a saved model."""

from __future__ import annotations

import dask.dataframe as dd
import pandas as pd

import psmimpute as psm


def impute_dask(ddf: dd.DataFrame, model: str, *, m: int, row_key: str) -> dd.DataFrame:
    """Return the m completed tables below each other, their number in the column ``.imp``."""

    def impute_part(df: pd.DataFrame) -> pd.DataFrame:
        imp = psm.PSMImputer.load(model, device="cpu").impute(df, m=m, row_key=row_key)
        return imp.complete("long").drop(columns=".id")

    meta = ddf._meta.reset_index(drop=True)
    meta.insert(0, ".imp", pd.Series(dtype="int64"))
    return ddf.map_partitions(impute_part, meta=meta)
