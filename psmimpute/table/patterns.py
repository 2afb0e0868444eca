"""Missing-data patterns and how well the columns of a table can inform each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import SchemaError
from psmimpute.table.reading import column_names, missing_cells

BoolArray = npt.NDArray[np.bool_]

N_ROWS, N_MISSING, TOTAL = "n_rows", "n_missing", "total"


class MissingPairs(NamedTuple):
    """Numbers of rows in which two columns are observed or missing together.

    Each is a frame of counts, shape (n_columns, n_columns); the first letter stands for the row
    of the frame, the second for its column.

    Attributes
    ----------
    rr : DataFrame
        Both observed.
    rm : DataFrame
        The first observed, the second missing.
    mr : DataFrame
        The first missing, the second observed.
    mm : DataFrame
        Both missing.

    Examples
    --------
    >>> import psmimpute as psm
    >>> pairs = psm.missing_pairs(psm.load_nhanes2())
    >>> pairs.mr.loc["chl", "bmi"].item()  # chl missing, bmi observed
    3
    """

    rr: pd.DataFrame
    rm: pd.DataFrame
    mr: pd.DataFrame
    mm: pd.DataFrame


def missing_pattern(df: pd.DataFrame, *, margins: bool = True) -> pd.DataFrame:
    """Count the rows of each missing-data pattern, as ``mice::md.pattern`` does.

    Parameters
    ----------
    df : DataFrame
        One row or more.
    margins : bool, default True
        Whether to append a row with the number of missing cells of each column.

    Returns
    -------
    DataFrame
        One row for each pattern: 1 where a column is observed and 0 where it is missing, and
        `n_missing`, the number of missing columns. The index, `n_rows`, counts the rows with the
        pattern. Columns are sorted by their number of missing cells; the row of margins is
        labelled ``"total"``.

    Raises
    ------
    SchemaError
        If a column name is duplicated or there is no row.

    Examples
    --------
    >>> df = pd.DataFrame({"bmi": [22.0, None, None], "age": [30, 40, 50]})
    >>> missing_pattern(df)
            age  bmi  n_missing
    n_rows
    1         1    1          0
    2         1    0          1
    total     0    2          2
    """
    missing = _checked_missing(df)
    n_missing = missing.sum(axis=0)
    order = np.argsort(n_missing, kind="stable")
    missing = missing[:, order]
    # Packed bits sort as the rows of zeros and ones do, and faster.
    packed = np.packbits(missing, axis=1)
    _, first, n_rows = np.unique(packed, axis=0, return_index=True, return_counts=True)
    patterns = missing[first]
    body = np.column_stack([~patterns, patterns.sum(axis=1)]).astype(np.int64)
    columns = pd.Index([*df.columns[order], N_MISSING], tupleize_cols=False)
    frame = pd.DataFrame(body, index=pd.Index(n_rows, name=N_ROWS), columns=columns)
    if not margins:
        return frame
    last = np.append(n_missing[order], n_missing.sum())
    labels = pd.Index([*n_rows.tolist(), TOTAL], dtype=object, name=N_ROWS)
    return pd.DataFrame(np.vstack([body, last]), index=labels, columns=columns)


def missing_pairs(df: pd.DataFrame) -> MissingPairs:
    """Count rows by which of two columns are observed, as ``mice::md.pairs`` does.

    Parameters
    ----------
    df : DataFrame
        One row or more.

    Returns
    -------
    MissingPairs
        Four frames of counts.

    Raises
    ------
    SchemaError
        If a column name is duplicated or there is no row.

    Examples
    --------
    >>> df = pd.DataFrame({"bmi": [22.0, None, None], "age": [30, 40, 50]})
    >>> missing_pairs(df).mr
         bmi  age
    bmi    0    2
    age    0    0
    """
    missing = _checked_missing(df).astype(np.float64)  # BLAS; counts are exact below 2**53
    observed = 1.0 - missing
    return MissingPairs(
        *(
            pd.DataFrame((a.T @ b).astype(np.int64), index=df.columns, columns=df.columns)
            for a, b in (
                (observed, observed),
                (observed, missing),
                (missing, observed),
                (missing, missing),
            )
        )
    )


def flux(df: pd.DataFrame) -> pd.DataFrame:
    """Measure how the missing data of each column connect to the others' observed data.

    Parameters
    ----------
    df : DataFrame
        One row or more.

    Returns
    -------
    DataFrame
        One row for each column, all shares between 0 and 1:

        * `pobs`, of its cells that are observed;
        * `influx`, of all observed cells, how many stand beside one of its missing cells;
        * `outflux`, of all missing cells, how many stand beside one of its observed cells (NaN if
          nothing is missing);
        * `ainb`, mean share observed of another column where this one is missing;
        * `aout`, mean share missing of another column where this one is observed;
        * `fico`, of its observed cells that stand in incomplete rows (NaN if it has none).

    Raises
    ------
    SchemaError
        If a column name is duplicated or there is no row.

    References
    ----------
    .. [1] Van Buuren, S. (2018). Flexible Imputation of Missing Data, 2nd ed. Chapman & Hall.
       Section 4.1.3.

    Examples
    --------
    >>> df = pd.DataFrame({"bmi": [22.0, None, None], "age": [30, 40, 50]})
    >>> flux(df)[["pobs", "influx", "outflux"]]
             pobs  influx  outflux
    bmi  0.333333     0.5      0.0
    age  1.000000     0.0      1.0
    """
    missing = _checked_missing(df)
    counts = (frame.to_numpy() for frame in missing_pairs(df))
    rr, rm, mr, mm = counts
    n_missing = missing.sum()
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "pobs": 1 - missing.mean(axis=0),
                "influx": mr.sum(axis=1) / (missing.size - n_missing),
                "outflux": rm.sum(axis=1) / n_missing,
                "ainb": _mean_over_others(mr, mm),
                "aout": _mean_over_others(rm, rr),
                "fico": _fico(missing),
            },
            index=df.columns,
        )


def _mean_over_others(
    counts: npt.NDArray[np.int64], complement: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Mean of counts / (counts + complement) over the other columns; 0/0 counts as 0."""
    shares = counts / np.maximum(counts + complement, 1)
    return np.asarray(shares.sum(axis=1) / max(len(counts) - 1, 1))


