"""Imputations to Parquet."""

from __future__ import annotations

from os import PathLike
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pandas.api.types import infer_dtype

from psmimpute.bounded_json import parse_object
from psmimpute.exceptions import NotStorableError, OtherJobError
from psmimpute.imputed.imputed_table import ImputedTable
from psmimpute.imputed.stored_dtypes import describe_dtypes, levels_as_text
from psmimpute.storage.files import Folder
from psmimpute.storage.manifest import Manifest
from psmimpute.storage.writing import JOB, PartWriter, Slice, record_name


def write_parquet(
    imputed: ImputedTable,
    path: str | PathLike[str],
    *,
    layout: Literal["long", "cells"] = "cells",
    filesystem: object = None,
) -> None:
    """Write a multiply-imputed data set for ``read_imputed``.

    Parameters
    ----------
    imputed : ImputedTable
        Assigned columns are stored as data.
    path : str or path-like
        Folder, new or empty; or a URI.
    layout : {"cells", "long"}, default "cells"
        The data once and tables of the imputed cells, or m completed tables too.
    filesystem : object, optional
        Of pyarrow or fsspec.

    Raises
    ------
    OtherJobError
        If there are files in the folder.
    NotStorableError
        If a column has no Parquet type.
    StorageError
        If it cannot be written.
    """
    folder = Folder.at(path, filesystem)
    if folder.names():
        raise OtherJobError(f"{folder} is not empty: choose a new folder")
    whole = imputed.materialized()
    data, values = levels_as_text(whole.data, whole.values)
    if infer_dtype(data.columns, skipna=False).startswith("mixed"):
        raise NotStorableError(
            f"the columns {[*data.columns][:5]} have names of several types, which Parquet makes "
            "texts: rename them, so that all are texts or all are whole numbers"
        )
    try:
        table = pa.Table.from_pandas(data)
        described, dtypes = whole.schema.to_dict(), describe_dtypes(whole.data)
    except (pa.ArrowException, ValueError) as error:
        raise NotStorableError(f"the data cannot be stored as Parquet: {error}") from error
    where = whole.where.to_numpy()
    imputed_columns = tuple(sorted(values))
    rows = Slice(table, 0, {j: where[:, j] for j in imputed_columns}, values, _extra(whole))
    writer = PartWriter(folder, layout, whole.m, table.schema, imputed_columns)
    writer.write(0, [rows])
    name = record_name(0)
    info = whole.info
    Manifest(
        layout=layout,
        m=whole.m,
        member_of=[int(member) for member in whole.member_of],
        schema=described,
        info={
            "seed": info.seed,
            "missingness": info.missingness,
            "n_sets": info.n_sets,
            "n_sets_reason": info.n_sets_reason,
            "members": info.members,
            "device": info.device,
            "software": info.software,
            "history": [dict(row) for row in info.history],
            "warnings": [*info.warnings],
            "adjustments": [*info.adjustments],
            "declared": dict(info.declared),
        },
        parts=[parse_object(folder.read(name, most_bytes=2**26), what=name)],
        imputed=[*imputed_columns],
        dtypes=dtypes,
    ).write(folder)
    folder.delete(JOB)


def _extra(imputed: ImputedTable) -> dict[str, npt.NDArray[Any]]:
    extra: dict[str, npt.NDArray[Any]] = {}
    draws = imputed.pattern_set_draws
    if draws is not None and imputed.n_sets > 1:
        extra |= {f"set.{k + 1}": np.asarray(row) for k, row in enumerate(draws)}
    if imputed.n_sets > 1:
        shares = imputed.pattern_set_probabilities.to_numpy()
        extra |= {f"p.{r + 1}": column for r, column in enumerate(shares.T)}
    for name in ("ess", "pareto_k"):
        whole = getattr(imputed.info, name)
        if whole is not None:
            extra[name] = np.asarray(whole)
    return extra