def _fico(missing: BoolArray) -> npt.NDArray[np.float64]:
    observed, incomplete = ~missing, missing.any(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray((observed & incomplete).sum(axis=0) / observed.sum(axis=0))


def fico(df: pd.DataFrame) -> pd.Series:
    """Return the share of each column's observed cells that stand in incomplete rows.

    Parameters
    ----------
    df : DataFrame
        One row or more.

    Returns
    -------
    Series
        Indexed by column; NaN for a column that was never observed.

    Raises
    ------
    SchemaError
        If a column name is duplicated or there is no row.

    Examples
    --------
    >>> import psmimpute as psm
    >>> fico(psm.load_nhanes2()).round(3).to_dict()
    {'age': 0.48, 'bmi': 0.188, 'hyp': 0.235, 'chl': 0.133}
    """
    return pd.Series(_fico(_checked_missing(df)), index=df.columns, name="fico")


def complete_cases(df: pd.DataFrame) -> pd.Series:
    """Tell which rows have no missing cell; their sum is the number of complete cases.

    Parameters
    ----------
    df : DataFrame
        One row or more.

    Returns
    -------
    Series of bool
        With the frame's index.

    Raises
    ------
    SchemaError
        If a column name is duplicated or there is no row.

    Examples
    --------
    >>> import psmimpute as psm
    >>> int(complete_cases(psm.load_nhanes2()).sum())
    13
    """
    return pd.Series(~_checked_missing(df).any(axis=1), index=df.index, name="complete")


def _checked_missing(df: pd.DataFrame) -> BoolArray:
    column_names(df)
    if len(df) == 0:
        raise SchemaError("the frame has no rows: it has no missing-data pattern")
    return missing_cells(df)
